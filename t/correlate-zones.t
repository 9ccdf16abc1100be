# Lines of an httpd in a zone whose clock goes back an hour, on that night; and
# a log in local time without its zone.  The clock is faketime's.
# no sanitizers: faketime and ASan both stand in for the C library
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Lines;

my ($faketime) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
ok($faketime, 'faketime is here') or BAIL_OUT('no libfaketimeMT.so.1');
my $back = 1761440400; # 2025-10-26 03:00 CEST is 02:00 CET
my $fake = scratch() . '/clock';
my %env = (TZ => 'Europe/Berlin', LD_PRELOAD => $faketime,
    FAKETIME_TIMESTAMP_FILE => $fake, FAKETIME_NO_CACHE => 1,
    FAKETIME_DONT_FAKE_MONOTONIC => 1, FAKETIME_DONT_RESET => 1);

# how far the clock is from the real one
sub set {
    spew("$fake.new", sprintf("%+ds\n", $_[0] - time), 0644);
    rename "$fake.new", $fake;
}

set($back - 1800);
my $l;
{
    # (httpd and recorder alike)
    local @ENV{keys %env} = values %env;
    $l = MO::Lines->new(mpm => 'prefork', modules => ['cgi'], env => \%env);
}
my $h = $l->httpd;
$h->put('m.cgi', $l->script, 0755);
# the same request each time, so that nothing but its time tells
my %at = (before => -1800, last => -2, first => 2, after => 1800);
for my $case (sort {$at{$a} <=> $at{$b}} keys %at) {
    set($back + $at{$case});
    $l->ask($case, 'GET /m.cgi HTTP/1.1');
    my $r = $l->mail($case);
    like($r->{request_time}, qr/^2025-10-26T0[01]:/, "$case: at that night ($r->{request_time})");
}
$l->settle;
like(($l->line('combined', 'before'))[0], qr/02:30:\d\d \+0200/, 'half past two');
like(($l->line('combined', 'after'))[0], qr/02:30:\d\d \+0100/, '... and again');
for my $zone ('Europe/Berlin', 'UTC', 'America/St_Johns') {
    local $ENV{TZ} = $zone;
    # of the two half past twos a log without zones cannot tell
    $l->check("read in $zone", doubt => {local => [keys %at]});
}
done_testing;
