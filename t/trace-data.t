#!/usr/bin/perl
# The command over real data that is not part of the project: access_log
# lines and bounces of many MTAs.  Skipped where it is not there.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use JSON::PP;

my $data = "$SRC/../shared/data";
plan skip_all => 'the real data is not here' if !-d "$data/bounces";
my $dir = scratch();
my @file = glob "$data/bounces/*.eml";
cmp_ok(scalar @file, '>', 150, 'bounces');

# the returned message's head: past its first field that every mail has
sub splice_in {
    my ($text, $field) = @_;
    $field =~ s/\n/\r\n/g if $text =~ /\r\n/;
    # where the second head begins: after a returned part's own head, or in text
    my $body = $text =~ /\r?\n\r?\n/ ? $+[0] : 0;
    my $part = qr{^Content-Type:\s*(?:message/(?:rfc822|global)|text/rfc822-headers?|message/global-headers)\b}im;
    my $at;
    if (substr($text, $body) =~ /$part(?:.*\n)(?:[^\r\n].*\n)*\r?\n(?:\s*\n)*/m) {
        $at = $body + $+[0];
    }
    elsif (substr($text, $body) =~ /^(?:Return-Path|Received|Message-I[Dd]|From|Date|To|Subject):/m) {
        $at = $body + $-[0];
    }
    return undef if !defined $at;
    return substr($text, 0, $at) . $field . substr($text, $at);
}

my (@missed, @nowhere, $n);
for my $file (@file) {
    my $r = request();
    my $text = splice_in(slurp($file), field($r));
    push(@nowhere, $file), next if !defined $text;
    spew(sprintf("$dir/%03d.eml", $n++), $text);
    my @o = trace(sprintf "$dir/%03d.eml", $n - 1);
    push @missed, $file if !grep {$_->{id} eq $r->{mail}
        && $_->{stamp} eq 'authentic'} @o;
}
is(join(' ', map {s{.*/}{}r} @nowhere), '', 'each has a returned head');
is(join(' ', map {s{.*/}{}r} @missed), '', "all $n are traced");

# ---- access_log
my $acc = "$data/access_log/elastic_combined.log";
my @lines = split /\n/, slurp($acc);
is(scalar @lines, 10000, 'lines of access_log');
# every one of them parses: each is looked for as what it says of itself
my (@record, %want);
my %month = do {my $i = 1; map {$_ => $i++} qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)};
require Time::Local;
for my $line (@lines) {
    my ($client, $d, $mon, $y, $h, $m, $s, $zone, $request) = $line =~
        m{^(\S+) \S+ \S+ \[(\d+)/(\w+)/(\d+):(\d+):(\d+):(\d+) ([+-]\d{4})\] "((?:[^"\\]|\\.)*)"}
        or BAIL_OUT("not of our expectation: $line");
    my $t = Time::Local::timegm($s, $m, $h, $d, $month{$mon} - 1, $y);
    my ($method, $uri) = $request =~ /^(\S+) ([^ ?]*)/;
    my $id = sprintf 'L%015d', scalar @record;
    push @record, sprintf qq({"time":"%s","id":"%s","verdict":"verified","action":"passed","request_id":"R%d","request_time":"%s","client":"%s","method":"%s","uri":"%s"}\n),
        rfc($t), $id, scalar @record, rfc($t), $client, $method // '',
        ($uri // '') =~ s/([\\"])/\\$1/gr;
    $want{$id} = $line;
}
spew("$LOG/mail.log", join '', sort @record);
my ($rc, $out, $err) = run($MAILORIGIN, qw(log --access --json --access-log), $acc);
is($rc, 0, 'log --access over all') or diag($err);
my @none;
for my $line (split /\n/, $out) {
    my $o = JSON::PP->new->utf8->decode($line);
    push @none, $want{$o->{id}}
        if !grep {$_ eq $want{$o->{id}}} @{$o->{access_lines}}
        and @{$o->{access_lines}} < 32;
}
is(scalar @none, 0, 'every line is found as the request it tells of')
    or diag(join "\n", @none[0 .. ($#none > 5 ? 5 : $#none)]);
unlike($err, qr/not of their log's format/, 'none is of another format');

# ---- a Postfix's log: what local users sent, as a plain count of it says
my $maillog = "$data/maillog/postfix.log";
my %sent;
$sent{$1}++ for slurp($maillog) =~ m{^\S+ +\d+ \S+ \S+ postfix/pickup\[\d+\]: \w+: uid=(\d+) }mg;
cmp_ok(scalar keys %sent, '>', 0, 'local users in the maillog');
run('sh', '-c', "head -n 3000 $maillog | gzip > $dir/mail.log.1.gz; "
    . "tail -n +3001 $maillog > $dir/mail.log");
for my $log ($maillog, "$dir/mail.log") {
    ($rc, $out, $err) = run($MAILORIGIN, qw(waves --json --min 1 --all
        --access-log), $acc, '--from-maillog', $log);
    is($rc, 0, "waves --from-maillog, $log") or diag($err);
    my %got;
    for (map {JSON::PP->new->utf8->decode($_)} split /\n/, $out) {
        $got{$_->{user}} += $_->{count};
    }
    # (mails of its usual rate are in no burst)
    is(join(' ', sort keys %got), join(' ', sort keys %sent), '... its users');
    cmp_ok($got{$_}, '<=', $sent{$_}, "... no more than uid $_ sent") for keys %sent;
    is($err, '', '... and no complaint');
}
($rc, $out, $err) = run($MAILORIGIN, qw(log --unrecorded --json --log),
    '/dev/null', $maillog);
my %uid;
$uid{$_->{uid}}++ for grep {$_->{taken} eq 'local'}
    map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
is_deeply(\%uid, \%sent, 'log --unrecorded: each of them') or diag($err);
done_testing;
