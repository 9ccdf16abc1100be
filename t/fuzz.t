# Every fuzz target swallows its seeds; fuzz/corpus/NAME holds those that once
# broke something too.
use strict;
use warnings;
use Test::More;

my ($src, $build) = @ENV{qw(MO_SRC MO_BUILD)};
my @targets = map { m{/fuzz_(\w+)\.c$} } glob "$src/fuzz/fuzz_*.c";
ok @targets > 0, 'there are fuzz targets';
for my $name (@targets) {
    my @seeds = grep { -f } glob "$src/fuzz/corpus/$name/*";
    cmp_ok scalar @seeds, '>', 0, "$name has seeds";
    my $out = '';
    my $pid = open my $fh, '-|' // die;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec("$build/fuzz/fuzz_$name", @seeds)
            or print "$build/fuzz/fuzz_$name: $!\n";
        exit 127;
    }
    { local $/; $out = <$fh> // ''; }
    close $fh;
    is $?, 0, "$name: its " . @seeds . ' seeds' or diag $out;
}
done_testing;
