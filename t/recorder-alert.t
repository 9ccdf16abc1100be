#!/usr/bin/perl
# Alerts: the program runs once a wave, as the recorder's user, with the
# record on its standard input; whatever it does, no mail waits for it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Wire;
use IO::Socket::INET ();
use JSON::PP ();
use Time::HiRes ();

my $uid = getpwnam 'nobody';
my $dir = scratch();
chown $uid, -1, $dir, $LOG, $STATE;
my $r = MO::Recorder->new(passed => 1, user => 'nobody', start => 0);
chown $uid, -1, "$ETC/keyring";
$r->start;

sub program {
    my ($name, $text) = @_;
    return spew("$dir/$name", "#!/bin/sh\n$text", 0755);
}
sub runs { return split /^/, slurp("$dir/runs") // '' }
# sends so many mails; the longest that one took
sub mails {
    my ($n, $sender) = @_;
    my $worst = 0;
    for (1 .. $n) {
        my $begin = Time::HiRes::time();
        my $v = MO::Wire::ask(sender => $sender // 'a') or return 1e9;
        my $took = Time::HiRes::time() - $begin;
        $worst = $took if $took > $worst;
    }
    return $worst;
}
sub rules {
    my (@rules) = @_;
    $r->conf(join '', map { "alert $_\n" } @rules);
    $r->restart;
}

my $keep = program('keep', "cat >>$dir/runs\nid -u >$dir/uid\n"
    . "(exec ls -l /proc/self/fd >$dir/fds)\nenv >$dir/env\n");
rules("5/hour by uid $keep");
mails(4);
is_deeply [runs()], [], 'four mails: no wave yet';
mails(1, 'fifth');
wait_for(sub { runs() == 1 && -s "$dir/env" }, 'the program');
my ($run) = runs();
is $run, ($r->lines)[-1], 'the fifth: the program has its record, as in the log';
is JSON::PP::decode_json($run)->{envelope_from}, 'fifth', '... which is JSON';
is slurp("$dir/uid"), "$uid\n", 'it is the recorder\'s user';
is_deeply [map { s/=.*//sr } grep { !/^(?:PWD|_|SHLVL|OLDPWD)=/ }
    split /^/, slurp("$dir/env")], ['PATH'], 'it has a PATH and no more';
my @fds = slurp("$dir/fds") =~ /(\d+) -> /g;
is "@fds", '0 1 2 3', 'it holds no descriptor of the recorder\'s (3 is ls\'s)';
cmp_ok mails(40), '<', 1.5, 'forty more, none of which waits';
Time::HiRes::sleep(0.3);
is runs(), 1, '... are the same wave';
is MO::Wire::as(scalar(getpwnam 'mail'), sub {
    join '', map { MO::Wire::ask()->{action} } 1 .. 5 }), 'passed' x 5,
    'another uid';
wait_for(sub { runs() == 2 }, 'another wave');
is JSON::PP::decode_json((runs())[1])->{uid}, scalar(getpwnam 'mail'),
    '... has its own';
$r->hup;
mails(5);
Time::HiRes::sleep(0.3);
is runs(), 2, 'SIGHUP begins no wave anew';

# two rules, two programs
unlink "$dir/runs";
rules("3/hour by uid $keep", "6/hour by uid $keep");
mails(20);
wait_for(sub { runs() == 2 }, 'each rule has its wave');
is join(' ', map { JSON::PP::decode_json($_)->{pid} } runs()), "$$ $$",
    'two rules run twice';

# a program that hangs, fails, is missing, reads nothing, floods its stderr
for my $case (
    ['hangs', program('hang', "touch $dir/hang.\$\$\nexec sleep 1000\n"), qr//],
    ['fails', program('fail', "exit 3\n"), qr/alert \S+fail: exit status 3\n/],
    ['is killed', program('die', "kill -9 \$\$\n"),
        qr/alert \S+die: ended by signal 9\n/],
    ['is missing', "$dir/nothing", qr{alert \S+/nothing: No such file}],
    ['is no program', spew("$dir/text", 'x', 0644),
        qr{alert \S+/text: Permission denied}],
    ['is a folder', $dir, qr{alert \Q$dir\E: Permission denied}],
    ['reads nothing', program('deaf', "exec <&-\nexit 0\n"), qr//]) {
    my ($name, $program, $says) = @$case;
    unlink $r->{stderr};
    rules("2/hour by uid $program");
    my $worst = mails(30);
    cmp_ok $worst, '<', 1.5, "a program that $name: no mail waits";
    wait_for(sub { $r->log =~ $says }, "what is said of it: $says")
        or diag $r->log;
    ok $r->alive, '... and the recorder lives';
}

# hanging ones use up the places, and nothing else
my $hang = "$dir/hang";
unlink glob "$dir/hang.*";
rules("1/hour by uid $hang");
for my $u (30001 .. 30012) {
    MO::Wire::as($u, sub { MO::Wire::ask(); 'x' });
}
wait_for(sub { (() = glob "$dir/hang.*") >= 8 }, 'eight run');
wait_for(sub { $r->log =~ /hang: 8 programs run already; left out/ },
    'the ninth is left out');
is scalar(my @n = glob "$dir/hang.*"), 8, 'eight at once and no more';
cmp_ok mails(5), '<', 1.5, 'mail goes on';
kill 'KILL', map { /(\d+)\z/ } @n;
wait_for(sub { !grep { proc_state($_) ne '' } map { /(\d+)\z/ } @n },
    'they are reaped');
MO::Wire::as(30020, sub { MO::Wire::ask(); 'x' });
wait_for(sub { (() = glob "$dir/hang.*") > 8 }, 'there is a place again');
pass 'ended ones give their places back';

# ---- the one that mails root
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1',
    LocalPort => 25) or die "port 25: $@";
my $mail_alert = "$PREFIX/share/mailorigin/mail-alert";
rules("1/hour by uid $mail_alert");
mails(1, '.x@example.org');
vec(my $ready = '', fileno $server, 1) = 1;
ok select($ready, undef, undef, 30), 'mail-alert calls the mail server';
my $s = $server->accept;
$s->autoflush(1);
print $s "220-mta\r\n220 mta\r\n";
my @said;
while (<$s>) {
    s/\r\n\z//;
    push @said, $_;
    print $s /^DATA/ ? "354 go\r\n" : /^QUIT/ ? "221 bye\r\n" : "250 ok\r\n";
    if (/^DATA/) {
        while (<$s>) {
            s/\r\n\z//;
            last if $_ eq '.';
            push @said, $_;
        }
        print $s "250 taken\r\n";
    }
}
is_deeply [@said[0 .. 3]], ['HELO localhost', 'MAIL FROM:<>',
    'RCPT TO:<root@localhost>', 'DATA'], '... for root';
is $said[4], "Subject: much mail from uid 0", '... with who it is';
ok scalar(grep { /^envelope_from: \.x\@example\.org$/ } @said),
    '... and the record\'s facts';
is $said[-1], 'QUIT', '... and is done';
close $server;
my ($status, $out, $err) = run({in => ($r->lines)[-1]}, $mail_alert);
isnt $status, 0, 'without a mail server it fails';
like $err, qr/\Amail-alert: 127.0.0.1:25: no mail server answers/, '... and says so';
($status, $out, $err) = run({in => 'x'}, $mail_alert);
is $err, "mail-alert: no record on standard input\n", 'without a record too';
$r->stop;
done_testing;
