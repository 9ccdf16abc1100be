# wrap and unwrap where sSMTP is the MTA, and its arguments
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(ssmtp);
use MO::Test;
use MO::Modes;
use MO::Wrap;

wrap_test('ssmtp', '/usr/sbin/ssmtp');
spew('/etc/ssmtp/ssmtp.conf', "root=postmaster\nmailhub=127.0.0.1:25\n"
    . "hostname=x.example\nFromLineOverride=YES\n", 0644);
modes_test('ssmtp', program => '/usr/sbin/ssmtp', mails => smtp_sink(),
    # -f is for the field alone
    sender => sub { $_[0]{data} =~ /^From: (?|".*?" <(.*)>|(.*))$/m && $1 },
    text => qr/text|blank|from|an empty line$/,
    cases => [
        map({ ["-b$_", '/etc/ssmtp/ssmtp.conf', 'one@a.example'] } '', 'x'),
        ['-C', '/etc/ssmtp/ssmtp.conf', 'one@a.example'],
        ['-C/etc/ssmtp/ssmtp.conf', 'one@a.example'],
        ['-vC/etc/ssmtp/ssmtp.conf', 'one@a.example'],
        map({ [$_, 'one@a.example', 'two@b.example'] } '-odb', '-odi', '-odq',
            '-oem', '-oe', '-Nnever', '-Rhdrs', '-Rfull', '-Nfailure,delay',
            '-oet', '-otx', '-omt', '-omq', '-oiV', '-nmvt', '-hR', '-bmbm',
            '-bmbp', '-bmt', '-auuser', '-apx', '-vau', '-axx', '--version'),
        ['-oe', '-t'], ['-o', '-t'], ['-o', 'x', 'one@a.example'],
        ['-R', 'hdrs', 'one@a.example'], ['-N', 'never', 'one@a.example'],
        ['one@a.example', '--', '-t'], ['--', '-f', 'me', 'one@a.example'],
    ]);
done_testing;
