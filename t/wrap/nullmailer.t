# wrap and unwrap where nullmailer is the MTA, and its arguments
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(nullmailer);
use MO::Test;
use MO::Modes;
use MO::Wrap;

wrap_test('nullmailer', '/usr/sbin/sendmail.real');

# a mail stays in its queue: the sender, the recipients, and the text
sub queue {
    return map {
        my ($from, $to, $data) = slurp($_) =~
            /\A([^\n]*)\n((?:[^\n]+\n)*)\n(.*)/s;
        unlink $_;
        {from => $from, to => [split /\n/, $to], data => $data}
    } glob '/var/spool/nullmailer/queue/*';
}

spew("/etc/nullmailer/$_", "x.example\n", 0644)
    for qw(me defaultdomain defaulthost);
modes_test('nullmailer', program => '/usr/sbin/sendmail', mails => \&queue,
    text => qr/text|twice|blank|from/,
    cases => [
        map({ [$_, 'one@a.example'] } '-em', '-ep', '-eq', '-ex', '--em',
            '--bm', '--bp', '--bs', '--bm=x', '-bm=x', '-bmx', '-bpx', '-ibp',
            '-help', '--help', '-hx', '--version', '-iq', '-qx', '-tq'),
        ['-q', 'x', 'one@a.example'], ['-q', 'one@a.example'], ['-q30m'],
        ['-bp', '-bm', 'one@a.example'], ['-bs', '-bm', 'one@a.example'],
        ['-bm', '-bs'], ['-bm', '-bp'], ['-bp', '-t'], ['-t', '-bs'],
        ['-bs', 'one@a.example'], ['-qx', '-bs'], ['-bs', '-v'],
        ['-f', 'me', '-bs'], ['-fme', '-bs'],
    ]);
done_testing;
