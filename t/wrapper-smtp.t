# -bs and -bS: a dialogue as without the wrapper, each mail stamped, and no
# end of a message that the client did not send.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use POSIX ();
use Time::HiRes ();

my $r = MO::Recorder->new;
my $sink = $r->sink;
$sink->set(transcript => '');
my $mail = "MAIL FROM:<a\@b.example>\r\nRCPT TO:<c\@d.example>\r\nDATA\r\n";
my $text = "Subject: one\r\n\r\nbody\r\n";
my $field = qr/Mail-Origin:\x20v=1;\x20id=[\w-]{16};(?:\x20|\r\n\t)s=[\w-]+
    (?:\r\n\t[\w-]+)*\r\n/x;

# A dialogue by hand.
package Dialogue {
    use IO::Select;

    sub start {
        my ($class, $program, @args) = @_;
        pipe(my $in, my $to) && pipe(my $from, my $out) or die;
        my $pid = fork // die;
        if (!$pid) {
            open STDIN, '<&', $in;
            open STDOUT, '>&', $out;
            close $_ for $to, $from, $in, $out;
            exec $program, @args ? @args : '-bs';
        }
        $to->autoflush(1);
        return bless {to => $to, from => $from, pid => $pid, said => ''},
            $class;
    }

    sub send {
        my ($self, $bytes) = @_;
        local $SIG{PIPE} = 'IGNORE';
        syswrite $self->{to}, $bytes;
    }

    # more of what it says; 0 at its end
    sub more {
        my ($self, $seconds) = @_;
        return undef if !IO::Select->new($self->{from})->can_read($seconds);
        return sysread $self->{from}, $self->{said}, 65536,
            length $self->{said};
    }

    # waits for what begins what is left, and takes it
    sub hear {
        my ($self, $want, $seconds) = @_;
        my $end = Time::HiRes::time() + ($seconds // 15);
        until ($self->{said} =~ s/\A$want//) {
            my $left = $end - Time::HiRes::time();
            if ($left <= 0 || !$self->more($left)) {
                main::diag("said: $self->{said}");
                return 0;
            }
        }
        return 1;
    }

    sub eof { close $_[0]{to} }

    # (status, all that it still said)
    sub end {
        my ($self) = @_;
        close $self->{to};
        while ($self->more(30)) {}
        waitpid $self->{pid}, 0;
        return ($? & 127 ? 128 + ($? & 127) : $? >> 8, $self->{said});
    }
}

sub data { map { $_->{data} } $sink->mails }
sub plain { $_[0] =~ s/\A$field//r }
sub sessions {
    my @t = map { slurp($_) } sort glob $sink->spool . '/session.*';
    unlink glob $sink->spool . '/session.*';
    return @t;
}
sub clear { $sink->clear; sessions() }
sub replies { join ' ', $_[0] =~ /^(\d\d\d) /mg }

# ---- one by one, as a careful client
{
    $sink->set(delay => 200);
    my $d = Dialogue->start($WRAPPER);
    ok $d->hear(qr/220 sink ESMTP STARTTLS\r\n/), 'the greeting';
    $d->send("EHLO me\r\n");
    ok $d->hear(qr/250-sink\x20STARTTLS\r\n250-PIPELINING\r\n
        250-SIZE\x201000000000\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n
        250\x20AUTH\x20LOGIN\r\n/x), 'EHLO, less what we cannot pass';
    $d->send("MAIL FROM:<a\@b>\r\n");
    ok $d->hear(qr/250 2\.1\.0 Ok\r\n/), 'MAIL';
    $d->send("RCPT TO:<nobody>\r\n");
    ok $d->hear(qr/550-5\.1\.1 Not\r\n550 5\.1\.1 here\r\n/), 'RCPT, refused';
    $d->send("RCPT TO:<c\@d>\r\n");
    ok $d->hear(qr/250 2\.1\.5 Ok\r\n/), 'RCPT';
    $d->send("BDAT 7 LAST\r\nQUIT\r\nx");
    ok $d->hear(qr/503 5\.5\.1 [^\n]*\r\n/), 'BDAT is refused, its octets passed over';
    $d->send("STARTTLS\r\n");
    ok $d->hear(qr/502 5\.5\.1 [^\n]*\r\n/), 'STARTTLS is refused';
    Time::HiRes::sleep(1.2);
    $d->send("NOOP\r\n");
    ok $d->hear(qr/250 2\.0\.0 Ok\r\n/), 'NOOP after a pause';
    $d->send("VRFY x\r\n");
    ok $d->hear(qr/500 5\.5\.2 what\?\r\n/), 'a word that is not known';
    $d->send("data\r\n");
    ok $d->hear(qr/354 go on\r\n/), 'DATA';
    $d->send($text . ".\r\n");
    ok $d->hear(qr/250 2\.0\.0 Ok: kept\r\n/), 'the mail is taken';
    $d->send("RSET\r\nQUIT\r\n");
    my ($status, $said) = $d->end;
    is replies($said), '250 221', 'RSET, QUIT';
    is $status, 0, 'status';
    like((data())[0], qr/\A$field\Q$text\E\z/, 'the mail, stamped');
    my ($t) = sessions();
    is $t =~ s/$field//r, "EHLO me\r\nMAIL FROM:<a\@b>\r\nRCPT TO:<nobody>\r\n"
        . "RCPT TO:<c\@d>\r\nNOOP\r\nVRFY x\r\ndata\r\n$text.\r\n"
        . "RSET\r\nQUIT\r\n", 'all that reached the server';
    my ($record) = $r->wait_records(1);
    is_deeply [@$record{qw(envelope_from recipients mode)}],
        ['a@b', 1, 'bs'], 'the record';
    clear();
}

# ---- many mails at one go, before the greeting
{
    my $in = "EHLO me\r\n";
    for my $i (1 .. 25) {
        $in .= "RSET\r\n" if $i % 5 == 0;
        $in .= "MAIL FROM:<dropped\@b>\r\nRCPT TO:<x\@y>\r\nRSET\r\n"
            if $i % 7 == 0;
        $in .= $mail . "Subject: $i\r\n\r\n..dots $i\r\n.\r\n";
    }
    my $before = $r->records;
    my ($status, $out, $err) = run({in => "${in}QUIT\r\n"}, $WRAPPER, '-bs');
    is $status, 0, 'pipelined: status';
    is $err, '', 'nothing on stderr';
    my @data = data();
    is scalar(@data), 25, '25 mails';
    is join('', map { plain($_) } @data),
        join('', map { "Subject: $_\r\n\r\n..dots $_\r\n" } 1 .. 25),
        'in their order, whole';
    my ($t) = sessions();
    is $t =~ s/$field//gr, "${in}QUIT\r\n", 'nothing else differs';
    my @ids = map { /id=([\w-]{16})/ } @data;
    my @records = $r->wait_records($before + 25);
    is join(' ', map { $_->{id} } @records[$before .. $#records]),
        join(' ', @ids), 'a record each, by its id';
    is scalar(grep { $_->{envelope_from} ne 'a@b.example'
        || $_->{recipients} != 1 } @records[$before .. $#records]), 0,
        'of its own envelope';
    clear();
}
$sink->set(delay => undef);

# ---- split at every byte
{
    my $body = ".Mail-Origin: forged by a dot\r\nSubject: x\r\n..\tno fold\r\n"
        . "mail-ORIGIN : forged\r\n\tfold\r\n.\tand its dotted fold\r\n"
        . "\r\n..\r\n...x\r\n.\rx\r\n. \r\n.y\r\n";
    my $in = "EHLO me\r\n$mail$body.\r\nQUIT\r\n";
    my $want = $body =~ s/\A[^\n]*\n//r;
    # "..\t" is text, which ends the head: what follows is body
    my $kept = $want;
    my @at = 1 .. length($in) - 1;
    @at = grep { $_ % 9 == 0 } @at if $SAN;
    my ($n, %out) = (0);
    for my $at (@at) {
        my $d = Dialogue->start($WRAPPER);
        $d->send(substr $in, 0, $at);
        # what came is read, and dealt with, before the rest is there
        Time::HiRes::sleep(0.003);
        $d->send(substr $in, $at);
        my ($status, $said) = $d->end;
        $out{"$status " . replies($said)}++;
        $n++;
    }
    is_deeply \%out, {'0 220 250 250 250 354 250 221' => $n},
        'split at every byte: the same replies';
    my %data;
    $data{plain($_)}++ for data();
    is_deeply \%data, {$kept => $n}, '… and the same mail' or diag explain \%data;
    my %session;
    $session{s/$field//r}++ for sessions();
    is_deeply \%session, {"EHLO me\r\n$mail$kept.\r\nQUIT\r\n" => $n},
        '… and nothing else';
    clear();

    # one byte at a time
    my $d = Dialogue->start($WRAPPER);
    $d->send($_) for split //, $in;
    is replies(($d->end)[1]), '220 250 250 250 354 250 221', 'byte by byte';
    is plain((data())[0]), $kept, 'the mail';
    clear();
}

# ---- an end anywhere: what came goes on, and no dot of ours
{
    my $in = "EHLO me\r\n${mail}Subject: x\r\n\r\nabc\r\n.";
    my $bad = '';
    my $n = 0;
    for my $len (0 .. length $in) {
        next if $SAN && $len % 9;
        my ($status, $out) = run({in => substr $in, 0, $len}, $WRAPPER, '-bs');
        my @s = sessions();
        my $t = $s[0] =~ s/$field//r;
        $t =~ s/EOF\n\z// or $bad .= "$len: the server sees no end\n";
        # a head that is not over waits for its end
        $bad .= "$len: $t\n" if $t ne substr($in, 0, length $t)
            || $len - length $t > 40 || @s != 1;
        $bad .= "$len: status $status\n" if $status;
        $bad .= "$len: a dot\n" if $t =~ /\n\.\r?\n/;
        $n++;
    }
    is $bad, '', "the client ends after $n numbers of bytes: so does the server";
    is scalar(data()), 0, 'and no mail comes of it';
    clear();
    # a line with a dot, but without its end, is no end
    for my $end (".", ".\r", ".\r\r\n", " .\r\n", ".\0\r\n") {
        run({in => "${mail}x\r\n$end"}, $WRAPPER, '-bs');
        is scalar(data()), 0, sprintf 'no mail ends with %vd', $end;
    }
    clear();
}

# ---- ends that servers see differently
for my $strict (0, 1) {
    $sink->set(strict => $strict ? '' : undef);
    for my $dot ("\n.\n", "\n.\r\n", "\r\n.\n") {
        my $in = "${mail}Subject: x\r\n\r\na${dot}NOOP\r\n";
        $in .= ".\r\n" if $strict;
        my ($s1, $want) = run({in => $in}, $sink->path, '-bs');
        my ($mail1) = data();
        my @t1 = sessions();
        $sink->clear;
        my ($s2, $out) = run({in => $in}, $WRAPPER, '-bs');
        my ($mail2) = data();
        is $out, $want, sprintf '%vd, %s: the same replies', $dot,
            $strict ? 'a strict server' : 'a lax one';
        is plain($mail2 // ''), $mail1, 'the same mail';
        clear();
    }
}
$sink->set(strict => undef);

# ---- what the server does
for my $case (
    ['nodata', '452-4.3.1 Full', '250 250 452 250 250 354 250 221', 1],
    ['full', '552-5.2.2 much', '250 250 354 552 250 250 354 250 221', 2],
    ['quit', '421 4.3.2', '250 250 421', 0],
    ['die', '250', '250 250', 0],
    ['crash', '354', '250 250 354', 0],
) {
    my ($from, $like, $want, $mails) = @$case;
    my $in = "MAIL FROM:<$from\@b>\r\nRCPT TO:<c\@d>\r\nDATA\r\n";
    $in .= "$text.\r\n" if $from ne 'nodata';
    $in .= "$mail$text.\r\nQUIT\r\n";
    my ($s1, $out1) = run({in => $in}, $sink->path, '-bs');
    my @t1 = sessions();
    $sink->clear;
    my ($s2, $out2, $err) = run({in => $in}, $WRAPPER, '-bs');
    is $out2, $out1, "$from: the same is said";
    is $s2, $s1, '… the status is its own';
    is $err, '', '… nothing on stderr';
    like $out2, qr/\Q$like/, '… as expected';
    is replies($out2), "220 $want", '… replies';
    is scalar(data()), $mails, '… mails';
    clear();
}
{
    my $d = Dialogue->start($WRAPPER);
    $d->hear(qr/220 [^\n]*\n/);
    $d->send("SLEEP\r\n");
    my ($status, $said) = $d->end;
    is $said, "421 4.4.2 timeout\r\n", 'a server that ends the session';
    is $status, 0, 'its status';
    clear();
}
{
    my $d = Dialogue->start($WRAPPER);
    $d->send("AUTH LOGIN\r\nREFUQQ==\r\nBDAT\r\n${mail}$text.\r\nQUIT\r\n");
    is replies(($d->end)[1]), '220 334 334 235 250 250 354 250 221',
        'an answer to a challenge is no command';
    is((sessions())[0] =~ s/$field//r,
        "AUTH LOGIN\r\nREFUQQ==\r\nBDAT\r\n$mail$text.\r\nQUIT\r\n",
        'it reaches the server as it is');
    clear();
}
# a server that reads no more, then is killed
{
    my $d = Dialogue->start($WRAPPER);
    $d->send("MAIL FROM:<brake>\r\nRCPT TO:<c>\r\nDATA\r\n");
    $d->hear(qr/(?:\d\d\d [^\n]*\n)*354 [^\n]*\n/);
    my $pid = fork // die;
    if (!$pid) {
        local $SIG{PIPE} = 'IGNORE';
        $d->send(('x' x 998 . "\r\n") x 50) for 1 .. 100;
        POSIX::_exit(0);
    }
    my ($child) = wait_for(sub {
        slurp("/proc/$d->{pid}/task/$d->{pid}/children") =~ /(\d+)/ && $1 },
        'the server');
    wait_for(sub { glob($sink->spool . '/tmp.*') }, 'its mail begun');
    Time::HiRes::sleep(0.2);
    kill 'KILL', $child;
    my ($status) = $d->end;
    waitpid $pid, 0;
    is $status, 128 + 9, 'a killed server: its signal is our end';
    is scalar(data()), 0, 'no mail';
    run('sh', '-c', 'rm -rf "$1"/tmp.*', 'sh', $sink->spool);
    clear();
}

# ---- a head of 600 KB: forged fields behind it go too
{
    my $big = "X-Y: " . ('z' x 70 . "\r\n\t") x 8000 . "\r\n";
    my $in = "${mail}$big" . "Mail-Origin: forged\r\n fold\r\n"
        . "Subject: x\r\n\r\nMail-Origin: body\r\n.\r\nQUIT\r\n";
    my ($status, $out) = run({in => $in}, $WRAPPER, '-bs');
    is replies($out), '220 250 250 354 250 221', 'a head of 600 KB';
    is plain((data())[0]), "${big}Subject: x\r\n\r\nMail-Origin: body\r\n",
        'arrives, without the forged field behind it';
    clear();
}

# ---- policy
{
    my $with = "EHLO me\r\n$mail$text.\r\n";
    run($MAILORIGIN, 'block', '--uid', '0', '--reason', 'spam');
    my ($status, $out, $err) = run({in => "$with${mail}two\r\n.\r\nNOOP\r\n"
        . "QUIT\r\n"}, $WRAPPER, '-bs');
    is replies($out), '220 250 250 250 354 550 250 250 354 550 250 221',
        'blocked: 550 each, and the session goes on';
    like $out, qr/^550 5\.7\.1 block 1: [^\r\n]*spam\r\n/m, 'why';
    is $err, '', 'nothing on stderr';
    is $status, 0, 'status';
    is scalar(data()), 0, 'no mail';
    my @t = sessions();
    is scalar(@t), 3, 'a new server after each';
    is join('', map { s/EOF\n//r } @t), "EHLO me\r\n${mail}EHLO me\r\n${mail}"
        . "EHLO me\r\nNOOP\r\nQUIT\r\n", 'which has heard EHLO, and no message';
    run($MAILORIGIN, 'unblock', '--uid', '0');
    clear();

    $r->conf("limit 1/hour by uid\n");
    $r->restart;
    ($status, $out) = run({in => "$with$mail$text.\r\nQUIT\r\n"}, $WRAPPER,
        '-bs');
    like $out, qr/^250 2\.0\.0 Ok: kept\r\n.*^451 4\.7\.1 [^\r\n]+\r\n221/ms,
        'over a limit: 451';
    is scalar(data()), 1, 'the first goes';
    clear();
    $r->conf('');
    $r->restart;
}

# ---- the recorder comes and goes during a session
{
    my $n = $r->records;
    my $d = Dialogue->start($WRAPPER);
    my $one = sub {
        $d->send("$mail$text.\r\n");
        return $d->hear(qr/(?:220\x20[^\n]*\n)?250\x20[^\n]*\n250\x20[^\n]*\n354\x20[^\n]*\n
            250\x20[^\n]*\n/x);
    };
    ok $one->(), 'with the recorder';
    $r->stop;
    ok $one->(), 'without';
    $r->start;
    ok $one->(), 'with a new one';
    $d->end;
    my @data = data();
    is scalar(@data), 3, 'three mails';
    is scalar(grep { /\AMail-Origin: v=1; id=[\w-]{16}\r\n/ } @data), 1,
        'one of them without a stamp';
    is scalar($r->wait_records($n + 2)), $n + 2, 'two records';
    clear();
}

# ---- Exim's -bS: a batch
for my $nl ("\n", "\r\n") {
    my $how = $nl eq "\n" ? 'LF' : 'CRLF';
    $sink->set(transcript => undef);
    my $n = $r->records;
    my $in = "HELO me\n";
    my $text = "Subject: batch\n\n..x\nno .\n";
    my $mail = $mail =~ s/\r//gr;
    $in .= $mail . "mail-origin: forged\n$text.\n" . "RSET\nNOOP\n"
        . $mail . ".MAIL-origin: dotted\n.\n" . $mail . "no dot at the end";
    s/\n/$nl/g for $in, $mail, $text;
    my ($status, $out, $err) = run({in => $in}, $WRAPPER, '-bS');
    is "$status$out$err", '0', "-bS, $how: nothing is said";
    my ($got) = data();
    my $f = $nl eq "\n" ? qr/Mail-Origin: v=1; id=[\w-]{16};(?: |\n\t)s=[\w-]+(?:\n\t[\w-]+)*\n/
        : $field;
    is $got =~ s/$f/FIELD/gr, "HELO me$nl${mail}FIELD$text.$nl" . "RSET${nl}NOOP$nl"
        . "${mail}FIELD.$nl${mail}FIELD${nl}no dot at the end",
        'each mail is stamped, the rest as it came';
    is scalar($r->wait_records($n + 3)), $n + 3, 'three records';
    clear();
    $sink->clear;
}
{
    # among CR LF, a dot between LFs is text
    my $in = "${mail}Subject: x\r\n\r\na\n.\nDATA\r\nstill text\r\n.\r\n";
    run({in => $in}, $WRAPPER, '-bS');
    is((data())[0] =~ s/$field//r, $in, 'a dot between LFs is text in CRLF');
    $sink->clear;
    run($MAILORIGIN, 'block', '--uid', '0', '--reason', 'spam');
    my ($status, $out, $err) = run({in => $in}, $WRAPPER, '-bS');
    is $status, 77, 'a blocked batch: 77';
    is $out, '', 'nothing on stdout';
    like $err, qr/\Amailorigin-sendmail: block [^\n]*nothing of the batch was sent\n\z/,
        'one line';
    is scalar(data()), 0, 'nothing is sent';
    run($MAILORIGIN, 'unblock', '--uid', '0');
}
done_testing;
