# On a kept connection, what is sent and asked, in this order: the begin of
# the request, whether the backend has read it, the parameters.  All that is
# said of mail on kept connections rests on it.  And a backend that is busy
# with the last request's script is waited for, but not for long.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Httpd;
use MO::Recorder;

my $recorder = MO::Recorder->new;
my $dir = scratch();
for my $listen (qw(unix tcp)) {
    my $fpm = MO::Fpm->new(pools => {a => {listen => $listen,
        'pm.max_children' => 3}});
    my $s = $fpm->socket('a');
    my $h = MO::Httpd->new(mpm => 'prefork', modules => ['proxy',
        'proxy_fcgi'], conf => "StartServers 1\nMinSpareServers 1\n"
        . "MaxSpareServers 1\nMaxRequestWorkers 1\nServerLimit 1\n"
        . "MailOriginRecord Query\nProxyTimeout 2\n"
        . "<Proxy \"$s\">\nProxySet enablereuse=on\n</Proxy>\n"
        . $fpm->handler('a'));
    $h->put('s.php', <<'EOT');
<?php
echo 'done';
if (isset($_GET['busy'])) {
    fastcgi_finish_request();
    usleep((int)$_GET['busy'] * 1000);
    exit;
}
mail('victim@example.net', 'win', 'body');
EOT
    my $before = () = $recorder->lines;
    is($h->get('/s.php?n=1')->{content}, 'done', "$listen: answered");
    my ($child) = $h->children;
    my $strace = fork // die $!;
    if (!$strace) {
        open STDERR, '>', "$dir/strace.$listen";
        exec qw(strace -e), 'trace=writev,write,sendmsg,sendto,ioctl', '-xx',
            '-o', "$dir/trace", '-p', $child or die "strace: $!";
    }
    wait_for(sub { (slurp("$dir/strace.$listen") // '') =~ /attached/ }, 'strace');
    is($h->get("/s.php?n=$_")->{content}, 'done', 'again') for 2, 3;
    kill 'INT', $strace;
    waitpid $strace, 0;
    # what is asked: TIOCOUTQ is SIOCOUTQ; over TCP it is NETLINK_SOCK_DIAG
    my @did = map {
        /"\\x01\\x01\\x00\\x01\\x00\\x08/ ? 'begin'
            : /"\\x01\\x04\\x00/ ? 'params'
            : /^ioctl.*TIOCOUTQ|^sendto.*?nlmsg_type|^sendto\(\d+, \[?\{/
            ? 'asks' : ()
    } split /\n/, slurp("$dir/trace");
    like("@did", qr/^(?:begin (?:asks )+params(?: params)* ?){2}$/,
        'begin, question, parameters') or diag slurp("$dir/trace");
    my @r = $recorder->wait_records($before + 3);
    is_deeply([map { $_->{verdict} } @r[$before .. $before + 2]],
        [('verified') x 3], 'all verified');
    is_deeply([map { $_->{query} } @r[$before .. $before + 2]],
        [map { "n=$_" } 1 .. 3], 'each its own');

    # a tenth of the timeout is 200 ms: what comes sooner is certain, what
    # comes later may be either's
    for my $busy (50, 700) {
        is($h->get("/s.php?busy=$busy")->{content}, 'done', "busy for $busy");
        my $n = 10 + $busy;
        is($h->get("/s.php?n=$n")->{content}, 'done', 'next');
    }
    @r = $recorder->wait_records($before + 5);
    like($r[$before + 3]{verdict}, qr/^(?:verified|ambiguous)$/,
        'after a short wait');
    is($r[$before + 4]{verdict}, 'ambiguous', 'after a long one: doubt');
    like($r[$before + 4]{candidates} // '', qr{/s\.php}, 'with its candidate');
    is_deeply([grep { ($_->{query} // '') =~ /busy/ } @r], [],
        'and none is of the busy one\'s name');
    $h->stop;
    $fpm->stop;
}

done_testing();
