# The Debian package: built, and put on a server with apache2, php-fpm and
# postfix, with the three commands that README names; a mail from request to
# trace; upgrade, remove, purge.  No systemd runs here: the daemons are
# started by hand.
# no sanitizers: it builds the package as it is shipped
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(apache2 php-fpm postfix logrotate);
use MO::Test;
use JSON::PP ();

my $name = 'libapache2-mod-mailorigin';
$ENV{DEBIAN_FRONTEND} = 'noninteractive';
$ENV{DEB_BUILD_OPTIONS} = 'noautodbgsym';
$ENV{PATH} = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

sub ok_run {
    my ($what, @cmd) = @_;
    my ($status, $out, $err) = run({timeout => 600}, @cmd);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $status, 0, $what or diag(substr("$out$err", -4000));
    return $out . $err;
}

# what there is where packages put files, but for what apt, dpkg and the
# daemons keep themselves; elsewhere others on this machine are at work
sub listing {
    my @skip = qw(/var/cache /var/tmp /var/log /var/mail /var/lib/apt
        /var/lib/dpkg /var/lib/postfix /var/spool/postfix
        /var/lib/php/sessions /etc/passwd- /etc/group- /etc/shadow-
        /etc/gshadow- /etc/ld.so.cache /var/lib/systemd /usr/share/zoneinfo
        /usr/include /usr/local /var/www /etc/resolv.conf /etc/postfix);
    push @skip, $SRC, $BUILD, $PREFIX;
    my ($status, $out) = run({timeout => 300},
        qw(find /etc /lib /lib64 /bin /sbin /opt /srv /usr /var -xdev), '(',
        (map { ('-path', $_, '-o') } @skip), '-false', ')', '-prune', '-o',
        '(', qw(-type d -printf), '%p %y %m %u:%g\n', '-o', '-printf',
        '%p %y %m %u:%g %s %l\n', ')');
    # and what these say
    my ($s2, $sums) = run(qw(sh -c),
        'md5sum /etc/passwd /etc/group /etc/shadow /etc/gshadow; dpkg-divert --list;
        cat /etc/postfix/main.cf; ls -d /run/mailorigin /var/log/mailorigin');
    return join "\n", sort(split /\n/, $out), $sums;
}

sub same {
    my ($before, $after, $what) = @_;
    return if ok $before eq $after, $what;
    spew('/tmp/before', $before);
    spew('/tmp/after', $after);
    diag((run(qw(diff /tmp/before /tmp/after)))[1]);
}

# ---- build, from a copy of the tree
my $work = scratch();
my $version;
{
    my ($v) = slurp("$SRC/include/mo_paths.h") =~ /MO_VERSION "(.*)"/;
    ($version) = slurp("$SRC/debian/changelog") =~ /^\S+ \((.*?)\)/;
    is $version, $v, 'the package has the version that the programs say';
    like slurp("$SRC/CHANGES"), qr/^\Q$v\E /m, 'which CHANGES has';
}
ok_run('a copy of the tree', 'sh', '-c', 'mkdir "$2/src" && cd "$1" &&
    tar -cf - --exclude=./.git --exclude=./build . | tar -xf - -C "$2/src"',
    'sh', $SRC, $work);
{
    my ($status, $out, $err) = run({timeout => 600, cwd => "$work/src"},
        qw(dpkg-buildpackage -b -us -uc -j2));
    is $status, 0, 'dpkg-buildpackage' or diag(substr("$out$err", -4000));
    is join("\n", grep { /warning/ && !/no symbols|substitution variable/ }
        split /\n/, "$out$err"), '', 'without a warning';
}
my ($deb) = grep { !/dbgsym/ } glob "$work/${name}_*.deb";
ok $deb, 'there is a package' or BAIL_OUT('no package');
{
    my ($status, $out, $err) = run({timeout => 300}, 'lintian',
        '--allow-root', '--fail-on', 'error,warning', glob "$work/*.changes");
    is "$status $out", '0 ', 'lintian has nothing to say' or diag($err);
}

# ---- the server
my ($php) = map { m{/etc/php/([\d.]+)/fpm} } glob '/etc/php/*/fpm';
ok_run('PHP-FPM for httpd', qw(a2enmod proxy_fcgi setenvif));
ok_run('PHP-FPM for httpd', 'a2enconf', "php$php-fpm");
spew('/etc/apache2/conf-available/local.conf', "ServerName localhost\n");
ok_run('its name', qw(a2enconf local));
spew('/etc/postfix/main.cf', <<'CF');
compatibility_level = 3.6
myhostname = server.example
mydestination = server.example, localhost
inet_interfaces = loopback-only
alias_maps =
maillog_file = /var/log/mail.log
CF
spew('/var/www/html/mail.php', <<'PHP');
<?php
$ok = mail('root@localhost', 'a subject', "text\n", 'From: web@localhost');
echo $ok ? "sent\n" : "not sent\n";
PHP
# neither is needed here, and both take long
spew('/etc/dpkg/dpkg.cfg.d/fast', "force-unsafe-io\n");
unlink '/var/lib/man-db/auto-update';
# a2dismod makes these for what it disables, whichever module
run(qw(mkdir -p), map { "/var/lib/apache2/module/disabled_by_$_" }
    qw(admin maint));
my $before = listing();

# ---- install
ok_run('apt install', qw(apt-get install -y), $deb);
done_testing, exit if !-e '/usr/bin/mailorigin';
for my $path (qw(/etc/mailorigin/keyring /etc/mailorigin/mailorigin.conf
    /etc/apache2/mods-enabled/mailorigin.load
    /etc/apache2/mods-enabled/mailorigin.conf /etc/logrotate.d/mailorigin
    /run/mailorigin)) {
    ok -e $path, "$path is there";
}
is join(' ', map { (run('stat', '-c', '%n %a %U:%G', $_))[1] }
    qw(/etc/mailorigin/keyring /var/log/mailorigin /var/lib/mailorigin)),
    "/etc/mailorigin/keyring 640 root:mailorigin\n"
    . " /var/log/mailorigin 2750 mailorigin:adm\n"
    . " /var/lib/mailorigin 755 mailorigin:mailorigin\n",
    'owners and modes are right';
ok_run('the units are good', qw(systemd-analyze verify --man=no),
    glob '/lib/systemd/system/mailorigin-recorder.*');
ok_run('man finds its page', qw(man -w mailorigin)) if -x '/usr/bin/man';

# ---- run it
sub start {
    my ($what, @cmd) = @_;
    my ($status, $out, $err) = run({timeout => 60}, 'setsid', @cmd);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $status, 0, "$what starts" or diag($out, $err);
}
run(qw(mkdir -p /run/php /run/apache2 /run/lock/apache2));
start('postfix', qw(postfix start));
start('PHP-FPM', "php-fpm$php", '-D', '-d', 'opcache.enable=0');
start('httpd', qw(apache2ctl start));
start('the recorder', '/usr/lib/mailorigin/recorder');
ok_run('mailorigin wrap', qw(mailorigin wrap));
my ($status, $out, $err) = run(qw(mailorigin check));
is $status, 0, 'mailorigin check: all is well' or diag($out, $err);

sub get {
    my ($uri) = @_;
    return (run(qw(curl -sS --max-time 60), "http://127.0.0.1$uri"))[1];
}
my $mailbox = '/var/mail/root';
wait_for(sub { get('/') }, 'httpd answers');
is get('/mail.php?x=1'), "sent\n", 'a script sends a mail';
wait_for(sub { (slurp($mailbox) // '') =~ /^text$/m }, 'it arrives', 60);
like slurp($mailbox), qr/^Mail-Origin: v=1; id=/m, 'stamped';
($status, $out, $err) = run(qw(mailorigin trace --json), $mailbox);
is $status, 0, 'trace' or diag($out, $err);
my $t = eval { JSON::PP::decode_json($out) } // {};
is join(' ', map { $t->{$_} // '-' } qw(verdict uri script access_match)),
    'verified /mail.php /var/www/html/mail.php unique', 'and it is found';
like join(' ', @{$t->{access_lines} // []}), qr{"GET /mail\.php\?x=1 },
    'with its line';
{
    my ($s, $o, $e) = run(qw(logrotate -f -s), "$work/rotated",
        '/etc/logrotate.d/mailorigin');
    is $s, 0, 'logrotate' or diag($o, $e);
    my @logs = glob '/var/log/mailorigin/mail.log*';
    is scalar(@logs), 2, 'the log is rotated';
    wait_for(sub { get('/mail.php?x=2') eq "sent\n"
        && (slurp('/var/log/mailorigin/mail.log') // '') =~ /mail\.php/ },
        'the recorder writes to the new one');
}

# ---- upgrade: a link stays one, and what was changed stays as it is
my $new = "$work/new.deb";
ok_run('a later version', 'sh', '-c', 'cd "$1" && dpkg-deb -R "$2" new &&
    sed -i "s/^Version: .*/&+1/" new/DEBIAN/control &&
    echo "# changed" >> new/usr/share/mailorigin/mailorigin.conf &&
    dpkg-deb -b new "$3"', 'sh', $work, $deb, $new);
spew('/etc/mailorigin/mailorigin.conf',
    slurp('/etc/mailorigin/mailorigin.conf') . "\n# mine\n", 0644);
my @kept = qw(/etc/mailorigin/keyring /etc/mailorigin/mailorigin.conf
    /var/lib/mailorigin/wrap /var/log/mailorigin/mail.log);
my %kept = map { $_ => slurp($_) } @kept;
ok_run('apt upgrade', qw(apt-get install -y), $new);
is slurp($_), $kept{$_}, "$_ is kept" for @kept;
is readlink('/usr/sbin/sendmail'), '/usr/lib/mailorigin/sendmail',
    'the wrapper stands in its place';
is get('/mail.php?x=3'), "sent\n", 'and works';

# ---- remove: not while sendmail can't be put back
my $real = '/usr/sbin/sendmail.real';
rename '/usr/sbin/sendmail', '/usr/sbin/sendmail.link' or die;
spew('/usr/sbin/sendmail', "somebody's\n", 0755);
($status, $out, $err) = run(qw(apt-get remove -y), $name);
isnt $status, 0, 'apt remove refuses if it cannot unwrap';
like "$out$err", qr/sendmail could not be put back: the package stays/,
    'and says why';
ok -x '/usr/lib/mailorigin/sendmail' && -e $real, 'nothing is gone';
is slurp('/usr/sbin/sendmail'), "somebody's\n", 'nothing is overwritten';
rename '/usr/sbin/sendmail.link', '/usr/sbin/sendmail' or die;

ok_run('apt remove', qw(apt-get remove -y), $name);
ok !-l '/usr/sbin/sendmail' && !-e $real, 'sendmail is the real one again';
ok -e $_, "$_ stays" for qw(/etc/mailorigin/keyring
    /etc/mailorigin/mailorigin.conf /var/log/mailorigin/mail.log);
ok !-e '/etc/apache2/mods-enabled/mailorigin.load', 'the module is off';
ok_run('httpd goes on', qw(apache2ctl graceful));
is get('/mail.php?x=4'), "sent\n", 'and mails';

# ---- purge
for my $pid (split ' ', (run(qw(pgrep -f ^/usr/lib/mailorigin/recorder)))[1]) {
    kill 'TERM', $pid;
    wait_for(sub { proc_state($pid) =~ /^Z?$/ }, 'the recorder ends');
}
run(qw(apache2ctl stop));
run(qw(postfix stop));
ok_run('apt purge', qw(apt-get purge -y), $name);
same($before, listing(), 'nothing is left');

# ---- and in one step, while all is in place
ok_run('installed once more', qw(apt-get install -y), $deb);
ok_run('wrapped', qw(mailorigin wrap));
ok_run('purged at once', qw(apt-get purge -y), $name);
same($before, listing(), 'nothing is left');
done_testing;
