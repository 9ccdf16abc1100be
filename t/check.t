# mailorigin check: each fact, in each of its states, with its mend
# no sanitizers: it is about the machine around
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;
use MO::Fpm;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();

# ---- the machine around, all of it in this test's namespaces
sub sh { my ($s, $o, $e) = run('sh', '-c', @_); die "@_: $o$e" if $s; $o }
my $dir = scratch();
sh('mount -t tmpfs -o mode=755 t /etc/php');
sh('touch /usr/sbin/sendmail && mount --bind "$1" /usr/sbin/sendmail', 'sh',
    $WRAPPER);
my $suexec = '/usr/lib/apache2/suexec';
ok -e $suexec, 'there is a suexec (apache2-suexec-custom)';

sub ini {
    my ($sapi, $text) = @_;
    sh("mkdir -p /etc/php/8.9/$sapi/conf.d /etc/php/8.9/fpm/pool.d");
    spew("/etc/php/8.9/$sapi/php.ini", "[PHP]\n$text");
}
sub pools { ini('fpm', $_[1] // ''); spew('/etc/php/8.9/fpm/pool.d/www.conf', $_[0]) }
ini('cli', '');
ini('apache2', '');
pools("[www]\nuser = www-data\n");

my $chain = MO::Chain->new(mpm => 'prefork', modules => ['php'],
    log_format => '%h %l %u %t \"%r\" %>s %b %{MAILORIGIN_ID}e');
my $httpd = $chain->httpd;

my ($status, $out, $err, @facts);
sub check {
    my ($o, @args) = ref $_[0] ? @_ : ({}, @_);
    ($status, $out, $err) = run({timeout => 300, %$o}, $MAILORIGIN, 'check',
        '--json', @args);
    @facts = map { JSON::PP::decode_json($_) } split /\n/, $out;
}
# said CHECK, STATE, QR[, MEND]: one line says so, and how it is mended
sub said {
    my ($check, $state, $like, $mend) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @f = grep { $_->{check} eq $check && $_->{state} eq $state
        && $_->{message} =~ $like } @facts;
    is scalar(@f), 1, "$check $state: $like" or return diag($out, $err);
    like $f[0]{mend} // '', $mend // qr/^$/, '… and its mend';
}

# ---- all is well
check();
is $status, 0, 'all is well: 0' or diag($out, $err);
is $err, '', 'nothing on stderr';
is join(' ', map { $_->{check} } grep { $_->{state} ne 'ok' } @facts), '',
    'each fact is ok';
is join(' ', sort keys %{$facts[0]}), 'check message state', 'the fields';
said('httpd', 'ok', qr/prefork\): MailOrigin is On in 1 of 1 vhosts/);
said('access_log', 'ok', qr/^localhost: lines carry the request's id/);
said('suexec', 'ok', qr/lets SSL_MAILORIGIN_TOKEN through/);
said('recorder', 'ok', qr/^answers at \Q$RUN\E/);
said('sendmail', 'ok', qr{^/usr/sbin/sendmail is the wrapper});
said('target', 'ok', qr{^the real sendmail is });
said('php', 'ok', qr/^PHP 8\.9 cli calls the wrapper/);
said('php', 'ok', qr/^PHP 8\.9 apache2 takes httpd's own configuration/);
said('php', 'ok', qr/^mod_php for localhost \(php_admin_value\) calls the wrapper/);
said('php', 'ok', qr/^PHP 8\.9 FPM pool www calls the wrapper/);
said('proc', 'ok', qr/can see all processes/);
said('file', 'ok', qr/keyring has mode 0640/);
said('disk', 'ok', qr/MiB are free/);
said('relay', 'ok', qr/no mail server listens on an outside address/);
{
    my ($s, $o) = run($MAILORIGIN, 'check', '--no-relay');
    is $s, 0, 'as text';
    like $o, qr/^ok     recorder: answers/m, 'a line a fact';
    unlike $o, qr/relay|mend/, '--no-relay; and nothing to mend';
}

# ---- end to end
$httpd->put('mail.php', '<?php mail("a@b.example", "s", "t\n");');
my $url = 'http://127.0.0.1:' . $httpd->port;
check('--send', 'you@b.example', '--url', "$url/mail.php?secret=1");
is $status, 0, '--send and --url: 0' or diag($out, $err);
said('send', 'ok', qr/^mail \S{16} to you\@b\.example was recorded: none/);
said('url', 'ok', qr{is verified: localhost /mail\.php, script .*/mail\.php$});
check('--send', 'you@b.example', '--url', $url, '--put', $httpd->docroot);
is $status, 0, '--put: 0' or diag($out, $err);
said('url', 'ok',
    qr{is verified: localhost (/mailorigin-check-\S+\.php), script .*\1$});
is join(' ', glob $httpd->docroot . '/mailorigin-check*'), '',
    'the script is taken away';
{
    my ($mail) = grep { $_->{data} =~ /^A probe\.$/m } $chain->sink->mails;
    ok $mail, 'its mail went';
}
check('--send', q{x');//@b.example}, '--url', $url, '--put', $httpd->docroot);
is $status, 2, 'an address that is code: 2';
said('url', 'broken', qr/can't be put into a script/, qr/plain address/);
check('--send', 'you@b.example', '--url', $url, '--put', "$dir/none");
said('url', 'broken', qr{/none/.*No such file}, qr/name a folder/);
check('--url', "$url/none.php");
is $status, 2, 'a URL that does not mail: 2';
said('url', 'broken', qr/no mail with that request was recorded/,
    qr/does that script mail/);
check('--url', 'http://127.0.0.1:9/');
said('url', 'broken', qr/curl ended with status 7/, qr/curl/);
for (['--put', '/x'], ['--send', '-x'], ['x'], ['--nothing']) {
    check(@$_);
    is "$status $out", '2 ', "@$_ is refused";
    like $err, qr/^mailorigin: /, '… with a word';
}

# ---- sendmail, and which one each PHP would call
sh('umount /usr/sbin/sendmail');
check();
is $status, 1, 'warnings alone: 1' or diag($out, $err);
said('sendmail', 'warn', qr{^/usr/sbin/sendmail is not the wrapper},
    qr/^mailorigin wrap$/);
said('php', 'warn', qr/^PHP 8\.9 cli calls \S+ -t -i, which is not/, qr/wrap --php/);
spew('/etc/php/8.9/cli/conf.d/99-x.ini', "sendmail_path = \"$WRAPPER -t -i\"\n");
pools("[global]\npid = /x\n[a]\nphp_admin_value[sendmail_path] = $WRAPPER -t\n"
    . "; php_admin_value[sendmail_path] = /bin/x\n"
    . "[b]\nuser = x\n[c]\nphp_value[sendmail_path] = \"/bin/true -t\"\n"
    . "[d]\nphp_admin_value[disable_functions] = exec, mail\n"
    . "[e]\nphp_admin_value[sendmail_path] = $WRAPPER -t\n"
    . "php_admin_value[disable_functions] = exec,mailx\n");
check();
said('php', 'ok', qr/^PHP 8\.9 cli calls the wrapper/);
said('php', 'ok', qr/^mod_php for localhost \(php_admin_value\) calls the wrapper/);
said('php', 'ok', qr/^PHP 8\.9 FPM pool a calls the wrapper/);
said('php', 'warn', qr{^PHP 8\.9 FPM pool b calls /usr/sbin/sendmail}, qr/wrap/);
said('php', 'warn', qr{^PHP 8\.9 FPM pool c calls /bin/true}, qr/wrap/);
said('php', 'warn', qr/^PHP 8\.9 FPM pool d has mail\(\) disabled/, qr/port 25/);
said('php', 'ok', qr/^PHP 8\.9 FPM pool e calls the wrapper/);
is scalar(grep { $_->{message} =~ /global/ } @facts), 0, '[global] is no pool';
sh('mount --bind "$1" /usr/sbin/sendmail', 'sh', $WRAPPER);

# ---- chroots
sh('mkdir -p "$1/usr/sbin" "$1$2"', 'sh', "$dir/jail", $RUN);
pools("[j]\nchroot = $dir/jail\n");
symlink $WRAPPER, "$dir/jail/usr/sbin/sendmail" or die;
check();
is $status, 1, 'a chroot without us: 1';
said('chroot', 'warn', qr{FPM pool j: \S+/usr/sbin/sendmail is not the wrapper},
    qr/put .* into it/);
said('chroot', 'warn', qr/FPM pool j: the recorder's socket is not in/,
    qr/mount --bind/);
unlink "$dir/jail/usr/sbin/sendmail";
sh('cp "$1" "$2/usr/sbin/sendmail" && mount --bind "$3" "$2$3"', 'sh',
    $WRAPPER, "$dir/jail", $RUN);
check();
said('chroot', 'ok', qr/FPM pool j: the recorder's socket is in its chroot/);
is $status, 0, 'with us: 0' or diag($out, $err);
sh('umount "$1"', 'sh', "$dir/jail$RUN");
pools("[www]\n");

# ---- cages, as systemd makes them
sub cage {
    my ($pid) = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/fpm.log";
        open STDERR, '>&', \*STDOUT;
        exec @_, MO::Fpm::bin(), '-F', '-y', "$dir/fpm.conf";
    }
    wait_for(sub { (slurp("/proc/$pid/cmdline") // '') =~ /php-fpm: master/
        || proc_state($pid) =~ /^Z?$/ }, 'php-fpm runs');
    return $pid;
}
spew("$dir/fpm.conf", "[global]\nerror_log = $dir/fpm.err\n[w]\n"
    . "listen = $dir/w.sock\nuser = www-data\npm = static\npm.max_children = 1\n");
my $pid = cage('setpriv', '--no-new-privs', '--');
check();
is $status, 2, 'NoNewPrivileges: 2';
said('cage', 'broken', qr/^php-fpm \(pid $pid\) runs with NoNewPrivileges/,
    qr/NoNewPrivileges=no/);
kill 'TERM', $pid;
waitpid $pid, 0;
$pid = cage(qw(unshare -m sh -c), 'mount -t tmpfs t "$0" && exec "$@"', $RUN);
check();
said('cage', 'broken', qr/^php-fpm \(pid $pid\) does not see \Q$RUN\E/,
    qr/BindPaths/);
kill 'TERM', $pid;
waitpid $pid, 0;

# ---- suexec, /proc, files, disk
spew("$dir/suexec", "HTTP_\n");
sh('mount --bind "$1" "$2"', 'sh', "$dir/suexec", $suexec);
check();
said('suexec', 'warn', qr/lets no token through/, qr/httpd's own suexec/);
sh('umount "$1"', 'sh', $suexec);

sh('mount -o remount,hidepid=2 /proc');
check();
said('proc', 'ok', qr/hidepid is set, and the recorder is root's/);
sh('chgrp nogroup "$1" && chmod 644 "$1"', 'sh', "$ETC/keyring");
chmod 0666, "$ETC/mailorigin.conf";
chmod 0644, "$LOG/mail.log";
check();
is $status, 2, 'files that others can read: 2';
said('file', 'broken', qr/keyring has mode 0644: others may read it/,
    qr/chmod 0640/);
said('file', 'broken', qr/mailorigin\.conf has mode 0666: others may write/,
    qr/chmod 0644/);
said('file', 'broken', qr/mail\.log has mode 0644: others may read/,
    qr/chmod 0640/);
chmod 0644, "$ETC/mailorigin.conf";
chmod 0640, "$LOG/mail.log";
rename "$ETC/keyring", "$ETC/k" or die;
check();
said('file', 'broken', qr/keyring: No such file/, qr/key init/);
rename "$ETC/k", "$ETC/keyring" or die;
chmod 0640, "$ETC/keyring";
$chain->recorder->stop;
sh('chown -R nobody "$1" "$2" "$3" && chown root "$3/keyring"', 'sh', $RUN,
    $LOG, $ETC);
sh('chgrp nogroup "$1"; chown -R nobody "$2"', 'sh', "$ETC/keyring", $STATE);
$chain->recorder->{user} = 'nobody';
$chain->recorder->start;
check();
said('proc', 'broken', qr/hidepid hides the processes/, qr/gid=/);
sh('mount -o remount,hidepid=2,gid="$1" /proc', 'sh', (getgrnam 'nogroup')[2]);
check();
said('proc', 'ok', qr/hidepid is set, and the recorder's user is in group/);
sh('mount -o remount,hidepid=0 /proc');
sh('mkdir "$1/small" && mount -t tmpfs -o size=1m t "$1/small"', 'sh', $dir);
my $conf = slurp("$ETC/mailorigin.conf");
spew("$ETC/mailorigin.conf", "${conf}log $dir/small/mail.log\n");
check();
said('disk', 'warn', qr/^1 MiB are free/, qr/make room/);
said('file', 'ok', qr/no mail was logged yet/);
spew("$ETC/mailorigin.conf", "${conf}log $dir/none/mail.log\n");
check();
said('disk', 'broken', qr/No such file/, qr/make the directory/);

sh('umount "$1/small"', 'sh', $dir);

# ---- the real sendmail
for (['', qr/names no real sendmail/, qr/mailorigin wrap/],
    ["sendmail $dir/none\n", qr/the real sendmail .*No such file/, qr/install/],
    ["sendmail $WRAPPER\n", qr/is the wrapper itself/, qr/name the real/]) {
    spew("$ETC/mailorigin.conf", $_->[0]);
    check();
    is $status, 2, 'the real sendmail: 2';
    said('target', 'broken', $_->[1], $_->[2]);
}
spew("$ETC/mailorigin.conf", $conf);

# ---- the recorder
$chain->recorder->signal('STOP');
check();
said('recorder', 'broken', qr/does not answer .* within 3 s/, qr/restart/);
$chain->recorder->signal('CONT');
$chain->recorder->stop;
check();
is $status, 2, 'no recorder: 2';
said('recorder', 'broken', qr/cannot be reached/, qr/enable --now/);
$chain->recorder->start;

# ---- an open relay, asked at this host's own outside address only
sh('ip link add mo0 type veth peer name mo1 && ip addr add 192.0.2.7/24 dev mo0 &&
    ip link set mo0 up && ip link set mo1 up');
sub smtp { # answers RCPT so, and keeps what was said
    my ($rcpt, @bind) = @_;
    my $l = IO::Socket::INET->new(Listen => 5, LocalAddr => '0.0.0.0',
        LocalPort => 25, ReuseAddr => 1) or die "port 25: $!";
    my $pid = fork // die;
    return ($pid, close $l) if $pid;
    open my $log, '>', "$dir/smtp";
    $log->autoflush;
    while (my $s = $l->accept) {
        print $log 'from ', $s->sockhost, "\n";
        print $s "220-hello\r\n220 there\r\n";
        while (<$s>) {
            print $log $_;
            print $s /^EHLO/ ? "250-me\r\n250 PIPELINING\r\n"
                : /^RCPT/ ? "$rcpt\r\n" : /^QUIT/ ? "221 bye\r\n" : "250 ok\r\n";
            last if /^QUIT/;
        }
    }
    POSIX::_exit(0);
}
for (['250 ok', 'broken', qr/192\.0\.2\.7 took a foreign recipient/,
        qr/restrict relaying/],
    ['554 5.7.1 no', 'ok', qr/refuses foreign recipients/, qr/^$/]) {
    my ($pid) = smtp($_->[0]);
    check();
    said('relay', @$_[1 .. 3]);
    my $log = slurp("$dir/smtp");
    is join(' ', $log =~ /^from (.*)$/mg), '192.0.2.7',
        'only the outside address was asked';
    is join(' ', $log =~ /^([A-Z]{4}) ?/mg), 'EHLO MAIL RCPT RSET QUIT',
        'and no DATA was sent';
    kill 'KILL', $pid;
    waitpid $pid, 0;
}

# ---- httpd: none, Off, logs of every sort
$httpd->stop;
check();
is $status, 2, 'no httpd: 2';
said('httpd', 'broken', qr/no httpd with mod_mailorigin is running/, qr/a2enmod/);
my %layout = (version => 1, pid => $$, start => 1, server => 'Apache',
    mpm => 'event', server_root => '/', global_logs => []);
sub layout {
    my %vhost = (aliases => [], port => 80, addresses => ['*:80'],
        defined => '/x:1', main => JSON::PP::false,
        mailorigin => JSON::PP::true, logs => []);
    spew("$RUN/httpd/$$.json", JSON::PP::encode_json({%layout,
        vhosts => [map { {%vhost, %$_} } @_]}));
}
my %log = (directive => 'CustomLog', defined => '/x:2', format => '%h %t "%r"');
layout({name => 'pipe', logs => [{%log, pipe => 'cat'}]}, {name => 'no'},
    {name => 'time', logs => [{%log, file => '/l'}]},
    {name => 'off', mailorigin => JSON::PP::false});
check();
is $status, 1, 'warnings: 1' or diag($out, $err);
said('httpd', 'ok', qr/event\): MailOrigin is On in 3 of 4 vhosts/);
said('access_log', 'warn', qr/^pipe: logs only to a pipe/, qr/access-log/);
said('access_log', 'warn', qr/^no: has no access_log/, qr/CustomLog/);
said('access_log', 'ok', qr/^time: lines are found by time/);
said('vhost', 'warn', qr/^off: MailOrigin is Off/, qr/MailOrigin On/);
layout({name => 'off', mailorigin => JSON::PP::false});
check();
said('httpd', 'broken', qr/MailOrigin is Off everywhere/, qr/MailOrigin On/);
$layout{pid} = 999999;
layout({name => 'gone'});
check();
said('httpd', 'warn', qr/is of an httpd that is gone/, qr/rm/);
spew("$RUN/httpd/$$.json", '{');
check();
said('layout', 'broken', qr/\Q$RUN\E/, qr/reload/);
done_testing;
