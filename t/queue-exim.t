#!/usr/bin/perl
# queue and purge on a real Exim.
# no sanitizers: the readers are fuzzed under them, and so is purge on Postfix
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Queues;
use MO::QueueTest;

queue_test(MO::Queues->exim);
done_testing;
