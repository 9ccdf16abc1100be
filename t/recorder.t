#!/usr/bin/perl
# The recorder's socket, own or passed by systemd, and its conversation: what
# is not as mo_wire.h says ends the connection and nothing else; a mail that
# is asked for again gets its first answer and no second record.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Wire;
use POSIX ();
use Socket ();
use Time::HiRes ();

my ($status, $out, $err);

# ---- arguments
($status, $out) = run($RECORDER, '--help');
is $status, 0, '--help';
like $out, qr/--foreground/, '... on stdout';
($status, $out) = run($RECORDER, '--version');
like $out, qr/^mailorigin-recorder \d+\.\d+/, '--version';
($status, $out, $err) = run($RECORDER, '--verbose');
is $status, 64, 'another option: EX_USAGE';
is $err, "mailorigin-recorder: --verbose: no such option; allowed: "
    . "--foreground, --help, --version\n", '... named, with what is allowed';

# ---- its own socket
my $r = MO::Recorder->new;
my @mode = stat "$RUN/recorder.sock";
is $mode[2] & 07777, 0666, 'anybody may speak to it';
($status, $out, $err) = run($RECORDER, '--foreground');
is $status, 69, 'a second one does not take the socket away';
like $err, qr/\A[^\n]*recorder\.sock: another recorder listens there\n\z/,
    '... and says why in one line';
is MO::Wire::ask()->{action}, 'passed', 'the first still answers';
$r->kill;
ok -S "$RUN/recorder.sock", 'killed, it leaves the socket';
$r->start;
is MO::Wire::ask()->{action}, 'passed', '... which the next one replaces';
$r->stop;
ok !-e "$RUN/recorder.sock", 'ended, it takes its socket along';
is $r->{status}, 0, '... with status 0';
is $r->log, '', 'it said nothing';

# in the background
($status, $out, $err) = run($RECORDER);
is $status, 0, 'without --foreground it goes into the background'
    or diag $err;
wait_for(sub { MO::Recorder::answers() }, 'the one in the background');
my ($pid) = grep { readlink("/proc/$_/exe") && readlink("/proc/$_/exe")
    eq $RECORDER } map { m{(\d+)} } glob '/proc/[0-9]*';
is slurp("/proc/$pid/stat") =~ /\) \S+ \d+ \d+ (\d+)/ && $1, $pid,
    '... into a session of its own';
kill 'TERM', $pid;
wait_for(sub { proc_state($pid) !~ /[^Z]/ }, 'its end');

# ---- systemd's
$r = MO::Recorder->new(passed => 1);
is MO::Wire::ask()->{action}, 'passed', 'it answers on a passed socket';
is slurp("/proc/" . $r->pid . "/status") =~ /^NoNewPrivs:\s*(\d)/m && $1, 1,
    'it can gain no privileges';
for my $bad (
    ['two sockets', sub { $ENV{LISTEN_FDS} = 2 }, qr/LISTEN_FDS is 2; allowed/],
    ['a stream socket', sub {
        socket(my $s, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0);
        POSIX::dup2(fileno $s, 3);
    }, qr/descriptor 3 is no listening AF_UNIX SOCK_SEQPACKET socket/],
    ['one that does not listen', sub {
        socket(my $s, Socket::AF_UNIX(), Socket::SOCK_SEQPACKET(), 0);
        POSIX::dup2(fileno $s, 3);
    }, qr/descriptor 3 is no listening/],
    ['none', sub { POSIX::close(3) }, qr/descriptor 3 is no listening/]) {
    my ($name, $change, $says) = @$bad;
    my $file = scratch() . '/err';
    my $pid = fork;
    if (!$pid) {
        $r->pass_listener;
        $change->();
        open STDERR, '>', $file;
        { no warnings; exec $RECORDER, '--foreground'; }
        POSIX::_exit(127);
    }
    waitpid $pid, 0;
    is $? >> 8, 78, "passed: $name: EX_CONFIG";
    like slurp($file), qr/\A[^\n]*$says[^\n]*\n\z/, '... in one line';
}

# ---- what is not as it should be
my $good = message('hello', mode => 't');
my $mail = MO::Wire::mail_message();
my $records = $r->records;
sub refused {
    my ($name, @packets) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $c = MO::Wire->connect;
    for my $p (@packets) {
        my ($bytes, @o) = ref $p ? @$p : $p;
        $c->send($bytes, @o);
    }
    ok $c->ended(10), "$name: the connection ends";
}
refused('one byte', 'M');
refused('three bytes', substr $good, 0, 3);
refused('other magic', 'XX' . substr $good, 2);
refused('another version', "MO\2" . substr $good, 3);
refused('type 0', "MO\1\0");
refused('an unknown type', "MO\1\x63");
refused('an answer', message('verdict', action => \1));
refused('65 KiB', $good . "\0" x 65536);
refused('a field of tag 0', $good . "\0\0\0");
refused('a field past the end', $good . "\x04\xff\xff/bin/sh");
refused('a field without length', $good . "\x04\x01");
refused('HELLO twice', $good, $good);
refused('MAIL before HELLO', $mail);
refused('MORE before HELLO', message('more'));
refused('no nonce', $good, message('mail', sender => 'a'));
refused('a short nonce', $good, message('mail', nonce => 'x' x 15));
refused('a long nonce', $good, message('mail', nonce => 'x' x 17));
refused('a number of 9 bytes', $good,
    message('mail', nonce => 'x' x 16, size => '123456789'));
refused('a number of 9 bytes in HELLO', message('hello', above => 'x' x 9));
refused('17 words', message('admin', text => [('x') x 17]));
is scalar(() = $r->records), $records, 'none of it left a record';

# who speaks, the kernel says; root may say otherwise, but not for long
$pid = $$;
for my $cred (['another pid', [getppid(), 0, 0]], ['another uid',
    [$pid, 33, 0]], ['a dead pid', [1, 0, 0]]) {
    my ($name, $c) = @$cred;
    refused("credentials of $name", [$good, cred => $c]);
}
{
    # a connection that was handed on: its new owner is not who connected
    my $c = MO::Wire->connect;
    $c->hello;
    my $child = fork;
    if (!$child) {
        $c->send($mail);
        POSIX::_exit(0);
    }
    waitpid $child, 0;
    ok $c->ended(10), 'another process on the same connection: it ends';
}
my $uid = getpwnam 'nobody';
is MO::Wire::as($uid, sub { MO::Wire::ask(sender => 'n')->{action} }),
    'passed', 'another uid is answered';
my ($by_nobody) = grep { ($_->{envelope_from} // '') eq 'n' } $r->records;
is $by_nobody->{uid}, $uid, '... by its own';

# descriptors of any kind, many, and where none belong
{
    my @files;
    for (1 .. 40) {
        open my $fh, '<', '/dev/null';
        push @files, $fh;
    }
    my @fds = map { fileno $_ } @files;
    my $count = sub { scalar(() = glob '/proc/' . $r->pid . '/fd/*') };
    my $before = $count->();
    my $c = MO::Wire->connect;
    pipe my $p1, my $p2;
    ok $c->send($good, fds => [@fds, fileno $p1, fileno $c->{s}]),
        'HELLO with 42 descriptors';
    $c->send(message('more'), fds => \@fds) for 1 .. 40;
    ok $c->send(MO::Wire::mail_message(), fds => \@fds), 'MAIL with 40 of them';
    is $c->verdict->{action}, 'passed', '... is answered';
    undef $c;
    wait_for(sub { $count->() <= $before }, 'no descriptor stays open');
    pass "$before descriptors as before";
}
is MO::Wire::ask()->{action}, 'passed', 'after all that it answers';
ok $r->alive, 'it is the same process';

# ---- nonces
{
    my $nonce = MO::Wire::nonce();
    my $n = $r->records;
    my $first = MO::Wire::ask(nonce => $nonce, sender => 'once@example.org');
    my $again = MO::Wire::ask(nonce => $nonce, sender => 'once@example.org');
    is_deeply $again, $first, 'the same nonce: the same answer';
    is $r->records, $n + 1, '... and one record';
    is MO::Wire::as($uid, sub {
        MO::Wire::ask(nonce => $nonce)->{id} eq $first->{id} ? 'same' : 'other'
    }), 'other', "a nonce is its uid's: nobody learns another's answer";
    $r->restart;
    $again = MO::Wire::ask(nonce => $nonce, sender => 'once@example.org');
    is_deeply $again, $first, '... after a restart too';
    $r->kill;
    $r->start;
    $again = MO::Wire::ask(nonce => $nonce, sender => 'once@example.org');
    is_deeply $again, $first, '... and after KILL';
    is $r->records, $n + 2, '... with no more records';
    my $mode = (stat "$STATE/seen")[2];
    is $mode & 07777, 0600, 'the file of nonces is its own';
}
{
    # it is ended between a mail and its answer, with a connection waiting
    my $nonce = MO::Wire::nonce();
    my $n = $r->records;
    my $c = MO::Wire->connect;
    $c->hello;
    $c->ping;
    $r->signal('STOP');
    wait_for(sub { proc_state($r->pid) eq 'T' }, 'it is stopped');
    $c->send(MO::Wire::mail_message(nonce => $nonce));
    my $waiting = MO::Wire->connect;
    $waiting->hello;
    $waiting->send(MO::Wire::mail_message());
    $r->kill;
    ok $c->ended, 'killed with a mail unread: EOF';
    $r->start;
    is $waiting->verdict->{action}, 'passed',
        'who waited for it is served by the next one';
    is MO::Wire::ask(nonce => $nonce)->{action}, 'passed', 'so is the retry';
    is $r->records, $n + 2, 'a record each';
}
for my $damage (['cut', sub { truncate "$STATE/seen", 5000 }],
    ['of another version', sub {
        open my $fh, '+<', "$STATE/seen";
        print $fh 'MOSEEN99';
    }], ['full of noise', sub {
        my $size = -s "$STATE/seen";
        open my $fh, '+<:raw', "$STATE/seen";
        seek $fh, 4096, 0;
        print $fh map { chr int rand 256 } 1 .. 300_000;
        close $fh;
        truncate "$STATE/seen", $size;
    }], ['a link', sub {
        unlink "$STATE/seen";
        spew("$STATE/victim", 'x');
        symlink "$STATE/victim", "$STATE/seen";
    }]) {
    my ($name, $do) = @$damage;
    $r->stop;
    $do->();
    $r->start;
    my $nonce = MO::Wire::nonce();
    my $first = MO::Wire::ask(nonce => $nonce);
    is $first->{action}, 'passed', "a file of nonces that is $name";
    is_deeply MO::Wire::ask(nonce => $nonce), $first, '... it remembers again';
}
is slurp("$STATE/victim"), 'x', 'what a link leads to is not written';
like $r->log, qr{/seen: [^\n]*may get a second record\n}, '... and it says so';

# ---- who says nothing is dropped, who said HELLO may take his time
{
    my $quiet = MO::Wire->connect;
    my $mailer = MO::Wire->connect;
    $mailer->hello;
    my $since = Time::HiRes::time();
    ok $quiet->ended(25), 'a silent client is dropped';
    my $took = Time::HiRes::time() - $since;
    cmp_ok $took, '>', 8, '... not at once';
    is $mailer->mail->{action}, 'passed',
        'who said HELLO may take longer to read his mail';
}
is $r->stop, 0, 'at last it ends as it should';
done_testing;
