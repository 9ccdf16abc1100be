# HTTP/2: 16 streams on one connection, to PHP-FPM and to mod_lua; each is a
# request of its own.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

my $fpm = MO::Fpm->new(pools => {'a.example' => {'pm.max_children' => 10},
    'b.example' => {'pm.max_children' => 10}});
# over TLS, as browsers speak it: Debian's curl breaks the framing of many
# streams at once where it speaks HTTP/2 in plain text, with any httpd
my $dir = scratch();
my ($status, $out, $err) = run(qw(openssl req -x509 -newkey ec -pkeyopt
    ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 30 -keyout),
    "$dir/key", '-out', "$dir/crt");
is($status, 0, 'a certificate') or diag $err;
my $tls = '';
for my $vhost (@MO::Handlers::VHOSTS) {
    $tls .= "<VirtualHost *:8443>\n  ServerName $vhost\n  SSLEngine on\n"
        . "  DocumentRoot $dir/vhosts/$vhost\n" . $fpm->handler($vhost)
        . "</VirtualHost>\n";
}
my $row = MO::Handlers->new(order => 66, handler => 'HTTP/2 to PHP-FPM and '
    . 'mod_lua', mpm => 'event', modules => [qw(ssl socache_shmcb http2 proxy
    proxy_fcgi lua)], httpd => {root => $dir},
    conf => "Protocols h2 http/1.1\nH2MinWorkers 16\nH2MaxWorkers 32\n"
        . "H2MaxSessionStreams 32\nAddHandler lua-script .lua\n"
        . "StartServers 1\nServerLimit 1\nThreadsPerChild 64\n"
        . "MaxRequestWorkers 64\nMinSpareThreads 1\nMaxSpareThreads 64\n"
        . "Listen 127.0.0.1:8443\nSSLCertificateFile $dir/crt\n"
        . "SSLCertificateKeyFile $dir/key\n$tls",
    vhost_conf => sub { $fpm->handler($_[0]) });
$row->put('s.php', $row->php);
$row->put('s.lua', $row->lua);
$row->steal('/s.php');

# two customers' clients, one connection each
my @modes = qw(plain clear plain forge plain late plain now);
my $each = 100;
my @pids;
for my $v (0, 1) {
    my $vhost = $MO::Handlers::VHOSTS[$v];
    my $conf = '';
    for my $i (1 .. $each) {
        my $n = $v * $each + $i;
        my $mode = $modes[$i % @modes];
        my $path = $i % 3 == 0 ? '/s.lua' : '/s.php';
        $conf .= "url = \"https://$vhost:8443$path?n=$n&m=$mode\"\noutput = \"$row->{dir}/h2.$n\"\n";
    }
    spew("$row->{dir}/curl.$v", $conf);
    my $pid = fork // die $!;
    if (!$pid) {
        open STDOUT, '>', "$row->{dir}/curl.$v.out";
        open STDERR, '>', "$row->{dir}/curl.$v.err";
        exec qw(curl -ksS --http2 -Z --parallel-max 16 --resolve),
            "$vhost:8443:127.0.0.1", '-w', "%{http_version} %{http_code} "
            . "%{num_connects}\n", '-K', "$row->{dir}/curl.$v";
    }
    push @pids, $pid;
}
for (@pids) {
    waitpid $_, 0;
    is($?, 0, 'curl');
}
$row->{sent} = 2 * $each;
spew("$row->{dir}/stop", '');
my @out = map { split /\n/, slurp("$row->{dir}/curl.$_.out") } 0, 1;
is(scalar(grep { /^2 200 / } @out), 2 * $each, 'all by HTTP/2, status 200');
is(scalar(grep { / 1$/ } @out), 2, 'over one connection each');
is(scalar(grep { (slurp("$row->{dir}/h2.$_") // '') =~ /^sent $_$/ }
    1 .. 2 * $each), 2 * $each, 'each got its own answer');
$row->verdicts(plain => 'verified', clear => 'verified',
    forge => ['verified', 'conflict'], late => 'conflict', now => 'conflict');
$row->done('verified');

done_testing();
