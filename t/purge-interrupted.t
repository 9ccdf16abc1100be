#!/usr/bin/perl
# purge killed at its system calls, and asked to stop: no mail is gone that
# was not on its output, and none of another origin is gone at all.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Postfix;

my $p = MO::Postfix->new({syslog => 1}); # not started: postsuper works on
                                        # its files
spew("$ETC/keyring", slurp("$SRC/t/data/queues/keyring"), 0640);
my ($form) = glob "$SRC/t/data/queues/postfix/hold/*"; # mail 2: hacked
my ($good) = glob "$SRC/t/data/queues/postfix/maildrop/*";
my $bytes = slurp($form);
my @spam = map {sprintf 'A%02dABCDEF', $_} 1 .. 6;
my ($other) = map {$_->[0]} grep {$_->[1] =~ /shop\@site1/}
    map {[$_, slurp($_)]} glob "$SRC/t/data/queues/postfix/deferred/*/*";

# a queue: six of hacked.example's, one of site1's
sub fill {
    for my $id ($p->ids(qw(incoming active deferred hold))) {
        unlink glob("$p->{spool}/{incoming,active,deferred,hold}/$id"),
            glob("$p->{spool}/{deferred,incoming}/?/$id");
    }
    spew("$p->{spool}/incoming/$_", $bytes, 0700) for @spam;
    spew("$p->{spool}/incoming/B01ABCDEF", slurp($other), 0700);
    for my $f ("$p->{spool}/incoming/B01ABCDEF",
        map {"$p->{spool}/incoming/$_"} @spam) {
        chown((getpwnam 'postfix')[2], -1, $f);
    }
}
sub left {
    my %h = map {$_ => 1} $p->ids(qw(incoming active deferred hold));
    return \%h;
}
sub quiet { # what the killed one started ends by itself
    wait_for(
        sub { # (before its exec it bears our own name)
            !grep {
                (slurp("$_/comm") // '') =~ /^(?:postsuper|mailorigin)/
                    && (slurp("$_/stat") // ') Z') !~ /\) [ZX]/
            } glob '/proc/[0-9]*';
        },
        'postsuper to end');
}

my @purge = ($MAILORIGIN, qw(purge --mta postfix --mta-config), $p->{etc},
    qw(--vhost hacked.example --yes));

# once in peace, counting calls
fill();
my $trace = scratch() . '/trace';
my ($rc, $out, $err) = run('strace', '-o', $trace, @purge);
is($rc, 0, 'in peace') or diag($out, $err);
is_deeply([keys %{left()}], ['B01ABCDEF'], '... all six are gone, no other');
my @calls = split /\n/, slurp($trace);
my ($first) = grep {$calls[$_] =~ /^write\(1,/} 0 .. $#calls;
ok($first, 'the list is written before anything else')
    or diag slurp($trace);
my ($hold) = grep {$calls[$_] =~ /^(?:clone|v?fork)/ && $_ > $first}
    0 .. $#calls;
ok($hold && $hold > $first, '... than the MTA is asked');

# killed: at each call from the list on (under sanitizers there are more of
# them, and each run is slow: some)
my $step = $SAN ? 40 : @calls - $first > 90 ? int((@calls - $first) / 60) : 1;
my ($bad, $runs, %seen) = ('', 0);
my %nth; # strace counts each kind of call by itself
my @place = map {/^(\w+)\(/ ? [$1, ++$nth{$1}] : ['exit_group', 1]} @calls;
for (my $n = $first - 3; $n <= $#calls; $n += $step) {
    my ($name, $count) = @{$place[$n]};
    fill();
    my ($st, $o) = run('strace', '-o', '/dev/null', '-e',
        "inject=$name:signal=SIGKILL:when=$count", @purge);
    quiet();
    my $left = left();
    my %told = map {$_ => 1} $o =~ /^([AB]\d\dABCDEF)/mg;
    my @untold = grep {!$left->{$_} && !$told{$_}} @spam;
    $bad .= "call $n ($calls[$n]): @untold\n" if @untold;
    $bad .= "call $n: another's mail\n" if !$left->{B01ABCDEF};
    $seen{scalar keys %$left}++;
    $runs++;
}
is($bad, '', "killed at $runs places: what is gone was told");
ok($seen{7} && $seen{1}, '... before the deletion and after it')
    or diag explain \%seen;

# asked to stop (Ctrl-C, a closed terminal): before the deletion what it held
# goes free again, while it deletes it ends that and tells.  A postsuper that
# does its job, then asks.  (strace can't: a wait4 that a SIGCHLD interrupts
# counts twice.)
run('cp', '/usr/sbin/postsuper', "$p->{dir}/postsuper.real");
sub postsuper_asks {
    my ($sig, $flag) = @_;
    spew("$p->{dir}/postsuper", <<"SH", 0755);
#!/bin/sh
$p->{dir}/postsuper.real "\$@"
status=\$?
case " \$* " in *" $flag "*) kill -$sig \$PPID ;; esac
exit \$status
SH
}
postsuper_asks('0', '-h');
is((run(qw(mount --bind), "$p->{dir}/postsuper", '/usr/sbin/postsuper'))[0],
    0, 'a postsuper that asks');
for my $sig (qw(INT TERM HUP)) {
    postsuper_asks($sig, '-h');
    fill();
    ($rc, $out, $err) = run(@purge);
    is($rc, 2, "SIG$sig while it holds");
    like($err, qr/interrupted; nothing is deleted/, '... says so');
    is(scalar(keys %{left()}), 7, '... deletes nothing');
    is(scalar(() = $p->ids('hold')), 0, '... leaves nothing on hold')
        or diag($out, $err);
    postsuper_asks($sig, '-d');
    fill();
    ($rc, $out, $err) = run(@purge);
    is($rc, 2, "SIG$sig while it deletes");
    like($out, qr/^deleted 6 of 6 mails, as postfix confirmed$/m,
        '... tells what is gone') or diag($out, $err);
    is_deeply([keys %{left()}], ['B01ABCDEF'], '... which is gone');
}
run(qw(umount /usr/sbin/postsuper));

# an output that can't be written: nothing is done
fill();
($rc, $out, $err) = run('sh', '-c', '"$@" > /dev/full', 'sh', @purge);
is($rc, 2, 'a full disk for the report');
like($err, qr/standard output: .*nothing is changed/, '... is told');
is(scalar(keys %{left()}), 7, '... and nothing deleted');

# copies go where no one else can touch them
fill();
mkdir "$p->{dir}/shared";
chmod 01777, "$p->{dir}/shared";
($rc, $out, $err) = run(@purge, '--save', "$p->{dir}/shared");
is($rc, 2, 'a folder for the copies that others may write to');
like($err, qr/others may write there/, '... is told');
is(scalar(keys %{left()}), 7, '... and nothing deleted');
is(scalar(() = $p->ids('hold')), 0, '... or left on hold');

# no copy, no deletion
my $small = "$p->{dir}/small";
mkdir $small;
system('mount', '-t', 'tmpfs', '-o', 'size=16k,mode=700', 'mo', $small) == 0 or die;
fill();
($rc, $out, $err) = run(@purge, '--save', $small);
is($rc, 2, 'a full folder for the copies');
opendir my $d, $small or die;
my %kept = map {$_ => 1} grep {!/^\./} readdir $d;
my $left = left();
is(join(' ', grep {!$left->{$_} && !$kept{$_}} @spam), '',
    'what has no copy is not deleted');
ok(%kept && grep({$left->{$_}} @spam), '... and the rest is');
is(scalar(() = $p->ids('hold')), 0, '... nothing stays on hold');
closedir $d;
run('umount', $small);
like($out, qr/: no copy in \S+: No space left on device$/m, '... told by id');

# Sendmail's queue has no program that takes exact ids: what purge does there
# itself, killed at each call.  Each mail is whole under one name, or gone and
# told, and the next purge goes on from there.
my $queue = scratch() . '/mqueue';
my ($qf) = grep {slurp($_) =~ /^S.*hacked/m} glob "$SRC/t/data/queues/sendmail/mqueue/qf*";
my ($other_qf) = grep {slurp($_) =~ /^S.*site1/m} glob "$SRC/t/data/queues/sendmail/mqueue/qf*";
my @ids = map {"6AO8waAA00000$_"} 1 .. 3;
sub fill_sendmail {
    my ($held) = @_;
    run('rm', '-rf', $queue);
    mkdir $queue;
    for (map {[$_, $qf]} @ids) {
        my ($id, $from) = @$_;
        spew("$queue/" . ($held ? 'hf' : 'qf') . $id, $held
            ? slurp($from) =~ s/^S/qheld by a test\nS/mr : slurp($from), 0600);
        spew("$queue/df$id", slurp($from =~ s/qf(?=[^\/]*$)/df/r), 0600);
    }
    spew("$queue/qf6AO8waBB000001", slurp($other_qf), 0600);
}
for my $what ([[], 0, 'deleting'], [['--hold'], 0, 'holding'],
    [['--release'], 1, 'releasing']) {
    my ($args, $held, $name) = @$what;
    my @cmd = ($MAILORIGIN, qw(purge --mta sendmail --queue-dir), $queue,
        qw(--vhost hacked.example --yes), @$args);
    fill_sendmail($held);
    ($rc, $out, $err) = run('strace', '-o', $trace, @cmd);
    is($rc, 0, "Sendmail: $name in peace") or diag($out, $err);
    @calls = split /\n/, slurp($trace);
    ($first) = grep {$calls[$_] =~ /^write\(1,/} 0 .. $#calls;
    %nth = ();
    @place = map {/^(\w+)\(/ ? [$1, ++$nth{$1}] : ['exit_group', 1]} @calls;
    $step = $SAN ? 20 : int((@calls - $first) / 45) || 1;
    ($bad, $runs) = ('', 0);
    for (my $n = $first - 1; $n <= $#calls; $n += $step) {
        my ($call, $count) = @{$place[$n]};
        fill_sendmail($held);
        my ($st, $o) = run('strace', '-o', '/dev/null', '-e',
            "inject=$call:signal=SIGKILL:when=$count", @cmd);
        for my $id (@ids) {
            my @at = grep {-e "$queue/$_$id"} qw(qf hf);
            my $whole = @at == 1 && -e "$queue/df$id"
                && slurp("$queue/$at[0]$id") =~ /^V.*^S.*^\.\n\z/ms;
            my $told = !@at && $name eq 'deleting' && $o =~ /^$id /m;
            $bad .= "call $n ($calls[$n]): $id @at\n" if !$whole && !$told;
        }
        $bad .= "call $n: another's\n" if !-e "$queue/qf6AO8waBB000001";
        my ($again, undef, $e) = run(@cmd);
        $bad .= "call $n: again: $again $e\n" if $again > 1;
        my @now = map {m{/([a-z])f\w+$}} grep {!/BB/} glob "$queue/[hqt]f*";
        my $want = $name eq 'deleting' ? '' : $name eq 'holding' ? 'hhh' : 'qqq';
        $bad .= "call $n: then @now\n" if join('', @now) ne $want;
        $runs++;
    }
    is($bad, '', "... killed at $runs places: none lost, and it can go on");
}

done_testing;
