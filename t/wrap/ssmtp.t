# wrap and unwrap where sSMTP is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(ssmtp);
use MO::Test;
use MO::Wrap;

wrap_test('ssmtp', '/usr/sbin/ssmtp');
done_testing;
