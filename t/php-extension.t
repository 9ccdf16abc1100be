# The PHP extension, built as an admin would, and its own tests: with this
# Debian's PHP, and with others', which t/suites.sh has put by.
# no sanitizers: nothing of ours is in it but the extension, built here
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;

sub built_and_tested {
    my ($name, $php, $cgi, $version) = @_;
    my $dir = scratch() . '/php';
    is((run('cp', '-r', "$SRC/php", $dir))[0], 0, "$name: a copy of php/");
    for my $step (['phpize', $version->{phpize}],
        ['configure', './configure', '-q',
            "--with-php-config=$version->{config}"],
        ['make', 'make', '-s', 'CFLAGS=-O2 -Wall -Wextra '
            . '-Wno-unused-parameter -Wno-cast-function-type -Werror']) {
        my ($what, @cmd) = @$step;
        my ($status, $out, $err) = run({cwd => $dir}, @cmd);
        is($status, 0, "$name: $what") or diag($out, $err);
    }
    ok(-e "$dir/modules/mailorigin.so", "$name: mailorigin.so");
    # a line of run-tests.php: TEST 1/5 [FILE]PASS NAME [FILE]
    my ($status, $out, $err) = run({cwd => $dir, env => {NO_INTERACTION => 1,
        TEST_PHP_EXECUTABLE => $php, TEST_PHP_CGI_EXECUTABLE => $cgi,
        REPORT_EXIT_STATUS => 1}}, $php, '-n', 'run-tests.php', '-n', '-q',
        '-d', "extension=$dir/modules/mailorigin.so", 'tests');
    my @phpt = glob "$dir/tests/*.phpt";
    $out =~ s/\e\[[\d;]*m//g; # 7.4 can't be told to leave them
    my @pass = $out =~ m{PASS [^\n]*\[tests/\S+\.phpt\]}g;
    is($status, 0, "$name: run-tests.php");
    is(scalar @pass, scalar @phpt, "$name: all of its tests pass, none is "
        . 'skipped')
        or diag($out, $err, map { slurp($_) // '' } glob "$dir/tests/*.diff");
}

my ($php) = (run('php-config', '--php-binary'))[1] =~ /(\S+)/;
my ($cgi) = grep { -x } map { "$_/php-cgi" } split /:/, $ENV{PATH};
ok($cgi, 'there is a php-cgi');
built_and_tested('installed', $php, $cgi,
    {phpize => $ENV{PHPIZE} // 'phpize', config => 'php-config'});

my @others = glob(($ENV{MO_DEBS} || '/var/cache/mailorigin-test')
    . '/suites/php/*');
cmp_ok(scalar @others, '>=', 2, 'other PHPs (make -f Makefile.apxs debs)');
for my $other (@others) {
    my ($v) = $other =~ m{([\d.]+)$};
    MO::Fpm::at_home($v);
    built_and_tested("PHP $v", "$other/php", "$other/php-cgi",
        {phpize => "$other/root/usr/bin/phpize$v",
            config => "$other/root/usr/bin/php-config$v"});
}

my ($lines) = slurp("$SRC/README.md") =~ /^```php\n(.*?)^```$/ms;
is($lines, slurp("$SRC/php/auto_prepend.php") =~ s/\A<\?php\n(?:\/\/.*\n)*//r,
    'README shows the lines of auto_prepend.php');

done_testing();
