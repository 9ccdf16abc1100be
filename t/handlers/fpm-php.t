# PHP-FPM of other releases, which t/suites.sh has put by.  PHP 7.4 leaves the
# FastCGI connection to what a script runs, as 8.2 does; 8.4 closes it, so that
# the extension must give it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

for my $of (['7.4', 0], ['8.4', 0], ['8.4', 1]) {
    my ($v, $with) = @$of;
    local $ENV{MO_FPM} = MO::Fpm::at_home($v) . '/php-fpm';
    local $ENV{MO_FPM_EXTENSION} = $with ? MO::Fpm::extension($v) : '';
    like((run($ENV{MO_FPM}, '-v'))[1], qr/^PHP \Q$v\E\b/, "PHP-FPM $v");
    for my $kept (0, 1) {
        my $fpm = MO::Fpm->new(pools => {
            'a.example' => {user => 5001, listen => $kept ? 'tcp' : 'unix'},
            'b.example' => {user => 5002}});
        my $row = MO::Handlers->new(order => $v eq '8.4' ? 35.5 : 30,
            mpm => 'event', handler => $v eq '8.4' ? 'PHP-FPM of PHP 8.4'
                : 'PHP-FPM, unix sockets, a pool a customer',
            modules => ['proxy', 'proxy_fcgi'],
            conf => "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
                . "MinSpareThreads 1\nMaxSpareThreads 32\n"
                . "MaxRequestWorkers 32\n"
                . join('', !$kept ? () : map { '<Proxy "' . $fpm->socket($_)
                    . "\">\nProxySet enablereuse=on max=3\n</Proxy>\n" }
                    @MO::Handlers::VHOSTS),
            vhost_conf => sub { $fpm->handler($_[0]) });
        $row->put('s.php', $row->php);
        $row->steal('/s.php');
        $row->fire('/s.php', count => 80, modes => [qw(direct plain clear
            direct forge late direct now nofd own)]);
        # what httpd gave stands in the environment, with the extension
        my @any = qw(hidden claimed forged conflict ambiguous);
        my @j = $v ne '8.4' || $with ? $row->verdicts(direct => 'verified',
            plain => 'verified', clear => 'verified',
            forge => ['verified', 'conflict'], late => 'conflict',
            now => 'conflict', own => ['conflict', 'claimed'],
            nofd => ['hidden', 'ambiguous', 'claimed'])
            : $row->verdicts(direct => 'hidden', plain => 'hidden',
            clear => 'hidden', forge => 'forged', late => \@any,
            now => \@any, own => \@any, nofd => 'hidden');
        cmp_ok(scalar @j, '>=', 80, 'each mail has its record');
        $row->done($v ne '8.4' || $with ? 'verified' : 'hidden',
            needs => $with ? 'the PHP extension' : 'nothing');
        $row->stop;
        $fpm->stop;
    }
}

done_testing();
