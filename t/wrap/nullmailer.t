# wrap and unwrap where nullmailer is the MTA
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(nullmailer);
use MO::Test;
use MO::Wrap;

wrap_test('nullmailer', '/usr/sbin/sendmail.real');
done_testing;
