#!/usr/bin/perl
# Progress is shown on a terminal alone; Ctrl-C ends a long look-up at once,
# with what was written so far whole.
# no sanitizers: it is about time and terminals; other tests read such logs
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use JSON::PP;

my $dir = scratch();
my $log = "$dir/mail.log";
my $r = request();
# a log that takes as long as this pipe is written to
spew("$dir/record", record($r));
my $slow = "for i in \$(seq 100); do for j in 1 2 3 4 5 6 7 8; do cat $dir/lines; done; sleep 0.02; done";
spew("$dir/lines", record($r) x 400);
sub terminal { # what a terminal shows of a command
    my ($cmd) = @_;
    return run('script', '-qec', $cmd, '/dev/null');
}
my ($rc, $out) = terminal(($slow =~ s/100\)/40)/r) . " | $MAILORIGIN top --json --log -");
is($rc, 0, 'top on a terminal');
like($out, qr/\rmail log: [\d.]+ [kM]?B.*, [\d.]+ [kM]?B\/s.*\e\[K/, 'progress: bytes and rate');
like($out, qr/\r\e\[K\{"key"/, '... wiped before the answer');
# with a size there are percent and time left
spew("$dir/big", join '', map {record($r, subject => 'x' x 1000)} 1 .. 200);
run('sh', '-c', "for i in \$(seq 40); do cat $dir/big; done >$dir/more; for i in \$(seq 15); do cat $dir/more; done >$log");
($rc, $out) = terminal("$MAILORIGIN log --csv --log $log >/dev/null");
is($rc, 0, 'log on a terminal, its answer in a file');
like($out, qr/\rmail log: [\d.]+ [kMG]?B of [\d.]+ [MG]B, \d+ %, [\d.]+ [kMG]?B\/s, \d+:\d\d left\e\[K/,
    'progress: bytes, percent, rate, time left');
my ($st, $stdout, $stderr) = run($MAILORIGIN, 'top', '--log', $log);
is($stderr, '', 'nothing in a pipe');
unlink $log;

# ---- Ctrl-C
for my $how (['log', '--json'], ['log', '--csv'], ['top', '--json']) {
    my $shell = fork // die;
    if ($shell == 0) {
        exec 'sh', '-c', "($slow) 2>/dev/null | { exec "
            . "$MAILORIGIN @$how --log - >$dir/out 2>$dir/err; }";
    }
    my $pid = wait_for(sub {
        my ($found) = grep {(readlink("/proc/$_/exe") // '') eq $MAILORIGIN}
            map {m{(\d+)$}} glob '/proc/[0-9]*';
        $found;
    }, 'the command');
    wait_for(sub {-s "$dir/out"}, 'lines') if $how->[0] eq 'log';
    kill 'INT', $pid;
    ok(wait_for(sub {proc_state($pid) =~ /^Z?$/}, 'its end', 20), "@$how: Ctrl-C ends it");
    kill 'KILL', $shell;
    waitpid $shell, 0;
    my $text = slurp("$dir/out");
    like($text, qr/\A(?:.*\n)*\z/, '... with whole lines');
    if ($how->[0] eq 'log' && $how->[1] eq '--json') {
        my @o = eval {map {JSON::PP->new->utf8->decode($_)} split /\n/, $text};
        ok(@o > 0, '... of JSON') or diag($@);
    }
}
done_testing;
