#!/usr/bin/perl
# Three in the morning, over Exim.
# no sanitizers: each part has tests under them; here it is the sum that counts
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Rehearsal;
use MO::Queues;

rehearse(MO::Queues->exim, spam => 500);
done_testing;
