#!/usr/bin/perl
# waves: a hacked script's burst is found among a newsletter of every Monday
# and a busy shop, with the request that began it and the upload before it;
# and the classic correlation over the logs of three MTAs.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Httpd;
use JSON::PP;
use POSIX qw(strftime);

my $json = JSON::PP->new->utf8;
my $dir = scratch();
run($MAILORIGIN, qw(key init));
my $monday = 1793610000; # 2026-11-02 09:00 UTC
sub rfc {return strftime('%Y-%m-%dT%H:%M:%S', gmtime $_[0]) . '.000000Z'}
sub clf {return strftime('%d/%b/%Y:%H:%M:%S +0000', gmtime $_[0])}
my @mails; # [time, fields]
my $script = "$dir/x.php";
spew($script, '<?php');
my $week = 7 * 86400;
for my $w (0 .. 3) {
    push @mails, [$monday + $w * $week + int($_ / 3),
        {vhost => 'news.example', script => '/srv/news/send.php'}]
        for 0 .. 199;
}
for (my $t = $monday - 86400; $t < $monday + 4 * $week; $t += 900) {
    push @mails, [$t, {vhost => 'shop.example', script => '/srv/shop/order.php'}];
}
my $attack = $monday + 3 * $week + 7200;
for my $i (0 .. 149) {
    push @mails, [$attack + $i, {vhost => 'hacked.example', script => $script,
        uri => '/x.php', method => 'POST', client => '198.51.100.9',
        request_id => "Req$i", request_time => rfc($attack + $i - 1),
        uid => 1001}];
}
# a busy site doubles its rate for a while: no wave; ten times: one
for (my $t = $monday + 3 * $week; $t < $monday + 3 * $week + 4 * 3600; $t += 10) {
    push @mails, [$t, {vhost => 'busy.example', script => '/srv/busy/a.php'}];
}
my $n = 0;
spew("$dir/mail.log", join '', map {
    my ($t, $f) = @$_;
    my %f = (verdict => 'verified', action => 'passed', id => 'm' . ++$n, %$f);
    '{"time":"' . rfc($t) . '"' . join('', map {
        ",\"$_\":" . ($f{$_} =~ /^\d+$/ ? $f{$_} : "\"$f{$_}\"")
    } sort keys %f) . "}\n"
} sort {$a->[0] <=> $b->[0]} @mails);

my $upload = $attack - 3600;
utime $upload, $upload, $script;
my $format = '%h %l %u %t \"%r\" %>s %b %{MAILORIGIN_ID}e';
my @access = ([$upload - 20, '203.0.113.5', 'POST /other.php', 'R-o'],
    [$upload - 1, '198.51.100.66', 'POST /upload.php?a=1', 'R-u'],
    [$upload - 1, '198.51.100.66', 'GET /upload.php', 'R-g'],
    map {[$attack + $_ - 1, '198.51.100.9', 'POST /x.php', "Req$_"]} 0 .. 149);
for my $i (-400 .. 600) { # all the time
    push @access, [$attack + 5 * $i, '192.0.2.8', 'GET /shop/index.php', "S$i"];
}
@access = sort {$a->[0] <=> $b->[0]} @access;
spew("$dir/access.log", join '', map {
    "$_->[1] - - [" . clf($_->[0]) . "] \"$_->[2] HTTP/1.1\" 200 12 $_->[3]\n"
} @access);
my @log = ('--log', "$dir/mail.log", '--access-log', "$dir/access.log",
    '--log-format', $format);

sub waves {
    my ($rc, $out, $err) = run($MAILORIGIN, 'waves', '--json', @_);
    diag($err) if $rc == 2;
    return map {$json->decode($_)} split /\n/, $out;
}
my @w = waves(@log, '--since', '@' . ($monday + 3 * $week));
my ($hit) = grep {($_->{vhost} // '') eq 'hacked.example'} @w;
ok($hit, 'the hacked script\'s wave is found') or diag explain \@w;
is($hit->{count}, 150, '... all of its mails');
is($hit->{start}, rfc($attack), '... from the first');
is($hit->{end}, rfc($attack + 149), '... to the last');
is($hit->{script}, $script, '... its script');
is($hit->{client}, '198.51.100.9', '... the client that set it off');
is($hit->{request_id}, 'Req0', '... the first request');
is($hit->{access_match}, 'exact', '... and its access_log line');
like($hit->{access_lines}[0], qr{"POST /x\.php HTTP/1\.1" 200 12 Req0$},
    '... that one');
like($hit->{uploads}[-1]{line}, qr/198\.51\.100\.66 .*POST \/upload\.php/,
    '... the request that wrote the script');
ok(!(grep {$_->{vhost} eq 'news.example'} @w),
    'the newsletter of every Monday is none');
ok(!(grep {$_->{vhost} eq 'shop.example'} @w), 'the shop is none');
my @all = waves(@log, '--all');
is(scalar(grep {$_->{vhost} eq 'news.example'} @all), 4, '--all has it');
is(scalar(grep {$_->{vhost} eq 'news.example' && $_->{past} eq 'usual'} @all),
    4, '... all four as usual: the first is known by those after it');
ok(!(grep {$_->{vhost} eq 'news.example'} waves(@log)),
    '... so none is shown');
is($hit->{past}, 'new', 'the hacked script never mailed before');
my ($rc, $out, $err) = run($MAILORIGIN, 'waves', @log,
    '--since', '@' . ($attack - 60));
is($rc, 0, 'as text');
like($out, qr/150 mails.*\n  vhost hacked\.example  script \Q$script\E/,
    '... what and where');
like($out, qr/^  new: it has not mailed before/m, '... by what it is a wave');
like($out, qr/set off by 198\.51\.100\.9  POST \/x\.php  request Req0/,
    '... by whom');
like($out, qr/a hint: the script was last written at .*\n.*POST \/upload\.php/,
    '... and the hint, called so');
is((waves(@log, '--min', 1000)) + 0, 1, '--min: only the busy one\'s 1440')
    or diag explain [map {$_->{vhost}} waves(@log, '--min', 1000)];
is((run($MAILORIGIN, 'waves', '--min', 'x', @log))[0], 2, '--min x');

# What is no habit yet is shown, with what it can be compared to.  One series
# grown mail by mail: each burst as the admin would see it on its day.
my @series; # [time, count]
sub last_of_series {
    my (%other) = @_;
    my @m = map {my ($t, $n) = @$_; map {$t + $_} 0 .. $n - 1} @series;
    my $log = '';
    for (sort {$a->[0] <=> $b->[0]} (map {[$_, 'n.example']} @m),
        map {[$_, 'old.example']} @{$other{old} // []}) {
        $log .= sprintf '{"time":"%s","id":"x","verdict":"verified",'
            . "\"vhost\":\"%s\"}\n", rfc($_->[0]), $_->[1];
    }
    spew("$dir/series.log", $log);
    my @got = grep {$_->{vhost} eq 'n.example'}
        waves('--log', "$dir/series.log", '--access-log', "$dir/access.log",
        '--log-format', $format, '--since', '@' . ($series[-1][0] - 60));
    return $got[-1] ? $got[-1]{past} : 'hidden';
}
my @old = map {$monday - 86400 * 20 + 3600 * $_} 0 .. 24;
@series = ([$monday, 200]);
is(last_of_series(), 'none', 'day one: no past to compare');
is(last_of_series(old => \@old), 'new', '... or new in an old log');
push @series, [$monday + $week + 1800, 220];
is(last_of_series(), 'similar', 'the second Monday: like the first');
push @series, [$monday + 2 * $week - 1800, 180];
is(last_of_series(), 'hidden', 'the third: a habit');
push @series, [$monday + 3 * $week, 900];
is(last_of_series(), 'above', 'four times as many: none');
$series[-1] = [$monday + 3 * $week + 5 * 3600, 200];
is(last_of_series(), 'above', 'five hours late: none');
@series = map {[$monday + 86400 * $_, 100]} 0 .. 5;
is(last_of_series(), 'similar', 'the sixth day in a row: still shown');
push @series, [$monday + 86400 * 6, 100];
is(last_of_series(), 'hidden', 'the seventh: a habit');

# without our mail log
my %line = (
    postfix => sub {
        my ($t, $u, $i) = @_;
        return strftime('%b %e %H:%M:%S', gmtime $t)
            . " mx postfix/pickup[77]: A${i}F: uid=$u from=<x\@y.example>\n"
            . strftime('%b %e %H:%M:%S', gmtime $t)
            . " mx postfix/qmgr[78]: A${i}F: from=<x\@y.example>, size=3\n";
    },
    exim => sub {
        my ($t, $u, $i) = @_;
        return strftime('%Y-%m-%d %H:%M:%S', gmtime $t)
            . " 1xVmMA-00007j-15 <= x\@y.example U=$u P=local S=797\n"
            . strftime('%Y-%m-%d %H:%M:%S', gmtime $t)
            . " 1xVmMA-00007j-16 <= in\@y.example H=mx P=esmtp S=797\n";
    },
    sendmail => sub {
        my ($t, $u, $i) = @_;
        return strftime('%Y-%m-%dT%H:%M:%S.000000+00:00', gmtime $t)
            . " mx sendmail[99]: 6AO8waJG00$i: from=x, size=3, class=0, "
            . "nrcpts=1, msgid=<a\@b>, relay=$u\@localhost\n";
    });
# (Postfix's lines have no year: it is read as the past year's where the date
# is still to come; the access log is of the attack's)
for my $mta (sort keys %line) {
    my $text = '';
    for (my $t = $attack - 40000; $t < $attack + 600; $t += 1800) {
        $text .= $line{$mta}->($t, 'web1', 1);
    }
    $text .= $line{$mta}->($attack + $_, 'web2', $_) for 0 .. 149;
    spew("$dir/$mta.log", $text);
    my @g = waves('--from-maillog', "$dir/$mta.log", '--access-log',
        "$dir/access.log", '--log-format', $format);
    is(scalar @g, 1, "$mta: one wave") or diag explain \@g;
    is($g[0]{count}, 150, '... of 150');
    is($g[0]{user}, 'web2', '... by user');
    is($g[0]{guess}[0]{request}, '/x.php', '... and the request, first of the'
            . ' guesses') or diag explain $g[0];
}
($rc, $out) = run($MAILORIGIN, 'waves', '--from-maillog', "$dir/exim.log",
    '--access-log', "$dir/access.log", '--log-format', $format);
like($out, qr/a guess: \/x\.php  150 requests then, 0 around/, 'called a guess');
unlike($out, qr/a guess: \/shop\/index\.php/,
    'what is asked for all the time is none');

# one request that sends all, among many of a busy page, while it goes on
spew("$dir/one.log", join '', map {
    "192.0.2.8 - - [" . clf($_->[0]) . "] \"$_->[1] HTTP/1.1\" 200 12\n"
} sort {$a->[0] <=> $b->[0]} [$attack - 1, 'POST /wp-content/one.php'],
    map {[$attack - 1800 + 3 * $_, ($_ % 20 ? 'GET' : 'POST') . ' /index.php']}
    0 .. 649);
my @g = waves('--from-maillog', "$dir/exim.log", '--access-log',
    "$dir/one.log", '--log-format', '%h %l %u %t \"%r\" %>s %b');
is($g[0]{guess}[0]{request}, '/wp-content/one.php',
    'one POST of a script that is asked for at no other time comes first')
    or diag explain $g[0]{guess};

# what a mail says of itself is not who sent it
my %lie = (
    postfix => sub { strftime('%b %e %H:%M:%S', gmtime $_[0])
        . ' mx postfix/cleanup[9]: B1F: warning: header Subject: '
        . "/pickup[1]: C1F: uid=root from=<x>\n"},
    exim => sub { strftime('%Y-%m-%d %H:%M:%S', gmtime $_[0])
        . ' 1xVmMA-00007j-15 <= "a <= b U=root P=local"@y.example U=web3 '
        . "P=local S=7 id=x U=root P=local\n"},
    sendmail => sub { strftime('%b %e %H:%M:%S', gmtime $_[0])
        . ' mx sendmail[9]: 6AO8waJG001: from=<a@localhost>, size=3, msgid=<x, '
        . "relay=root\@localhost>, proto=SMTP, relay=localhost [127.0.0.1]\n"});
for my $mta (sort keys %lie) {
    spew("$dir/lie.log", join '', map {$lie{$mta}->($attack + $_)} 0 .. 99);
    my @who = map {$_->{user}} waves('--from-maillog', "$dir/lie.log",
        '--access-log', "$dir/access.log", '--log-format', $format);
    is("@who", $mta eq 'exim' ? 'web3' : '', "$mta: no lie is believed");
}

# what came from elsewhere is not from here, whatever it says
spew("$dir/lie.log", join '', map {
    my $t = strftime('%Y-%m-%d %H:%M:%S', gmtime $attack);
    "$t 1xVmMA-00007j-1$_->[0] <= $_->[1]\n"
} [1, 'a@b.example H=([127.0.0.1]) [198.51.100.9] P=esmtp S=7 id=x@y'],
    [2, 'a@b.example H=x [198.51.100.9] P=esmtp S=7 id=x U=root P=local'],
    [3, 'a@b.example H=x [198.51.100.9]:77 I=[127.0.0.1]:25 P=esmtp S=7 id=x'],
    [4, 'a@b.example U=web3 P=local S=7 id=here U=root H=x [127.0.0.1]'],
    [5, 'a@b.example H=(x) [127.0.0.1]:99 P=esmtp S=7 id=loop@y'],
    [6, '<> R=1xVmMA-00007j-11 U=Debian-exim P=local S=9 id=bounce@y']);
spew("$dir/none.log", '');
my ($urc, $uout) = run($MAILORIGIN, qw(log --unrecorded --json --log),
    "$dir/none.log", "$dir/lie.log");
is(join(', ', map {"$_->{taken} " . ($_->{user} // '-') . " $_->{message_id}"}
    map {$json->decode($_)} split /\n/, $uout), 'local web3 here, smtp - loop@y',
    'log --unrecorded: what came from here alone');

# rotated and compressed, a pattern, several, a pipe: the whole past of it
my @lines = split /^/, slurp("$dir/exim.log");
my $third = int(@lines / 3) + 1;
mkdir "$dir/rotated";
my $main = "$dir/rotated/mainlog";
my @first = @lines[0 .. $third - 1];
spew("$main.2", join '', @first);
spew("$main.1", join '', @lines[$third .. 2 * $third - 1]);
spew($main, join '', @lines[2 * $third .. $#lines]);
utime $attack + $_, $attack + $_, $main . ('.2', '.1', '')[$_] for 0 .. 2;
run('gzip', "$main.2");
run('zstd', '-q', '--rm', "$main.1");
my @to = ('--access-log', "$dir/rotated/access.log", '--log-format', $format);
@lines = split /^/, slurp("$dir/access.log");
spew("$dir/rotated/access.log.1", join '', @lines[0 .. 400]);
spew("$dir/rotated/access.log", join '', @lines[401 .. $#lines]);
run('gzip', "$dir/rotated/access.log.1");
for my $from ([$main], ["$main*"], [$main, "$main.1.zst", "$main.2.gz"]) {
    my @g = waves((map {('--from-maillog', $_)} @$from), @to);
    is(join(' ', map {"$_->{user} $_->{count} $_->{guess}[0]{request} "
        . "$_->{guess}[0]{in}"} @g), 'web2 150 /x.php 150',
        "--from-maillog @{[map {s{.*/}{}r} @$from]}: rotated, compressed");
}
is((waves('--from-maillog', "$main.2.gz", @to))[0]{count},
    scalar(grep {/U=web2 P=local/} @first), 'one alone');
my ($prc, $pout) = run('sh', '-c', 'f=$1; shift; cat "$f" | "$@"', 'sh',
    "$dir/exim.log", $MAILORIGIN, qw(waves --json --from-maillog -), @to);
is($json->decode($pout || '{}')->{count}, 150, 'and on stdin');
($prc, undef, my $perr) = run($MAILORIGIN, 'waves', '--from-maillog',
    "$dir/nowhere.log", @to);
is($prc, 2, 'no such mail log: trouble');
like($perr, qr{nowhere\.log: No such file}, '... said');

# an access log that is not to be read is said, once
spew("$dir/damaged.log.gz", substr(slurp("$dir/rotated/access.log.1.gz"), 0, 900));
for my $bad (["$dir/nowhere.log", qr/no such file/],
    ["$dir/damaged.log.gz", qr/ends too early/]) {
    (undef, undef, $perr) = run($MAILORIGIN, 'waves', '--from-maillog',
        "$dir/exim.log", '--access-log', $bad->[0], '--log-format', $format);
    is(scalar(() = $perr =~ /$bad->[1]/g), 1, "$bad->[0]: said, once")
        or diag($perr);
    (undef, undef, $perr) = run($MAILORIGIN, 'waves', '--log', "$dir/mail.log",
        '--all', '--access-log', $bad->[0], '--log-format', $format);
    like($perr, $bad->[1], '... with a mail log of ours, too') or diag($perr);
}

# one access_log of httpd for all vhosts, which does not say whose a line is:
# the logs are as httpd's own layout file has them
my $h = MO::Httpd->new(modules => ['cgid'], log_format => 'common',
    vhosts => [map { {name => $_} } qw(shop.example hacked.example)]);
$h->put("$_:upload.cgi", <<'SH', 0755) for qw(shop.example hacked.example);
#!/bin/sh
[ "$REQUEST_METHOD" != POST ] || cat > "$DOCUMENT_ROOT/$QUERY_STRING"
printf 'Content-Type: text/plain\n\nok\n'
SH
$h->put('hacked.example:note.txt', "x\n");
run('chmod', '-R', 'a+rwX', $h->root . '/vhosts');
sub asked {
    my ($host, $path, @body) = @_;
    return $h->get($path, headers => {Host => $host},
        @body ? (method => 'POST', body => @body) : ())->{status};
}
is(asked('hacked.example', '/note.txt'), 200, 'the hacked site is looked at');
is(asked('shop.example', '/upload.cgi?order.txt', 'an order'), 200,
    'a POST of another site');
is(asked('hacked.example', '/upload.cgi?x.cgi', "#!/bin/sh\n"), 200,
    'the upload');
$h->wait_access(3);
my $x = $h->docroot('hacked.example') . '/x.cgi';
my $mtime = (stat $x)[9];
spew("$dir/shared.log", join '', map {
    sprintf '{"time":"%s","id":"s%d","verdict":"verified","action":"passed",'
        . '"vhost":"hacked.example","script":"%s","uri":"/x.cgi"}' . "\n",
        rfc($mtime + 60 + $_), $_, $x
} 0 .. 49);
($hit) = waves('--log', "$dir/shared.log");
my @up = map {$_->{line}} @{$hit->{uploads} // []};
is(scalar(grep {m{"POST /upload\.cgi\?x\.cgi HTTP/1\.1" 200}} @up), 1,
    'a log that all sites share: the upload is among the hints')
    or diag explain $hit, $h->access_lines;
is(scalar(grep {/note\.txt/} @up), 0, '... what changes nothing is not');
# later POSTs of other sites in the same second don't push it out
asked('shop.example', '/upload.cgi?order.txt', 'an order') for 1 .. 5;
$h->wait_access(8);
($hit) = waves('--log', "$dir/shared.log");
@up = map {$_->{line}} @{$hit->{uploads} // []};
is(scalar(grep {m{"POST /upload\.cgi\?x\.cgi }} @up), 1,
    '... still, when others go on posting') or diag explain \@up;
# with %v in its lines only that site's count
$h->stop;
unlink $h->root . '/logs/access.log';
$h = MO::Httpd->new(root => $h->root, modules => ['cgid'],
    log_format => 'vhost_combined',
    vhosts => [map { {name => $_} } qw(shop.example hacked.example)]);
asked('shop.example', '/upload.cgi?order.txt', 'an order');
asked('hacked.example', '/upload.cgi?x.cgi', "#!/bin/sh\n");
asked('shop.example', '/upload.cgi?order.txt', 'an order');
$h->wait_access(3);
($hit) = waves('--log', "$dir/shared.log");
is_deeply([sort map {m{^(\S+) .*"(POST \S+)}} map {$_->{line}}
    @{$hit->{uploads} // []}], ['POST /upload.cgi?x.cgi',
    'hacked.example:80'], 'with vhosts in the lines: the site\'s own')
    or diag explain $hit;
$h->stop;
done_testing;
