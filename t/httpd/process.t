# The process environment, for interpreters inside of httpd: written where
# the MPM has no threads, and left clean.
use strict;
use warnings;
use Test::More;
use MO::Look;

if (mpm() ne 'prefork') {
    # nobody's process environment has anything: all threads share it
    my @pids = map { $_->{slot_pid} } @{look('/look.cgi')->{slots}};
    ok(@pids, 'a child');
    like(slurp_file("/proc/$_/environ"), qr/^(?!.*MAILORIGIN_TOKEN)/s,
        'no variable in the process environment') for @pids;
    done_testing;
    exit;
}

sub is_mine {
    my ($l, $uri, $script, $what) = @_;
    is($l->{vars}{MAILORIGIN_URI}, $uri, "$what: MAILORIGIN_URI");
    like($l->{vars}{MAILORIGIN_SCRIPT} // '', qr{/t/htdocs\Q$script\E$},
        "$what: MAILORIGIN_SCRIPT");
    is($l->{origin}{uri}, $uri, "$what: token: uri");
    like($l->{origin}{script} // '', qr{/t/htdocs\Q$script\E$},
        "$what: token: script");
    like($l->{slot}{script} // '', qr{/t/htdocs\Q$script\E$},
        "$what: board: script");
    is(scalar(grep { /MAILORIGIN/ } keys %{$l->{vars}}), 6, "$what: all six");
}
is_mine(scalar look('/process.php'), '/process.php', '/process.php', 'PHP');

# one process serves all that comes on one connection
my $s = connection();
my ($one) = looks(ask($s, '/process.php?1'));
my ($forge) = looks(ask($s, '/process.php?forge=1'));
my ($two) = looks(ask($s, '/process.php?2'));
my ($off) = looks(ask($s, '/off/process.php'));
my ($plain) = looks(ask($s, '/look.cgi'));
my ($three) = looks(ask($s, '/process.php?3'));
is($one->{slot}{slot_pid}, $three->{slot}{slot_pid}, 'one process');
is_mine($one, '/process.php', '/process.php', 'the first');
is($forge->{vars}{MAILORIGIN_TOKEN}, 'forged', 'a script may forge for itself');
ok(!exists $forge->{vars}{MAILORIGIN_ID}, '… and clear');
is($forge->{slots}[0]{uri}, '/process.php', '… not on the board');
is_mine($two, '/process.php', '/process.php', 'after the forger');
is(join(' ', grep { /MAILORIGIN/ } keys %{$off->{vars}}), '',
    'Off: nothing of the request before');
is_mine($plain, '/look.cgi', '/look.cgi', 'CGI');
is_mine($three, '/process.php', '/process.php', 'the last');
my %ids = map { $_->{vars}{MAILORIGIN_ID} => 1 } $one, $two, $plain, $three;
is(scalar(keys %ids), 4, 'each with its own id');

# subrequests
my @l = look('/process.php?inner=1');
is(scalar(@l), 2, 'virtual() of PHP');
is_mine($l[0], '/process.php', '/process-inner.php', 'inner');
is_mine($l[1], '/process.php', '/process.php', 'outer, after it');
@l = look('/process.php?cgi=1');
is(scalar(@l), 2, 'virtual() of CGI');
is_mine($l[0], '/process.php', '/look.cgi', 'inner CGI');
is_mine($l[1], '/process.php', '/process.php', 'outer, after it');
is_mine(scalar look('/process.php?lookup=1'), '/process.php', '/process.php',
    'a subrequest that is only looked up leaves nothing');

my $l = look('/process.php?setenv=1');
like(logged(qr/process\.php\?setenv/), qr/^\Q$l->{origin}{id}\E /,
    'apache_setenv() changes no id in access_log');

# two at once on one connection: the second's pool comes while the first's
# is still there
my $p = connection();
print $p MO::Look::request('/process.php?p1'), MO::Look::request('/process.php?p2'),
    MO::Look::request('/process.php?p3', Connection => 'close');
my $all = do { local $/; <$p> };
my @piped = looks($all);
is(scalar(@piped), 3, 'three pipelined requests');
for my $n (1 .. 3) {
    my $id = $piped[$n - 1]{vars}{MAILORIGIN_ID} // '';
    is($piped[$n - 1]{slot}{id}, $id, "the slot of number $n is its own");
    like(logged(qr/process\.php\?p$n/), qr/^\Q$id\E /, "number $n has its own id");
}

# nothing is left in any child when all is done
my @left;
for my $pid (map { /(\d+)/ } glob '/proc/[1-9]*') {
    my $env = slurp_file("/proc/$pid/cmdline") =~ /apache2|httpd/
        ? slurp_file("/proc/$pid/environ") : '';
    push @left, $pid if $env =~ /MAILORIGIN_\w+=[^\0]/;
}
is("@left", '', 'no httpd process was started with one');
done_testing;
