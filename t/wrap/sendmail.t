# wrap and unwrap where Sendmail is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(sendmail-bin);
use MO::Test;
use MO::Wrap;

wrap_test('sendmail', '/usr/libexec/sendmail/sendmail');
done_testing;
