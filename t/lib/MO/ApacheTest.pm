# MO::ApacheTest - runs t/TEST.PL as an ordinary user, in a scratch copy of
# t/, and passes on what t/httpd/*.t say, file by file, as subtests.
#   MO::ApacheTest::run_all('event');
package MO::ApacheTest;
use strict;
use warnings;
use MO::Test;
use TAP::Parser ();
use Test::More;

my $user = 'www-data';

sub run_all {
    my ($mpm) = @_;
    my $dir = scratch();
    mkdir "$dir/t";
    for my $name (qw(TEST.PL conf httpd htdocs lib)) {
        system('cp', '-a', "$SRC/t/$name", "$dir/t/") == 0
            or die "cp $SRC/t/$name";
    }
    mkdir $_ for "$dir/build", "$dir/build/t", "$dir/build/t/tools";
    system('cp', "$BUILD/t/tools/peek", "$dir/build/t/tools/") == 0
        or die 'cp peek';
    spew("$ETC/keyring", '5eed5eed ' . 'A' x 43 . " 2026-01-01T00:00:00Z\n",
        0640);
    system('chown', '-R', $user, $dir, $RUN, $ETC) == 0 or die 'chown';

    my %env = (MO_MPM => $mpm, MO_BUILD => "$dir/build", HOME => $dir,
        PERL5LIB => "$dir/t/lib", APACHE_TEST_COLOR => 0);
    if ($SAN) {
        chomp(my $asan = `cc -print-file-name=libasan.so`);
        $env{LD_PRELOAD} = $asan;
        # opcache can't be loaded then
        $env{PHP_INI_SCAN_DIR} = "$dir/none";
    }
    my @as = ({user => $user, env => \%env, cwd => $dir, timeout => 300});
    my ($status, $out, $err) = run(@as, $^X, 't/TEST.PL', '-start-httpd');
    my $log = slurp("$dir/t/logs/error_log") // '';
    is($status, 0, "t/TEST.PL starts an httpd with the $mpm MPM")
        or diag("$out$err$log");
    if ($status == 0) {
        my @files = sort glob "$dir/t/httpd/*.t";
        ok(@files >= 5, 'there are tests in t/httpd');
        for my $file (@files) {
            my $name = $file =~ s{.*/}{}r;
            # as Apache::Test runs them
            ($status, $out, $err) = run(@as, $^X, "t/httpd/$name");
            pass_on("t/httpd/$name under $mpm", $status, $out, $err);
        }
        ($status, $out, $err) = run(@as, $^X, 't/TEST.PL', '-stop-httpd');
        is($status, 0, '… and stops it') or diag("$out$err");
    }
    unlike(slurp("$dir/t/logs/error_log") // '',
        qr/exit signal|AddressSanitizer|runtime error:/, 'no child crashed');
}

sub pass_on {
    my ($name, $status, $out, $err) = @_;
    my $tap = TAP::Parser->new({tap => $out});
    my $n = 0;
    subtest $name => sub {
        while (my $result = $tap->next) {
            if ($result->is_test) {
                $n++;
                ok($result->is_actual_ok || $result->has_todo,
                    $result->description =~ s/^- //r);
                fail('skipped: ' . $result->explanation)
                    if $result->has_skip && !$result->has_todo
                    && $result->explanation !~ /MPM/;
            }
            elsif ($result->is_plan && $result->has_skip) {
                fail("skipped: $out");
            }
        }
        ok($n && $tap->is_good_plan && $status == 0 && !$tap->parse_errors,
            'ran to its end') or diag($out);
        diag($err) if $err ne '';
        done_testing;
    };
}

1;
