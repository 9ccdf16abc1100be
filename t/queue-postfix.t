#!/usr/bin/perl
# queue and purge on a real Postfix: lists by origin, takes exactly those,
# with the mail server running; and what may go wrong between looking and
# deleting.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Postfix;
use JSON::PP;
use POSIX ();

my $json = JSON::PP->new->utf8;
my $p = MO::Postfix->new;
my ($rc, $out, $err) = run($MAILORIGIN, qw(key init));
is($rc, 0, 'a keyring') or diag($err);

sub stamp {
    my (%o) = @_;
    my ($st, $field, $e) = run("$BUILD/t/tools/stamp", "$ETC/keyring",
        map {"$_=$o{$_}"} sort keys %o);
    die "stamp: $e" if $st;
    return $field;
}

my $now = time;
my $n = 0;
sub mail {
    my (%o) = @_;
    my $id = sprintf 'Mail%012d', ++$n;
    return stamp(mail => $id, when => $now, time => $now, %o)
        . "From: a\@b.example\nTo: c\@far.example\nSubject: mail $n\n\nbody $n\n";
}
my %spam = (vhost => 'hacked.example', script => '/srv/hacked/x.php',
    uri => '/x.php', client => '198.51.100.9', uid => 1001);
my %good = (vhost => 'good.example', script => '/srv/good/shop.php',
    uri => '/shop', client => '192.0.2.7', uid => 1002);

sub cli {
    my ($verb, @args) = @_;
    return run($MAILORIGIN, $verb, qw(--mta postfix --mta-config), $p->{etc},
        @args);
}
sub listed {
    my ($st, $o) = cli('queue', '--json', @_);
    return map {$json->decode($_)} split /\n/, $o;
}

# Not running yet: in maildrop
$p->inject(mail(%spam), 'x@hacked.example', 'm@far.example');
is(join(' ', map {"$_->{queue} $_->{vhost}"} listed()),
    'maildrop hacked.example', 'a mail in maildrop');
($rc, $out, $err) = cli(qw(purge --vhost hacked.example --yes));
is($rc, 0, 'maildrop is purged');
like($out, qr/^deleted 1 of 1 mails/m, '... and Postfix confirmed it');
is(scalar($p->ids('maildrop')) // 0, 0, '... nothing is left there')
    or diag($out, $err);

$p->start;
$p->inject(mail(%spam), 'x@hacked.example', "v$_\@far.example") for 1 .. 6;
$p->inject(mail(%good), 'shop@good.example', "g$_\@far.example") for 1 .. 3;
$p->inject("Subject: cron\n\nno stamp\n", 'root', 'admin@far.example');
my $forged = mail(%spam);
$forged =~ s/; s=(.{20})(.)/"; s=$1" . ($2 eq 'A' ? 'B' : 'A')/e;
$p->inject($forged, 'x@hacked.example', 'f@far.example');
my $claim = mail(%spam, token => 1);
like($claim, qr/; t=/, 'a mail with a token, as when no recorder answers');
$p->inject($claim, 'x@hacked.example', 't@far.example');
my $spammed = mail(%spam);
$p->inject("From: MAILER-DAEMON\@far.example\nSubject: failed\n\nSorry.\n\n"
        . $spammed, '<>', 'x@hacked.example');
$p->settled(13);

my @all = listed();
is(scalar @all, 13, 'all mails are listed');
my %by;
$by{$_->{vhost} // "($_->{stamp})"}++ for @all;
is_deeply(\%by,
    {'hacked.example' => 7, 'good.example' => 3, '(unstamped)' => 2,
        '(damaged)' => 1},
    'by origin') or diag explain \%by;
is(scalar(() = listed('--script', '/srv/hacked/x.php')), 7, 'by script');
is(scalar(() = listed('--script', '/srv/hacked/*')), 7, 'by a prefix');
is(scalar(() = listed('--script', '/srv/hacked/x.ph')), 0, 'no part of one');
is(scalar(() = listed('--vhost', 'hacked.example', '--bounces')), 8,
    'bounces of those mails too');
is(scalar(() = listed('--uid', 1002)), 3, 'by uid');
is(scalar(() = listed('--client', '192.0.2.7')), 3, 'by client');
is(scalar(() = listed('--verdict', 'claimed')), 1, 'by verdict');
is(scalar(() = listed('--since', '@' . ($now + 3600))), 0, '--since');
my ($one) = listed('--client', '192.0.2.7');
is($one->{envelope_from}, 'shop@good.example', 'the sender');
is($one->{recipients}, 1, 'the number of recipients');
like($one->{recipient_list}, qr/^g\d\@far\.example$/, 'the recipients');
is($one->{mta}, 'postfix', 'the MTA');
($rc, $out) = cli(qw(queue --vhost hacked.example));
is(scalar(() = $out =~ /^[0-9A-F]+ +deferred .*hacked\.example/mg), 7,
    'the table');
is((cli('queue', '--queue-id', $one->{queue_id}, '--json'))[0], 0,
    'one by its id');

# hostile filters are just values
for my $evil ('*', '-rf', ';$(touch ' . $p->{dir} . '/evil)', "a\nb",
    'x' x 8000, 'ALL') {
    my ($st, $o, $e) = cli('purge', '--yes', '--vhost', $evil);
    is($st, 1, 'nothing is of vhost ' . substr($evil =~ s/\n/\\n/r, 0, 20))
        or diag($o, $e);
    next if $evil =~ /\n/;
    ($st, $o, $e) = cli('purge', '--yes', '--queue-id', $evil);
    is($st, 2, '... and it is no queue id') or diag($o, $e);
}
ok(!-e "$p->{dir}/evil", 'nothing ran');
is((cli(qw(purge --yes)))[0], 2, 'purge without a filter does nothing');
is(scalar(() = listed()), 13, 'all are still there');

# it shows first
($rc, $out, $err) = cli(qw(purge --script /srv/hacked/x.php));
is($rc, 0, 'purge shows');
is(scalar(() = $out =~ /hacked\.example/g) / 2, 6, 'the six')
    or diag $out;
like($err, qr/6 mails; nothing is changed: --yes deletes them/,
    'and what would do it');
like($err, qr/1 mails left out that only claim/, 'the claim is left out');
is(scalar(() = listed()), 13, 'nothing went');

# hold and release
($rc, $out) = cli(qw(purge --script /srv/hacked/x.php --hold --yes));
is($rc, 0, '--hold');
like($out, qr/^held 6 of 6 mails, as postfix confirmed$/m, '... six');
is(scalar(() = $p->ids('hold')), 6, '... are on hold');
is(scalar(() = grep {$_->{held}} listed()), 6, '... and listed so');
($rc, $out) = cli(qw(purge --script /srv/hacked/x.php --hold --yes));
is($rc, 1, 'held twice: there is nothing to do');
my ($heldgood) = map {$_->{queue_id}} listed('--vhost', 'good.example');
($rc, $out) = cli(qw(purge --script /srv/hacked/x.php --release --yes));
like($out, qr/^released 6 of 6/m, '--release');
is(scalar(() = $p->ids('hold')), 0, '... none is on hold');
$p->settled(13);

# A stamp that was copied onto another mail, sent past the wrapper: the record
# tells that it is not that site's.  Without a record there is no sign.
my @of = (mail => 'Copied0000000001', when => $now, time => $now,
    vhost => 'good.example', script => '/srv/good/copied.php');
my $copied = stamp(@of);
my %id_of = (same => '<m1@good.example>', other => '<m2@evil.example>',
    twice => "<m1\@good.example>\nMessage-ID: <m3\@x.example>");
$p->inject("${copied}Message-ID: $id_of{$_}\nSubject: $_\n\nx\n",
    'shop@good.example', "copied-$_\@far.example") for sort keys %id_of;
$p->settled(16);
my $line = '{"time":"%s","id":"%s","verdict":"verified","action":"passed",'
    . '"vhost":"good.example","envelope_from":"shop@good.example"%s}' . "\n";
my $time = POSIX::strftime('%Y-%m-%dT%H:%M:%S.000000Z', gmtime $now);
for my $case (['', '', 3, 0], [',"message_id":"<m1@good.example>"', '', 2, 1],
    ['', 'evil@x.example', 0, 3], ['', 'shop', 3, 0]) {
    my ($more, $from, $good, $bad) = @$case;
    my $record = sprintf $line, $time, 'Copied0000000001', $more;
    $record =~ s/shop\@good\.example/$from/ if $from;
    spew("$LOG/mail.log", $record);
    my @script = qw(--script /srv/good/copied.php);
    my @got = listed(@script);
    is(scalar(grep {!$_->{replay}} @got), $good, "of the record $more$from: $good")
        or diag explain \@got;
    is(scalar(grep {$_->{replay}} @got), $bad, "... a replay: $bad");
    ($rc, $out, $err) = cli('purge', @script);
    is(scalar(() = $out =~ /<copied-|copied\.php/g), $good, '... purge takes the others')
        or diag($out, $err);
    is($err =~ /: (\d+) mails left out whose stamp may be copied/ ? $1 : 0, $bad,
        '... and says what it leaves');
}
spew("$LOG/mail.log", sprintf $line, $time, 'Copied0000000001',
    ',"message_id":"<m1@good.example>"');
($rc, $out, $err) = cli(qw(queue --script /srv/good/copied.php));
like($out, qr/copied-other\S+  possible replay: its Message-ID is m2\@evil\.example, the recorded mail's was m1\@good\.example$/m,
    'the table says why') or diag($out);
($rc, $out, $err) = cli(qw(purge --yes --script /srv/good/copied.php));
like($out, qr/^deleted 2 of 2 mails/m, 'the site\'s own are deleted') or diag($out, $err);
is(join(' ', map {$_->{recipient_list}} listed(qw(--script /srv/good/copied.php))),
    'copied-other@far.example', '... the copy is not');
($rc, $out, $err) = cli(qw(purge --yes --claimed --script /srv/good/copied.php));
like($out, qr/^deleted 1 of 1 mails/m, '... but with --claimed') or diag($out, $err);
unlink "$LOG/mail.log";

# deleting, with copies, while another half is on hold already
my @spam = map {$_->{queue_id}}
    grep {$_->{verdict} ne 'claimed'} listed('--vhost', 'hacked.example');
run('postsuper', '-c', $p->{etc}, '-h', $spam[0]);
my $save = "$p->{dir}/save";
($rc, $out, $err) = cli(qw(purge --script /srv/hacked/x.php --yes --save), $save);
is($rc, 0, 'purge --yes') or diag($out, $err);
like($out, qr/^deleted 6 of 6 mails, as postfix confirmed$/m,
    'what Postfix confirmed');
like($out, qr/^\Q$_\E /m, "$_ was shown") for @spam;
is(scalar(() = $p->ids('hold')), 0, 'nothing is left on hold');
is(scalar(() = listed()), 7, 'what is not of there stays');
is_deeply([sort map {$_->{vhost} // $_->{stamp}} listed()],
    [qw(damaged good.example good.example good.example hacked.example
        unstamped unstamped)],
    '... good ones, unstamped ones, the damaged and the claimed one');
opendir my $d, $save or die "$save: $!";
is_deeply([sort grep {!/^\./} readdir $d], [sort @spam], '--save kept them');
like(slurp("$save/$spam[0]"), qr/body \d/, '... whole');
is((stat $save)[2] & 07777, 0700, '... for root only');
is(scalar(() = listed('--bounces', '--vhost', 'hacked.example')), 2,
    'the bounce is left');
($rc, $out) = cli(qw(purge --vhost hacked.example --bounces --yes));
like($out, qr/^deleted 1 of 1/m, '--bounces takes it');
($rc, $out) = cli(qw(purge --vhost hacked.example --claimed --yes));
like($out, qr/^deleted 1 of 1/m, '--claimed takes that');
is((cli(qw(purge --vhost hacked.example --yes)))[0], 1, 'then none is left');
is((run('postfix', '-c', $p->{etc}, 'status'))[0], 0,
    'the mail server ran all the time');

# Between looking and holding the id becomes another mail's: Postfix uses
# short ids again.  A postsuper that does the swap, then its job.
$p->inject(mail(%spam), 'x@hacked.example', 'swap@far.example');
$p->inject(mail(%spam), 'x@hacked.example', 'gone@far.example');
$p->inject(mail(%spam), 'x@hacked.example', 'stay@far.example');
$p->settled(8);
my ($swap, $gone, $stay) = map {
    my $w = $_;
    map {$_->{queue_id}} grep {$_->{recipient_list} =~ /^$w/} listed()
} qw(swap gone stay);
my ($path) = glob "$p->{spool}/deferred/?/$swap";
my ($good) = listed('--vhost', 'good.example');
my ($goodpath) = glob "$p->{spool}/deferred/?/$good->{queue_id}";
my ($gonepath) = glob "$p->{spool}/deferred/?/$gone";
run('cp', '/usr/sbin/postsuper', "$p->{dir}/postsuper.real");
spew("$p->{dir}/postsuper", <<"SH", 0755);
#!/bin/sh
if [ ! -e $p->{dir}/swapped ]; then
    touch $p->{dir}/swapped
    cp -p $goodpath $path
    rm $gonepath
fi
exec $p->{dir}/postsuper.real "\$@"
SH
run(qw(mount --bind), "$p->{dir}/postsuper", '/usr/sbin/postsuper');
($rc, $out, $err) = cli(qw(purge --vhost hacked.example --yes));
run(qw(umount /usr/sbin/postsuper));
is($rc, 0, 'a swap under an id') or diag($out, $err);
like($out, qr/^deleted 1 of 3 mails/m, 'only the one that is still the same');
like($out, qr/1 had gone meanwhile/, 'the one that went is told');
like($out, qr/1 ids had become another mail's, which is untouched/,
    'and the id that is another mail now');
like($out, qr/^$swap .*changed/m, '... by its id');
my @left = $p->ids(qw(deferred active incoming hold));
ok((grep {$_ eq $swap} @left), 'that mail is there');
ok(!(grep {$_ eq $swap} $p->ids('hold')), '... and not on hold');
ok(!(grep {$_ eq $stay} @left), 'the other is gone');

# One that comes in while another is deleted goes with it; and for that, a mail
# of another origin is read but once.
my $queued = () = $p->ids(qw(deferred hold));
$p->inject(mail(%spam), 'x@hacked.example', 'first@far.example');
$p->settled($queued + 1);
my ($first) = listed('--vhost', 'hacked.example');
my ($from) = glob "$p->{spool}/deferred/?/$first->{queue_id}";
my $late = $from =~ s/.\z/$& eq 'F' ? 'E' : 'F'/er;
spew("$p->{dir}/postsuper", <<"SH", 0755);
#!/bin/sh
[ -e $p->{dir}/came ] || { touch $p->{dir}/came; cp -p $from $late; }
exec $p->{dir}/postsuper.real "\$@"
SH
run(qw(mount --bind), "$p->{dir}/postsuper", '/usr/sbin/postsuper');
($rc, $out, $err) = run(qw(strace -f -e trace=openat -o), "$p->{dir}/trace",
    $MAILORIGIN, qw(purge --mta postfix --mta-config), $p->{etc},
    qw(--vhost hacked.example --yes));
run(qw(umount /usr/sbin/postsuper));
like($out, qr/^deleted 2 of 2 mails/m, 'one that came in meanwhile goes too')
    or diag($rc, $out, $err);
is(scalar(() = slurp("$p->{dir}/trace") =~ /\b$good->{queue_id}".* = \d+$/mg), 1,
    '... while a mail of another origin is read once');

$p->stop;
done_testing;
