# From real mails to the lines that a real httpd wrote of their requests, in
# each format that admins use, whatever stands in the request and whatever
# httpd did with it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Lines;
use JSON::PP ();

my $dir = scratch();
chmod 0777, $dir;

# what httpd does between the request and the script
sub site {
    my ($l) = @_;
    my $h = $l->httpd;
    my $script = $l->script;
    $h->put($_, $script, 0755) for qw(m.cgi blog/front.cgi errors/sorry.cgi
        multi/page.cgi index/index.cgi act/wrap.cgi);
    $h->put('blog/.htaccess', "RewriteEngine On\nRewriteBase /blog/\n"
        . "RewriteCond %{REQUEST_FILENAME} !-f\n"
        . "RewriteRule ^(.*)\$ front.cgi?route=\$1 [L,QSA]\n");
    $h->put('errors/.htaccess', "ErrorDocument 404 /errors/sorry.cgi\n"
        . "ErrorDocument 403 /errors/sorry.cgi\n"
        . "<Files denied.txt>\nRequire all denied\n</Files>\n");
    $h->put('errors/denied.txt', 'denied');
    $h->put('multi/.htaccess', "Options +MultiViews\nMultiviewsMatch Handlers\n");
    $h->put('act/.htaccess', "Action own /act/wrap.cgi\n<Files *.own>\nSetHandler own\n</Files>\n");
    $h->put('act/a.own', 'own');
    $h->put('page.shtml', '<!--#include virtual="/m.cgi" -->');
    $h->put('plain.txt', "plain\n");
    $h->put('local.cgi', $l->script('', "printf 'Location: /plain.txt\\n\\n'\n"), 0755);
    $h->put('slow.cgi', $l->script('', "while [ ! -e $dir/go.\$QUERY_STRING ]; do sleep 0.05; done\n"
        . "printf 'Content-Type: text/plain\\n\\nsent\\n'\n"), 0755);
    $h->put('large.cgi', $l->script('', "printf 'Content-Type: text/plain\\n\\n'\n"
        . "head -c 30000000 /dev/zero\n"), 0755);
}

my $l = MO::Lines->new(mpm => 'event',
    modules => [qw(cgid rewrite include negotiation actions logio)], conf => <<'EOT');
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
RewriteEngine On
RewriteRule ^/sl/(.*) /m.cgi?x=$1 [PT]
ErrorDocument 400 /errors/sorry.cgi
EOT
site($l);
my $noise = 0;
sub noise {
    $l->httpd->get('/plain.txt?' . $noise++) for 1 .. $_[0];
}

# ---- redirects within
my %way = (
    'as it is' => 'GET /m.cgi?s=1',
    'path info' => 'GET /m.cgi/path/info',
    'an escaped name' => 'GET /%6d.cgi?s=%3F',
    'two slashes' => 'GET //m.cgi',
    'a rewritten site' => 'GET /blog/2026/hello?s=1',
    'a rewritten POST' => 'POST /blog/2026/comment',
    'a rewrite in the server' => 'GET /sl/one?s=2',
    'a rewritten POST in the server' => 'POST /sl/one?s=2',
    'not found' => 'GET /errors/nothing?s=1',
    'a POST, not found' => 'POST /errors/nothing',
    'a POST, not found, with a query' => 'POST /errors/nothing?s=1',
    'denied' => 'GET /errors/denied.txt',
    'a HEAD, denied' => 'HEAD /errors/denied.txt',
    'negotiated' => 'GET /multi/page',
    'an index' => 'GET /index/',
    'a POST to an index' => 'POST /index/?q',
    'an action' => 'POST /act/a.own?s',
    'an include' => 'GET /page.shtml?s=1',
    'to another page' => 'POST /local.cgi?s=1',
    'absolute' => 'GET http://localhost/m.cgi?s=1',
);
for my $what (sort keys %way) {
    my $case = $what =~ s/\W+/-/gr;
    noise(3);
    $l->ask($case, "$way{$what} HTTP/1.1",
        $way{$what} =~ /^POST/ ? (body => 'x', headers => {'Content-Length' => 1}) : ());
    $l->mail($case);
}
$l->settle;
# (of a page that a script went on to, %q is that page's)
$l->check('redirects', doubt => {json_parts => 'to-another-page'});
done_testing;
