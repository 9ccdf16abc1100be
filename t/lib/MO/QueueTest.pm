# MO::QueueTest - queue and purge on a real Exim or Sendmail: by origin,
# exactly those, with the server running; and what may go wrong between
# looking and deleting.
#   queue_test(MO::Queues->exim)
package MO::QueueTest;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET ();
use JSON::PP ();
use Test::More;
use MO::Test;
use MO::Rehearsal;
our @EXPORT = qw(queue_test);

my $json = JSON::PP->new->utf8;
my ($m, $n) = (undef, 0);
my %spam = (vhost => 'hacked.example', script => '/srv/hacked/x.php',
    uri => '/x.php', client => '198.51.100.9', uid => 1001);
my %good = (vhost => 'good.example', script => '/srv/good/shop.php',
    uri => '/shop', client => '192.0.2.7', uid => 1002);

sub mail {
    my (%o) = @_;
    my $now = time;
    my $mark = delete $o{mark};
    my $id = sprintf 'Mail%012d', ++$n;
    my %f = (mail => $id, when => $now, time => $now, %o);
    my ($st, $field, $err) = run("$BUILD/t/tools/stamp", "$ETC/keyring",
        map { "$_=$f{$_}" } sort keys %f);
    die "stamp: $err" if $st;
    return $field . "From: a\@b.example\nTo: c\@far.example\n"
        . "Subject: mail $n\n\nMARK:$mark;\n";
}

sub cli {
    my ($verb, @args) = @_;
    return run($MAILORIGIN, $verb, @{$m->args}, @args);
}

sub listed {
    my ($st, $o) = cli('queue', '--json', @_);
    return map { $json->decode($_) } split /\n/, $o;
}

# the marks in the queue, those that begin with PREFIX
sub queued {
    my ($prefix) = @_;
    return scalar grep { /^\Q$prefix\E/ } keys %{marks($m->spool)};
}

sub put {
    my ($mark, %o) = @_;
    my $to = ($mark =~ s/:/-/gr) . '@far.example';
    $m->inject(mail(%o, mark => $mark), $o{vhost} =~ /hack/
        ? 'x@hacked.example' : 'shop@good.example', $to);
}

# Is that session for the recipient?  Then its RCPT waits for an answer;
# others' are put off, which isn't held against the host.
sub is_for {
    my ($s, $recipient) = @_;
    my $answer = '220 slow';
    while (1) {
        print $s "$answer\r\n";
        $s->flush;
        my $line = <$s> // return 0;
        return 1 if $line =~ /^RCPT .*\Q$recipient\E/i;
        $answer = $line =~ /^RCPT/i ? '451 later'
            : $line =~ /^DATA/i ? '503 no recipients' : '250 go on';
        return 0 if $line =~ /^QUIT/i;
    }
}

# no delivery is under way
sub settled {
    my ($count) = @_;
    wait_for(sub {
        queued('') == $count && (() = listed()) >= $count
            && !grep { (slurp("$_/cmdline") // '') =~ /-Mc\0|sendmail: .*(?:far\.example|\[127)/ }
            glob '/proc/[0-9]*';
    }, "$count mails in the queue, at rest", 60);
}

sub hostile {
    my ($dir) = @_;
    for my $evil ('*', '-rf', ";\$(touch $dir/evil)", "a\nb", 'x' x 8000, '%',
        'ALL', '../../etc/passwd') {
        my $name = substr $evil =~ s/\n/\\n/r, 0, 20;
        for my $filter (qw(--vhost --script --uri --client --uid)) {
            # (a star at the end of those makes a prefix; so it is meant)
            my $value = $evil eq '*' && $filter =~ /script|uri/ ? '\\*' : $evil;
            my ($st, $o, $e) = cli('purge', '--yes', "$filter=$value");
            is($st, $filter eq '--uid' ? 2 : 1, "$filter $name: nothing is of there")
                or diag($o, $e);
        }
        my ($st, $o, $e) = cli('purge', '--yes', '--queue-id', $evil);
        is($st, 2, '... and it is no queue id') or diag($o, $e);
    }
    ok(!-e "$dir/evil", 'nothing ran');
}

sub queue_test {
    ($m) = @_;
    my $dir = scratch();
    my ($rc, $out, $err) = run($MAILORIGIN, qw(key init));
    is($rc, 0, 'a keyring') or diag($err);
    my $exim = $m->{mta} eq 'exim';
    my $by = $exim ? 'exim' : 'its queue files';

    $m->start;
    put("spam:$_", %spam) for 1 .. 6;
    put("good:$_", %good) for 1 .. 3;
    $m->inject("Subject: cron\n\nMARK:cron:1;\n", 'root@mx.test',
        'admin@far.example');
    my $forged = mail(%spam, mark => 'forged:1');
    $forged =~ s/; s=(.{20})(.)/"; s=$1" . ($2 eq 'A' ? 'B' : 'A')/e;
    $m->inject($forged, 'x@hacked.example', 'f@far.example');
    $m->inject(mail(%spam, token => 1, mark => 'claim:1'), 'x@hacked.example',
        't@far.example');
    $m->inject("From: MAILER-DAEMON\@far.example\nSubject: failed\n\nSorry.\n\n"
            . mail(%spam, mark => 'bounce:1'), '<>', 'x@hacked.example');
    settled(13);
    my @all = listed();
    is(scalar @all, 13, 'all mails are listed');
    my %by;
    $by{$_->{vhost} // "($_->{stamp})"}++ for @all;
    is_deeply(\%by, {'hacked.example' => 7, 'good.example' => 3,
        '(unstamped)' => 2, '(damaged)' => 1}, 'by origin')
        or diag explain \%by;
    is(scalar(() = listed('--vhost', 'hacked.example', '--bounces')), 8,
        'bounces of those mails too');
    is(scalar(() = listed('--uid', 1002)), 3, 'by uid');
    my ($one) = listed('--client', '192.0.2.7');
    is($one->{envelope_from}, 'shop@good.example', 'the sender');
    like($one->{recipient_list}, qr/^good-\d\@far\.example$/, 'the recipients');
    is($one->{mta}, $m->{mta}, 'the MTA');
    cmp_ok($one->{size}, '>', 300, 'the size');
    hostile($dir);
    is(queued(''), 13, 'all are still there');
    my $id = $one->{queue_id};
    for my $part (substr($id, 0, -1), substr($id, 1), $id . '0', lc $id) {
        next if $part eq $id;
        ($rc, $out, $err) = cli(qw(purge --yes --queue-id), $part);
        isnt($rc, 0, 'a part of an id is none') or diag($out);
    }
    is(queued('good'), 3, '... and nothing went');

    # hold and release
    ($rc, $out, $err) = cli(qw(purge --script /srv/hacked/x.php --hold --yes));
    is($rc, 0, '--hold') or diag($out, $err);
    like($out, qr/^held 6 of 6 mails, as $by confirmed$/m, '... six');
    is(scalar(() = grep { $_->{held} } listed()), 6, '... and listed so');
    my ($mailq) = (run('mailq', $exim ? () : '-qQ'))[1];
    is(scalar(() = $mailq =~ /frozen|QUARANTINE:/g), 6,
        '... as the MTA sees it') or diag($mailq);
    is((cli(qw(purge --script /srv/hacked/x.php --hold --yes)))[0], 1,
        'held twice: there is nothing to do');
    ($rc, $out, $err)
        = cli(qw(purge --script /srv/hacked/x.php --release --yes));
    is($rc, 0, '--release') or diag($out, $err);
    like($out, qr/^released 6 of 6/m, '... six');
    is(scalar(() = grep { $_->{held} } listed()), 0, '... none is held');

    # deleting, with copies; one is on hold already
    my ($first) = listed('--script', '/srv/hacked/x.php');
    is((cli(qw(purge --hold --yes --queue-id), $first->{queue_id}))[0], 0,
        'one is held by its id');
    my $save = "$dir/save";
    ($rc, $out, $err)
        = cli(qw(purge --script /srv/hacked/x.php --yes --save), $save);
    is($rc, 0, 'purge --yes') or diag($out, $err);
    like($out, qr/^deleted 6 of 6 mails, as $by confirmed$/m, '... six');
    like($err, qr/1 mails left out that only claim/, '... but the claim');
    is(queued('spam'), 0, '... are gone');
    is(queued(''), 7, '... and no other is');
    is(join(' ', sort keys %{marks($save)}),
        join(' ', map { "spam:$_" } 1 .. 6), '--save kept them');
    is((stat $save)[2] & 07777, 0700, '... for root only');
    ($rc, $out) = cli(qw(purge --vhost hacked.example --bounces --yes));
    like($out, qr/^deleted 1 of 1/m, '--bounces takes the bounce');
    ($rc, $out) = cli(qw(purge --vhost hacked.example --claimed --yes));
    like($out, qr/^deleted 1 of 1/m, '--claimed takes that');
    is((cli(qw(purge --vhost hacked.example --yes)))[0], 1,
        'then none is left');
    is(queued(''), 5, 'the others are');
    my @rest = grep { !/$id/ } map { glob "$_/*" } $m->spool;
    is(scalar(grep { m{/(?:tf|xf|nf)} } @rest), 0, 'no half files are left');

    # what is being delivered: a next hop that takes its time
    my $slow = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => 2526, Listen => 9, ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die;
    if (!$pid) { # inject may wait for the delivery
        put('spam:slow', %spam);
        POSIX::_exit(0);
    }
    # others in the queue are tried as well, and this one perhaps not at once
    my $s;
    $slow->timeout(5);
    wait_for(sub { $s = $slow->accept and is_for($s, 'spam-slow') },
        'a mail that is being delivered', 60);
    # (Sendmail's client lets go of it a little later)
    wait_for(sub { 1 == (() = listed('--vhost', 'hacked.example')) },
        'it is in one queue', 60);
    ($rc, $out, $err) = cli(qw(purge --vhost hacked.example --yes));
    is($rc, 2, 'purge of a mail that is being delivered') or diag($out, $err);
    like($out, qr/failed: it is being delivered; try again/, '... says so');
    like($out, qr/^deleted 0 of 1 mails, .*; 1 failed$/m, '... in the sum');
    is(queued('spam:slow'), 1, '... which is there');
    # closed while purge tries again: it goes
    if (!(my $closer = fork // die)) {
        sleep 1;
        close $slow;
        shutdown $s, 2;
        POSIX::_exit(0);
    }
    close $slow;
    ($rc, $out, $err) = cli(qw(purge --vhost hacked.example --yes));
    is($rc, 0, 'one whose delivery fails meanwhile') or diag($out, $err);
    like($out, qr/^deleted 1 of 1/m, '... is deleted');
    is(queued('spam:slow'), 0, '... and gone');
    waitpid $pid, 0;

    # A mail that goes between the list and the deletion, and one under whose
    # id another mail is put: the output is a pipe that waits for us.
    put("spam:$_", %spam) for qw(go swap stay);
    settled(8);
    my %id = map {
        my $w = $_;
        map { $w => $_->{queue_id} } grep { $_->{recipient_list} =~ /-$w\@/ } listed()
    } qw(go swap stay);
    my %path = map { $_ => path($id{$_}) } keys %id;
    my ($goodid) = map { $_->{queue_id} } listed('--vhost', 'good.example');
    my $after = "$dir/after";
    spew($after, "#!/bin/sh\n" . join('', map { "rm $_\n" } @{$path{go}})
        . ($exim
            ? "sed 's/$goodid/$id{swap}/g' " . path($goodid)->[0]
                . " > $dir/h\ncat $dir/h > $path{swap}[0]\n"
            : 'cat ' . path($goodid)->[0] . " > $path{swap}[0]\n"), 0755);
    # between the list and the rest: its second write is the list (the first
    # says what is left out), and there strace stops it
    pipe my $r, my $w;
    my $child = fork // die;
    if (!$child) {
        close $r;
        open STDOUT, '>&', $w;
        exec 'strace', '-o', '/dev/null', '-e', 'trace=write', '-e',
            'inject=write:signal=SIGSTOP:when=2', $MAILORIGIN, 'purge',
            @{$m->args}, '--vhost', 'hacked.example', '--yes';
    }
    close $w;
    my $line = <$r>;
    is((run($after))[0], 0, 'the queue changes behind the list');
    kill 'CONT', split ' ', slurp("/proc/$child/task/$child/children");
    { local $/; $out = $line . (<$r> // ''); }
    waitpid $child, 0;
    like($out, qr/^deleted 1 of 3 mails/m, 'only one is still the same')
        or diag($out);
    like($out, qr/1 had gone meanwhile/, '... one had gone');
    like($out, qr/1 ids had become another mail's, which is untouched/,
        '... and one is another mail now');
    ok(-e $path{swap}[0], '... which is there');
    is(scalar(grep { $_->{held} } listed()), 0, '... and not held');
    is(queued('spam:stay'), 0, 'the other is gone');
    $m->stop;
}

# its files: envelope, body
sub path {
    my ($id) = @_;
    return [sort { $b =~ /-H$|\/qf/ <=> $a =~ /-H$|\/qf/ }
        grep { !/-J$/ } map { glob "$_/*$id*" } $m->spool];
}

1;
