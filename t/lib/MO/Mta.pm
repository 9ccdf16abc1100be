# MO::Mta - a real mail server in the test's overlay, and what the wrapper
# must do as it does.
#
#   mta_start($mta)      'postfix', 'exim', 'sendmail'; users alice, bob; all
#                        mail for this host is delivered, the rest refused
#   mta_test($mta)       the whole matrix, for the real one and the wrapper
#   mailbox($user)       its messages, a list of texts
package MO::Mta;
use strict;
use warnings;
use Exporter 'import';
use Test::More;
use MO::Test;
use MO::Recorder;
our @EXPORT = qw(mta_start mta_test mailbox mta_send);

my $host;

sub sh {
    my ($status, $out, $err) = run('sh', '-ec', @_);
    $status == 0 or BAIL_OUT("$_[0]: $status: $out$err");
    return $out;
}

sub mta_start {
    my ($mta) = @_;
    ($host = sh('uname -n')) =~ s/[.\n].*//s;
    $host .= '.example';
    sh('for u in alice bob; do useradd -m $u; done; rm -f /var/mail/*');
    if ($mta eq 'postfix') {
        sh(<<"SH");
postconf -e 'mydestination=$host, localhost' 'myhostname=$host' \\
    'inet_interfaces=loopback-only' 'alias_maps=' 'alias_database=' \\
    'compatibility_level=3.6' 'message_size_limit=1000000' \\
    'default_transport=error:no relay here' 'maillog_file=/var/log/mail.log'
sed -i 's/^\\(smtp  *inet.*\\) y /\\1 n /' /etc/postfix/master.cf
postconf -M postlog/unix-dgram='postlog unix-dgram n - n - 1 postlogd'
postfix start >/dev/null 2>&1
SH
    }
    elsif ($mta eq 'exim') {
        sh(<<"SH");
f=/etc/exim4/update-exim4.conf.conf
sed -i "s/^dc_eximconfig_configtype=.*/dc_eximconfig_configtype='local'/
s/^dc_other_hostnames=.*/dc_other_hostnames='$host'/
s/^dc_localdelivery=.*/dc_localdelivery='mail_spool'/" \$f
mkdir -p /etc/exim4/conf.d/main
echo 'message_size_limit = 1M' > /etc/exim4/exim4.conf.localmacros
sed -i 's/^primary_hostname.*//' /etc/exim4/exim4.conf.template
sed -i '1i message_size_limit = 1M' /etc/exim4/exim4.conf.template
rm -f /etc/exim4/exim4.conf.localmacros
update-exim4.conf
SH
    }
    else {
        sh(<<'SH');
rm -f /etc/mail/service.switch
sed -i 's/^#\? *O MaxMessageSize=.*/O MaxMessageSize=1000000/' \
    /etc/mail/sendmail.cf
/usr/sbin/sendmail -bd
SH
    }
}

sub mailbox {
    my ($user) = @_;
    my $text = slurp("/var/mail/$user") // '';
    return split /^(?=From \S+ +\w{3} \w{3} )/m, $text;
}

# what differs from mail to mail, and from run to run
sub plain {
    my ($text) = @_;
    my @out;
    for ($text) {
        s/\AFrom [^\n]*\n//;
        my ($head, $body) = split /\n\n/, $_, 2;
        $head =~ s/\n[ \t]+/ /g;
        $head = join "\n", grep { !/^(?:Received|Date|Message-Id|Mail-Origin|
            X-Original-To|Delivered-To|Delivery-date):/xi } split /\n/, $head;
        return "$head\n\n" . ($body // '');
    }
}

sub said {
    my ($text) = @_;
    for ($text) {
        s/\b[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}\b/ID/g;
        s/\b\d[A-L][0-9A-Z][A-Za-z0-9]{11}\b/ID/g;
        s/\b[0-9A-F]{6,12}\b\*?/ID/g;
        s/\d\d:\d\d(?::\d\d)?/TIME/g;
        s/\b(?:pid|PID)[ =]\d+/PID/g;
        s/\[\d+\]/[PID]/g;
        s/\b\d+ ?(?:s|ms|Kbytes|bytes)\b/N/g;
        s/[ \t]+/ /g;
    }
    return $text;
}

# as a caller that knows sendmail by the name $as
sub mta_send {
    my ($program, $as, $in, @args) = @_;
    my ($status, $out, $err) = run({in => $in, timeout => 60}, 'bash', '-c',
        'exec -a "$0" "$@"', $as, $program, @args);
    return join "\n--\n", $status, said($out), said($err);
}

my $text = "Subject: one\nTo: alice\n\nA body.\n..\n.x\nEnd\n";
my @cases = (
    # name, argv[0], stdin, arguments
    ['-t', 'sendmail', $text, '-t'],
    ['-t -i', 'sendmail', $text, '-t', '-i'],
    ['-i -t', 'sendmail', $text, '-i', '-t'],
    ['-ti', 'sendmail', $text, '-ti'],
    ['-it', 'sendmail', $text, '-it'],
    ['-oi -t', 'sendmail', $text, '-oi', '-t'],
    ['an operand', 'sendmail', $text, 'alice'],
    ['operands', 'sendmail', $text, '-i', 'alice', 'bob'],
    ['-- operand', 'sendmail', $text, '-i', '--', 'alice'],
    ['-f separate', 'sendmail', $text, '-i', '-f', 'bob', 'alice'],
    ['-f bundled', 'sendmail', $text, '-i', '-fbob', 'alice'],
    ['-f -t', 'sendmail', $text, '-f', 'bob', '-t', '-i'],
    ['-f empty', 'sendmail', $text, '-i', '-f', '', 'alice'],
    ['-f <>', 'sendmail', $text, '-i', '-f', '<>', 'alice'],
    ['-f -bs', 'sendmail', $text, '-i', '-f', '-bs', 'alice'],
    ['-r', 'sendmail', $text, '-i', '-r', 'bob', 'alice'],
    ['-F', 'sendmail', $text, '-i', '-F', 'Bob B', 'alice'],
    ['-F bundled', 'sendmail', $text, '-i', '-FBob', 'alice'],
    ['-N', 'sendmail', $text, '-i', '-N', 'never', 'alice'],
    ['-R', 'sendmail', $text, '-i', '-R', 'hdrs', 'alice'],
    ['-V', 'sendmail', $text, '-i', '-V', 'envid', 'alice'],
    ['-B', 'sendmail', $text, '-i', '-B', '8BITMIME', 'alice'],
    ['-h', 'sendmail', $text, '-i', '-h', '5', 'alice'],
    ['-m -n', 'sendmail', $text, '-i', '-m', '-n', 'alice'],
    ['-oem', 'sendmail', $text, '-i', '-oem', 'alice'],
    ['-odb', 'sendmail', $text, '-i', '-odb', 'alice'],
    ['-O', 'sendmail', $text, '-i', '-O', 'ErrorMode=m', 'alice'],
    ['-G', 'sendmail', $text, '-i', '-G', 'alice'],
    ['-U', 'sendmail', $text, '-i', '-U', 'alice'],
    ['-v', 'sendmail', $text, '-i', '-C'],
    ['-bm', 'sendmail', $text, '-bm', '-i', 'alice'],
    ['-bv', 'sendmail', '', '-bv', 'alice'],
    ['-bp', 'sendmail', '', '-bp'],
    ['-bi', 'sendmail', '', '-bi'],
    ['-bX', 'sendmail', $text, '-bX'],
    ['-Z', 'sendmail', $text, '-Z', 'alice'],
    ['no recipients', 'sendmail', $text],
    ['-t, none', 'sendmail', "Subject: x\n\nx\n", '-t', '-i'],
    ['unknown user', 'sendmail', $text, '-i', 'nobodyhere'],
    ['unknown host', 'sendmail', $text, '-i', 'x@elsewhere.example'],
    ['a bad address', 'sendmail', $text, '-i', 'a@@b'],
    ['too big', 'sendmail', $text . ("x" x 99 . "\n") x 15000, '-i', 'alice'],
    ['mailq', 'mailq', ''],
    ['newaliases', 'newaliases', ''],
    ['a dot', 'sendmail', "Subject: dot\n\na\n.\nb\n", 'alice'],
    ['a dot, -i', 'sendmail', "Subject: dot\n\na\n.\nb\n", '-i', 'alice'],
    ['empty', 'sendmail', '', '-i', 'alice'],
    ['no header', 'sendmail', "just text\n", '-i', 'alice'],
    ['8 bit', 'sendmail', "Subject: \xc3\xa4\n\n\xe4\xf6\n", '-i', 'alice'],
    ['CRLF', 'sendmail', "Subject: crlf\r\n\r\na\r\nb\r\n", '-i', 'alice'],
    ['no final newline', 'sendmail', "Subject: x\n\nend", '-i', 'alice'],
    ['From line', 'sendmail', "From bob Mon Jan  5 10:00:00 2026\nSubject: f\n"
        . "\nbody\n", '-i', 'alice'],
    ['-bs', 'sendmail', "HELO x\r\nMAIL FROM:<bob\@localhost>\r\n"
        . "RCPT TO:<alice\@localhost>\r\nDATA\r\nSubject: bs\r\n\r\nb\r\n.\r\n"
        . "QUIT\r\n", '-bs'],
);

my %seen;

# runs a case, waits for the mails that it makes; (what was said, mails)
sub outcome {
    my ($program, $case, $count) = @_;
    my ($name, $as, $in, @args) = @$case;
    my $before = @{[mailbox('alice')]};
    my $said = mta_send($program, $as, $in, @args);
    my @mails;
    if (defined $count) {
        wait_for(sub { @{[mailbox('alice')]} >= $before + $count },
            "$name: the mail", 60);
    }
    else {
        # none, or one: what is not there after the queue is empty never comes
        wait_for(\&idle, "$name: an empty queue", 60);
    }
    @mails = mailbox('alice');
    return $said, map { plain($_) } @mails[$before .. $#mails];
}

my $mta;

sub idle {
    my ($status, $out) = run('mailq');
    return 1 if $mta eq 'postfix' && $out =~ /queue is empty/
        || $mta eq 'exim' && $out !~ /\S/;
    return 0 if $mta ne 'sendmail';
    # both of Sendmail's queues
    my @totals = $out =~ /Total requests: (\d+)/g;
    return !grep { $_ } @totals;
}

sub mta_test {
    ($mta) = @_;
    mta_start($mta);
    my $recorder = MO::Recorder->new;
    $recorder->start;
    is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap');
    my $real = '/usr/sbin/sendmail.real';
    my $records = 0;
    for my $case (@cases) {
        my ($name) = @$case;
        my ($said, @mails) = outcome($real, $case);
        my ($said2, @mails2) = outcome('/usr/sbin/sendmail', $case);
        is $said2, $said, "$name: status, stdout and stderr";
        is join("\n", @mails2), join("\n", @mails), "$name: what arrives";
        my @all = mailbox('alice');
        $records += @mails2;
        for my $m (@mails2 ? @all[-@mails2 .. -1] : ()) {
            my @fields = $m =~ /^Mail-Origin: v=1; id=/mg;
            is scalar(@fields), 1, "$name: stamped, once"
                if $m !~ /^Subject: (?:Undelivered|Mail delivery|Returned)/m
                && $m !~ /^Auto-Submitted:/mi;
        }
    }
    cmp_ok $records, '>', 25, 'many mails arrived';

    # a bounce brings the field back
    my $before = @{[mailbox('bob')]};
    mta_send('/usr/sbin/sendmail', 'sendmail', "Subject: lost\n\nx\n", '-i',
        '-f', 'bob', 'nobodyhere');
    my $bounce = wait_for(sub { (mailbox('bob'))[$before] }, 'a bounce', 60);
    my ($status, $out, $err) = run({in => $bounce}, $MAILORIGIN, 'trace',
        '--json', '-');
    is $status, 0, 'trace opens the bounce' or diag($bounce, $err);
    like $out, qr/"verdict":"none"/, 'and shows its verdict';

    # the server is down
    if ($mta ne 'exim') {
        sh($mta eq 'postfix' ? 'postfix stop >/dev/null 2>&1'
            : 'pkill -f "sendmail: MTA" || pkill sendmail');
        my @down = (['down', 'sendmail', $text, '-i', 'alice']);
        my @said = map { mta_send($_, 'sendmail', $text, '-i', 'alice') }
            $real, '/usr/sbin/sendmail';
        is $said[1], $said[0], 'the server is down: the same';
    }
    is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap');
}

1;
