#!/usr/bin/perl
# The mail log: reopened after rotation, with or without SIGHUP; whole lines
# that hold no raw byte; and what a mail gets where it can't be written: by
# on-failure, a line in syslog, or exit 75.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Httpd;
use MO::Recorder;
use MO::Syslog;
use MO::Wire;

my $syslog = MO::Syslog->new;
my $r = MO::Recorder->new;
my $log = "$LOG/mail.log";

sub send_mail {
    return run({in => "Subject: x\nMessage-ID: <m1\@x>\n\nhello\n"}, $WRAPPER,
        '-i', '-f', 'me@example.org', 'to@example.org');
}
sub sent {
    my ($sender) = @_;
    return MO::Wire::ask(sender => $sender);
}
# senders in a file
sub senders {
    return join ' ', (slurp($_[0]) // '') =~ /"envelope_from":"([^"]*)"/g;
}

is((stat $log)[2] & 07777, 0640, 'the log is no stranger\'s to read');

# ---- rotation
sent('one');
rename $log, "$log.1";
$r->hup;
wait_for(sub { -e $log }, 'the log is opened anew at SIGHUP');
sent('two');
is senders("$log.1"), 'one', 'rename and HUP: the old file keeps what it had';
is senders($log), 'two', '... and the new one gets what comes';
is((stat $log)[2] & 07777, 0640, '... with the same mode');

rename $log, "$log.2";
wait_for(sub { sent('three'); -e $log }, 'a moved log is noticed without HUP');
sent('four');
like senders("$log.2"), qr/^two/, 'nothing is lost on the way';
like senders($log), qr/four$/, '... and it goes on in the new file';

# copytruncate
{
    open my $fh, '>', $log;
}
sent('five');
is senders($log), 'five', 'a truncated log is appended to from its start';
unlike slurp($log), qr/\0/, '... without a hole';

spew($log, slurp($log), 0640);
$r->conf("log $LOG/other.log\n");
$r->hup;
wait_for(sub { -e "$LOG/other.log" }, 'another path in the conf');
sent('six');
is senders("$LOG/other.log"), 'six', '... is written to';
# the conf can't be read: the one before is kept
rename "$ETC/mailorigin.conf", "$ETC/kept";
symlink 'mailorigin.conf', "$ETC/mailorigin.conf";
$r->hup;
like $syslog->wait_line(qr/mailorigin.conf/),
    qr/mailorigin\.conf: .*the conf read before is kept/,
    'a conf that can\'t be read is said';
sent('seven');
is senders("$LOG/other.log"), 'six seven', '... and the last one holds';
unlink "$ETC/mailorigin.conf";
rename "$ETC/kept", "$ETC/mailorigin.conf";
$r->conf('');
$r->hup;
wait_for(sub { sent('eight'); senders($log) =~ /eight/ }, 'and back again');
$syslog->clear;

# ---- it can't be written
sub full_disk {
    run('mount', '-t', 'tmpfs', '-o', 'size=16k,mode=755', 'mo-full', $LOG);
    $r->hup;
    wait_for(sub { -e $log }, 'a log on the small disk');
    sent('first'); # its page has room for some more
    open my $fh, '>', "$LOG/ballast";
    while (syswrite $fh, 'x' x 4096) { }
    close $fh;
}
sub roomy_disk { return run('umount', '-l', $LOG) }

my ($status, $out, $err);
full_disk();
$r->sink->clear;
# some records still fit, and a part of one
wait_for(sub { sent('more'); grep { /from=<more>/ } $syslog->lines },
    'the disk is full');
$r->sink->clear;
($status, $out, $err) = send_mail();
is $status, 0, 'a full disk: on-failure send: the mail goes';
is $err, '', '... and its sender hears nothing';
my ($mail) = $r->sink->mails;
my ($id) = $mail->{data} =~ /^Mail-Origin: v=1; id=([\w-]{16}); s=/m;
ok $id, '... sealed as ever';
my $line = $syslog->wait_line(qr/id=\Q$id\E /);
like $line, qr/^<20>.*mailorigin-recorder\[\d+\]: mail without a record \(No space left on device\):/,
    '... with its line in syslog';
like $line, qr/ verdict=none action=passed .* mode=args uid=0 pid=\d+ from=<me\@example\.org> recipients=1 message-id=<m1\@x>/,
    '... which holds what the record would';
is scalar(grep { /mail log .*No space left on device; each mail goes on with a line in syslog instead/ }
    $syslog->lines), 1, 'why it is so is said once';
like slurp($log), qr/\}\n\z/, 'no half line stays in the log';
is scalar(grep { !eval { JSON::PP::decode_json($_) } } $r->lines), 0,
    '... and each line is whole';

$r->conf("on-failure refuse\n");
$r->hup;
wait_for(sub { (send_mail())[0] == 75 }, 'on-failure refuse is read');
$r->sink->clear;
($status, $out, $err) = send_mail();
is $status, 75, 'a full disk: on-failure refuse: exit 75';
like $err, qr/\A[^\n]*the mail log can't be written \(No space left on device\), and on-failure is refuse\n\z/,
    '... with one line';
is $r->sink->count, 0, '... and the mail does not go';
unlink "$LOG/ballast";
($status) = send_mail();
is $status, 0, 'there is room again: mail goes';
is scalar($r->records) > 0, 1, '... with a record';
like $syslog->wait_line(qr/written again/), qr/mail log .*: written again/,
    '... and that is said';
roomy_disk();
$r->conf('');
$r->hup;
wait_for(sub { sent('nine'); senders($log) =~ /nine/ }, 'back on the big disk');

# the folder goes away, while it runs
$syslog->clear;
rename $LOG, "$LOG.away";
spew("$LOG", '');
$r->hup;
$syslog->wait_line(qr/mail log/);
is scalar(grep { /Not a directory; the moved file is written on/ }
    $syslog->lines), 1, 'a folder that is moved away: said once';
sent('ten');
like senders("$LOG.away/mail.log"), qr/ten$/,
    '... and the file that is moved gets what comes';
unlink "$LOG.away/mail.log";
$r->hup;
sent('eleven');
$line = $syslog->wait_line(qr/from=<eleven>/);
like $line, qr/mail without a record \(Not a directory\)/,
    'a file without a name gets no record that nobody finds';
unlink $LOG;
rename "$LOG.away", $LOG;
sent('twelve');
is senders($log), 'twelve', 'when the folder is back, so is the log';
$syslog->clear;
sleep 1;
sent('thirteen');
is_deeply [$syslog->lines], [], '... and no more is said';

# a syslog that is stuck does not stop the recorder
$syslog->stop_reading;
full_disk();
{
    my $begin = Time::HiRes::time();
    my $limit = slurp('/proc/sys/net/unix/max_dgram_qlen') + 200;
    my $answered = grep { sent("s$_") } 1 .. $limit;
    is $answered, $limit, "a full disk and a stuck syslog: $limit mails go";
    cmp_ok Time::HiRes::time() - $begin, '<', 20, '... and none waits long';
}
roomy_disk();
$r->stop;

# ---- as another user, without rights to the folder
{
    my $uid = getpwnam 'nobody';
    chmod 0755, $LOG;
    my $r2 = MO::Recorder->new(passed => 1, user => 'nobody', start => 0);
    $r2->{stderr} = scratch() . '/err';
    rename $log, "$LOG/root.log";
    $r2->start;
    is MO::Wire::ask()->{action}, 'passed',
        'no right to the log folder: mail goes';
    is scalar(() = $r2->log =~ /mail log \S+mail\.log: Permission denied; /g),
        1, '... said once';
    is scalar(() = $r2->log =~ m{/seen: Permission denied; }g), 1,
        '... and so is the file of nonces';
    is scalar(() = $r2->log =~ m{/keyring: Permission denied; }g), 1,
        '... and the keyring';
    is scalar(() = $r2->log =~ /\n/g), 3, '... no more than that';
    chmod 0644, "$ETC/keyring";
    chown $uid, -1, $LOG, $STATE;
    MO::Wire::ask();
    is $r2->records, 1, 'given the right, it begins to write';
    $r2->stop;
    chmod 0640, "$ETC/keyring";
}

# ---- any bytes, and much of them
{
    my $h = MO::Httpd->new(modules => ['cgid'],
        conf => "MailOriginRecord All\n");
    $h->put('token.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n"
        . "%s' \"\$MAILORIGIN_TOKEN\"\n", 0755);
    my $token = $h->get('/token.cgi?%22%5C%0d%0a%1b' . 'q' x 5000)->{content};
    $h->stop;
    unlink $log, "$LOG/root.log";
    $r->start;
    my $all = join '', map { chr } 1 .. 255;
    for my $bytes ($all, "\x1b[31m\"\\\n{\"id\":\"x\"}\n", "\xff\xfe", "a\0b",
        "\xf0\x9f\x92\xa9 \xed\xa0\x80", '"', '\\', "\x7f" x 900,
        "\x7f" x 1000, 'x' x 60000) {
        my $c = MO::Wire->connect;
        $c->hello(token => $token, exe => substr($bytes, 0, 8000),
            cwd => substr($bytes, 0, 8000));
        my $v = $c->mail(sender => substr($bytes, 0, 10000),
            subject => substr($bytes, 0, 10000),
            message_id => substr($bytes, 0, 10000),
            rcpts => 64, rcpt => [(substr $bytes, 0, 200) x 64]);
        my $name = sprintf '%d bytes like %.20s', length $bytes,
            unpack 'H*', $bytes;
        is $v->{action}, 'passed', "$name: the mail goes";
        my @lines = $r->lines;
        my $line = $lines[-1];
        like $line, qr/\A[\x20-\x7e]+\n\z/, '... its line is printable';
        cmp_ok length $line, '<=', 8192, '... of at most 8 KiB';
        my $rec = JSON::PP::decode_json($line);
        is $rec->{id}, $v->{id}, '... and its own';
        my $long = length $bytes > 800;
        ok $rec->{truncated}, '... and says that it is cut' if $long;
        is_deeply [@$rec{qw(verdict uid vhost script)}], ['claimed', 0,
            'localhost', $h->docroot . '/token.cgi'],
            '... with its origin whole';
    }
    is $r->lines, 10, 'ten mails, ten lines';
    my ($status, $out, $err) = run('jq', '-c', '.id', $log);
    is $status, 0, 'jq reads each' or diag $err;
    is scalar(() = $out =~ /\n/g), 10, '... ten of them';
}
done_testing;
