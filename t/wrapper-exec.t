# The wrapper becomes the real sendmail: its pid, name, status, signals and
# words are that one's.  What stops a mail is told by status and in one line.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Wire;
use POSIX ();
use Fcntl ();
use Socket;
use Time::HiRes ();

# a /dev of our own, with a log that we read
my $dev = scratch();
for (['cp', '-a', map("/dev/$_", qw(null zero full random urandom tty)), $dev],
    [qw(mount -t tmpfs mo-test /dev)], ['sh', '-c', "cp -a $dev/* /dev/"]) {
    my ($status, $out, $err) = run(@$_);
    die $err if $status;
}
mkdir '/dev/shm';
socket(my $log, AF_UNIX, SOCK_DGRAM, 0) or die;
bind($log, pack_sockaddr_un('/dev/log')) or die;
chmod 0666, '/dev/log';
sub logged {
    my @lines;
    my $line;
    while (defined(recv $log, $line, 4096, Socket::MSG_DONTWAIT())) {
        push @lines, $line;
    }
    return @lines;
}

my $r = MO::Recorder->new;
my $sink = $r->sink;
my $dir = scratch();
chmod 0777, $dir;
my $text = "Subject: x\nTo: a\@b.example\n\nbody\n";

# a target of our own, a shell script
sub target {
    my ($script, $conf) = @_;
    spew("$dir/target", "#!/bin/sh\n$script", 0755);
    spew("$ETC/mailorigin.conf", "sendmail $dir/target\n" . ($conf // ''));
    return "$dir/target";
}
sub named {
    my ($as, $in, @cmd) = @_;
    return run({in => $in}, 'bash', '-c', 'exec -a "$0" "$@"', $as, @cmd);
}

# ---- who it is
{
    spew("$dir/in", $text);
    my $pid = fork // die;
    if (!$pid) {
        open STDIN, '<', "$dir/in";
        chdir $dir;
        $ENV{MO_MARK} = 'kept';
        exec {$WRAPPER} 'any name', '-t', '-i', '-f', '', "a b\n";
    }
    waitpid $pid, 0;
    is $?, 0, 'status 0';
    my ($m) = $sink->mails;
    is $m->{pid}, $pid, 'its pid is ours';
    is $m->{ppid}, $$, 'its parent too';
    is_deeply $m->{argv}, ['any name', '-t', '-i', '-f', '', "a b\n"],
        'argv, as it came';
    is $m->{cwd}, $dir, 'its working directory';
    is $m->{env}{MO_MARK}, 'kept', 'the environment';
    is_deeply [grep { !exists $ENV{$_} && $_ ne 'MO_MARK' }
        sort keys %{$m->{env}}], ['MAILORIGIN_DEPTH'], '… and the count';
    $sink->clear;
    my ($status, $out, $err) = run({in => $text, user => 'nobody'}, $WRAPPER,
        '-t');
    is "$status$out$err", '0', 'another user: nothing is said';
    ($m) = $sink->mails;
    is $m->{uid}, (getpwnam 'nobody')[2], 'its uid';
    $sink->clear;
}

# ---- what it ends with, and says
for my $status (0, 1, 69, 75, 77, 255) {
    $sink->set(exit => $status);
    $sink->set(stdout => "out $status\0\n");
    $sink->set(stderr => "err $status");
    is_deeply [run({in => $text}, $WRAPPER, '-t')],
        [$status, "out $status\0\n", "err $status"],
        "status $status, stdout and stderr are its own";
}
$sink->set($_ => undef) for qw(exit stdout stderr);
for my $signal (qw(TERM SEGV KILL PIPE)) {
    target("cat >/dev/null; kill -$signal \$\$\n");
    is((run({in => $text}, $WRAPPER, '-t'))[0],
        128 + {TERM => 15, SEGV => 11, KILL => 9, PIPE => 13}->{$signal},
        "it dies of SIG$signal: so did we");
}
{
    target("trap 'echo caught; exit 5' TERM; : >$dir/ready; cat >/dev/null\n"
        . "while :; do sleep 0.05; done\n");
    my $pid = open my $fh, '-|' // die;
    if (!$pid) {
        open STDIN, '<', "$dir/in";
        exec $WRAPPER, '-t';
    }
    wait_for(sub { -e "$dir/ready" }, 'the target');
    kill 'TERM', $pid;
    is <$fh>, "caught\n", 'a signal to our pid is its';
    close $fh;
    is $? >> 8, 5, 'and its status our';
}

# ---- what it inherits
{
    my $show = "cat >/dev/null; grep -E '^(Sig|Shd|Umask|Seccomp|NoNewP|Groups)'"
        . " /proc/\$\$/status | grep -v SigQ; ulimit -a;"
        . " cd /proc/\$\$/fd; echo *\n";
    for my $handover (qw(memfd pipe)) {
        my $target = target($show, "handover $handover\n");
        my @said;
        for my $program ($target, $WRAPPER) {
            push @said, (run({in => $text}, 'bash', '-c',
                'trap "" USR1 HUP CHLD; umask 027; ulimit -S -f 1000 -n 50 '
                . '-c 0; exec 7</dev/null; exec "$0" -t', $program))[1];
        }
        is $said[1], $said[0], "$handover: signals, umask, limits and "
            . 'descriptors are as they would have been';
        like $said[0], qr/^Umask:\s+0027\n.*nofiles +50\n/ms,
            'which are the caller\'s';
    }
}

# ---- not a submission: at once, stdin unread, no record
{
    target("read line; echo \"\$0 \$*: \$line\"\n");
    my $n = $r->records;
    for my $case (['mailq'], ['newaliases'], ['runq'], ['hoststat'],
        ['/usr/sbin/smtpd'], ['sendmail', '-bp'], ['sendmail', '-bv', 'x'],
        ['sendmail', '-q30m'], ['sendmail', '-bi'], ['sendmail', '-I']) {
        my ($as, @args) = @$case;
        my ($status, $out, $err) = named($as, "first\nsecond\n", $WRAPPER,
            @args);
        is "$status$out$err", "0$dir/target @args: first\n",
            "$as @args: it reads stdin itself";
    }
    is scalar(() = $r->lines), $n, 'and nothing is recorded';
    # it does not wait for a stdin that stays open
    pipe(my $in, my $to) or die;
    my $pid = fork // die;
    if (!$pid) {
        open STDIN, '<&', $in;
        close $to;
        open STDOUT, '>', '/dev/null';
        exec {$WRAPPER} 'mailq';
    }
    close $in;
    syswrite $to, "x\n";
    ok wait_for(sub { waitpid($pid, POSIX::WNOHANG()) }, 'mailq'),
        'with stdin open';
    close $to;
    my ($status, $out) = named('rmail', $text, $WRAPPER, 'a@b');
    is $status, 0, 'rmail';
    is scalar($r->wait_records($n + 1)), $n + 1, 'is a submission';
}

# ---- not set up: 78, one line, nothing submitted
sub refused {
    my ($name, $want, $like, %o) = @_;
    $sink->clear;
    my ($status, $out, $err) = run({in => $text, %o}, $WRAPPER,
        @{$o{args} // ['-t']});
    is $status, $want, "$name: status $want";
    is $out, '', '… nothing on stdout';
    like $err, qr/\Amailorigin-sendmail: [^\n]*$like[^\n]*\n\z/, '… one line';
    is $sink->count, 0, '… nothing is sent';
}
{
    my $self = qr/this wrapper itself/;
    spew("$ETC/mailorigin.conf", "sendmail $WRAPPER\n");
    refused('its own target', 78, $self);
    refused('its own target, -bs', 78, $self, args => ['-bs']);
    refused('its own target, -bp', 78, $self, args => ['-bp']);
    symlink $WRAPPER, "$dir/a";
    symlink 'a', "$dir/link";
    spew("$ETC/mailorigin.conf", "sendmail $dir/link\n");
    refused('by symlinks', 78, $self);
    run('cp', $WRAPPER, "$dir/copy");
    spew("$ETC/mailorigin.conf", "sendmail $dir/copy\n");
    refused('a copy', 78, $self);
    spew("$ETC/mailorigin.conf", "sendmail $dir/none\n");
    refused('a missing target', 78, qr/cannot run \S+none: No such file/);
    spew("$ETC/mailorigin.conf", "sendmail $dir\n");
    refused('a directory', 78, qr/cannot run \S+: Permission denied/);
    spew("$dir/plain", 'x', 0644);
    spew("$ETC/mailorigin.conf", "sendmail $dir/plain\n");
    refused('no program', 78, qr/cannot run \S+plain: Permission denied/);
    spew("$dir/garbage", "\x7fELF no", 0755);
    spew("$ETC/mailorigin.conf", "sendmail $dir/garbage\n");
    refused('garbage', 78, qr/cannot run \S+garbage: Exec format error/);
    spew("$ETC/mailorigin.conf", "timeout 2s\n");
    refused('no target', 78, qr/no `sendmail PATH` in \S+mailorigin.conf/);
    unlink "$ETC/mailorigin.conf";
    refused('no conf', 78, qr/mailorigin.conf: No such file/);
}

# ---- a target that leads back to us
for my $how ('exec ', '') {
    target("echo x >>$dir/loops\n$how$WRAPPER \"\$@\"\n");
    unlink "$dir/loops";
    refused("a loop, ${how}wrapper", 78, qr/leads back to this wrapper, 10 times/);
    is scalar(() = slurp("$dir/loops") =~ /x/g), 10, '… ten times';
}
{
    # mail in answer to a mail is none
    target("cat >/dev/null; [ \"\$1\" = done ] || exec env -u X $WRAPPER done\n");
    my ($status, $out, $err) = run({in => $text}, $WRAPPER, 'a');
    is "$status$out$err", '0', 'a script that sends once more is no loop';
}

# ---- a wrong line in the conf stops no mail
$r->conf("timeout never\n");
{
    logged();
    my ($status, $out, $err) = run({in => $text}, $WRAPPER, '-t');
    is "$status$out$err", '0', 'a wrong line: nothing is said';
    is $sink->count, 1, 'the mail goes';
    like join('', logged()), qr/mailorigin\.conf:2: timeout is 'never'/,
        'syslog has it';
    $sink->clear;
}

# ---- policy
$r->conf('');
run($MAILORIGIN, 'block', '--uid', '0', '--reason', 'spam');
refused('blocked', 77, qr/block 1: uid: spam/);
run($MAILORIGIN, 'unblock', '--uid', '0');
run($MAILORIGIN, 'block', '--uid', '0', '--hold', '--reason', 'look');
refused('held', 75, qr/block 2: uid: look/);
run($MAILORIGIN, 'unblock', '--uid', '0');
$r->conf("limit 1/hour by uid\n");
$r->restart;
is((run({in => $text}, $WRAPPER, '-t'))[0], 0, 'the first of an hour');
refused('over a limit', 75, qr/limit/);
$r->conf('');
$r->stop;

# ---- no recorder
for my $how ('no socket', 'a socket without one') {
    unlink "$RUN/recorder.sock";
    if ($how ne 'no socket') {
        socket(my $s, AF_UNIX, Socket::SOCK_SEQPACKET(), 0) or die;
        bind($s, pack_sockaddr_un("$RUN/recorder.sock")) or die;
        close $s;
    }
    $r->conf("timeout 60s\n");
    logged();
    my $t = Time::HiRes::time();
    my ($status, $out, $err) = run({in => $text, env =>
        {MAILORIGIN_TOKEN => 'AbC-_9'}}, $WRAPPER, '-t', '-f', 'me');
    cmp_ok Time::HiRes::time() - $t, '<', 20, "$how: no waiting";
    is "$status$out$err", '0', '… nothing is said';
    my ($m) = $sink->mails;
    my ($id) = $m->{data}
        =~ /\AMail-Origin: v=1; id=([\w-]{16}); t=AbC-_9\n\Q$text\E\z/
        or diag $m->{data};
    ok $id, '… the token as it is';
    my @log = logged();
    is scalar(@log), 1, '… one line in syslog';
    like $log[0], qr/\A<20>.*mailorigin-sendmail\[$m->{pid}\]:\ mail\ without
        \ a\ record\ .*\ id=\Q$id\E\ mode=t\ .*\ from=<me>\ .*\ token=yes/x,
        '… which names it';
    $sink->clear;
    $r->conf("on-failure refuse\n");
    refused("$how, on-failure refuse", 75,
        qr/no answer from the recorder \([^\n]*\), and on-failure is refuse/);
}
{
    # a token that could not stand in a field is left out
    $r->conf('');
    run({in => $text, env => {MAILORIGIN_TOKEN => "a\nBcc: x"}}, $WRAPPER,
        '-t');
    like +($sink->mails)[0]{data},
        qr/\AMail-Origin: v=1; id=[\w-]{16}\n\Q$text\E\z/, 'no such token';
    $sink->clear;
}

# ---- recorders of our own
unlink "$RUN/recorder.sock";
socket(my $listen, AF_UNIX, Socket::SOCK_SEQPACKET(), 0) or die;
bind($listen, pack_sockaddr_un("$RUN/recorder.sock")) or die;
chmod 0666, "$RUN/recorder.sock";
listen($listen, 64) or die;

# what answer does, in a process of its own, for each connection
sub with_recorder {
    my ($answer, $code) = @_;
    my $pid = fork // die;
    if (!$pid) {
        for (my $n = 0; accept(my $c, $listen); $n++) {
            $answer->($c, $n);
        }
        POSIX::_exit(0);
    }
    $code->();
    kill 'KILL', $pid;
    waitpid $pid, 0;
}
sub hear { # a packet
    my ($c) = @_;
    my $m;
    return defined(recv $c, $m, 65536, 0) ? $m : "";
}
my @kept;
$r->conf("timeout 300ms\n");
for my $case (
    ['says nothing', sub { push @kept, $_[0] }],
    ['says nothing to MAIL', sub { hear($_[0]); hear($_[0]); push @kept,
        $_[0] }],
    ['hangs up', sub { }],
    ['hangs up after MAIL', sub { hear($_[0]); hear($_[0]); }],
    ['answers rubbish', sub { hear($_[0]); hear($_[0]); send $_[0], 'rubbish', 0 }],
    ['answers no action', sub { hear($_[0]); hear($_[0]);
        send $_[0], message(verdict => (id => 'x')), 0 }],
    ['answers two fields', sub { hear($_[0]); hear($_[0]);
        send $_[0], message(verdict => (action => \1, id => 'A' x 16,
        header => "Mail-Origin: v=1\nBcc: evil\n")), 0 }],
    ['answers another field', sub { hear($_[0]); hear($_[0]);
        send $_[0], message(verdict => (action => \1, id => 'A' x 16,
        header => "Bcc: evil\n")), 0 }],
) {
    my ($name, $answer) = @$case;
    with_recorder($answer, sub {
        my $t = Time::HiRes::time();
        my ($status, $out, $err) = run({in => $text}, $WRAPPER, '-t');
        my $took = Time::HiRes::time() - $t;
        is "$status$out$err", '0', "a recorder that $name: the mail goes";
        cmp_ok $took, '<', 15, '… in time';
        cmp_ok $took, '>', 0.29, '… but it is waited for' if $name =~ /nothing/;
        like +($sink->mails)[0]{data},
            qr/\AMail-Origin: v=1; id=[\w-]{16}\n\Q$text\E\z/, '… whole';
        $sink->clear;
    });
    # whoever still waits
    fcntl($listen, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK());
    1 while accept(my $c, $listen);
    fcntl($listen, Fcntl::F_SETFL(), 0);
}
{
    # its end, then the same question again, with the same nonce
    $r->conf("timeout 20s\n");
    pipe(my $from, my $to) or die;
    with_recorder(sub {
        my ($c, $n) = @_;
        my ($hello, $mail) = (hear($c), hear($c));
        syswrite $to, unpack('H*', $hello) . ' ' . unpack('H*', $mail) . "\n";
        send $c, message(verdict => (action => \1, id => 'A' x 16,
            header => "Mail-Origin: v=1; id=" . 'A' x 16 . ";\n\ts=x\n")), 0
            if $n;
    }, sub {
        my ($status, $out, $err) = run({in => $text =~ s/\n/\r\n/gr}, $WRAPPER,
            '-t');
        is "$status$out$err", '0', 'hung up on once: nothing is said';
        close $to;
        my ($a, $b) = (scalar <$from>, scalar <$from>);
        is $b, $a, 'the second time the same HELLO and MAIL';
        my ($nonce) = $a =~ / 4d4f0103.*?011000([0-9a-f]{32})/;
        isnt $nonce // '', '', 'with its nonce';
        is +($sink->mails)[0]{data}, "Mail-Origin: v=1; id=" . 'A' x 16
            . ";\r\n\ts=x\r\n" . $text =~ s/\n/\r\n/gr,
            'the field is its, in the message\'s own line ending';
        $sink->clear;
    });
}
done_testing;
