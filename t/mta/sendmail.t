# the wrapper over a real Sendmail: as without it, but for the stamp
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(sendmail-bin procmail sensible-mda);
use MO::Test;
use MO::Mta;

mta_test('sendmail');
done_testing;
