# block --hold puts mails on a real queue's hold, Exim's
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Hold;

hold_test('exim');
done_testing;
