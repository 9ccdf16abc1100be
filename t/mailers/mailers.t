# mailers as they are packaged, over a real Postfix: what each sends arrives
# whole and stamped, as it does without the wrapper but for the stamp
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(postfix libphp-phpmailer php-symfony-mailer php-mail php-mail-mime wordpress node-nodemailer libemail-sender-perl libemail-mime-perl libmime-lite-perl mutt bsd-mailx cron python3);
use MO::Test;
use MO::Mta;
use MO::Recorder;

mta_start('postfix');
my $recorder = MO::Recorder->new;
my $dir = scratch();
my $mails = 3;
my ($host) = map { "$_.example" } (run('uname', '-n'))[1] =~ /^([^.\s]+)/;

# what is attached: all bytes, no final newline
spew("$dir/data.bin", join('', map { chr($_ * 7 % 256) } 0 .. 2999), 0644);
spew("$dir/body.txt", "Gr\xc3\xbc\xc3\x9fe,\n.\n..\nFrom here\nend\n", 0644);
my $subject = "Gr\xc3\xbc\xc3\x9fe \xe2\x9c\x93"; # and a number

# name => how it is run with the number of the mail as its last argument
my %file = (
    'php-mail.php' => <<'PHP',
<?php
$b = 'b-1';
exit(mail('alice', mb_encode_mimeheader("SUBJECT $argv[1]", 'UTF-8', 'B'),
    "--$b\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n"
    . file_get_contents('DIR/body.txt') . "\r\n--$b\r\n"
    . "Content-Type: application/octet-stream\r\n"
    . "Content-Transfer-Encoding: base64\r\n\r\n"
    . chunk_split(base64_encode(file_get_contents('DIR/data.bin')))
    . "--$b--\r\n", ['From' => 'carol@localhost', 'MIME-Version' => '1.0',
    'Content-Type' => "multipart/mixed; boundary=\"$b\""],
    '-fcarol@localhost') ? 0 : 1);
PHP
    'phpmailer.php' => <<'PHP',
<?php
require '/usr/share/php/libphp-phpmailer/autoload.php';
// (its own takes no host without a dot)
PHPMailer\PHPMailer\PHPMailer::$validator = 'html5';
$m = new PHPMailer\PHPMailer\PHPMailer(true);
$argv[1] === 'mail' ? $m->isMail() : $m->isSendmail();
$m->CharSet = 'UTF-8';
$m->setFrom('carol@localhost', 'Cärol');
$m->addAddress('alice@localhost');
$m->Subject = "SUBJECT $argv[2]";
$m->Body = file_get_contents('DIR/body.txt');
$m->addAttachment('DIR/data.bin', 'dätä.bin');
$m->send();
PHP
    'symfony.php' => <<'PHP',
<?php
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';
use Symfony\Component\Mime\Email;
$dsn = $argv[1] === 'bs' ? 'sendmail://default'
    : 'sendmail://default?command=' . rawurlencode('/usr/sbin/sendmail -t -i');
$mailer = new Symfony\Component\Mailer\Mailer(
    Symfony\Component\Mailer\Transport::fromDsn($dsn));
$n = $argv[1] === 'bs' ? [1, 2, 3] : [$argv[2]];
if ($argv[1] === 'bs' && $argv[2] != 1) exit(0); # all in one session
foreach ($n as $i)
    $mailer->send((new Email())->from('carol@localhost')->to('alice@localhost')
        ->subject("SUBJECT $i")->text(file_get_contents('DIR/body.txt'))
        ->attachFromPath('DIR/data.bin'));
PHP
    'pear.php' => <<'PHP',
<?php
error_reporting(E_ALL & ~E_DEPRECATED);
require 'Mail.php';
require 'Mail/mime.php';
$m = new Mail_mime(['text_charset' => 'UTF-8', 'head_charset' => 'UTF-8']);
$m->setTXTBody(file_get_contents('DIR/body.txt'));
$m->addAttachment('DIR/data.bin');
$body = $m->get();
$r = Mail::factory('sendmail')->send('alice@localhost', $m->headers([
    'From' => 'carol@localhost', 'To' => 'alice@localhost',
    'Subject' => "SUBJECT $argv[1]"]), $body);
if (PEAR::isError($r)) { fwrite(STDERR, $r->getMessage()); exit(1); }
PHP
    'nodemailer.js' => <<'JS',
const nodemailer = require('/usr/share/nodejs/nodemailer');
nodemailer.createTransport({sendmail: true}).sendMail({
    from: 'carol@localhost', to: 'alice@localhost',
    subject: 'SUBJECT ' + process.argv[2],
    text: require('fs').readFileSync('DIR/body.txt', 'utf8'),
    attachments: [{path: 'DIR/data.bin'}]
}, err => { if (err) { console.error(err); process.exit(1); } });
JS
    # wp_mail and its PHPMailer as WordPress ships them; its options are said
    # here in place of a database
    'wordpress.php' => <<'PHP',
<?php
define('ABSPATH', '/usr/share/wordpress/');
define('WPINC', 'wp-includes');
define('WP_DEBUG', false);
foreach (['load', 'plugin', 'functions', 'formatting', 'option', 'link-template',
    'general-template', 'l10n', 'class-wp-error', 'pluggable'] as $f)
    require_once ABSPATH . WPINC . "/$f.php";
add_filter('pre_option_home', fn() => 'http://HOST');
add_filter('pre_option_blog_charset', fn() => 'UTF-8');
exit(wp_mail('alice@HOST', "SUBJECT $argv[1]", file_get_contents('DIR/body.txt'),
    ["From: Cärol <carol@HOST>"], ['dätä.bin' => 'DIR/data.bin']) ? 0 : 1);
PHP
    'python.py' => <<'PY',
import subprocess, sys
from email.message import EmailMessage
m = EmailMessage()
m['From'] = 'carol@localhost'
m['To'] = 'alice@localhost'
m['Subject'] = 'SUBJECT ' + sys.argv[1]
m.set_content(open('DIR/body.txt', encoding='utf-8').read())
m.add_attachment(open('DIR/data.bin', 'rb').read(), maintype='application',
    subtype='octet-stream', filename='data.bin')
subprocess.run(['/usr/sbin/sendmail', '-t', '-oi'], input=m.as_bytes(),
    check=True)
PY
    # smtplib over a pipe to `sendmail -bs`, or as it is, over loopback
    'smtp.py' => <<'PY',
import smtplib, socket, subprocess, sys
from email.message import EmailMessage
import email.policy
class Pipe(smtplib.SMTP):
    def _get_socket(self, host, port, timeout):
        ours, theirs = socket.socketpair()
        self.child = subprocess.Popen(['/usr/sbin/sendmail', '-bs'],
            stdin=theirs, stdout=theirs)
        theirs.close()
        return ours
kind, n = sys.argv[1], int(sys.argv[2])
if kind == 'bs' and n != 1: # all in one session
    sys.exit(0)
with Pipe('sendmail') if kind == 'bs' else smtplib.SMTP('127.0.0.1') as s:
    for i in [1, 2, 3] if kind == 'bs' else [n]:
        m = EmailMessage(policy=email.policy.SMTP)
        m['From'] = 'carol@localhost'
        m['To'] = 'alice@localhost'
        m['Subject'] = 'SUBJECT %d' % i
        m.set_content(open('DIR/body.txt', encoding='utf-8').read())
        m.add_attachment(open('DIR/data.bin', 'rb').read(),
            maintype='application', subtype='octet-stream',
            filename='data.bin')
        s.send_message(m)
if kind == 'bs' and s.child.wait():
    sys.exit(1)
PY
    'sender.pl' => <<'PL',
use Email::Sender::Simple 'sendmail';
use Email::Sender::Transport::Sendmail;
use Email::MIME;
sub file { open my $f, '<:raw', $_[0] or die $!; local $/; scalar <$f> }
my $text = file('DIR/body.txt');
utf8::decode($text);
my $subject = "SUBJECT $ARGV[0]";
utf8::decode($subject);
sendmail(Email::MIME->create(header_str => [From => 'carol@localhost',
    To => 'alice@localhost', Subject => $subject], parts => [
    Email::MIME->create(attributes => {charset => 'UTF-8',
        encoding => 'quoted-printable'}, body_str => $text),
    Email::MIME->create(attributes => {content_type =>
        'application/octet-stream', encoding => 'base64', name => 'data.bin'},
        body => file('DIR/data.bin'))]),
    {transport => Email::Sender::Transport::Sendmail->new});
PL
    'lite.pl' => <<'PL',
use MIME::Lite;
use Encode;
my $m = MIME::Lite->new(From => 'carol@localhost', To => 'alice@localhost',
    Subject => encode('MIME-Header', decode('UTF-8', "SUBJECT $ARGV[0]")),
    Type => 'multipart/mixed');
$m->attach(Type => 'text/plain; charset=UTF-8', Path => 'DIR/body.txt');
$m->attach(Type => 'application/octet-stream', Path => 'DIR/data.bin');
$m->send or die;
PL
    'mutt.sh' => 'exec mutt -n -F /dev/null -e "set charset=utf-8" '
        . '-s "SUBJECT $1" -a DIR/data.bin -- alice < DIR/body.txt' . "\n",
    'mailx.sh' => '{ cat DIR/body.txt; base64 DIR/data.bin; } | '
        . 'mail -s "SUBJECT $1" alice' . "\n",
);
for (keys %file) {
    $file{$_} =~ s/SUBJECT/$subject/g;
    $file{$_} =~ s/DIR/$dir/g;
    $file{$_} =~ s/HOST/$host/g;
    spew("$dir/$_", $file{$_}, 0644);
}
my @mailers = (
    ['PHP mail()', 'php', "$dir/php-mail.php"],
    ['PHPMailer, mail', 'php', "$dir/phpmailer.php", 'mail'],
    ['PHPMailer, sendmail', 'php', "$dir/phpmailer.php", 'sendmail'],
    ['Symfony Mailer, -bs', 'php', "$dir/symfony.php", 'bs'],
    ['Symfony Mailer, -t', 'php', "$dir/symfony.php", 't'],
    ['WordPress', 'php', "$dir/wordpress.php"],
    ['PEAR Mail', 'php', "$dir/pear.php"],
    ['nodemailer', 'node', "$dir/nodemailer.js"],
    ['Python', '/usr/bin/python3', "$dir/python.py"],
    ['smtplib, -bs', '/usr/bin/python3', "$dir/smtp.py", 'bs'],
    ['Email::Sender', 'perl', "$dir/sender.pl"],
    ['MIME::Lite', 'perl', "$dir/lite.pl"],
    ['mutt', 'sh', "$dir/mutt.sh"],
    ['mail(1)', 'sh', "$dir/mailx.sh"],
);

# MO_CASE=NAME: that one alone
@mailers = grep { $_->[0] =~ /\Q$ENV{MO_CASE}\E/ } @mailers if $ENV{MO_CASE};

# what differs from run to run
sub plain {
    my ($text) = @_;
    my $n = 0;
    for ($text) {
        s/\AFrom [^\n]*\n//;
        s/^(?:Received|Date|Message-Id|Mail-Origin):[^\n]*\n(?:[ \t][^\n]*\n)*
            //mxig;
        while (/boundary="?([^"\s;]+)/g) {
            my $b = $1;
            next if $b =~ /^BOUNDARY/;
            $n++;
            s/\Q$b\E/BOUNDARY$n/g;
        }
        s/<[^<>\s]*\.[0-9a-f]{6,}[^<>\s]*@/<ID@/g;
    }
    return $text;
}

sub send_all {
    my %got;
    for my $m (@_) {
        my ($name, @cmd) = @$m;
        my $before = () = mailbox('alice');
        my $said = '';
        for my $n (1 .. $mails) {
            my ($status, $out, $err) = run({user => 'carol', cwd => '/',
                env => {HOME => (getpwnam 'carol')[7], USER => 'carol',
                    LOGNAME => 'carol', LC_ALL => 'C.UTF-8'}, in => ''}, @cmd,
                $n);
            $said .= "status $status\n$out$err";
        }
        wait_for(sub { mta_idle() && mailbox('alice') >= $before + $mails },
            "$name: three mails");
        my @all = mailbox('alice');
        $got{$name} = {said => $said, mails => [@all[$before .. $#all]]};
    }
    return \%got;
}

# cron mails what a job says
sub cron {
    my $before = () = mailbox('carol');
    spew('/etc/cron.d/mo-test',
        "MAILTO=carol\n* * * * * carol /bin/cat $dir/body.txt\n");
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        { no warnings; exec 'cron', '-f'; }
        POSIX::_exit(127);
    }
    wait_for(sub { mta_idle() && mailbox('carol') > $before }, 'cron: a mail',
        100);
    unlink '/etc/cron.d/mo-test';
    kill 'TERM', $pid;
    waitpid $pid, 0;
    return (mailbox('carol'))[$before] // '';
}

my $without = send_all(@mailers);
is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap');
my $with = send_all(@mailers);
for (map { $_->[0] } @mailers) {
    my ($a, $b) = ($without->{$_}, $with->{$_});
    is $b->{said}, $a->{said}, "$_: its status and what it said";
    like $a->{said}, qr/\A(?:status 0\n){$mails}\z/, '... which is nothing';
    is scalar(@{$b->{mails}}), $mails, "$_: three mails arrived";
    is_deeply [sort map { plain($_) } @{$b->{mails}}],
        [sort map { plain($_) } @{$a->{mails}}], "$_: whole";
    is join(' ', map { scalar(() = /^Mail-Origin: v=1; id=/mg) }
        @{$b->{mails}}), '1 1 1', "$_: stamped";
}
my $mail = cron();
like $mail, qr/^Mail-Origin: v=1; id=.*^Subject: Cron/ms, 'cron: stamped';
like $mail, qr/\n\n.*Gr\xc3\xbc.*\n>?From here\nend\n/s, 'and whole';
is scalar(grep { $_->{verdict} ne 'none' } $recorder->records), 0,
    'none of them of a request';

# SMTP to the host goes past every sendmail: no stamp, but the MTA's log tells
if (my $bs = $with->{'smtplib, -bs'}) {
    my $since = time;
    my $got = send_all(['smtplib', '/usr/bin/python3', "$dir/smtp.py",
        'smtp'])->{smtplib};
    is $got->{said}, "status 0\n" x $mails, 'smtplib over loopback';
    is_deeply [sort map { plain($_) } @{$got->{mails}}],
        [sort map { plain($_) } @{$bs->{mails}}], '... the same mails';
    is scalar(grep { /^Mail-Origin:/m } @{$got->{mails}}), 0,
        '... without a stamp';
    my ($status, $past) = run($MAILORIGIN, qw(log --unrecorded --json
        --since), "\@$since", '/var/log/maillog');
    is join(' ', map { "$_->{taken} $_->{envelope_from}" }
        map { JSON::PP::decode_json($_) } split /\n/, $past),
        join(' ', ('smtp carol@localhost') x $mails),
        '... and log --unrecorded shows them, and nothing else' or diag($past);
}
is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap');
done_testing;
