# Other releases of httpd with the module as it was built, each mounted over
# the installed one; what t/suites.sh has put by.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Httpd;

my $suites = ($ENV{MO_DEBS} || '/var/cache/mailorigin-test') . '/suites';
delete $ENV{MO_RESULTS};

sub tried {
    my ($test, $with) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $out, $err) = run({timeout => 200}, $^X,
        "$SRC/t/handlers/$test.t");
    my $ok = () = $out =~ /^ok/mg;
    ok($status == 0 && $ok > 10, "$test with $with: $ok ok")
        or diag "$out$err";
}

my @httpd = map { m{([^/]+)/root$} } glob "$suites/httpd/*/root";
ok(scalar @httpd, 'there is another httpd (make -f Makefile.apxs debs)');
for my $v (@httpd) {
    my $root = "$suites/httpd/$v/root";
    # libraries of its own
    local $ENV{LD_LIBRARY_PATH} = join ':', glob "$root/usr/lib/*-linux-* "
        . "$root/lib/*-linux-*";
    my @over = ([$root . MO::Httpd::bin(), MO::Httpd::bin()],
        ["$root/usr/lib/apache2/modules", MO::Httpd::moddir()]);
    for my $m (@over) {
        my ($status, $out, $err) = run('mount', '--bind', @$m);
        is($status, 0, "$m->[1] is $v\'s") or diag $err;
    }
    my (undef, $version) = run(MO::Httpd::bin(), '-v');
    my ($short) = $v =~ /^([\d.]+)/;
    like($version, qr{Apache/\Q$short\E\b}, "httpd $short");
    tried($_, "httpd $v") for qw(fpm fpm-same fpm-begin);
    run('umount', '-l', $_->[1]) for reverse @over;
}

done_testing();
