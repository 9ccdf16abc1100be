# PHP-FPM in other places: workers that are forked when a connection comes, a
# master that isn't root's, one that is pid 1 of a pid namespace, as in a
# container.  With a connection a request, and with connections that are kept.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

MO::Handlers::customers();
my $one_child = "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
    . "MinSpareThreads 1\nMaxSpareThreads 32\nMaxRequestWorkers 32\n";
my %uid = ('a.example' => 5001, 'b.example' => 5002);

# Kept connections and ondemand don't go together: FPM takes a worker that
# waits on one for idle, and forks none for the next.
for (['pm = ondemand', 36, 'unix', 0], ['pm = ondemand', 36, 'tcp', 0],
    ['a master without root', 37, 'unix', 1],
    ['a master without root', 37, 'tcp', 0],
    ['a master without root', 37, 'tcp', 1],
    ['in a pid namespace', 38, 'unix', 0],
    ['in a pid namespace', 38, 'unix', 1],
    ['in a pid namespace', 38, 'tcp', 1]) {
    my ($what, $order, $listen, $kept) = @$_;
    my (%fpm, @fpm);
    my $pool = sub {
        my ($vhost) = @_;
        return ($vhost => {listen => $listen, user => $uid{$vhost},
            'pm.max_children' => 10, $what =~ /ondemand/
            ? (pm => 'ondemand', 'pm.process_idle_timeout' => '1s') : ()});
    };
    if ($what =~ /without root/) {
        @fpm = map { MO::Fpm->new(pools => {$pool->($_)},
            run_as => 'cust' . ($uid{$_} - 5000)) } sort keys %uid;
        @fpm{sort keys %uid} = @fpm;
    }
    else {
        @fpm = MO::Fpm->new(pools => {map { $pool->($_) } keys %uid},
            $what =~ /namespace/ ? (under => [qw(unshare -p -f --mount-proc
                --kill-child --)]) : ());
        %fpm = map { $_ => $fpm[0] } keys %uid;
    }
    my $conf = $one_child;
    for my $vhost ($kept ? sort keys %uid : ()) {
        $conf .= '<Proxy "' . $fpm{$vhost}->socket($vhost) . "\">\n"
            . "ProxySet enablereuse=on max=10\n</Proxy>\n";
    }
    my $row = MO::Handlers->new(mpm => 'event', order => $order,
        handler => "PHP-FPM, $what", modules => ['proxy', 'proxy_fcgi'],
        conf => $conf,
        vhost_conf => sub { $fpm{$_[0]}->handler($_[0]) });
    $row->put('s.php', $row->php);
    note("$what, $listen, ", $kept ? 'kept' : 'fresh');
    $row->steal('/s.php');
    $row->fire('/s.php', count => $listen eq 'tcp' ? 80 : 200,
        modes => [qw(direct plain clear direct forge late
        direct now nofd put)]);
    my @j = $row->verdicts(direct => 'verified', plain => 'verified',
        clear => 'verified', forge => 'verified', late => 'conflict',
        now => 'conflict', put => 'conflict', nofd => 'hidden');
    my %seen = map { $_->{r}{uid} => 1 } @j;
    is_deeply([sort keys %seen], [5001, 5002], 'mail of two uids');
    $row->done('verified');
    $row->stop;
    # unshare ignores TERM
    $_->stop($what =~ /namespace/ ? 'KILL' : 'TERM') for @fpm;
}

done_testing();
