#!/usr/bin/perl
# top over a mail log made here, plain and compressed; now with a script that
# mails while we look.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Httpd;
use JSON::PP;

my $json = JSON::PP->new->utf8;
my $dir = scratch();
sub line {
    my (%o) = @_;
    my $f = sub {my $v = $_[0]; $v =~ /^\d+$/ ? $v : '"' . $v . '"'};
    return '{"time":"' . delete($o{time}) . '"'
        . join('', map {",\"$_\":" . $f->($o{$_})} sort keys %o) . "}\n";
}
my $log = '';
for my $i (0 .. 99) {
    $log .= line(time => sprintf('2026-11-24T%02d:00:%02d.000000Z', 8 + int($i / 50), $i % 50),
        id => "m$i", verdict => 'verified', action => $i % 10 ? 'passed' : 'refused',
        vhost => $i % 4 ? 'a.example' : 'b.example', script => '/s' . $i % 5,
        uid => 1000 + $i % 2, client => '192.0.2.1');
}
$log .= "no record\n" . line(time => '2026-11-24T09:30:00.000000Z', id => 'c',
    verdict => 'none', action => 'passed', uid => 0);
spew("$dir/mail.log", $log);
run('sh', '-c', "gzip -k $dir/mail.log; zstd -q $dir/mail.log 2>/dev/null");

sub top {
    my ($rc, $out, $err) = run($MAILORIGIN, 'top', '--json', @_);
    is($rc, 0, "top @_") or diag($err);
    return map {$json->decode($_)} split /\n/, $out;
}
for my $file ('mail.log', 'mail.log.gz') {
    my @v = top('--by', 'vhost', '--log', "$dir/$file");
    is(join(' ', map {"$_->{key}:$_->{count}"} @v),
        'a.example:75 b.example:25 :1', "$file by vhost");
    is($v[0]{first}, '2026-11-24T08:00:01.000000Z', '... first');
    is($v[0]{last}, '2026-11-24T09:00:49.000000Z', '... last');
    is($v[0]{passed} + $v[0]{refused}, 75, '... actions');
}
my @log = ('--log', "$dir/mail.log");
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'script', @log)),
    '/s0:20 /s1:20 /s2:20 /s3:20 /s4:20 :1', 'by script');
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'uid', @log)),
    '1000:50 1001:50 0:1', 'by uid');
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'hour', @log)),
    '2026-11-24 08:00 +0000:50 2026-11-24 09:00 +0000:51', 'by hour');
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'verdict', '-n', 1, @log)),
    'verified:100', 'by verdict, the first');
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'client', @log)),
    '192.0.2.1:100 :1', 'by client');
is(join(' ', map {"$_->{key}:$_->{count}"} top('--by', 'uri', @log)),
    ':101', 'by uri, which none has');
is((top('--by', 'script', '--uid', 1000, @log))[0]{count}, 10, 'by one field, filtered by another');
is((top('--by', 'verdict', '--since', '2026-11-24 09:00', @log))[0]{count}, 50, 'since');
for my $ext ('zst', 'gz') {
    my ($st, $o) = run('sh', '-c', "test -e $dir/mail.log.$ext");
    is($st, 0, "there is a .$ext");
    is((top('--by', 'vhost', '--log', "$dir/mail.log.$ext"))[0]{count}, 75, ".$ext");
}
is((top('--by', 'vhost', '--script', '/s1', @log))[0]{count}, 15, 'filtered');
is((run($MAILORIGIN, 'top', '--by', 'moon', @log))[0], 2, '--by moon');
is((run($MAILORIGIN, 'top', '--vhost', 'none.example', @log))[0], 1, 'nothing');

# hostile names: taken literally, one row each, and no raw byte to a terminal
my @evil = ('*', '-rf', ';$(touch ' . $dir . '/evil)', "a\nb", "\e[2J\r\t\0x",
    'x' x 8000, '"quoted", \\', "caf\xc3\xa9", '%s%n', '=1+1');
my $j = JSON::PP->new->ascii->canonical; # (uid and times are numbers)
my $n = 0;
spew("$dir/evil.log", join '', map {
    my $v = $_;
    utf8::decode($v);
    '{"time":"2026-11-24T08:00:00.' . sprintf('%06d', $n++) . 'Z",'
        . substr($j->encode({id => "e$n", verdict => 'verified',
            action => 'passed', request_id => "r$n",
            request_time => '2026-11-24T08:00:00.000000Z',
            map {$_ => $v} qw(vhost script uri client subject)}), 1) . "\n"
} @evil);
my @shown = map {my $v = $_; utf8::decode($v); $v =~ s/\0/?/g; $v} @evil; # (no C string holds it)
for my $by (qw(script vhost uri client)) {
    my @got = top('--by', $by, '-n', 0, '--log', "$dir/evil.log");
    is(join('|', sort map {$_->{key}} @got), join('|', sort @shown),
        "--by $by: each name as it is");
    my ($st, $o) = run($MAILORIGIN, 'top', '--by', $by, '-n', 0, '--log', "$dir/evil.log");
    is($o =~ tr/\n//, @evil + 1, '... a line each');
    unlike($o, qr/[\0-\x09\x0b-\x1f\x7f]/, '... without a raw control byte');
    for my $v (@evil) {
        next if $v =~ /\0/; # no argument can hold it
        # (a star at the end makes a prefix of a path)
        my $arg = $v eq '*' && $by =~ /script|uri/ ? '\\*' : $v;
        ($st, $o) = run($MAILORIGIN, 'top', '--json', '--by', 'verdict',
            "--$by=$arg", '--log', "$dir/evil.log");
        my ($one) = map {$json->decode($_)} split /\n/, $o;
        is($one ? $one->{count} : 0, 1, "... --$by " . substr($v =~ s/[^ -~]/?/gr, 0, 20));
    }
}
for my $form ([], ['--csv'], ['--json']) {
    spew("$dir/evil.access", join '', map {
        '192.0.2.1 - - [24/Nov/2026:08:00:00 +0000] "GET /' . $_
            . ' HTTP/1.1" 200 1 "-" "-" r' . "$_\n" } 1 .. @evil);
    my ($st, $o, $e) = run($MAILORIGIN, qw(log --access), @$form, '--log',
        "$dir/evil.log", '--access-log', "$dir/evil.access", '--log-format',
        '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{UNIQUE_ID}e');
    is($st, 0, "log --access @$form") or diag($e);
    unlike($o, qr/[\0-\x09\x0b-\x1f\x7f]/, '... no raw control byte');
    is($o =~ tr/\n//, @$form ? @evil + ($form->[0] eq '--csv') : 2 * @evil,
        '... a line each');
    is(scalar(() = $o =~ /exact/g), scalar @evil, '... with its access_log line');
}
ok(!-e "$dir/evil", 'nothing ran');

# now
is((run($MAILORIGIN, 'now'))[0], 2, 'now: no httpd has run');
my $r = MO::Recorder->new;
my $h = MO::Httpd->new(mpm => 'prefork', modules => ['cgi']);
my $go = "$dir/go";
chmod 0777, $dir;
$h->put('mail.cgi', <<"SH", 0755);
#!/bin/sh
for i in 1 2 3; do printf 'Subject: x\\n\\nx\\n' | $WRAPPER -i a\@b.example; done
touch $dir/sent
while [ ! -e $go ]; do sleep 0.05; done
printf 'Content-Type: text/plain\\n\\nok\\n'
SH
is((run($MAILORIGIN, 'now'))[0], 1, 'now: nothing is in progress');
my $s = $h->connect;
$h->send_request($s, 'GET', '/mail.cgi?secret=1');
wait_for(sub {-e "$dir/sent"}, 'three mails');
my ($rc, $out, $err) = run($MAILORIGIN, 'now', '--json');
is($rc, 0, 'now: one is') or diag($err);
my $o = $json->decode((split /\n/, $out)[0]);
is($o->{mails}, 3, '... with three mails so far');
is($o->{script}, $h->docroot . '/mail.cgi', '... its script');
is($o->{uri}, '/mail.cgi', '... its URI without the query');
like($o->{pid}, qr/^\d+$/, '... its pid');
like((run($MAILORIGIN, 'now'))[1], qr/ 3 mails .*mail\.cgi$/m, '... as text');
is((run($MAILORIGIN, 'now', '--vhost', 'x.example'))[0], 1, '... filtered');
spew($go, '');
wait_for(sub {(run($MAILORIGIN, 'now'))[0] == 1}, 'its end');
$h->stop;

# several at once, of threads; a site without MailOrigin; order and filters
unlink $go;
$h = MO::Httpd->new(mpm => 'event', modules => ['cgid'], vhosts => [
    {name => 'a.example'}, {name => 'b.example'},
    {name => 'off.example', conf => "  MailOrigin Off\n"}]);
for my $site (qw(a.example b.example off.example)) {
    $h->put("$site:mail.cgi", <<"SH", 0755);
#!/bin/sh
i=0
while [ \$i -lt \$QUERY_STRING ]; do
    printf 'Subject: x\\n\\nx\\n' | $WRAPPER -i a\@b.example; i=\$((i + 1))
done
touch $dir/sent.$site.\$QUERY_STRING
while [ ! -e $go ]; do sleep 0.05; done
printf 'Content-Type: text/plain\\n\\nok\\n'
SH
}
my @asked = (['a.example', 1], ['a.example', 4], ['b.example', 2], ['off.example', 0]);
my @s = map {
    my ($site, $mails) = @$_;
    my $c = $h->connect;
    $h->send_request($c, 'GET', "/mail.cgi?$mails", headers => {Host => $site});
    $c;
} @asked;
wait_for(sub {!grep {!-e "$dir/sent.$_->[0].$_->[1]"} @asked}, 'their mails');
sub now {
    my ($st, $text, $said) = run($MAILORIGIN, 'now', '--json', @_);
    diag($said) if $st == 2;
    return map {$json->decode($_)} split /\n/, $text;
}
is(join(', ', map {"$_->{vhost} $_->{mails}"} grep {$_->{vhost}} now()),
    'a.example 4, b.example 2, a.example 1', 'now: who mails most comes first');
ok(!(grep {($_->{vhost} // '') eq 'off.example'} now()), '... MailOrigin Off stays out');
is(join(' ', map {$_->{mails}} now('--vhost', 'a.example')), '4 1', '... by vhost');
is(join(' ', map {$_->{mails}} now('--script', $h->docroot('b.example') . '/*')), '2',
    '... by script');
my ($cut) = grep {$_->{mails} == 4} now();
ok(-e "/proc/$cut->{pid}/task/$cut->{tid}", '... its process and thread are there');
close $_ for @s;
spew($go, '');
wait_for(sub {(run($MAILORIGIN, 'now'))[0] == 1}, 'their end');
done_testing;
