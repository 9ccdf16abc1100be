#!/usr/bin/perl
# Three in the morning, over Sendmail.
# no sanitizers: each part has tests under them; here it is the sum that counts
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(sendmail-bin sensible-mda);
use MO::Test;
use MO::Rehearsal;
use MO::Queues;

rehearse(MO::Queues->sendmail_mta, spam => 500);
done_testing;
