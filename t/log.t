#!/usr/bin/perl
# log: filters by every field, times as journalctl takes them, rotated and
# compressed mail logs, following over rotation, and its three forms.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use JSON::PP;
use POSIX ();

my $json = JSON::PP->new->utf8;
my $dir = scratch();
my $log = "$LOG/mail.log";

sub show {
    my $o = ref $_[0] ? shift : {};
    my ($rc, $out, $err) = run($o, $MAILORIGIN, 'log', '--json', @_);
    Test::More::diag($err) if $rc > 1;
    $? = $rc;
    return map {$json->decode($_)} split /\n/, $out;
}
sub ids { return join ' ', map {$_->{id} =~ s/^M0+//r} @_ }

# ---- every field is a filter
my %value = (id => 'Mx', host => 'h1', verdict => 'claimed', evidence => 'token',
    state => 'late', action => 'refused', reason => 'blocked by root',
    request_id => 'Rx', request_time => '2026-11-24T07:59:59.000000Z',
    request_hash => '00112233:00112233445566778899aabbccddeeff',
    client => '2001:db8::7', vhost => 'x.example', method => 'PUT',
    uri => '/a b', query => 'q=1', script => '/srv/x/;$(id).php',
    handler => 'proxy:unix', user => 'eve', uid => 0, gid => 33, pid => 4711,
    exe => '/usr/bin/php8.2', cwd => '/srv/x', parents => '1 init', mode => 'bs',
    envelope_from => '-rf@x', recipients => 12, recipient_list => 'a@b, c@d',
    subject => "caf\x{e9} \"q\" \\ \x{1f600}", message_id => '<x@y>', size => 99999,
    candidates => 'a /b c', claimed_vhost => 'cv', claimed_uri => '/cu',
    claimed_script => '/cs', claimed_id => 'ci');
my $num = qr/^(?:uid|gid|pid|recipients|size)$/;
sub line {
    my (%f) = @_;
    my $time = delete $f{time} // '2026-11-24T08:00:00.000000Z';
    $_ =~ /$num/ and $f{$_} += 0 for keys %f;
    my $l = JSON::PP->new->ascii->canonical->encode(\%f);
    return "{\"time\":\"$time\"," . substr($l, 1) . "\n";
}
my %other = (id => 'other', map {$_ => 7} grep {/$num/} keys %value);
spew($log, line(%other) . line(%value) . line(%other, uid => 10));
for my $f (sort keys %value) {
    my $v = $value{$f};
    utf8::encode($v);
    (my $option = $f) =~ tr/_/-/;
    my @got = show("--$option=$v");
    is(join(' ', map {$_->{id}} @got), 'Mx', "--$option");
    is_deeply($got[0]{$f}, $value{$f}, '... is in its JSON') if @got == 1;
    @got = show("--$option", $v, '--vhost', 'none.example');
    is(scalar @got, 0, '... and another filter that does not match');
    is($?, 1, '... nothing found');
}
is(ids(show('--uid', '00')), 'Mx', 'a number is one, however it is written');
is(scalar(show('--script', '/srv/x/*')), 1, 'a prefix');
is(scalar(show('--script', '/srv/x/\*')), 0, 'a star that is meant');
is(scalar(show('--vhost', 'x.*')), 0, 'no prefix of a vhost');
for my $bad (['--moon', 'x'], ['--vhost'], ['x'], ['--time', 'x'], ['--since', 'soon'],
    ['--until', '25:00'], ['--since', '']) {
    my ($rc, $out, $err) = run($MAILORIGIN, 'log', @$bad);
    is($rc, 2, "@$bad: trouble");
    like($err, qr/^mailorigin: .*\n\z/, '... in one line');
    is($out, '', '... and nothing else');
}
is((run($MAILORIGIN, qw(log --log), "$dir/none"))[0], 2, 'no such log: trouble');
is((run('sh', '-c', "$MAILORIGIN log --json | jq -e . >$dir/jq"))[0], 0,
    'jq takes it');

# ---- forms
my ($rc, $out, $err) = run($MAILORIGIN, 'log', '--csv');
my @csv = split /\n/, $out;
is(scalar @csv, 4, 'CSV: a head and three lines');
like($csv[0], qr/^time,id,host,verdict,/, '... its head');
like($csv[2], qr/,"caf\xc3\xa9 ""q"" \\ \xf0\x9f\x98\x80",/, '... quotes doubled');
my ($cols) = run('python3', '-c', 'import csv,sys; r=list(csv.reader(open(sys.argv[1]))); '
    . 'sys.exit(len({len(x) for x in r}) != 1)', spew("$dir/x.csv", $out));
is($cols, 0, '... as many columns in each');
($rc, $out) = run($MAILORIGIN, 'log');
like($out, qr{^2026-11-24 08:00:00 Mx claimed   refused x\.example /a b /srv/x/;\$\(id\)\.php from=-rf\@x to=12 uid=0 reason=blocked by root$}m,
    'a line for people');

# ---- times
my $t0 = 1795507200; # 2026-11-24 08:00 UTC
my @at = map {request(time => $t0 + 600 * $_, sent => $t0 + 600 * $_)} 0 .. 11;
spew($log, join '', map {record($_)} @at);
my @ids = map {$_->{mail} =~ s/^M0+//r} @at;
my @window = (
    [['--since', '2026-11-24 08:30'], 3 .. 11],
    [['--since', '2026-11-24 08:30:01'], 4 .. 11],
    [['--until', '2026-11-24T08:30:00Z'], 0 .. 2],
    [['--since', '2026-11-24 09:00', '--until', '2026-11-24 09:30'], 6 .. 8],
    [['--since', '@' . ($t0 + 6000)], 10, 11],
    [['--since', 'Tue 2026-11-24 09:40:00'], 10, 11],
    [['--since', '2026-11-24 09:40 UTC'], 10, 11],
    [['--since', '2026-11-24'], 0 .. 11],
    [['--until', '2026-11-24']],
);
for my $w (@window) {
    my ($arg, @want) = @$w;
    is(ids(show(@$arg)), join(' ', @ids[@want]), "@$arg");
}
{
    my $now = time;
    my @r = map {request(time => $now - $_, sent => $now - $_)} 40 * 86400, 3 * 86400, 7300, 3700, 100;
    spew($log, join '', map {record($_)} @r);
    my @i = map {$_->{mail} =~ s/^M0+//r} @r;
    is(ids(show('--since', $_->[0])), join(' ', @i[@{$_->[1]}]), "--since $_->[0]")
        for ['-2h', [3, 4]], ['2 hours ago', [3, 4]], ['-1h 30min', [3, 4]],
        ['-5m', [4]], ['-1M', [1 .. 4]], ['-1w', [1 .. 4]], ['1 week ago', [1 .. 4]],
        ['now', []], ['-3d 1h', [1 .. 4]];
    my @day = localtime $now;
    my $midnight = POSIX::mktime(0, 0, 0, @day[3 .. 5]);
    is(ids(show('--since', 'today')), join(' ', map {$_->{mail} =~ s/^M0+//r}
        grep {$_->{sent} >= $midnight} @r), '--since today');
    is(ids(show('--until', 'yesterday')), join(' ', @i[0, 1]), '--until yesterday');
    my @berlin = show({env => {TZ => 'Europe/Berlin'}}, '--since',
        POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime($now - 60)));
    ok(@berlin >= 1, 'times are local');
}

# ---- rotated and compressed
sub part { return join '', map {record($_)} @at[@_] }
for my $pack ('', 'gzip', 'zstd -q --rm') {
    unlink glob "$log*";
    spew("$log.2", part(0 .. 3));
    spew("$log.1", part(4 .. 7));
    spew($log, part(8 .. 11));
    run('sh', '-c', "$pack $log.2") if $pack;
    utime $t0 + 1800, $t0 + 1800, glob "$log.2*";
    utime $t0 + 4200, $t0 + 4200, "$log.1";
    is(ids(show()), "@ids", 'rotated ones first' . ($pack ? ", $pack" : ''));
    is(ids(show('--since', '2026-11-24 08:30', '--until', '2026-11-24 08:45')),
        join(' ', @ids[3, 4]), '... over two of them');
}
is(ids(show('--log', "$log.1")), join(' ', @ids[4 .. 7]), '--log takes just that');
is(ids(show('--log', "$log.1", '--log', $log)), join(' ', @ids[4 .. 11]), 'two');
is(ids(show('--log', "$log*")), "@ids", 'a pattern');
is(ids(show({in => part(1)}, '--log', '-')), $ids[1], 'standard input');
spew($log, part(8) . "{\"half\":\n" . part(9) . "\0\0\0\n\n" . substr(part(10), 0, 50));
($rc, $out, $err) = run($MAILORIGIN, qw(log --json --log), $log);
is(scalar(split /\n/, $out), 2, 'damaged lines are passed over');
like($err, qr/2 lines of the mail log are no records/, '... and counted, but for one being written');

# ---- following
unlink glob "$log*";
spew($log, part(0 .. 2));
sub follow {
    my (@arg) = @_;
    my $to = "$dir/follow";
    unlink $to;
    my $pid = fork // die;
    if ($pid == 0) {
        open STDOUT, '>', $to or die;
        exec $MAILORIGIN, 'log', '--json', '--follow', @arg;
    }
    return sub {
        my ($n, $what) = @_;
        wait_for(sub {my $t = slurp($to) // ''; ($t =~ tr/\n//) >= $n}, $what) if defined $n;
        return map {$json->decode($_)} split /\n/, slurp($to) // '' if defined $n;
        kill 'INT', $pid;
        waitpid $pid, 0;
        return $? >> 8;
    };
}
sub append { my ($f, $t) = @_; open my $h, '>>', $f or die; print $h $t; close $h }
my $f = follow('--since', '2026-11-24 08:10');
is(ids($f->(2, 'since')), join(' ', @ids[1, 2]), '--follow --since: what was');
append($log, substr part(3), 0, 40);
append($log, substr part(3), 40);
is(ids($f->(3, 'one more')), join(' ', @ids[1 .. 3]), '... a line in two writes, once');
# logrotate: renamed, a new one made, and the recorder reopens later
rename $log, "$log.1";
append("$log.1", part(4));
is(ids($f->(4, 'renamed')), join(' ', @ids[1 .. 4]), '... renamed');
spew($log, '');
select undef, undef, undef, 1.5;
append("$log.1", part(5));
is(ids($f->(5, 'before the reopen')), join(' ', @ids[1 .. 5]), '... before the reopen');
append("$log.1", part(6));
append($log, part(7));
is(ids($f->(7, 'reopened')), join(' ', @ids[1 .. 7]), '... reopened');
append($log, part(8));
is(ids($f->(8, 'in the new one')), join(' ', @ids[1 .. 8]), '... in the new one');
# copytruncate
spew($log, part(9));
is(ids($f->(9, 'truncated')), join(' ', @ids[1 .. 9]), '... truncated');
is($f->(), 0, '... Ctrl-C: found');
$f = follow();
select undef, undef, undef, 0.3;
append($log, part(10));
is(ids($f->(1, 'the new one')), $ids[10], '--follow: only what comes');
$f->();
# none is lost between what was and what comes: written all the while
unlink glob "$log*";
my $writer = fork // die;
if ($writer == 0) {
    for my $i (1 .. 3000) {
        append($log, "{\"time\":\"2026-11-24T08:00:00.000000Z\",\"id\":\"w$i\"}\n");
        next if $i % 1000 || $i == 3000;
        select undef, undef, undef, 2;
        rename $log, "$log." . int(9 - $i / 1000);
    }
    exec 'true';
}
wait_for(sub {-s $log}, 'the writer');
$f = follow('--since', '2026-11-24 07:00');
my @got = $f->(3000, '3,000 records');
my %seen;
$seen{$_->{id}}++ for @got;
is(scalar(keys %seen), 3000, 'followed while written and rotated: none is lost');
is(scalar(grep {$_ > 1} values %seen), 0, '... and none is twice');
$f->();
waitpid $writer, 0;
done_testing;
