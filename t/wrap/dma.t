# wrap and unwrap where dma is the MTA, and its arguments
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(dma);
use MO::Test;
use MO::Modes;
use MO::Wrap;

wrap_test('dma', '/usr/sbin/dma');

# A mail stays in its queue: for each recipient a file Q… and the text, M….
sub queue {
    my %mails;
    for my $q (glob '/var/spool/dma/Q*') {
        my %of = slurp($q) =~ /^(\w+): (.*)$/mg;
        (my $m = $q) =~ s{/Q(?=[^/]*\z)}{/M};
        my $mail = $mails{(stat $m)[1]} //= {from => $of{Sender},
            data => slurp($m)};
        push @{$mail->{to}}, $of{Recipient};
        unlink $q, $m;
    }
    return values %mails;
}

spew('/etc/dma/dma.conf', "MAILNAME x.example\nDEFER\n", 0644);
modes_test('dma', program => '/usr/sbin/dma', mails => \&queue,
    later => qr/-\w*o/, # (0.13 does not mind -oi, later ones do)
    text => qr/text|twice|blank/,
    cases => [
    map({ [$_, 'one@a.example'] } '-Ac', '-Am', '-Ap', '-Axp', '-q30m', '-vq',
        '-oiF', '-oiFalse', '-oI', '--version', '--help', '-tq'),
    ['-A', 'p'], ['-q'], ['-qt'], ['-q', '-t'], ['-bp'], ['-bq'],
    ['-bp', '-bm', 'one@a.example'], ['-D', 'one@a.example'],
    ['-Ap', '-t'], ['-A', 'c', '-t'], ['-iF', 'x', 'one@a.example'],
    ['-bp', '-t'],
]);
done_testing;
