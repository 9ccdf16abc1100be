#!/usr/bin/perl
# log --access: mail log and access logs joined in bulk, with one thread and
# with several, over rotation, in three forms.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use JSON::PP;

my $json = JSON::PP->new->utf8;
my $dir = scratch();
my $log = "$LOG/mail.log";
my $acc = "$dir/access.log";
my $t0 = 1795507200;
my @r = map {request(time => $t0 + $_ * 7, sent => $t0 + $_ * 7 + $_ % 5,
    id => "R$_", vhost => $_ % 3 ? 'a.example' : 'b.example')} 0 .. 299;
my $none = request(time => $t0 + 50);
delete $none->{time};
spew($log, join '', (map {record($_)} @r),
    '{"time":"' . rfc($t0) . '","id":"cron","verdict":"none","action":"passed"}' . "\n");
# written when they end
my @lines = map {$_->[1]} sort {$a->[0] <=> $b->[0]}
    (map {[$_->{sent} + 30, access($_)]} @r),
    map {[$_, access(request(time => $_, method => 'GET', uri => '/other'))]}
        map {$t0 + $_} 0 .. 2200;
spew("$acc.1", join '', @lines[0 .. 1200]);
utime $t0 + 1200, $t0 + 1200, "$acc.1";
spew($acc, join '', @lines[1201 .. $#lines]);

sub show {
    my ($rc, $out, $err) = run($MAILORIGIN, qw(log --access --access-log), $acc, @_);
    is($rc, 0, "log --access @_") or diag($err);
    return $out;
}
my $one = show('--json', '--threads', 1);
my @o = map {$json->decode($_)} split /\n/, $one;
is(scalar @o, 301, 'each record once');
is(join(' ', map {$_->{id}} @o[0 .. 299]), join(' ', map {$_->{mail}} @r), '... in order');
is(scalar(grep {$_->{access_match} eq 'unique'} @o), 300, '... each request has its line');
is_deeply([map {$_->{access_lines}[0]} @o[0 .. 299]],
    [map {access($_) =~ s/\n//r} @r], '... the right one');
is($o[300]{access_match}, 'none', '... but what was no request');
is(show('--json', '--threads', 4), $one, 'the same with four threads');
is((run('sh', '-c', "$MAILORIGIN log --access --json --access-log $acc | jq -e .access_lines >/dev/null"))[0],
    0, 'jq takes it');
is(scalar(split /\n/, show('--vhost', 'b.example', '--csv')), 101, 'filtered, CSV');
my $csv = show('--csv');
my ($rc) = run('python3', '-c', <<'PY', spew("$dir/x.csv", $csv));
import csv, sys
r = list(csv.DictReader(open(sys.argv[1])))
sys.exit(not (len(r) == 301 and r[0]['access_match'] == 'unique'
    and 'POST /wp-content/x.php' in r[5]['access_line'] and None not in r[0]))
PY
is($rc, 0, 'CSV, as Python reads it');
my $text = show();
like($text, qr/^2026-11-24 08:00:00 \S+ +verified .*\n    unique \Q@{[access($r[0]) =~ s|\n||r]}\E$/m,
    'for people: the record and its line');
# equal lines
spew($acc, join '', @lines, access($r[299]));
my ($last) = grep {$_->{id} eq $r[299]{mail}} map {$json->decode($_)} split /\n/, show('--json');
is($last->{access_match}, 'ambiguous', 'equal lines: ambiguous');
is(scalar @{$last->{access_lines}}, 2, '... both are given');
is(($text = show('--csv', '--id', $r[299]{mail})) =~ tr/\n//, 3, '... a CSV line each');
# more than one piece of work for a thread
my $pad = 'x' x 2000;
spew($acc, join '', map {access(request(time => $t0 + int($_ / 32), method => 'GET',
    uri => "/$pad")), $_ % 224 == 0 && $_ / 224 < 300 ? access($r[$_ / 224]) : ()} 0 .. 70000);
unlink "$acc.1";
$one = show('--json', '--threads', 1);
is(scalar(grep {/"unique"/} split /\n/, $one), 300, '140 MB: each has its line');
is(show('--json', '--threads', 3), $one, '... the same with three threads');
# trouble
for my $bad (['--threads', 0], ['--threads', 'x'], ['--follow']) {
    is((run($MAILORIGIN, qw(log --access), @$bad))[0], 2, "@$bad: trouble");
}
is((run($MAILORIGIN, qw(log --access --vhost none.example)))[0], 1, 'nothing');
my ($st, $out, $err) = run($MAILORIGIN, qw(log --access --id), $r[0]{mail});
is($st, 0, 'no access log is known');
like($err, qr/no access log is known/, '... said');
done_testing;
