# mod_lua under event: many requests' threads in one process, whose
# environment can't be theirs; the thread that starts the program names it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my $row = MO::Handlers->new(order => 61, handler => 'mod_lua', mpm => 'event',
    modules => ['lua'], conf => "AddHandler lua-script .lua\n");
$row->put('s.lua', $row->lua);
$row->steal('/s.lua');
$row->fire('/s.lua', modes => [qw(plain clear plain forge plain late plain now
    own nofd)]);
my @j = $row->verdicts(plain => 'verified', clear => 'verified',
    forge => 'verified', late => 'conflict', now => 'conflict', own => 'conflict',
    nofd => 'verified');
$row->visible(@j);
$row->done('verified');

done_testing();
