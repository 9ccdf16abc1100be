#!/usr/bin/perl
# purge killed at its system calls, on a real Exim: no mail is gone that was
# not on its output, and none of another origin is gone at all; the next purge
# goes on from there.  (Postfix and Sendmail: purge-interrupted.t)
# no sanitizers: purge's own calls are tried under them on Postfix
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Queues;

my $m = MO::Queues->exim;
my ($spool) = $m->spool;
my $dir = scratch();
my ($rc, $out, $err) = run($MAILORIGIN, qw(key init));
is($rc, 0, 'a keyring') or diag($err);

# a queue that nothing runs: four of hacked.example's, one of good.example's
my $n = 0;
for my $site (('hacked.example') x 4, 'good.example') {
    my ($st, $field, $e) = run("$BUILD/t/tools/stamp", "$ETC/keyring",
        sprintf('mail=Mail%012d', ++$n), 'when=' . time, 'time=' . time,
        "vhost=$site", "script=/srv/$site/x.php");
    die "stamp: $e" if $st;
    my ($exim, undef, $said) = run({in => $field . "Subject: $n\n\n$site\n"},
        qw(/usr/sbin/exim4 -odq -i -f), "x\@$site", '--', "to$n\@far.example");
    die "exim: $said" if $exim;
}
run('cp', '-a', $spool, "$dir/input");
my %body = map { m{/([^/]+)-D$} ? ($1 => slurp($_)) : () } glob "$spool/*-D";
my @spam = grep { $body{$_} =~ /hacked/ } sort keys %body;
my ($good) = grep { $body{$_} =~ /good/ } keys %body;
is(scalar @spam, 4, 'four spams are queued') or diag explain \%body;

sub fill {
    run('sh', '-c', "rm -f $spool/* && cp -a $dir/input/. $spool/");
}
sub quiet { # what the killed one started ends by itself
    wait_for(sub {
        !grep { (slurp("$_/comm") // '') =~ /^(?:exim|mailorigin)/
            && (slurp("$_/stat") // ') Z') !~ /\) [ZX]/ } glob '/proc/[0-9]*';
    }, 'exim to end');
}
sub left { return {map { m{/([^/]+)-H$} ? ($1 => 1) : () } glob "$spool/*-H"} }

for my $what ([[], 'deleting'], [['--hold'], 'holding']) {
    my ($args, $name) = @$what;
    my @purge = ($MAILORIGIN, qw(purge --mta exim --vhost hacked.example --yes),
        @$args);
    fill();
    ($rc, $out, $err) = run('strace', '-o', "$dir/trace", @purge);
    is($rc, 0, "$name in peace") or diag($out, $err);
    my $want = $name eq 'deleting' ? 1 : 5;
    is(scalar keys %{left()}, $want, '... takes those four alone');
    my @calls = split /\n/, slurp("$dir/trace");
    my ($first) = grep { $calls[$_] =~ /^write\(1,/ } 0 .. $#calls;
    # (before it Exim is only asked where its queue is)
    my @child = grep { $calls[$_] =~ /^(?:clone|v?fork)/ } 0 .. $#calls;
    ok($first && @child && $first < $child[-1],
        '... and lists them before Exim does it');
    my (%nth, %seen);
    my @place = map { /^(\w+)\(/ ? [$1, ++$nth{$1}] : ['exit_group', 1] } @calls;
    my $step = int((@calls - $first) / 25) || 1;
    my ($bad, $runs) = ('', 0);
    for (my $i = $first - 1; $i <= $#calls; $i += $step) {
        my ($call, $count) = @{$place[$i]};
        fill();
        my (undef, $o) = run('strace', '-o', '/dev/null', '-e',
            "inject=$call:signal=SIGKILL:when=$count", @purge);
        quiet();
        my $left = left();
        my %told = map { $_ => 1 } $o =~ /^(\S{16,23}) /mg;
        my @untold = grep { !$left->{$_}
            && !($told{$_} && $name eq 'deleting') } @spam;
        $bad .= "call $i ($calls[$i]): @untold\n" if @untold;
        $bad .= "call $i: another's mail\n" if !$left->{$good};
        # what is there is whole: its text, and Exim reads its envelope
        for my $id (keys %$left) {
            $bad .= "call $i: $id is cut\n"
                if (slurp("$spool/$id-D") // '') ne $body{$id}
                || (slurp("$spool/$id-H") // '') !~ /\A\Q$id\E-H\n/;
        }
        $seen{keys %$left}++;
        my ($again, undef, $e) = run(@purge);
        $bad .= "call $i: again: $again $e\n" if $again > 1;
        $bad .= "call $i: then " . join(' ', keys %{left()}) . "\n"
            if keys %{left()} != $want;
        $runs++;
    }
    is($bad, '', "... killed at $runs places: none lost, and it can go on");
    ok($seen{5} && $seen{$want}, '... before Exim did it and after')
        or diag explain \%seen;
}
done_testing;
