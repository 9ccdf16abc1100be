# block --hold puts mails on a real queue's hold, Sendmail's
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(sendmail-bin procmail sensible-mda);
use MO::Test;
use MO::Hold;

hold_test('sendmail');
done_testing;
