# the wrapper over a real Postfix: as without it, but for the stamp
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(postfix);
use MO::Test;
use MO::Mta;

mta_test('postfix');
done_testing;
