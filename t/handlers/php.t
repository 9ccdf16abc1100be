# mod_php under prefork: PHP in httpd's own process, whose environment the
# module writes.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my $row = MO::Handlers->new(order => 25, handler => 'mod_php',
    mpm => 'prefork', modules => ['php'],
    conf => "php_admin_value sendmail_path \"$WRAPPER -i -t\"\n");
$row->put('s.php', $row->php);
$row->steal('/s.php');
$row->fire('/s.php', modes => [qw(direct plain clear direct forge late direct
    now own nofd)]);
my @j = $row->verdicts(direct => 'verified', plain => 'verified', clear => 'verified',
    forge => 'verified', late => 'conflict', now => 'conflict', own => 'conflict',
    nofd => 'verified');
$row->visible(@j);
$row->done('verified');

done_testing();
