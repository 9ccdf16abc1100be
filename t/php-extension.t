# The PHP extension, built as an admin would, and its own tests; and what it
# does when two requests share a worker and the second has no token.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;

my $dir = scratch() . '/php';
is((run('cp', '-r', "$SRC/php", $dir))[0], 0, 'a copy of php/');
my $phpize = $ENV{PHPIZE} // 'phpize';
for my $step (['phpize', $phpize], ['configure', './configure', '-q'],
    ['make', 'make', '-s', 'CFLAGS=-O2 -Wall -Wextra -Wno-unused-parameter '
        . '-Wno-cast-function-type -Werror']) {
    my ($what, @cmd) = @$step;
    my ($status, $out, $err) = run({cwd => $dir}, @cmd);
    is($status, 0, $what) or diag($out, $err);
}
ok(-e "$dir/modules/mailorigin.so", 'mailorigin.so');

my ($php) = (run('php-config', '--php-binary'))[1] =~ /(\S+)/;
my ($cgi) = grep { -x } map { "$_/php-cgi" } split /:/, $ENV{PATH};
ok($cgi, 'there is a php-cgi');
# a line of run-tests.php: TEST 1/5 [FILE]PASS NAME [FILE]
my ($status, $out, $err) = run({cwd => $dir, env => {NO_INTERACTION => 1,
    TEST_PHP_EXECUTABLE => $php, TEST_PHP_CGI_EXECUTABLE => $cgi,
    REPORT_EXIT_STATUS => 1}}, $php, '-n', 'run-tests.php', '-n', '-q',
    '--no-color', '-d', "extension=$dir/modules/mailorigin.so", 'tests');
my @phpt = glob "$dir/tests/*.phpt";
my @pass = $out =~ m{PASS [^\n]*\[tests/\S+\.phpt\]}g;
is($status, 0, 'run-tests.php');
is(scalar @pass, scalar @phpt, 'all of its tests pass, none is skipped')
    or diag($out, $err, map { slurp($_) // '' } glob "$dir/tests/*.diff");

my ($lines) = slurp("$SRC/README.md") =~ /^```php\n(.*?)^```$/ms;
is($lines, slurp("$SRC/php/auto_prepend.php") =~ s/\A<\?php\n(?:\/\/.*\n)*//r,
    'README shows the lines of auto_prepend.php');

done_testing();
