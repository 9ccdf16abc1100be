# wrap and unwrap where dma is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(dma);
use MO::Test;
use MO::Wrap;

wrap_test('dma', '/usr/sbin/dma');
done_testing;
