# Another module answers for a request's scheme before we are asked, so that we
# don't hear when mod_proxy_fcgi has begun a request.  It is said once; the
# first request's mail is hidden; from then on a connection is made before the
# handler runs, and what comes on a fresh one is as certain as ever.
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
spew("$dir/mod_first.c", <<'EOT');
#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

static const char *scheme(const request_rec *r)
{
    return "https";
}

static void hooks(apr_pool_t *p)
{
    ap_hook_http_scheme(scheme, NULL, NULL, APR_HOOK_REALLY_FIRST - 20);
}

module AP_MODULE_DECLARE_DATA first_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks};
EOT
my ($status, $out, $err) = run('sh', '-c', 'cc -shared -fPIC -o "$1.so" "$1.c" '
    . '-I"$(apxs -q INCLUDEDIR)" $(apr-1-config --cppflags --includes)', 'cc',
    "$dir/mod_first");
is($status, 0, 'the other module') or diag($err);

for my $kept (0, 1) {
    my $fpm = MO::Fpm->new(pools => {a => {listen => 'unix'}});
    my $s = $fpm->socket('a');
    my $h = MO::Httpd->new(mpm => 'prefork', modules => ['proxy',
        'proxy_fcgi'], conf => "LoadModule first_module $dir/mod_first.so\n"
        . "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
        . "MaxRequestWorkers 1\nServerLimit 1\nMailOriginRecord Query\n"
        . ($kept ? "<Proxy \"$s\">\nProxySet enablereuse=on\n</Proxy>\n" : '')
        . $fpm->handler('a'));
    $h->put('s.php', <<'EOT');
<?php
echo $_SERVER['REQUEST_SCHEME'];
mail('victim@example.net', 'win', 'body');
EOT
    my $before = () = $recorder->lines;
    is($h->get("/s.php?n=$_")->{content}, 'https', 'its scheme') for 1 .. 3;
    my @r = $recorder->wait_records($before + 3);
    my @is = map { "$_->{verdict} " . ($_->{query} // '') }
        @r[$before .. $before + 2];
    # no more can be known of a kept one: only that it was not another's
    is_deeply(\@is, $kept ? [('hidden ') x 3]
        : ['hidden ', 'verified n=2', 'verified n=3'],
        $kept ? 'a connection that is kept' : 'a connection a request')
        or diag("@is");
    my $said = () = $h->error_log =~ /did not ask us for a request's scheme/g;
    is($said, 1, 'said once');
    $h->stop;
    $fpm->stop;
}

done_testing();
