# Exim's -bS over a real Exim: a batch of mails arrives as without the wrapper,
# each with its one field, whatever its commands and line ends; and what Exim
# says of it and exits with is the same.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(exim4-daemon-light);
use MO::Test;
use MO::Mta;

mta_start('exim');
my $recorder = mta_wrap();

sub mail {
    my ($text, $rcpt) = @_;
    return "MAIL FROM:<bob\@localhost>\nRCPT TO:<"
        . ($rcpt // 'alice@localhost') . ">\nDATA\n$text.\n";
}
sub crlf { return $_[0] =~ s/(?<!\r)\n/\r\n/gr }

my $one = "Subject: one\n\nfirst\n";
my $forged = "mail-origin: v=1; id=forgedforgedforg;\n\ts=x\nSubject: two\n"
    . ".MAIL-Origin: stuffed\nMail-Origin : blank\n\nsecond\n";
my $dots = "Subject: three\n\n..\n..x\n.y\nMail-Origin: in the body\n";
my $all = "HELO me\n" . mail($one) . mail($forged, 'bob@localhost')
    . "RSET\nNOOP\nVRFY x\n" . mail($dots);

# the mails that must come, the batch
my @cases = (
    ['three', 3, "${all}QUIT\n"],
    ['three, CR LF', 3, crlf("${all}QUIT\n")],
    ['no QUIT', 3, $all],
    ['no QUIT, CR LF', 3, crlf($all)],
    ['QUIT ends it', 1, mail($one) . "QUIT\n" . mail($forged)],
    ['small letters', 1, "helo x\nmail from:<bob\@localhost>\n"
        . "rcpt to:<alice\@localhost>\ndata\n$one.\nquit\n"],
    ['blanks after DATA', 2, mail($one) =~ s/DATA/DATA \t/r
        . mail($one) =~ s/DATA/DATA\x0b\x0c/r],
    ['RSET in a mail', 1, "MAIL FROM:<bob\@localhost>\n"
        . "RCPT TO:<bob\@localhost>\nRSET\n" . mail($one)],
    ['HELO in a mail', 1, "MAIL FROM:<bob\@localhost>\n"
        . "RCPT TO:<bob\@localhost>\nEHLO x\n" . mail($one)],
    ['many recipients', 3, "MAIL FROM:<>\n" . join('', map {"RCPT TO:<$_>\n"}
        qw(alice bob carol)) . "DATA\n$one.\n"],
    ['an unknown recipient', 2, mail($one) . mail($forged, 'nobodyhere@localhost')
        . mail($dots)], # and a bounce
    ['a refused recipient', 1, mail($one) . mail($one, 'a@@b') . mail($dots)],
    ['a refused recipient, the first', 0, mail($one, '') . mail($dots)],
    ['an unknown command', 1, mail($one) . "BLAH\n" . mail($dots)],
    ['BDAT', 1, mail($one) . "MAIL FROM:<bob\@localhost>\n"
        . "RCPT TO:<alice\@localhost>\nBDAT 5 LAST\nx: y\n"],
    ['DATA and more', 1, mail($one) . mail($one) =~ s/DATA/DATA x/r],
    ['two senders', 0, "MAIL FROM:<bob\@localhost>\n" . mail($one)],
    ['no recipient', 1, mail($one) . "MAIL FROM:<bob\@localhost>\nDATA\n$one.\n"],
    ['too big', 1, mail($one) . mail($one . ("x" x 99 . "\n") x 15000)
        . mail($dots)],
    ['no header', 2, mail("just text\n") . mail("\njust text\n")],
    ['nothing', 2, mail('') . crlf(mail(''))],
    ['nothing, two ends', 2, mail('') =~ s/\nDATA\n/\r\nDATA\r\n/r
        . mail('') =~ s/\.\n/.\r\n/r],
    ['a From line', 1, mail("From bob Mon Jan  5 10:00:00 2026\n$one")],
    ['8 bit and NUL', 1, mail("Subject: \xc3\xa4\n\n\xe4\0\xf6\n")],
    ['EOF in the body', 1, mail($one) . mail($dots) =~ s/\.\n\z//r],
    ['EOF in the header', 1, mail($one) . "MAIL FROM:<bob\@localhost>\n"
        . "RCPT TO:<alice\@localhost>\nDATA\nSubject: x\n"],
    ['EOF in a command', 1, mail($one) . 'MAIL FROM:<bob'],
    ['EOF after the dot', 0, mail($one) =~ s/\n\z//r],
    ['empty', 0, ''],
    # the first line of a mail says how its dot's line must end
    ['CR LF commands, LF mails', 2, join '', map { crlf($_->[0]) . $_->[1] }
        map {[mail('') =~ s/\.\n//r, "$_.\n"]} $one, $forged],
    ['LF commands, CR LF mails', 2, join '', map { $_->[0] . crlf($_->[1]) }
        map {[mail('') =~ s/\.\n//r, "$_.\n"]} $one, $forged],
    ['a loose dot in CR LF', 2, crlf(mail($one)) =~
        s/first\r\n/a\r\n.\nb\n.\r\nc\n.\nDATA\r\n/r . crlf(mail($dots))],
    ['a loose dot in CR LF, LF commands', 1, mail('') =~ s/\.\n//r
        . crlf($one) . ".\nRSET\n\n.\r\n.\r\n"],
    ['a loose dot in the header', 1, crlf(mail(''))
        =~ s/\.\r\n/Subject: x\r\n.\nTo: y\n.\r\n\r\n\r\n.\r\n/r],
    ['LF, then CR LF', 1, crlf(mail('')) =~ s/\.\r\n//r
        . "Subject: x\nTo: y\r\n\r\nz\r\n.\n"],
    ['a forged field in CR LF, the rest in LF', 1, mail('') =~ s/\.\n//r
        . "Mail-Origin: x\r\nSubject: y\n\nz\n.\n\r\n.\r\n"],
    ['a forged field in LF, the rest in CR LF', 1, mail('') =~ s/\.\n//r
        . "Mail-Origin: x\nSubject: y\r\n\r\nz\r\n.\n"],
);

for my $user (qw(carol root)) {
    for (@cases) {
        my ($name, $mails, $in) = @$_;
        my $came = mta_compare($user, ["$user, $name", $in, undef, '-bS']);
        is $came, $mails, "$user, $name: $mails mails";
    }
}
is mta_compare('carol', ['rsmtp', $all, 'rsmtp']), 3, 'by the name rsmtp';
is mta_compare('carol', ['-bs', crlf("HELO x\n" . (mail($forged)
    =~ s/DATA/DATA\x0b/r) . "QUIT\n"), undef, '-bs']), 1,
    '-bs: what Exim takes for DATA';
is scalar(grep { $_->{action} ne 'passed' } $recorder->records), 0,
    'each was passed';
mta_stop();
done_testing;
