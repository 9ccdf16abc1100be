#!/usr/bin/perl
# Where lines carry the request's id, log --access reads only what is near each
# request's place, and still finds what stands elsewhere.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use JSON::PP;

my $json = JSON::PP->new->utf8;
my $dir = scratch();
my $acc = "$dir/access.log";
my $format = '%h %l %u %t "%r" %>s %b %{MAILORIGIN_ID}e';
my $t0 = 1795507200;
my @r = map {request(time => $t0 + 20 + $_ * 8, id => "R$_")} 0 .. 299;
spew("$LOG/mail.log", join '', map {record($_)} @r);

# at which second a line is written, beside most, which are at their own
my %at = (50 => 30, 51 => 100, 53 => 500, 54 => 700, 70 => 30, 100 => 100);
my %line;
for my $i (0 .. 299) {
    my $line = access($r[$i], ext => $i == 60 ? '-' : $r[$i]{id});
    push @{$line{$r[$i]{time} + ($at{$i} // 0)}}, $line if $i != 61;
}
# another request's line under that one's id, as a script could set it, is
# written while that one is under way
my %other;
for my $i (70, 100) {
    $other{$i} = access(request(time => $r[$i]{time}), ext => "R$i");
    push @{$line{$r[$i]{time}}}, $other{$i};
}
open my $fh, '>', $acc or die "$acc: $!";
my $page = request(method => 'GET', uri => '/' . 'x' x 2000);
for my $t ($t0 .. $t0 + 2460) {
    my @page = (access($page, time => $t, ext => 'none')) x 16;
    print $fh @page, @{$line{$t} // []}, @page;
    # one of a clock that was wrong hides nothing
    print $fh access($page, time => $t + 86400, ext => 'none') if $t == $t0 + 5;
}
close $fh or die;

my $threads = 1;
sub show {
    my @o = run(@_, $MAILORIGIN, qw(log --access --json --access-log), $acc,
        '--log-format', $format, '--threads', $threads);
    is($o[0], 0, "log --access, $threads thread(s)") or diag($o[2]);
    return $o[1];
}
my $one = show();
is(scalar(my @o = map {$json->decode($_)} split /\n/, $one), 300, 'each record once');
for my $i (0 .. 299) {
    my $o = $o[$i];
    next if $other{$i} || $i == 60 || $i == 61;
    chomp(my $line = access($r[$i], ext => $r[$i]{id}));
    is("$o->{access_match} @{$o->{access_lines}}", "exact $line", "mail $i");
}
for my $i (sort keys %other) {
    is($o[$i]{access_match}, 'exact', "mail $i: another line with the id");
    is_deeply($o[$i]{access_lines}, [map {s/\n//r} $other{$i}, access($r[$i], ext => "R$i")],
        '... hides nothing');
}
is("$o[60]{access_match} @{$o[60]{access_lines}}", 'unique ' . access($r[60], ext => '-') =~ s/\n//r,
    'a line without its id');
is("$o[61]{access_match} @{$o[61]{access_lines}}", 'none ', 'no line');
$threads = 3;
is(show(), $one, 'the same with three threads');
$threads = 1;

# most of it is not read: three of a hundred bytes would do
my $size = -s $acc;
spew("$LOG/mail.log", join '', map {record($_)} @r[100 .. 299]);
show('strace', '-f', '-e', 'trace=read,pread64', '-o', "$dir/strace");
my $read = 0;
open $fh, '<', "$dir/strace" or die;
while (<$fh>) { $read += $1 if /= (\d+)$/ }
cmp_ok($read, '<', $size * 200 / 300 * 0.6, "of $size bytes $read were read for 200 of 300 mails");
cmp_ok($read, '>', 1e6, '... and counted');
done_testing;
