# PHP-FPM under event, as hosting servers run it: a pool a customer, each of
# its own uid, unix sockets; then TCP.  Nothing is changed on PHP's side.
# All requests are in one child of httpd.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

my $one_child = "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
    . "MinSpareThreads 1\nMaxSpareThreads 32\nMaxRequestWorkers 32\n";

for my $listen (qw(unix tcp tcp6)) {
    my $fpm = MO::Fpm->new(pools => {
        'a.example' => {listen => $listen, user => 5001},
        'b.example' => {listen => $listen, user => 5002},
        third => {listen => $listen, user => 5003}});
    my $row = MO::Handlers->new(order => $listen eq 'unix' ? 30 : 31,
        handler => 'PHP-FPM, ' . ($listen eq 'unix'
            ? 'unix sockets, a pool a customer' : 'TCP'),
        mpm => 'event', modules => ['proxy', 'proxy_fcgi'],
        conf => $one_child, vhost_conf => sub {
            my ($vhost) = @_;
            return $fpm->handler($vhost)
                . $fpm->handler('third', '^third\.php$');
        });
    $row->put($_, $row->php) for qw(s.php third.php);
    # the customer's own .htaccess decides what PHP is told
    $row->{addresses} = [map { $fpm->address($_) =~ s/.*:(\d+)$/$1/r }
        @MO::Handlers::VHOSTS];
    $row->steal('/s.php');
    my $token = slurp($row->dir . '/token.late');
    $row->h->put('a.example:.htaccess',
        "ProxyFCGISetEnvIf true MAILORIGIN_TOKEN $token\n"
        . "SetEnv MAILORIGIN_VHOST b.example\n");
    $row->fire(['/s.php', '/s.php', '/third.php', '/s.php'],
        modes => [qw(direct plain clear direct forge late direct now nofd put
            own)]);
    # what a script closed can't tell, but then nothing is guessed
    my @j = $row->verdicts(direct => 'verified', plain => 'verified',
        clear => 'verified', forge => ['verified', 'conflict'],
        late => 'conflict', now => 'conflict', put => 'conflict',
        own => ['conflict', 'claimed'],
        nofd => ['hidden', 'ambiguous']);
    my %uid = map { $_->{r}{uid} => 1 } @j;
    is_deeply([sort keys %uid], [5001, 5002, 5003], 'mail of three uids');
    my ($j) = grep { $_->{mode} eq 'direct' } @j;
    is($j->{r}{evidence}, 'connection', 'by the connection');
    is(scalar(grep { ($_->{r}{claimed_vhost} // '') ne 'b.example' }
        grep { $_->{r}{verdict} ne 'claimed' }
        grep { $_->{mode} =~ /late|now|put|own/ } @j), 0, 'the lies are on record');
    $row->done('verified', mpm => 'event') if $listen ne 'tcp6';
    $row->stop;
    $fpm->stop;
}

done_testing();
