#!/usr/bin/perl
# trace: from a record to its access_log line: formats, rotated and compressed
# files, order, time zones, equal lines, and what is no line at all.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;

my $dir = scratch();
my $log = "$LOG/mail.log";
my $acc = "$dir/access.log";
my $t0 = 1795507200; # 2026-11-24 08:00 UTC
my @noise = map {request(time => $t0 + $_, client => '192.0.2.' . (1 + $_ % 250),
    method => 'GET', uri => "/page/$_")} -300 .. 300;

# one(R, TEXT of the log, OPTIONS…): what trace says of R
sub one {
    my ($r, $text, @arg) = @_;
    spew($acc, $text) if defined $text;
    spew($log, record($r));
    my ($o) = trace('--id', $r->{mail},
        (grep {/^--access-log/} @arg) ? () : ('--access-log', $acc), @arg);
    return $o;
}
sub found {
    my ($o, $match, $line, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @want = ref $line ? @$line : $line;
    s/\n\z// for @want;
    is_deeply([$o->{access_match}, @{$o->{access_lines}}], [$match, @want],
        $name);
}

# ---- formats: each line's own, guessed and given
my $r = request();
sub combined { my ($q, %o) = @_; my $e = delete $o{ext};
    return access($q, %o, ext => '"-" "Mozilla/5.0 (X11; \"q\")"'
        . (defined $e ? " $e" : '')) }
my %shape = (
    common => [sub {access($_[0])}, 'common'],
    combined => [sub {combined($_[0])}, 'combined'],
    vhost_combined => [sub {"$_[0]{vhost}:80 " . combined($_[0])}, 'vhost_combined'],
    vhost_common => [sub {"$_[0]{vhost} " . access($_[0])}, 'vhost_common'],
    'combined %D' => [sub {combined($_[0], ext => 1234)},
        '%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D'],
    'common %D' => [sub {access($_[0], ext => 1234)}, '%h %l %u %t "%r" %>s %b %D'],
);
for my $name (sort keys %shape) {
    my ($make, $format) = @{$shape{$name}};
    my $text = join '', map {$make->($_)} @noise[0 .. 300], $r, @noise[301 .. 600];
    found(one($r, $text), 'unique', $make->($r), "$name, guessed");
    found(one($r, $text, '--log-format', $format), 'unique', $make->($r),
        "$name, given");
}
my %exact = (
    common => sub {access($_[0], ext => $_[0]{id})},
    combined => sub {combined($_[0], ext => $_[0]{id})},
    vhost_combined => sub {"$_[0]{vhost}:443 " . combined($_[0], ext => $_[0]{id})},
    'combined, quoted id' => sub {combined($_[0], ext => "\"$_[0]{id}\"")},
    'combined %D id' => sub {combined($_[0], ext => "77 $_[0]{id}")},
    'combined id %D' => sub {combined($_[0], ext => "$_[0]{id} 77")},
    'id in front' => sub {"$_[0]{id} " . combined($_[0])},
    JSON => sub {sprintf '{"time":"%s","remote_addr":"%s","request":"%s",'
        . '"status":200,"bytes":512,"agent":"a \\"b\\"","request_id":"%s"}' . "\n",
        clf($_[0]{time}), $_[0]{client}, $_[0]{line}, $_[0]{id}},
);
for my $name (sort keys %exact) {
    my $make = $exact{$name};
    # beside an equal request of the same second
    my $twin = {%$r, id => 'another00000000000000001'};
    my $text = join '', map {$make->($_)} @noise[0 .. 300], $twin, $r,
        @noise[301 .. 600];
    found(one($r, $text), 'exact', $make->($r), "$name, by id, guessed");
}
my $json = sub {sprintf '{ "ts": "%s", "ip": "%s", "vhost": "%s", "method": '
    . '"%s", "path": "%s", "query": "%s", "protocol": "%s", "ms": 12}' . "\n",
    POSIX::strftime('%Y-%m-%dT%H:%M:%S+0000', gmtime $_[0]{time}), $_[0]{client},
    $_[0]{vhost}, $_[0]{line} =~ /^(\S+) ([^?\s]*)(\?\S*)? (\S+)$/};
found(one($r, join('', map {$json->($_)} @noise, $r)), 'unique', $json->($r),
    'JSON by parts, guessed');
found(one($r, join('', map {$json->($_)} @noise, $r), '--log-format',
    '{ "ts": "%{%Y-%m-%dT%H:%M:%S%z}t", "ip": "%a", "vhost": "%v", "method": '
    . '"%m", "path": "%U", "query": "%q", "protocol": "%H", "ms": %{ms}T}'),
    'unique', $json->($r), 'JSON by parts, given');
my $u = sub {access($_[0], ext => $_[0]{id})};
found(one($r, join('', map {$u->($_)} @noise, $r), '--log-format',
    '%h %l %u %t "%r" %>s %b %{UNIQUE_ID}e'), 'exact', $u->($r), '%{UNIQUE_ID}e');
my ($rc, $out, $err) = run($MAILORIGIN, 'trace', '--id', $r->{mail},
    '--access-log', $acc, '--log-format', '%h %{open');
is($rc, 0, 'a bad --log-format: the origin is still said');
like($err, qr/--log-format: .*'\}'/, '... and what is wrong');
spew($acc, "what is this\nand this\n");
($rc, $out) = run($MAILORIGIN, 'trace', '--id', $r->{mail}, '--access-log', $acc);
like($out, qr/$acc: of no format that is known/, 'no format: said');
like($out, qr/no line of that request was found/, '... and that there is no line');

# ---- files: rotated, compressed, of another time
sub rotated {
    my ($name, $pack) = @_;
    unlink glob "$dir/r.log*";
    my $old = join '', map {access($_)} @noise, $r;
    spew("$dir/r.log", join '', map {access(request(time => $t0 + 86400 + $_))} 0 .. 9);
    spew("$dir/$name", $old);
    utime $t0 + 400, $t0 + 400, "$dir/$name";
    if ($pack) {
        my ($status) = run('sh', '-c', "cd $dir && $pack $name");
        is($status, 0, "$pack $name");
    }
    spew("$dir/r.log.9", join '', map {access(request(time => $t0 - 86400 + $_))} 0 .. 9);
    utime $t0 - 80000, $t0 - 80000, "$dir/r.log.9";
    spew($log, record($r));
    my ($o) = trace('--id', $r->{mail}, '--access-log', "$dir/r.log");
    found($o, 'unique', access($r), $name . ($pack ? " by $pack" : ''));
    my ($status, $text) = run($MAILORIGIN, 'trace', '--id', $r->{mail},
        '--access-log', "$dir/r.log");
    like($text, qr{^  \Q$dir/$name\E[^ ]* \(}m, '... says that it was searched');
    like($text, qr{^  \Q$dir/r.log\E: \d of 3 files are of another time}m,
        '... and that others were not');
    unlike($text, qr{^  \Q$dir/r.log.9\E \(}m, '... the one of before');
}
rotated('r.log.1');
rotated('r.log.2', 'gzip');
rotated('r.log.2', 'zstd -q --rm');
rotated('r.log-20261124');
rotated('r.log-20261124', 'gzip');
rotated('r.log.2026-11-24-08');
rotated('r.log.1795478400');
rotated('r.log.1795478400', 'gzip');
# a layout file's rotatelogs
mkdir "$RUN/httpd";
sub layout {
    my (@log) = @_;
    spew("$RUN/httpd/1.json", '{"version":1,"pid":1,"start":1,"server":"Apache",'
        . '"mpm":"event","server_root":"' . $dir . '","vhosts":[' . join(',', map {
            sprintf '{"name":"%s","aliases":[],"port":80,"addresses":["*:80"],'
                . '"defined":"x:1","main":false,"mailorigin":true,"logs":[{'
                . '"directive":"CustomLog","%s":"%s","format":"%s","defined":"x:2"}]}',
                @$_} @log) . '],"global_logs":[]}');
}
unlink glob "$dir/r.log*";
layout(['hacked.example', 'pipe', "/usr/bin/rotatelogs -l $dir/rot 86400",
    '%h %l %u %t \\"%r\\" %>s %b']);
spew("$dir/rot.1795478400", join '', map {access($_)} @noise, $r);
spew($log, record($r));
my ($o) = trace('--id', $r->{mail});
found($o, 'unique', access($r), 'the layout file, rotatelogs by epoch');
layout(['innocent.example', 'file', "$dir/in.log", '%h %l %u %t \\"%r\\" %>s %b'],
    ['hacked.example', 'file', "$dir/ha.log", '%h %l %u %t \\"%r\\" %>s %b %{MAILORIGIN_ID}e']);
spew("$dir/in.log", access($r)); # the same line in another vhost's log
spew("$dir/ha.log", join '', map {$u->($_)} @noise, $r);
($o) = trace('--id', $r->{mail});
found($o, 'exact', $u->($r), 'only the logs of its vhost are searched');
unlink "$RUN/httpd/1.json";
# from the conf
spew("$ETC/mailorigin.conf", "access-log $dir/ha.log combined\n"
    . "access-log $dir/h*.log \"%h %l %u %t \\\"%r\\\" %>s %b %{MAILORIGIN_ID}e\"\n");
($rc, $out, $err) = run($MAILORIGIN, 'trace', '--id', $r->{mail});
like($out, qr/$r->{id}$/m, 'access-log in the conf') or diag("$out$err");
unlink "$ETC/mailorigin.conf";

# ---- order: lines are written when requests end
my $slow = request(time => $t0, sent => $t0 + 280);
my @later = map {access(request(time => $t0 + $_, method => 'GET'))} 0 .. 3000;
my @disorder = (@later[0 .. 2900], access($slow), @later[2901 .. 3000]);
found(one($slow, join '', @disorder), 'unique', access($slow),
    'a request that took 48 minutes less 100 s');
sub slow_at {
    my ($seconds) = @_;
    my $text = join '', map {($_ == $seconds ? access($slow) : ()),
        access(request(time => $t0 + $_, method => 'GET', uri => '/' . 'p' x 300))}
        -600 .. 1800;
    found(one($slow, $text), 'unique', access($slow), "a request of $seconds s");
}
slow_at($_) for 0, 1, 11, 30, 290, 590;
# all lines of a busy log stand a little out of order
my @mixed = sort {$a->[0] <=> $b->[0]}
    map {[$_->{time} + ($_->{time} * 7919) % 61, access($_)]}
    (map {request(time => $t0 + int($_ / 10), method => 'GET')} -9000 .. 9000), $r;
found(one($r, join '', map {$_->[1]} @mixed), 'unique', access($r),
    'a log that is out of order by up to a minute');
# a burst at one second around it
my @same = map {request(method => 'GET')} 0 .. 4000;
found(one($r, join '', map {access($_)} @noise[0 .. 300], @same[0 .. 2000], $r,
    @same[2001 .. 4000], @noise[301 .. 600]), 'unique', access($r),
    '4,000 lines of the same second');

# ---- one file by two names
{
    spew($acc, access($r));
    spew($log, record($r));
    my @twice = ('--access-log', $acc, '--access-log', "$acc*");
    my ($o) = trace("--id", $r->{mail}, @twice);
    found($o, 'unique', access($r), 'named twice, read once');
    my ($status, $text) = run($MAILORIGIN, 'trace', '--id', $r->{mail}, @twice);
    unlike($text, qr/no such file/, '... and nothing is missing');
    my $times = () = $text =~ /^  \Q$acc\E \(/mg;
    is($times, 1, '... as is said') or diag($text);
}

# ---- equal lines
found(one($r, access($r) x 2), 'ambiguous', [(access($r)) x 2],
    'two equal lines in a second');
found(one($r, access($r) . access($r, time => $t0 + 1)), 'unique', access($r),
    'not so a second later');
($rc, $out) = run($MAILORIGIN, 'trace', '--id', $r->{mail}, '--access-log', $acc);
spew($acc, access($r) x 50);
($rc, $out) = run($MAILORIGIN, 'trace', '--id', $r->{mail}, '--access-log', $acc);
like($out, qr/ambiguous: it is one of these equal lines/, '50: ambiguous');
like($out, qr/and 18 more$/m, '... and how many');
found(one($r, access($r, client => '192.0.2.1') . access($r)
    . access($r, line => "$r->{method} $r->{uri}?n=0 HTTP/1.1")), 'unique',
    access($r), 'other clients and other queries are other requests');

# ---- time zones and DST
for my $zone ('+0100', '-0800', '+0530', '+1345') {
    my $text = join '', map {access($_, zone => $zone)} @noise, $r;
    found(one($r, $text), 'unique', access($r, zone => $zone), "%t at $zone");
}
# the clock goes back on 2026-10-25 at 01:00 UTC: 02:30 is there twice
my $dst = 1792890000; # 2026-10-25 01:00 UTC
for my $at ($dst - 1800, $dst + 1800) {
    my $q = request(time => $at);
    my $zone = sub {$_[0] < $dst ? '+0200' : '+0100'};
    my $text = join '', map {access($_, zone => $zone->($_->{time}))}
        (map {request(time => $dst + $_, method => 'GET')} -3600 .. $at - $dst),
        $q, (map {request(time => $dst + $_, method => 'GET')} $at - $dst .. 3600);
    found(one($q, $text), 'unique', access($q, zone => $zone->($at)),
        'at the DST change, ' . ($at < $dst ? 'before' : 'after'));
    # local time without its zone says both
    local $ENV{TZ} = 'Europe/Berlin';
    my $bare = sub {my $s = access($_[0], zone => $zone->($_[0]{time}));
        $s =~ s/\[([^\] ]*) [^\]]*\]/$1/; $s};
    $text = join '', map {$bare->($_)}
        (map {request(time => $dst + $_, method => 'GET')} -3600 .. -1), $q,
        (map {request(time => $dst + $_, method => 'GET')} 0 .. 3600);
    found(one($q, $text, '--log-format',
        '%h %l %u %{%d/%b/%Y:%H:%M:%S}t "%r" %>s %b'), 'unique', $bare->($q),
        '... in local time without its zone');
}

# ---- what stands in a request line
my %odd = (
    'quotes and backslashes' => 'GET /a\"b\\\\c?x=\"%22\" HTTP/1.1',
    'UTF-8' => 'GET /caf\xc3\xa9?n=\xe2\x82\xac HTTP/1.1',
    'control bytes' => 'GET /\x1b[2J\n\t HTTP/1.1',
    'no protocol' => 'GET /old',
    'a 400 of one byte' => '\x16\x03\x01',
    'nothing' => '-',
    'a long line' => 'GET /' . 'y' x 7000 . ' HTTP/1.1',
);
for my $name (sort keys %odd) {
    # as httpd has it: what its log escapes
    my ($uri) = $odd{$name} =~ m{^GET (/[^ ?]*)};
    $uri //= '';
    $uri =~ s{\\(x[0-9a-f]{2}|.)}{$1 eq 'n' ? "\n" : $1 eq 't' ? "\t"
        : $1 =~ /^x(..)/ ? chr hex $1 : $1}ge;
    my $q = request(method => $uri ? 'GET' : '', uri => $uri, line => $odd{$name});
    found(one($q, join '', map {combined($_)} @noise, $q), 'unique', combined($q),
        "a request line with $name");
}
found(one($r, join('', map {access($_)} @noise) . access($r, status => '-')),
    'unique', access($r, status => '-'), 'an aborted request without a status');
my $long = request(uri => '/x.php', line => 'POST /x.php?' . 'z' x 9000 . ' HTTP/1.1');
found(one($long, access($long)), 'unique', access($long),
    'a line over 8 KiB, whole in JSON');

# ---- clients
my $v6 = request(client => '2001:db8::1');
found(one($v6, access($v6, client => '2001:DB8:0:0::1') . access($v6,
    client => '2001:db8::2')), 'unique', access($v6, client => '2001:DB8:0:0::1'),
    'IPv6, however it is written');
my $mapped = request(client => '192.0.2.7');
found(one($mapped, access($mapped, client => '::ffff:192.0.2.7')), 'unique',
    access($mapped, client => '::ffff:192.0.2.7'), 'an IPv4 address mapped');
found(one($r, access($r, client => 'host-9.isp.example')), 'unique',
    access($r, client => 'host-9.isp.example'), 'HostnameLookups On');
my $proxied = '%h %a %l %u %t "%r" %>s %b';
my $via = sub {"10.0.0.1 " . access($_[0])};
found(one($r, $via->($r) . $via->({%$r, client => '203.0.113.1'}), '--log-format',
    $proxied), 'unique', $via->($r), 'mod_remoteip: %a is the client');
my $peer = sub {"10.0.0.1 " . access($_[0])};
found(one($r, $peer->($r), '--log-format', '%{c}a %a %l %u %t "%r" %>s %b'),
    'unique', $peer->($r), '... and %{c}a is the proxy');

# ---- a log that is being written, cut or damaged
found(one($r, join('', map {access($_)} @noise) . access($r) . substr access($noise[0]), 0, 30),
    'unique', access($r), 'the last line is half written');
found(one($r, join('', map {access($_)} @noise) . access($r) =~ s/\n\z//r),
    'unique', access($r), 'the last line without its end');
found(one($r, "\0" x 4096 . "\n" . join('', map {access($_)} @noise, $r)),
    'unique', access($r), 'a block of zeros (a crash) before it');
found(one($r, join('', map {access($_), "garbage \xff\xfe [24/Nov\n"} @noise, $r)),
    'unique', access($r), 'every other line is none');
spew($acc, join '', map {access($_)} @noise, $r);
run('sh', '-c', "gzip -c $acc | head -c 3000 >$dir/cut.log.gz");
($rc, $out) = run($MAILORIGIN, 'trace', '--id', $r->{mail}, '--access-log', "$dir/cut.log.gz");
is($rc, 0, 'a .gz that is cut');
like($out, qr/ends too early|cut\.log\.gz/, '... and it is said');
like($out, qr/cut\.log\.gz: the compressed data ends too early/, '... and how');
# members and frames: many, padded, hard to hold in one buffer
my @gz = map {access($_)} @noise[0 .. 99], $r, @noise[101 .. 199];
my $zeros = "0 - - [01/Jan/2020:00:00:00 +0000] \"" . 'a' x 3000000 . "\" 200 5\n";
for my $pack (['gzip', 'gz'], ['zstd -q', 'zst']) {
    my ($cmd, $ext) = @$pack;
    for my $size (1, 7, 50) {
        unlink glob "$dir/m.*";
        for (my $i = 0; $i < @gz; $i += $size) {
            my $end = $i + $size - 1;
            spew("$dir/m.one", join '', @gz[$i .. ($end > $#gz ? $#gz : $end)]);
            run('sh', '-c', "$cmd -c $dir/m.one >>$dir/m.log.$ext");
        }
        found(one($r, undef, '--access-log', "$dir/m.log.$ext"), 'unique', access($r),
            "$ext of parts of $size lines");
    }
    spew("$dir/m.one", join '', $zeros, @gz);
    run('sh', '-c', "$cmd -c $dir/m.one >$dir/m.log.$ext");
    found(one($r, undef, '--access-log', "$dir/m.log.$ext", '--log-format', 'common'),
        'unique', access($r), "$ext that inflates to a thousand times its size");
    next if $ext ne 'gz';
    run('sh', '-c', "head -c 65536 /dev/zero >>$dir/m.log.gz");
    my ($o) = one($r, undef, '--access-log', "$dir/m.log.gz", '--log-format', 'common');
    found($o, 'unique', access($r), '... padded with zeros');
    my $bytes = slurp("$dir/m.log.gz");
    substr($bytes, 5000, 1) ^= "\x40";
    spew("$dir/m.log.gz", $bytes);
    spew($log, record($r));
    like((run($MAILORIGIN, 'trace', '--id', $r->{mail}, '--access-log', "$dir/m.log.gz",
        '--log-format', 'common'))[1], qr/m\.log\.gz: .*(damaged|checksum|invalid|incorrect)/,
        '... and with one bit changed: said');
}
done_testing;
