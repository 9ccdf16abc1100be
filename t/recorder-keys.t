#!/usr/bin/perl
# The keyring as the recorder sees it: what is wrong with it is one clear
# line, mail goes all the same, and a change counts without a restart.  And
# systemd's own socket activation, by systemd-socket-activate.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Wire;
use POSIX ();

my $r = MO::Recorder->new(start => 0);
my $ring = "$ETC/keyring";
my $good = slurp($ring);

sub sealed { return (MO::Wire::ask()->{header} // '') =~ /; s=/ ? 1 : 0 }
sub lines { return grep { /keyring/ } split /^/, $r->log }

for my $case (
    ['missing', sub { unlink $ring },
        qr/No such file or directory; "mailorigin key init" makes it; mail goes without a stamp, and no token is believed$/],
    ['readable by all', sub { chmod 0644, $ring },
        qr/mode 0644 lets others at the keys; at most 0640 is allowed; mail/],
    ['writable by its group', sub { chmod 0660, $ring },
        qr/mode 0660 lets others at the keys; at most 0640 is allowed; mail/],
    ['empty', sub { spew($ring, '', 0640) },
        qr/no key in it; "mailorigin key init" makes one; mail/],
    ['no keyring', sub { spew($ring, "root:x:0:0\n", 0640) },
        qr/line 1: not the three words KEYID MASTER CREATED; mail/],
    ['a folder', sub { unlink $ring; mkdir $ring }, qr/not a regular file; /],
    ['a FIFO', sub { unlink $ring; POSIX::mkfifo($ring, 0640) },
        qr/not a regular file; /]) {
    my ($name, $do, $says) = @$case;
    $do->();
    unlink "$LOG/recorder.err";
    $r->start;
    my @lines = lines();
    is @lines, 1, "$name: one line" or diag @lines;
    like $lines[0], qr/^mailorigin-recorder: \Q$ring\E: $says/m, '... it says what';
    my $v = MO::Wire::ask();
    is $v->{action}, 'passed', '... mail goes';
    like $v->{header}, qr/^Mail-Origin: v=1; id=\Q$v->{id}\E\n\z/,
        '... with its id and no stamp';
    rmdir $ring;
    unlink $ring;
    spew("$ring.new", $good, 0640);
    rename "$ring.new", $ring;
    wait_for(\&sealed, 'a good one is read at once');
    pass '... a good one counts without a restart';
    is lines(), 1, '... without another word';
    $r->stop;
}

unlink "$LOG/recorder.err";
$r->start;
spew($ring, "rubbish\n", 0640);
wait_for(\&lines, 'a keyring that is broken while it runs');
ok sealed(), 'broken while it runs: mail is sealed as before';
like((lines())[0], qr/the keys read before are kept$/, '... which it says');
chmod 0644, $ring;
spew($ring, $good, 0640);
wait_for(sub { MO::Wire::ask(); 1 }, 'it goes on');
unlink $ring, "$LOG/recorder.err";
my ($status, $out, $err) = run($MAILORIGIN, qw(key init));
is $status, 0, 'key init makes a new one' or diag $err;
my ($id) = slurp($ring) =~ /^([0-9a-f]{8}) /m;
wait_for(sub {
    my ($s) = (MO::Wire::ask()->{header} // '') =~ /; s=(\S+)/ or return;
    $s =~ tr{-_}{+/};
    return $id eq substr unpack('H*', unpack('u', chr(32 + 12)
        . (substr($s, 0, 16) =~ tr{A-Za-z0-9+/}{ -_}r))), 2, 8;
}, 'mail is sealed by the new key');
pass 'its key seals the next mail';
ok !grep({ /no key in it/ } lines()), '... and it was not read half-written';
$r->stop;

# ---- as systemd does it
my $log = scratch() . '/activate.log';
my $pid = fork;
if (!$pid) {
    umask 0;
    open STDIN, '<', '/dev/null';
    open STDERR, '>', $log;
    { no warnings; exec 'systemd-socket-activate', '--seqpacket', '-l',
        "$RUN/recorder.sock", $RECORDER, '--foreground'; }
    POSIX::_exit(127);
}
wait_for(sub { (slurp($log) // '') =~ /Listening on/ },
    'systemd-socket-activate listens');
is readlink("/proc/$pid/exe") =~ m{([^/]+)\z} && $1, 'systemd-socket-activate',
    'nothing runs before the first mail';
is MO::Wire::ask()->{action}, 'passed', 'the first mail starts it';
is readlink("/proc/$pid/exe"), $RECORDER, '... and is answered by it';
kill 'TERM', $pid;
waitpid $pid, 0;
is $?, 0, 'it ends with status 0';
ok -S "$RUN/recorder.sock", '... and leaves the socket, which is not its own';
is((stat "$LOG/mail.log")[2] & 07777, 0640,
    'its files are nobody\'s to read, whatever the umask');
done_testing;
