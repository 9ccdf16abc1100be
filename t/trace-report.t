#!/usr/bin/perl
# trace --report, which goes to a customer; and what a terminal gets to see
# when everything in mail, record and log is hostile.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use Encode ();
use JSON::PP;

my $dir = scratch();
my $log = "$LOG/mail.log";
my $acc = "$dir/access.log";
my $r = request();
my $neighbour = request(vhost => 'neighbour.example', uri => '/secret-shop.php',
    script => '/srv/neighbour/shop.php', client => '203.0.113.77',
    from => 'boss@neighbour.example', time => $r->{time});
my @more = map {request(time => $r->{time} + 60 * $_)} 1 .. 9;
spew($log, join '', record($neighbour), record($r, subject => 'cheap',
    recipient_list => 'victim@x.example', query => 'token=geheim',
    pid => 4711, parents => '1 systemd, 12 apache2'), map {record($_)} @more);
spew($acc, access($neighbour) . access($r));
my @arg = ('--report', '--access-log', $acc);

sub report { return run($MAILORIGIN, 'trace', @arg, @_) }
my ($rc, $out, $err) = report('--id', $r->{mail});
is($rc, 0, 'a report');
like($out, qr/^Subject: Mail sent by a script of hacked\.example\n\n/, 'a subject');
like($out, qr{^Script +\Q$r->{script}\E$}m, 'the script');
like($out, qr{^Request +POST /wp-content/x\.php$}m, 'the request');
like($out, qr{^Client +198\.51\.100\.9$}m, 'the client');
like($out, qr/^  \Q@{[access($r) =~ s|\n||r]}\E$/m, 'its line of access_log');
like($out, qr/^In all this script sent 10 mails, the first at 2026-11-24 08:00:01 \+0000, the last at 2026-11-24 08:09:01/m,
    'how many and when');
unlike($out, qr/neighbour|203\.0\.113\.77|boss/, 'nothing of the neighbour');
unlike($out, qr/4711|systemd|apache2|mailorigin [a-z]|$dir/,
    'nothing of how the server works');
is($err, '', 'nothing beside it');

# equal lines may be another's
spew($acc, access($r) x 2);
($rc, $out) = report('--id', $r->{mail});
unlike($out, qr/Its line in the web server's log/, 'ambiguous lines are left out');
# a verdict that might name the wrong site
for my $verdict (qw(claimed ambiguous hidden forged none)) {
    spew($log, record($r, verdict => $verdict,
        candidates => 'neighbour.example /secret-shop.php'));
    ($rc, $out, $err) = report('--id', $r->{mail});
    is($rc, 2, "$verdict: no report");
    is($out, '', '... nothing is written');
    like($err, qr/not sure enough for a report/, '... and it says why');
}
# where the token shown was another's, the kernel's origin counts
spew($log, record($r, verdict => 'conflict', claimed_vhost => 'neighbour.example',
    claimed_uri => '/secret-shop.php'));
($rc, $out) = report('--id', $r->{mail});
is($rc, 0, 'conflict: the origin by kernel facts');
unlike($out, qr/neighbour/, '... and not whose token was shown');
# a copied stamp must not frame the site
spew($log, record($r));
spew("$dir/x.eml", mail($r, message_id => 'spam@elsewhere.example'));
($rc, $out, $err) = report("$dir/x.eml");
is($rc, 2, 'a possible replay: no report');
like($err, qr/possible replay/, '... and it says why');
spew("$dir/x.eml", mail($r));
is((report("$dir/x.eml"))[0], 0, 'the stamped mail itself: one');

# ---- hostile content
my $evil = "\e]0;owned\a\e[2J\r\n\x9b1m\x7f\b\xc2\x9b31m\xe2\x80\xae\xff\"'\\;\$(id)`id`<script>";
my $h = request(uri => "/$evil", script => "/srv/hacked/$evil.php");
my $rec = record($h, subject => $evil, envelope_from => "$evil\@x",
    recipient_list => $evil, query => $evil, user => $evil, exe => $evil,
    cwd => $evil, parents => $evil, candidates => $evil, handler => $evil,
    reason => $evil, verdict => "verified", claimed_vhost => $evil,
    claimed_uri => $evil, claimed_script => $evil, host => $evil,
    action => "refused\e[31m", evidence => "ancestry\e[31m",
    state => "late\e[31m", method => "POST\e[31m", message_id => "<$evil>");
spew($log, $rec);
(my $line = access($h, line => 'POST /\x1b[2J HTTP/1.1')) =~ s/\n/ \e[31m raw\n/;
spew($acc, $line);
my $name = "$dir/\e[31mevil.eml";
spew($name, mail($h, message_id => "a\e[31m\@b"));
# a byte that a terminal might act on, or that is no UTF-8
sub raw {
    my $text = eval {Encode::decode('UTF-8', $_[0], Encode::FB_CROAK)};
    return 'no UTF-8' if !defined $text;
    return $text =~ /([^\n\P{Cc}]|\p{Cf}|\p{Co}|\x{2028}|\x{2029})/
        ? sprintf 'U+%04X', ord $1 : '';
}
sub on_pty {
    my (@cmd) = @_;
    my ($status, $text) = run('script', '-qec', join(' ', map {
        my $w = $_; $w =~ s/'/'\\''/g; "'$w'"} @cmd), '/dev/null');
    $text =~ s/\r\n/\n/g;
    return ($status, $text);
}
for my $how ([], ['--report'], ['--json'], ['-v']) {
    ($rc, $out) = on_pty($MAILORIGIN, 'trace', @$how, '--access-log', $acc,
        '--log-format', 'common', $name);
    $out =~ s/\e\[(?:0|1|1;31)m//g; # ours
    $out =~ s/\r[^\n]*\e\[K//g; # progress
    is(raw($out), '', "trace @$how on a terminal: no raw byte");
}
($rc, $out) = on_pty($MAILORIGIN, 'trace', '--id', $h->{mail});
is($rc, 0, 'it is traced');
like($out, qr/\\x1b\]0;owned\\x07/, '... with its bytes in sight');
($rc, $out) = on_pty($MAILORIGIN, 'log', '--log', $log);
is($rc, 0, 'log shows it');
$out =~ s/\e\[(?:0|1|1;31)m//g;
is(raw($out), '', 'log on a terminal: no raw byte');
for my $by (qw(script uri verdict)) {
    ($rc, $out) = on_pty($MAILORIGIN, 'top', '--by', $by, '--log', $log);
    $out =~ s/\e\[(?:0|1|1;31)m//g;
    is(raw($out), '', "top --by $by: no raw byte");
}
# the commands to go on with are one word each for a shell
($rc, $out) = run($MAILORIGIN, 'trace', '--id', $h->{mail});
my ($cmd) = $out =~ /^  mailorigin log (--script .*)$/m;
ok($cmd, 'a command to go on with');
my ($st, $words) = run('bash', '-c', "printf '%s\\0' $cmd");
# what was no UTF-8 was read as Latin-1 by this test's JSON
is($words, "--script\0" . Encode::encode('UTF-8', $h->{script}) . "\0", '... that a shell reads as meant');
is((run('bash', '-c', "$MAILORIGIN log $cmd >/dev/null"))[0], 0, '... and works');
# NO_COLOR
($rc, $out) = run({env => {NO_COLOR => 1}}, 'script', '-qec',
    "$MAILORIGIN trace --id $h->{mail}", '/dev/null');
unlike($out, qr/\e/, 'NO_COLOR');
done_testing;
