# MO::Mta - a real mail server in the test's overlay, and what the wrapper
# must do as it does.
#
#   mta_start($mta [, $limit])
#                        'postfix', 'exim', 'sendmail'; users alice, bob, carol;
#                        all mail for this host up to $limit bytes (0: any; a
#                        megabyte) is delivered, the rest refused
#   mta_stop()           its daemon; mta_daemon() starts that again
#   mta_idle()           true once its queues are empty
#   mailbox($user)       its messages, a list of texts
#   mta_wrap()           a recorder, which it returns, and the wrapper in place
#   mta_compare($user, [NAME, STDIN, ARGV0, ARG…])
#                        one call of the real one and of the wrapper: the same
#                        is said, and arrives, stamped; how many mails came
#   mta_test($mta)       the whole matrix
package MO::Mta;
use strict;
use warnings;
use Exporter 'import';
use IO::Handle ();
use IO::Socket::INET ();
use POSIX ();
use Socket ();
use Test::More;
use Time::HiRes ();
use MO::Test;
use MO::Recorder;
use MO::Unrecorded ();
our @EXPORT = qw(mta_start mta_stop mta_daemon mta_idle mta_wrap mta_compare
    mta_test mailbox);

my $mta;
my $host;
my $daemon; # how it is started
my $daemons = 0; # how many processes of it stay

# where mail waits
my %queues = (
    postfix => [map { "/var/spool/postfix/$_" } qw(maildrop incoming active
        deferred hold)],
    exim => ['/var/spool/exim4/input'],
    sendmail => ['/var/spool/mqueue', '/var/spool/mqueue-client'],
);
my @users = qw(alice bob carol root);

sub sh {
    my ($status, $out, $err) = run('sh', '-ec', @_);
    $status == 0 or BAIL_OUT("$_[0]: $status: $out$err");
    return $out;
}

# What stands for syslogd: glibc sends "<22>Nov 24 14:00:00 tag[1]: text".
sub syslogd {
    my ($file) = @_;
    socket(my $s, Socket::AF_UNIX(), Socket::SOCK_DGRAM(), 0) or die $!;
    unlink '/dev/log';
    bind($s, Socket::pack_sockaddr_un('/dev/log')) or die "/dev/log: $!";
    chmod 0666, '/dev/log';
    my $pid = fork // die "fork: $!";
    return $s if $pid;
    open my $out, '>>', $file or die "$file: $!";
    $out->autoflush(1);
    while (defined recv($s, my $line, 65536, 0)) {
        $line =~ s/^<\d+>(\w{3} [ \d]\d \S+) /$1 myhost /;
        $line =~ s/[\n\0]+\z//;
        print $out "$line\n";
    }
    POSIX::_exit(0);
}

sub mta_start {
    ($mta, my $limit) = @_;
    $limit //= 1_000_000;
    syslogd('/var/log/maillog') if $mta eq 'sendmail';
    ($host = sh('uname -n')) =~ s/[.\n].*//s;
    $host .= '.example';
    sh('for u in alice bob carol; do useradd -m $u; done; rm -f /var/mail/*');
    if ($mta eq 'postfix') {
        sh(<<"SH");
cp -n /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
cp -n /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
postconf -e 'mydestination=$host, localhost' 'myhostname=$host' \\
    'inet_interfaces=loopback-only' 'alias_maps=hash:/etc/aliases' \\
    'alias_database=hash:/etc/aliases' 'inet_protocols=ipv4' \\
    'compatibility_level=3.6' 'message_size_limit=$limit' \\
    'mailbox_size_limit=0' \\
    'default_transport=error:no relay here' 'in_flow_delay=0' \\
    'maillog_file=/var/log/maillog' 'smtpd_recipient_restrictions=' \\
    'local_recipient_maps=unix:passwd.byname \$alias_maps'
postconf -F '*/*/chroot=n'
postconf -M postlog/unix-dgram='postlog unix-dgram n - n - 1 postlogd'
[ -e /etc/aliases ] || echo 'postmaster: root' > /etc/aliases
postalias /etc/aliases
SH
        $daemon = 'postfix start >/dev/null 2>&1';
    }
    elsif ($mta eq 'exim') {
        sh(<<"SH");
f=/etc/exim4/update-exim4.conf.conf
sed -i "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='local'/
s/^dc_other_hostnames=.*/dc_other_hostnames='$host'/
s/^dc_localdelivery=.*/dc_localdelivery='mail_spool'/" \$f
cat > /etc/exim4/exim4.conf.localmacros <<END
MESSAGE_SIZE_LIMIT = $limit
MAIN_HARDCODE_PRIMARY_HOSTNAME = $host
END
update-exim4.conf
SH
        $daemon = 'exim4 -bd -q30m';
    }
    else {
        # (the package's own way to make these, which takes a minute for TLS)
        sh(<<"SH");
cd /etc/mail
# (no name server: what is not in /etc/hosts is unknown)
printf 'hosts\tfiles\naliases\tfiles\n' > service.switch
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
[ -e sendmail.cf ] || m4 sendmail.mc > sendmail.cf
[ -e submit.cf ] || m4 submit.mc > submit.cf
sed -i 's/^#\\? *O MaxMessageSize=.*/O MaxMessageSize=$limit/
/^O DaemonPortOptions=.*inet6/d
s/^#\\?Dj.*//; s/^Dm.*/&/' sendmail.cf
grep -q '^O ServiceSwitchFile' sendmail.cf 2>/dev/null ||
    echo 'O ServiceSwitchFile=/etc/mail/service.switch' >> sendmail.cf
printf 'Dj%s\\nCw%s localhost\\n' $host $host >> sendmail.cf
printf 'Dj%s\\n' $host >> submit.cf
# whatever else this machine does
for f in sendmail.cf submit.cf; do
    sed -i '/^#* *O \\(Queue\\|Refuse\\|Delay\\)LA=/d' \$f
    printf 'O QueueLA=1000\\nO RefuseLA=1000\\nO DelayLA=1000\\n' >> \$f
done
[ -e aliases ] || echo 'postmaster: root' > aliases
newaliases
SH
        $daemon = 'sendmail -bd -q30m';
    }
    mta_daemon();
}

sub answers {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:25', Timeout => 5)
        or return 0;
    return (readline($s) // '') =~ /^220 /;
}

sub mta_daemon {
    my ($command) = @_;
    sh(($command // $daemon) . ' </dev/null');
    my $r = wait_for(\&answers, "$mta answers", 60);
    # (a child may still serve that connection)
    wait_for(sub { ($daemons = () = running()) == ($mta eq 'postfix' ? $daemons
        : 1) }, 'its daemon alone', 60);
    return $r;
}

my %program = (
    postfix => qr{^/usr/lib/postfix/sbin/},
    exim => qr{/exim4$},
    sendmail => qr{/libexec/sendmail/sendmail$},
);

# what runs of it, in the test's own pid namespace
sub running {
    return grep { (readlink("/proc/$_/exe") // '') =~ $program{$mta} }
        map { m{/(\d+)$} } glob '/proc/[0-9]*';
}

sub mta_stop {
    if ($mta eq 'postfix') {
        sh('postfix stop >/dev/null 2>&1');
    }
    else {
        kill 'TERM', running();
    }
    return wait_for(sub { !running() }, "$mta has ended", 60);
}

sub mta_idle {
    return 0 if $mta ne 'postfix' && running() > $daemons;
    for my $dir (@{$queues{$mta}}) {
        my ($status, $out) = run('find', $dir, '-type', 'f', '!', '-empty');
        return 0 if $out =~ /\S/ || $status;
    }
    return 1;
}

sub mailbox {
    my ($user) = @_;
    my $text = slurp("/var/mail/$user") // '';
    return split /^(?=From \S+ +\w{3} \w{3} [ \d]\d )/m, $text;
}

# what differs from mail to mail, and from run to run
sub plain {
    my ($text) = @_;
    for ($text) {
        s/\AFrom (\S+) [^\n]*\n/Envelope: $1\n/;
        s/^(?:Received|Date|Message-Id|Mail-Origin|X-Original-To|Delivery-date
            |X-Postfix-Queue-ID|Arrival-Date|Last-Attempt-Date)[\x20\t]*:
            [^\n]*\n(?:[ \t][^\n]*\n)*//mxig;
    }
    return said($text);
}

sub said {
    my ($text) = @_;
    for ($text) {
        s/\bE?[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}\b/ID/g;
        s/\bqueued as \w+/queued as ID/g;
        s/\b(S|SIZE)=\d+/$1=N/g;
        s/\b[dqt]f\d[A-L][0-9A-Z][A-Za-z0-9]{11}\b/ID/g;
        s/\b\d?[0-9A-Z][A-L][0-9A-Z][A-Za-z0-9]{8}\d{6,}\b/ID/g;
        s/\b\d[A-L][0-9A-Z][A-Za-z0-9]{11}\b/ID/g;
        s/\b[0-9A-F]{8,12}\b(?:\*(?= ))?/ID/g;
        s{\bID\.\d+/}{ID.N/}g;
        s/\bboundary="[^"]*"/boundary/g;
        s/^--\S*(?:ID|eximdsn|=)\S*$/--boundary/mg;
        s/\w{3}, [ \d]\d \w{3} \d{4}/DATE/g;
        s/\w{3} \w{3} [ \d]\d (?=\d\d:)/DATE /g;
        s/\d\d:\d\d(?::\d\d)?/TIME/g;
        s/\b(?:pid|PID)[ =]\d+/PID/g;
        # of a batch, with our fields in it
        s/\b(started|detected) in line \d+/$1 in line N/g;
        s/\[\d+\]/[PID]/g;
        s/\b\d+m(?= +\d)/AGE/g;
        s/\b\d+(?:\.\d+[KM])? ?(?:s|ms|bytes|Kbytes)?(?= +ID)/N/g;
        s/\b\d+(?= *(?:s|ms|Kbytes|bytes)\b)/N/g;
        s/\b\d{6,}\b/N/g;
        s/[ \t]+/ /g;
        # the two that the proxy takes out of EHLO's answer, by design
        s/^250[- ](?:CHUNKING|STARTTLS)\r?\n//mg;
        s/^250-/250 /mg;
        s{/usr/sbin/sendmail\.real\b}{/usr/sbin/sendmail}g;
    }
    return $text;
}

# Sendmail refuses who talks before he is asked to: a client that waits.
my $talk = <<'PERL';
use IPC::Open2;
my @in = <STDIN>;
my $pid = open2(my $out, my $in, @ARGV);
$SIG{PIPE} = 'IGNORE';
$in->autoflush(1);
sub reply {
    while (defined(my $line = <$out>)) {
        print $line;
        last if $line !~ /^\d{3}-/;
    }
}
reply();
my $data = 0;
for my $line (@in) {
    print $in $line;
    $data = 0 if $line eq ".\r\n";
    reply() if !$data;
    $data = 1 if $line =~ /^DATA\s*\r\n\z/;
}
close $in;
print <$out>;
waitpid $pid, 0;
exit $? >> 8;
PERL

# as a caller that knows sendmail by the name $as
sub call {
    my ($user, $program, $as, $in, @args) = @_;
    # Exim's delivery goes on when it has ended, and both say what they do
    my $both = $mta eq 'exim' && grep { /^-[vNd]/ } @args;
    my ($status, $out, $err) = run({in => $in, timeout => 60, user => $user,
        cwd => '/', env => {USER => $user, LOGNAME => $user,
            HOME => (getpwnam $user)[7]}},
        @args == 1 && $args[0] eq '-bs' ? ($^X, '-e', $talk) : (),
        'bash', '-c', $both
            ? 'exec 3>&1; (exec -a "$0" "$@" 2>&1 >&3 3>&-) | cat >&2 3>&-; exit ${PIPESTATUS[0]}'
            : 'exec -a "$0" "$@"', $as, $program, @args);
    $err = join '', sort split /^/m, said($err) if $both;
    return "status $status\n" . said($out) . "--\n" . said($err);
}

my $text = "Subject: one\nTo: alice\n\nA body.\n..\n.x\nEnd\n";
my $smtp = "MAIL FROM:<bob\@localhost>\r\n"
    . "RCPT TO:<alice\@localhost>\r\nDATA\r\nSubject: bs\r\n\r\nb\r\n.\r\n";
my @cases = (
    # name, stdin, argv[0] where it isn't sendmail (undef), arguments
    ['-t', $text, undef, '-t'],
    ['-t -i', $text, undef, '-t', '-i'],
    ['-i -t', $text, undef, '-i', '-t'],
    ['-ti', $text, undef, '-ti'],
    ['-it', $text, undef, '-it'],
    ['-oi -t', $text, undef, '-oi', '-t'],
    ['-t operand', $text, undef, '-t', '-i', 'bob'],
    ['-t Bcc', "To: alice\nBcc: bob\nSubject: bcc\n\nx\n", undef, '-t', '-i'],
    ['operand', $text, undef, 'alice'],
    ['operands', $text, undef, '-i', 'alice', 'bob'],
    ['two operands in one', $text, undef, '-i', 'alice, bob'],
    ['operand -i', $text, undef, 'alice', '-i'],
    ['-- operand', $text, undef, '-i', '--', 'alice'],
    ['-- -t', $text, undef, '-i', '--', 'alice', '-t'],
    ['- operand', $text, undef, '-i', '-', 'alice'],
    ['-f separate', $text, undef, '-i', '-f', 'bob', 'alice'],
    ['-f joined', $text, undef, '-i', '-fbob', 'alice'],
    ['-f bundled', $text, undef, '-if', 'bob', 'alice'],
    ['-f -t', $text, undef, '-f', 'bob', '-t', '-i'],
    ['-f empty', $text, undef, '-i', '-f', '', 'alice'],
    ['-f <>', $text, undef, '-i', '-f', '<>', 'alice'],
    ['-f -bs', $text, undef, '-i', '-f', '-bs', 'alice'],
    ['-f nothing', $text, undef, '-f'],
    ['-r', $text, undef, '-i', '-r', 'bob', 'alice'],
    ['-r joined', $text, undef, '-i', '-rbob', 'alice'],
    ['-F', $text, undef, '-i', '-F', 'Bob B', 'alice'],
    ['-F joined', $text, undef, '-i', '-FBob', 'alice'],
    ['-F -t', $text, undef, '-F', '-t', '-i', 'alice'],
    ['-N', $text, undef, '-i', '-N', 'never', 'alice'],
    ['-N joined', $text, undef, '-i', '-Nfailure,delay', 'alice'],
    ['-N bad', $text, undef, '-i', '-N', 'sometimes', 'alice'],
    ['-R', $text, undef, '-i', '-R', 'hdrs', 'alice'],
    ['-V', $text, undef, '-i', '-V', 'envid', 'alice'],
    ['-V two letters', $text, undef, '-i', '-V', 'ab', 'alice'],
    ['-B', $text, undef, '-i', '-B', '8BITMIME', 'alice'],
    ['-B joined', $text, undef, '-i', '-B8BITMIME', 'alice'],
    ['-h', $text, undef, '-i', '-h', '5', 'alice'],
    ['-p', $text, undef, '-i', '-p', 'SMTP:x.example', 'alice'],
    ['-L', $text, undef, '-i', '-L', 'tag', 'alice'],
    ['-A c', $text, undef, '-Ac', '-i', 'alice'],
    ['-A m', $text, undef, '-Am', '-i', 'alice'],
    ['-C', $text, undef, '-i', '-C', '/etc/hostname', 'alice'],
    ['-C nowhere', $text, undef, '-C/nowhere', '-i', 'alice'],
    ['-D', $text, undef, '-D', '/nowhere/x', '-i', 'alice'],
    ['-d', $text, undef, '-d0.1', '-i', 'alice'],
    ['-X', $text, undef, '-i', '-X', '/tmp/nowhere/x', 'alice'],
    ['-M', $text, undef, '-i', '-M', 'x', 'alice'],
    ['-E', $text, undef, '-i', '-E', 'alice'],
    ['-e m', $text, undef, '-em', '-i', 'alice'],
    ['-e', $text, undef, '-i', '-e', 'm', 'alice'],
    ['-m -n', $text, undef, '-i', '-m', '-n', 'alice'],
    ['-s', $text, undef, '-i', '-s', 'alice'],
    ['-x', $text, undef, '-i', '-x', 'alice'],
    ['-c', $text, undef, '-i', '-c', 'alice'],
    ['-oem', $text, undef, '-i', '-oem', 'alice'],
    ['-oee', $text, undef, '-i', '-oee', 'nobodyhere'],
    ['-odb', $text, undef, '-i', '-odb', 'alice'],
    ['-odi', $text, undef, '-i', '-odi', 'alice'],
    ['-odq', $text, undef, '-i', '-odx', 'alice'],
    ['-o i', $text, undef, '-o', 'i', 'alice'],
    ['-om', $text, undef, '-om', '-i', 'alice'],
    ['-oMr', $text, undef, '-i', '-oMr', 'x', 'alice'],
    ['-oQ', $text, undef, '-i', '-oQ/nowhere', 'alice'],
    ['-oitrue', $text, undef, '-oitrue', 'alice'],
    ['-O', $text, undef, '-i', '-O', 'ErrorMode=m', 'alice'],
    ['-O joined', $text, undef, '-i', '-OErrorMode=m', 'alice'],
    ['-O IgnoreDots', "Subject: d\n\na\n.\nb\n", undef, '-O', 'IgnoreDots=True',
        'alice'],
    ['-O bad', $text, undef, '-i', '-O', 'NoSuch=1', 'alice'],
    ['-G', $text, undef, '-i', '-G', 'alice'],
    ['-U', $text, undef, '-i', '-U', 'alice'],
    ['-v', $text, undef, '-i', '-v', 'alice'],
    ['-bm', $text, undef, '-bm', '-i', 'alice'],
    ['-b m', $text, undef, '-i', '-b', 'm', 'alice'],
    ['-bv', '', undef, '-bv', 'alice'],
    ['-bv unknown', '', undef, '-bv', 'nobodyhere'],
    ['-bt', "0 alice\n3,0 alice\n", undef, '-bt'],
    ['-bt operand', '', undef, '-bt', 'alice'],
    ['-bp', '', undef, '-bp'],
    ['-bp -v', '', undef, '-bp', '-v'],
    ['-bi', '', undef, '-bi'],
    ['-I', '', undef, '-I'],
    ['-bX', $text, undef, '-bX'],
    ['-bh', '', undef, '-bh'],
    ['-bH', '', undef, '-bH'],
    ['-bP', '', undef, '-bP', 'message_size_limit'],
    ['-bV', '', undef, '-bV'],
    ['-bS', "MAIL FROM:<bob>\nRCPT TO:<alice>\nDATA\nSubject: b\n\nx\n.\nQUIT\n",
        undef, '-bS'],
    ['-q', '', undef, '-q'],
    ['-qI', '', undef, '-qInothing'],
    ['-qS', '', undef, '-qSnothing'],
    ['-Z', $text, undef, '-Z', 'alice'],
    ['--version', '', undef, '--version'],
    ['--help', '', undef, '--help'],
    ['no recipients', $text, undef],
    ['-t, none', "Subject: x\n\nx\n", undef, '-t', '-i'],
    ['unknown user', $text, undef, '-i', 'nobodyhere'],
    ['unknown and known', $text, undef, '-i', 'nobodyhere', 'alice'],
    ['unknown host', $text, undef, '-i', 'x@elsewhere.example'],
    ['a bad address', $text, undef, '-i', 'a@@b'],
    ['too big', $text . ("x" x 99 . "\n") x 15000, undef, '-i', 'alice'],
    ['a dot', "Subject: dot\n\na\n.\nb\n", undef, 'alice'],
    ['a dot, CRLF', "Subject: dot\r\n\r\na\r\n.\r\nb\r\n", undef, 'alice'],
    ['a dot, -i', "Subject: dot\n\na\n.\nb\n", undef, '-i', 'alice'],
    ['a dot, -t', "Subject: dot\nTo: alice\n\na\n.\nb\n", undef, '-t'],
    ['empty', '', undef, '-i', 'alice'],
    ['no header', "just text\n", undef, '-i', 'alice'],
    ['a blank line first', "\njust text\n", undef, '-i', 'alice'],
    ['8 bit', "Subject: \xc3\xa4\n\n\xe4\xf6\n", undef, '-i', 'alice'],
    ['CRLF', "Subject: crlf\r\n\r\na\r\nb\r\n", undef, '-i', 'alice'],
    ['no final newline', "Subject: x\n\nend", undef, '-i', 'alice'],
    ['From line', "From bob Mon Jan  5 10:00:00 2026\nSubject: f\n"
        . "\nbody\n", undef, '-i', 'alice'],
    ['-bs', "HELO x\r\n${smtp}QUIT\r\n", undef, '-bs'],
    ['-bs, two', "EHLO x\r\n$smtp${smtp}QUIT\r\n", undef, '-bs'],
    ['-bs, EOF', "EHLO x\r\n$smtp", undef, '-bs'],
    ['-bs, unknown user', "EHLO x\r\nMAIL FROM:<bob\@localhost>\r\n"
        . "RCPT TO:<nobodyhere\@localhost>\r\nRSET\r\nQUIT\r\n", undef, '-bs'],
    ['-bs, a bad command', "EHLO x\r\nBLAH\r\nQUIT\r\n", undef, '-bs'],
    ['mailq', '', 'mailq'],
    ['newaliases', '', 'newaliases'],
    ['runq', '', 'runq'],
    ['rmail', "From bob Mon Jan  5 10:00:00 2026 remote from x\n$text",
        'rmail', 'alice'],
    ['hoststat', '', 'hoststat'],
    ['another name', $text, '/opt/x/mymail', '-i', 'alice'],
);

# One case of one program: what was said, and what came of it.
sub outcome {
    my ($user, $program, $case) = @_;
    my ($name, $in, $as, @args) = @$case;
    my %before = map { my $u = $_; ($u => scalar(my @m = mailbox($u))) } @users;
    my $said = call($user, $program, $as // '/usr/sbin/sendmail', $in, @args);
    wait_for(\&mta_idle, "$name: an empty queue", 60)
        or diag(join '', map { (run(@$_))[1] } ['mailq', '-v'],
            ['sh', '-c', "tail -20 /var/log/mail* /var/log/exim4/mainlog; ps ax"]),
            BAIL_OUT("$name: the queue is not empty");
    my @mails;
    for my $u (@users) {
        my @all = mailbox($u);
        push @mails, map {"$u: $_"} @all[$before{$u} .. $#all];
    }
    return $said, @mails;
}

sub mta_compare {
    my ($user, $case) = @_;
    my ($name) = @$case;
    my ($said, @mails) = outcome($user, '/usr/sbin/sendmail.real', $case);
    my ($said2, @mails2) = outcome($user, '/usr/sbin/sendmail', $case);
    is $said2, $said, "$name: status, stdout and stderr";
    is join("\n", sort map { plain($_) } @mails2),
        join("\n", sort map { plain($_) } @mails), "$name: what arrives";
    my @ours = grep { !/^From:.*(?:daemon|MAILER-DAEMON)/mi } @mails2;
    my @bad = grep { my ($head) = split /^\n/m;
        (() = $head =~ /^mail-origin[ \t]*:/mig) != 1
            || $head !~ /^Mail-Origin: v=1; id=[\w-]{16};/m } @ours;
    is scalar(@bad), 0, "$name: stamped, once" or diag(@bad);
    return scalar @ours;
}

# Whom -t sends to, as the record has it, is who gets it.
sub recipients {
    my ($recorder) = @_;
    my @cases = (
        ["To: alice, \"Doe, B\" <bob\@$host> (x, y)\nBcc: carol\n"],
        ["To: list: alice,\n bob;\nCc: carol\@$host\n"],
        ["To: alice\nResent-To: bob, alice\nCc: carol\n"],
        ["To: alice\n", 'bob'],
    );
    my @recorded;
    for my $i (0 .. $#cases) {
        my ($head, @args) = @{$cases[$i]};
        call('carol', '/usr/sbin/sendmail', 'sendmail',
            "${head}Subject: whom$i\n\nx\n", '-t', '-i', @args);
        push @recorded, ($recorder->records)[-1]{recipients};
        # (a mailbox that another delivery has locked would defer it)
        wait_for(\&mta_idle, 'an empty queue', 60);
    }
    my @got = map { my $u = $_; map { /^Subject: whom(\d)$/m } mailbox($u) }
        @users;
    for my $i (0 .. $#cases) {
        is $recorded[$i], scalar(grep { $_ == $i } @got),
            "-t, recipients: @{$cases[$i]}" =~ s/\s+/ /gr;
    }
}

sub mta_wrap {
    my $recorder = MO::Recorder->new;
    is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap');
    return $recorder;
}

sub mta_test {
    my ($which) = @_;
    mta_start($which);
    my $recorder = mta_wrap();
    my $mails = 0;
    my $only = $ENV{MO_CASE};
    for my $case (@cases) {
        next if defined $only && $case->[0] ne $only;
        my $start = Time::HiRes::time();
        $mails += mta_compare('carol', $case);
        note sprintf '%.2f s', Time::HiRes::time() - $start;
    }
    # root is trusted with more
    $mails += mta_compare('root', ["root: $_->[0]", @$_[1 .. $#$_]])
        for grep { $_->[0] =~ /^(?:-f (?:separate|<>)|-bs|-C|-oMr|-q|-bi)$/ }
        @cases;
    cmp_ok $mails, '>', 40, 'many mails arrived' if !defined $only;
    is scalar(my @r = grep { $_->{action} eq 'passed' } $recorder->records),
        scalar(my @all = $recorder->records), 'each was passed';

    # a bounce brings the field back
    my $before = @{[mailbox('carol')]};
    call('carol', '/usr/sbin/sendmail', 'sendmail', "Subject: lost\n\nx\n",
        '-oem', '-i', 'nobodyhere');
    wait_for(sub { mta_idle() && (mailbox('carol'))[$before] }, 'a bounce', 60);
    my $bounce = (mailbox('carol'))[$before] // '';
    my ($status, $out, $err) = run({in => $bounce}, $MAILORIGIN, 'trace',
        '--json', '-');
    is $status, 0, 'trace opens the bounce' or diag($bounce, $err);
    like $out, qr/"verdict":"none"/, 'and shows its verdict';
    like $out, qr/"uid":"?@{[scalar getpwnam 'carol']}\b/, 'and who it was';

    MO::Unrecorded::unrecorded_test($mta, $recorder);
    recipients($recorder);

    # the server is down, and is started by us
    mta_stop();
    my @down = map { [call('carol', $_, 'sendmail', $text, '-i', 'alice')] }
        '/usr/sbin/sendmail.real', '/usr/sbin/sendmail';
    is $down[1][0], $down[0][0], 'the server is down: the same';
    my @args = $mta eq 'sendmail' ? '-L sm-mta' : '';
    ok mta_daemon("/usr/sbin/sendmail $args[0] -bd >/dev/null 2>&1"),
        'sendmail -bd starts it';
    run('/usr/sbin/sendmail', '-q');
    wait_for(\&mta_idle, 'what was sent meanwhile goes', 60)
        if $mta ne 'sendmail';
    mta_stop();
    is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap');
}

1;
