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

# What the child does meanwhile, in words.  What is asked: TIOCOUTQ is SIOCOUTQ;
# over TCP it is NETLINK_SOCK_DIAG.
sub traced {
    my ($child, $meanwhile) = @_;
    unlink "$dir/strace";
    my $strace = fork // die $!;
    if (!$strace) {
        open STDERR, '>', "$dir/strace";
        exec qw(strace -e), 'trace=writev,write,sendmsg,sendto,ioctl', '-xx',
            '-o', "$dir/trace", '-p', $child or die "strace: $!";
    }
    wait_for(sub { (slurp("$dir/strace") // '') =~ /attached/ }, 'strace');
    $meanwhile->();
    kill 'INT', $strace;
    waitpid $strace, 0;
    return map {
        /"\\x01\\x01\\x00\\x01\\x00\\x08/ ? 'begin'
            : /"\\x01\\x04\\x00/ ? 'params'
            : /^ioctl.*TIOCOUTQ|^sendto.*?nlmsg_type|^sendto\(\d+, \[?\{/
            ? 'asks' : ()
    } split /\n/, slurp("$dir/trace");
}

# A filter of the request's body asks for the request's scheme, too, long before
# the begin is sent.
for my $row (['unix'], ['tcp'], ['unix', 'a filter'], ['tcp', 'a filter']) {
    my ($listen, $filter) = @$row;
    my $fpm = MO::Fpm->new(pools => {a => {listen => $listen,
        'pm.max_children' => 3}});
    my $s = $fpm->socket('a');
    my $h = MO::Httpd->new(mpm => 'prefork', modules => ['proxy',
        'proxy_fcgi', 'include', $filter ? 'ext_filter' : ()],
        conf => "StartServers 1\nMinSpareServers 1\n"
        . "MaxSpareServers 1\nMaxRequestWorkers 1\nServerLimit 1\n"
        . "MailOriginRecord Query\nProxyTimeout 2\n"
        . "<Proxy \"$s\">\nProxySet enablereuse=on\n</Proxy>\n"
        . ($filter ? "ExtFilterDefine cat mode=input cmd=/bin/cat\n"
            . "SetInputFilter cat\n" : '')
        . "<Location /pages/>\nSetOutputFilter INCLUDES\n</Location>\n"
        . $fpm->handler('a'));
    $h->put($_, <<'EOT') for 's.php', 'pages/s.php';
<?php
if (isset($_GET['names'])) {
    $names = preg_grep('/MAILORIGIN/', array_keys($_SERVER));
    sort($names);
    echo join(' ', $names);
    exit;
}
echo 'done';
if (isset($_GET['late'])) {
    fastcgi_finish_request();
    while (!file_exists(__DIR__ . '/' . basename($_GET['late'])))
        usleep(1000);
} elseif (isset($_GET['busy'])) {
    fastcgi_finish_request();
    usleep((int)$_GET['busy'] * 1000);
    exit;
}
mail('victim@example.net', 'win', 'body');
EOT
    # mail when its request is over
    my $late = sub {
        my ($name) = @_;
        my $n = () = $recorder->lines;
        $h->get("/s.php?late=$name");
        $h->put($name, '');
        return ($recorder->wait_records($n + 1))[$n]{verdict};
    };
    is($late->('first'), $listen eq 'tcp' ? 'none' : 'hidden',
        'late, before PHP-FPM is known');
    my $before = () = $recorder->lines;
    is($h->get('/s.php?n=1')->{content}, 'done', "@$row: answered");
    my ($child) = $h->children;
    my @did = traced($child, sub {
        is($h->get("/s.php?n=$_")->{content}, 'done', 'again') for 2, 3;
    });
    like("@did", qr/^(?:begin (?:asks )+params(?: params)* ?){2}$/,
        'begin, question, parameters') or diag slurp("$dir/trace");
    my @r = $recorder->wait_records($before + 3);
    is_deeply([map { $_->{verdict} } @r[$before .. $before + 2]],
        [('verified') x 3], 'all verified');
    is_deeply([map { $_->{query} } @r[$before .. $before + 2]],
        [map { "n=$_" } 1 .. 3], 'each its own');

    # SSL_MAILORIGIN_TOKEN is for suexec
    is($h->get('/s.php?names=1')->{content}, 'MAILORIGIN_ID MAILORIGIN_SCRIPT '
        . 'MAILORIGIN_TOKEN MAILORIGIN_URI MAILORIGIN_VHOST',
        'the token once');
    like($h->get('/pages/s.php?names=1')->{content}, qr/\bSSL_MAILORIGIN_TOKEN\b/,
        'but a page may start programs');

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
    is($late->('second'), 'hidden', 'late');
    # over a unix socket the kernel says when it is time to ask again
    if ($listen eq 'unix' && !$filter) {
        my @asked = grep { $_ eq 'asks' } traced($child, sub {
            is($h->get("/s.php?busy=100&n=$_")->{content}, 'done', 'busy')
                for 1 .. 3;
        });
        cmp_ok(scalar @asked, '<=', 12, 'nothing is polled') or diag "@asked";
    }
    $h->stop;
    $fpm->stop;
}

done_testing();
