# wrap and unwrap where OpenSMTPD is the MTA, and its arguments
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(opensmtpd);
use MO::Test;
use MO::Modes;
use MO::Wrap;

wrap_test('opensmtpd', '/usr/sbin/smtpctl');

# a mail stays in its queue: a folder, with a file for each recipient
sub queue {
    my @mails;
    for my $message (glob '/var/spool/smtpd/queue/*/*/message') {
        (my $dir = $message) =~ s{/message$}{};
        my $mail = {data => slurp($message)};
        for (grep { $_ ne $message } glob "$dir/*") {
            my %of = slurp($_) =~ /^(\w+): (.*)$/mg;
            $mail->{from} = $of{sender};
            push @{$mail->{to}}, $of{rcpt};
        }
        run('rm', '-r', $dir);
        push @mails, $mail;
    }
    return @mails;
}

spew('/etc/mailname', "x.example\n", 0644);
spew('/etc/smtpd.conf', "listen on socket\naction away relay host "
    . "smtp://127.0.0.1:2525\nmatch from any for any action away\n", 0644);
my ($status, $out, $err) = run('smtpd', '-P', 'mta', '-P', 'mda');
is $status, 0, 'smtpd runs' or diag($out, $err);
wait_for(sub { (run('smtpctl', 'show', 'status'))[0] == 0 }, 'smtpd answers');
modes_test('opensmtpd', program => '/usr/sbin/smtpctl', mails => \&queue,
    text => qr/text|quoted|blank/,
    # a head without a field that it knows is text
    unseen => qr/text|quoted|blank|alone|empty|no meaning|nothing/,
    cases => [
        map({ [$_, 'one@a.example'] } '-bi', '-bix', '-ibi', '-bp', '-bs',
            '-q30m', '-vq', '-qv', '-E', '-Ex', '-J', '-Jx', '--version'),
        ['-f', '-bi', 'one@a.example'], ['one@a.example', '--', '-bi'],
        ['-bp', '-t'], ['-bs', '-t'], ['-N', 'never', 'one@a.example'],
        ['-R', 'HDRS', 'one@a.example'], ['-V', 'id', 'one@a.example'],
        ['-N', 'SUCCESS', '-t'], ['-RFULL', '-t'],
        map({ [{as => $_}, 'show', 'queue'] } 'smtpctl', 'sendmail',
            '/usr/sbin/sendmail', '/usr/sbin/send-mail', 'mailq'),
    ]);
done_testing;
