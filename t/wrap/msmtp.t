# wrap and unwrap where msmtp is the MTA, and its arguments
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(msmtp-mta);
use MO::Test;
use MO::Modes;
use MO::Wrap;

wrap_test('msmtp', '/usr/bin/msmtp');
spew('/etc/msmtprc', "account default\nhost 127.0.0.1\nport 25\n"
    . "from alice\@x.example\ntls off\nauth off\n", 0644);
modes_test('msmtp', program => '/usr/bin/msmtp', mails => smtp_sink(),
    text => qr/text|blank|from/,
    cases => [
        map({ [$_, 'one@a.example'] } qw(-d0.1 -d5 --debug --debug=5 --debug=0.1 -P
            --pretend --prete -S --serverinfo --server --host=127.0.0.1
            --ho=127.0.0.1 --version --vers --help --he --ver=x --nosuch -bmx
            --from=me@m.example --fr=me@m.example --read-recipients --read-r
            --read-envelope-from --read-e --read- --read-recipients=x -bp -bs
            --tls=off --tls-starttls=off --auth=off --auth --keepbcc
            --set-from-header --syslog=off --rmqs=x --configure=x -h5 -hx
            --add-missing-date-header -Cx --dsn-notify=never -Nnever -Rhdrs
            -a)),
        map({ [split(/ /), 'one@a.example'] }
            '--host 127.0.0.1', '--ho 127.0.0.1 --port 25', '--port 25',
            '--from me@m.example', '--fro me@m.example', '--tls off',
            '--account default', '--acc default', '-a default', '-a x',
            '--file /etc/msmtprc', '-C /etc/msmtprc', '-C/etc/msmtprc',
            '-X log', '-Xlog', '--logfile log', '--timeout 5', '--user x',
            '--connect-timeout 5', '--protocol smtp', '--domain d.example',
            '--maildomain m.example', '--auth off', '--keepbcc on',
            '--tls-trust-file x', '--passwordeval true', '--aliases x',
            '--proxy-host x', '--source-ip 127.0.0.1', '--dsn-notify never',
            '--dsn-return hdrs', '-N never', '-R hdrs', '--rmqs x',
            '--configure x', '-d 0.1', '--debug 0.1', '--syslog off',
            '--set-date-header auto', '--read-recipients -t', '-t --fro me',
            '--host -t', '--from -- -t', '--user --from=x', '--socket x',
            '--logfile-time-format x'),
        ['--host'], ['--from'], ['--read-recipients'], ['--read-r', '-i'],
        ['--serverinfo'], ['--host=127.0.0.1', '--serverinfo'], ['-S', '-t'],
        ['-P'], ['-P', '-t'], ['--version', '-t'], ['one@a.example', '--help'],
        ['one@a.example', '--', '--help'], ['-i', '--fro=', 'one@a.example'],
    ]);
done_testing;
