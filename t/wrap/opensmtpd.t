# wrap and unwrap where OpenSMTPD is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(opensmtpd);
use MO::Test;
use MO::Wrap;

wrap_test('opensmtpd', '/usr/sbin/smtpctl');
done_testing;
