#!/usr/bin/perl
# queue and purge on a real Sendmail.
# no sanitizers: the readers are fuzzed under them, and so is purge on Postfix
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(sendmail-bin sensible-mda);
use MO::Test;
use MO::Queues;
use MO::QueueTest;

queue_test(MO::Queues->sendmail_mta);
done_testing;
