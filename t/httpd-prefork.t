# The module in an httpd with the prefork MPM, by Apache::Test: t/httpd/*.t
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::ApacheTest;

MO::ApacheTest::run_all('prefork');
done_testing;
