# block --hold puts mails on a real queue's hold, Postfix's
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(postfix);
use MO::Test;
use MO::Hold;

hold_test('postfix');
done_testing;
