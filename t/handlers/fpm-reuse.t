# PHP-FPM over connections that are kept and serve many requests: the chain
# of parents up to the worker, and when each began, tell them apart.  Under
# three MPMs, and behind a balancer with a dead member.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

my %want = (direct => 'verified', plain => 'verified', clear => 'verified',
    forge => ['verified', 'conflict'], late => 'conflict', now => 'conflict',
    put => 'conflict', own => ['conflict', 'claimed'],
    nofd => ['hidden', 'ambiguous']);
my $one_child = "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
    . "MinSpareThreads 1\nMaxSpareThreads 32\nMaxRequestWorkers 32\n";

for (['event', 'unix', 'kept', 200], ['event', 'tcp', 'kept', 200],
    ['event', 'unix', 'balancer', 200], ['event', 'tcp', 'balancer', 80],
    ['worker', 'unix', 'kept', 200], ['prefork', 'unix', 'kept', 200],
    ['worker', 'unix', 'fresh', 200], ['prefork', 'unix', 'fresh', 200]) {
    my ($mpm, $listen, $how, $count) = @$_;
    my $max = 10;
    my %pool = map { $_ => {listen => $listen, 'pm.max_children' => 20,
        user => $_ eq 'a.example' ? 5001 : 5002} } @MO::Handlers::VHOSTS;
    my $fpm = MO::Fpm->new(pools => \%pool);
    my $conf = $mpm eq 'prefork' ? "MaxRequestWorkers 20\nServerLimit 20\n"
        : $one_child;
    for my $vhost (@MO::Handlers::VHOSTS) {
        my $s = $fpm->socket($vhost);
        my $name = $vhost =~ s/\W//gr;
        $conf .= "<Proxy \"$s\">\nProxySet enablereuse=on"
            . ($mpm eq 'prefork' ? '' : " max=$max") . "\n</Proxy>\n"
            if $how eq 'kept';
        # with retry=0 httpd itself answers some with 503: another thread
        # brings the dead member back before this one has chosen again
        $conf .= "<Proxy balancer://$name>\n"
            . "BalancerMember fcgi://127.0.0.1:9 retry=1\n"
            . "BalancerMember $s\n</Proxy>\n" if $how eq 'balancer';
    }
    my $row = MO::Handlers->new(mpm => $mpm,
        order => {fresh => 30, kept => 32, balancer => 33}->{$how},
        handler => 'PHP-FPM, ' . ($how eq 'kept'
            ? 'connections kept (enablereuse=on)'
            : $how eq 'balancer' ? 'behind a balancer with a dead member'
            : 'unix sockets, a pool a customer'),
        modules => [qw(proxy proxy_fcgi proxy_balancer slotmem_shm
            lbmethod_byrequests)], conf => $conf, vhost_conf => sub {
            my ($vhost) = @_;
            return $fpm->handler($vhost) if $how ne 'balancer';
            return "<FilesMatch \"\\.php\$\">\n  SetHandler proxy:balancer://"
                . $vhost =~ s/\W//gr . "\n</FilesMatch>\n";
        });
    $row->put('s.php', $row->php);
    note("$row->{handler}, $listen, $mpm");
    $row->{addresses} = [map { $fpm->address($_) =~ s/.*:(\d+)$/$1/r }
        @MO::Handlers::VHOSTS];
    $row->steal('/s.php');
    $row->fire('/s.php', count => $count,
        modes => [qw(direct plain clear direct forge late direct now nofd put
            own)]);
    $row->verdicts(%want);
    like($row->h->error_log, qr/AH01079: failed to make connection to backend/,
        'the dead member was tried') if $how eq 'balancer';
    diag($row->h->error_log =~ s/^.*(?:info|notice)\].*\n//mgr)
        if !Test::More->builder->is_passing;
    $row->done('verified');
    $row->stop;
    $fpm->stop;
}

done_testing();
