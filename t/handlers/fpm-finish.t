# Mail after fastcgi_finish_request(): httpd has gone on, and the connection
# with it.  With the PHP extension, or auto_prepend.php, the token is a claim
# that is late; without, it is hidden: never another request's.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

my $extension = MO::Fpm::extension();

for my $with ('extension', 'auto_prepend', 'nothing') {
    my $fpm = MO::Fpm->new(
        defines => $with eq 'extension' ? ["extension=$extension"] : [],
        ini => $with eq 'auto_prepend'
            ? {auto_prepend_file => "$SRC/php/auto_prepend.php"} : {},
        pools => {'a.example' => {user => 5001, 'pm.max_children' => 8},
            'b.example' => {user => 5002, 'pm.max_children' => 8}});
    my $kept = '';
    for my $vhost (@MO::Handlers::VHOSTS) {
        $kept .= '<Proxy "' . $fpm->socket($vhost) . "\">\n"
            . "ProxySet enablereuse=on max=3\n</Proxy>\n";
    }
    my $row = MO::Handlers->new(order => 35, mpm => 'event',
        handler => 'PHP-FPM, mail after fastcgi_finish_request()',
        modules => ['proxy', 'proxy_fcgi'],
        # one child, so that no more connections are kept than workers are
        conf => "StartServers 1\nServerLimit 1\nThreadsPerChild 32\n"
            . "MinSpareThreads 1\nMaxSpareThreads 32\nMaxRequestWorkers 32\n"
            . ($with eq 'nothing' ? $kept : ''),
        vhost_conf => sub { $fpm->handler($_[0]) });
    my $php = $row->php;
    $row->put('s.php', $php);
    # the answer comes first, and the next request with it
    $php =~ s{(?=usleep\(random_int)}{echo "sent \$n";
fastcgi_finish_request();
usleep(random_int(0, 60000));
};
    $php =~ s/^echo \$ok.*$//m;
    $row->put('after.php', $php);
    note($with);
    $row->steal('/s.php');
    $row->fire('/after.php', count => 100, modes => [qw(direct plain direct
        clear direct forge)]);
    my $claim = $with eq 'nothing' ? 'hidden' : 'claimed';
    # what runs between the script and the mailer has the token still
    my @j = $row->verdicts(direct => $claim, plain => $claim,
        clear => $claim, forge => $claim eq 'claimed' ? 'claimed' : 'forged');
    is(scalar(grep { $_->{r}{verdict} eq 'claimed'
        && $_->{r}{state} !~ /^(?:late|in_progress)$/ } @j), 0,
        'what is claimed is late, or just so');
    cmp_ok(scalar(grep { ($_->{r}{state} // '') eq 'late' } @j), '>', 10,
        'most are late') if $with ne 'nothing';
    # and what is sent before the end is as certain as ever
    $row->fire('/s.php', count => 40, modes => [qw(direct plain clear)]);
    @j = grep { $_->{n} > 100 } $row->verdicts;
    is(scalar(grep { $_->{r}{verdict} eq 'verified' } @j), 40,
        'before the end: verified');
    $row->done($with eq 'nothing' ? 'hidden' : 'claimed, late',
        needs => $with eq 'extension' ? 'the PHP extension'
            : $with eq 'auto_prepend' ? 'auto_prepend.php' : 'nothing');
    $row->stop;
    $fpm->stop;
}

done_testing();
