# wrap and unwrap where Postfix is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(postfix);
use MO::Test;
use MO::Wrap;

wrap_test('postfix', '/usr/sbin/sendmail.real');
done_testing;
