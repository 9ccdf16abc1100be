# The module in an httpd with the event MPM, by Apache::Test: t/httpd/*.t
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::ApacheTest;

MO::ApacheTest::run_all('event');
done_testing;
