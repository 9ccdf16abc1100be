# wrap and unwrap where Exim is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Wrap;

wrap_test('exim', '/usr/sbin/exim4');
done_testing;
