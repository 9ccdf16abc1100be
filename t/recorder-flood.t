#!/usr/bin/perl
# A flood starves the uid that makes it, and nobody else: of places for
# connections, of a share in each round, and of descriptors.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Wire;
use IO::Socket::INET ();
use POSIX ();
use Socket ();
use Time::HiRes ();

my ($bad, $other) = map { scalar getpwnam $_ } qw(www-data mail);
my $home = getpwnam 'nobody';
chown $home, -1, $LOG, $STATE;
# no more than 2048 files: about 1,300 clients, a quarter of them one uid's
my $r = MO::Recorder->new(passed => 1, user => 'nobody', files => 2048,
    start => 0);
chown $home, -1, "$ETC/keyring";
$r->start;

sub others_mail {
    return MO::Wire::as($other, sub { MO::Wire::ask()->{action} });
}
# the flooder's connections, and how many of them live
sub crowd {
    my ($n, $hello) = @_;
    my @c;
    for (1 .. $n) {
        my $c = MO::Wire->connect or last;
        # answered, so that it is known to have said it
        $c->hello && $c->ping if $hello;
        push @c, $c;
    }
    $c[-1]->ping; # all before it are accepted then
    return @c;
}
sub living { return scalar grep { !$_->ended(0) } @_ }

# ---- places
my $text = MO::Wire::as($bad, sub {
    my @c = crowd(600, 1);
    my $n = living(@c);
    my $own = MO::Wire::ask();
    my $others = `true`; # let others in
    close $_->{s} for @c[0 .. 99];
    my $later;
    for (1 .. 200) {
        last if $later = MO::Wire::ask();
        Time::HiRes::sleep(0.05);
    }
    return join ' ', $n, $own ? 'served' : 'refused',
        $later ? 'served' : 'refused';
});
my ($n, $own, $later) = split ' ', $text;
cmp_ok $n, '<', 350, "of 600 clients of one uid $n are kept";
cmp_ok $n, '>', 300, '... as many as a quarter of all places';
is $own, 'refused', 'its own next one is not served';
is $later, 'served', '... but when there is a place again';

pipe my $up, my $up_w;
pipe my $down, my $down_w;
my $pid = fork;
if (!$pid) {
    POSIX::setgid($bad);
    POSIX::setuid($bad);
    my @c = crowd(600, 1);
    syswrite $up_w, 'x';
    sysread $down, my $go, 1;
    POSIX::_exit(0);
}
sysread $up, my $x, 1;
is others_mail(), 'passed', 'while it has them, another uid is served';
is MO::Wire::ask()->{action}, 'passed', '... and root';
syswrite $down_w, 'x';
waitpid $pid, 0;

# those that say nothing give way to who does
$text = MO::Wire::as($bad, sub {
    my @c = crowd(600, 0);
    my $own = MO::Wire::ask();
    return join ' ', living(@c), $own ? $own->{action} : 'refused',
        $c[0]->ended(0) ? 'oldest' : 'other';
});
my ($kept, $served, $which) = split ' ', $text;
cmp_ok $kept, '<', 350, "of 600 silent ones $kept are kept";
is $served, 'passed', '... and its own mail takes the place of one';
is $which, 'oldest', '... the oldest';

# ---- sockets whose close waits: a minute for a peer that never reads
my $deaf = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1')
    or die "listen: $@";
my @open; # until the process ends, whose last close does not wait
sub lingering {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $deaf->sockport) or die "connect: $@";
    $s->blocking(0);
    1 while syswrite $s, 'x' x 65536;
    setsockopt($s, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack 'ii', 1, 60)
        or die "SO_LINGER: $!";
    push @open, $s;
    return $s;
}
my %way = (
    'passed' => sub {
        my $c = MO::Wire->connect;
        my $s = lingering();
        $c->send(message('hello'), fds => [fileno $s]);
        return $c;
    },
    'unread behind an error' => sub {
        my $c = MO::Wire->connect;
        my $s = lingering();
        $c->send('M');
        $c->send(message('hello'), fds => [fileno $s]);
        return $c;
    },
    'unread in a socket that is passed' => sub {
        my $c = MO::Wire->connect;
        my $s = lingering();
        socketpair(my $x, my $y, Socket::AF_UNIX(), Socket::SOCK_DGRAM(), 0);
        (bless {s => $x}, 'MO::Wire')->send('x', fds => [fileno $s],
            cred => [$$, $>, (split ' ', $))[0]]);
        $c->send(message('hello'), fds => [fileno $y]);
        return $c;
    });
sub attack {
    my ($name, $n) = @_;
    # all of it lies there when the recorder wakes, and is nobody else's
    $r->signal('STOP');
    wait_for(sub { proc_state($r->pid) eq 'T' }, 'it is stopped');
    MO::Wire::as($bad, sub { my @c = map { $way{$name}->() } 1 .. $n; '' });
    $r->signal('CONT');
}
sub own_mail {
    return MO::Wire::as($bad, sub { (MO::Wire::ask() // {})->{action} });
}
for my $name (sort keys %way) {
    attack($name, 2);
    my $begin = Time::HiRes::time();
    is others_mail(), 'passed', "lingering sockets $name: others are served";
    cmp_ok Time::HiRes::time() - $begin, '<', 5, '... without waiting for them';
}
# a STOP ends all waits, so these are all there are
attack('passed', 7);
is own_mail(), 'passed', 'with seven of them waiting, so is its own';
attack('passed', 8);
is wait_for(sub { own_mail() eq '' }, 'no more'), 1,
    'with eight of them waiting, it is not any more';
is others_mail(), 'passed', '... but the others are';
close $deaf; # resets its connections: the closes end
is wait_for(\&own_mail, 'the closes end'), 'passed', 'when they are closed, it is again';

# ---- a storm of messages, and of descriptors
my $end = Time::HiRes::time() + 4;
my @storm;
for my $i (1 .. 6) {
    my $pid = fork;
    push @storm, $pid;
    next if $pid;
    POSIX::setgid($bad);
    POSIX::setuid($bad);
    my $token = 'A' x 5000;
    my @fds = (0) x 60;
    while (Time::HiRes::time() < $end) {
        my $c = MO::Wire->connect or next;
        $c->hello(token => [($token) x 6]);
        if ($i == 1) {
            $c->send(message('more'), fds => \@fds) for 1 .. 20;
        }
        elsif ($i < 4) {
            $c->send(MO::Wire::mail_message(sender => 'storm')) for 1 .. 50;
        }
        else {
            $c->mail(sender => 'storm');
        }
    }
    POSIX::_exit(0);
}
my $took = MO::Wire::as($other, sub {
    my @took;
    while (Time::HiRes::time() < $end - 0.3) {
        my $begin = Time::HiRes::time();
        my $v = MO::Wire::ask(sender => 'calm') or return 'not served';
        push @took, Time::HiRes::time() - $begin;
        Time::HiRes::sleep(0.01);
    }
    @took = sort { $a <=> $b } @took;
    return join ' ', scalar @took, @took[@took / 2, -1];
});
waitpid $_, 0 for @storm;
my ($mails, $median, $worst) = split ' ', $took;
my $storm = () = join('', $r->lines) =~ /"envelope_from":"storm"/g;
my $calm = () = join('', $r->lines) =~ /"envelope_from":"calm"/g;
diag sprintf '%d mails of the storm, %d beside it: median %.1f ms, worst '
    . '%.1f ms', $storm, $calm, 1e3 * $median, 1e3 * $worst;
cmp_ok $mails, '>', 20, "beside a storm of $storm mails $mails of another uid";
is $calm, $mails, '... each recorded once';
cmp_ok $worst, '<', 2, '... the slowest within the wrapper\'s timeout';
is MO::Wire::ask()->{action}, 'passed', 'after it all is as before';
my $fds = wait_for(sub {
    my $n = () = glob '/proc/' . $r->pid . '/fd/*';
    return $n < 700 && $n;
}, 'all descriptors are given back');
ok $r->alive, 'it still runs';
is $r->stop, 0, 'and ends well';
done_testing;
