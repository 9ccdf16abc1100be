# the wrapper over a real Exim: as without it, but for the stamp
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Mta;

mta_test('exim');
done_testing;
