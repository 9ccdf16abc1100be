# wrap and unwrap where msmtp is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(msmtp-mta);
use MO::Test;
use MO::Wrap;

wrap_test('msmtp', '/usr/bin/msmtp');
done_testing;
