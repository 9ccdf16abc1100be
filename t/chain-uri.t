# The URI is the one in access_log, and the script the one that ran, whatever
# httpd did between them; seen from the mail's end.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

for (['prefork', 'cgi'], ['event', 'cgid'], ['worker', 'cgid']) {
    my ($mpm, $module) = @$_;
    my $php = $mpm eq 'prefork';
    my $c = MO::Chain->new(mpm => $mpm, conf => <<'EOT',
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
EOT
        modules => [$module, qw(rewrite include negotiation), $php ? 'php'
            : ()]);
    my ($h, $mail) = ($c->httpd, $c->mail_line);
    my $script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "$mail\necho sent\n";
    my $root = $h->docroot;
    $h->put($_, $script, 0755)
        for qw(m.cgi blog/front.cgi errors/sorry.cgi multi/page.cgi
            index/index.cgi);
    $h->put('blog/.htaccess', "RewriteEngine On\nRewriteBase /blog/\n"
        . "RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule . front.cgi [L]\n");
    $h->put('errors/.htaccess', "ErrorDocument 404 /errors/sorry.cgi\n"
        . "ErrorDocument 403 /errors/sorry.cgi\n"
        . "<Files denied.txt>\nRequire all denied\n</Files>\n");
    $h->put('errors/denied.txt', 'denied');
    $h->put('multi/.htaccess', "Options +MultiViews\nMultiviewsMatch Handlers\n");
    my $exec = spew(scratch() . '/exec.sh', "$mail\necho sent\n");
    $h->put('virtual.shtml', '<!--#include virtual="/m.cgi" -->');
    $h->put('exec.shtml', "<!--#exec cmd=\"sh $exec\" -->");
    $h->put('lookup.shtml', '<!--#fsize virtual="/m.cgi" -->'
        . '<!--#flastmod virtual="/blog/front.cgi" -->'
        . "<!--#exec cmd=\"sh $exec\" -->");
    $h->put('nested.shtml', '<!--#include virtual="/virtual.shtml" -->');
    $h->put('virtual.php', '<?php virtual("/m.cgi");');
    $h->put('after.php', '<?php virtual("/plain.txt"); exec("sh ' . $exec
        . '"); echo "sent";');
    $h->put('plain.txt', "plain\n");

    my %script = (
        '/m.cgi' => '/m.cgi',
        '/m.cgi/path/info' => '/m.cgi',
        '/%6d.cgi' => '/m.cgi',
        '//m.cgi' => '/m.cgi',
        '/blog/2024/hello' => '/blog/front.cgi',
        '/blog/front.cgi' => '/blog/front.cgi',
        '/errors/nothing' => '/errors/sorry.cgi',
        '/errors/denied.txt' => '/errors/sorry.cgi',
        '/multi/page' => '/multi/page.cgi',
        '/index/' => '/index/index.cgi',
        '/virtual.shtml' => '/m.cgi',
        '/nested.shtml' => '/m.cgi',
        '/exec.shtml' => '/exec.shtml',
        '/lookup.shtml' => '/lookup.shtml',
        $php ? ('/virtual.php' => '/m.cgi', '/after.php' => '/after.php') : (),
    );
    for my $uri (sort keys %script) {
        my $what = "$mpm, $uri";
        my $got = $c->one("$uri?secret=1");
        my $r = $got->{record};
        like $got->{response}{content}, qr/sent/, "$what: answers"
            or diag $h->error_log;
        is $r->{verdict}, 'verified', "$what: verified";
        is $r->{uri}, $uri, "$what: the URI";
        is $r->{script}, $root . $script{$uri}, "$what: the script";
        like $got->{line}, qr/"GET \Q$uri\E\?secret=1 /,
            "$what: access_log's";
        is $r->{reason}, undef, "$what: its token agrees";
    }
    my $s = $h->connect;
    for my $uri ('/lookup.shtml', '/blog/kept', '/exec.shtml') {
        my $n = $c->recorder->records;
        $h->send_request($s, 'GET', $uri);
        $h->read_response($s);
        my @r = $c->recorder->wait_records($n + 1);
        is $r[-1]{uri}, $uri, "$mpm: $uri on a kept-alive connection";
    }
    close $s;
    is $c->balance, '', "$mpm: every mail has its record";
    $h->stop;
    $c->recorder->stop;
    unlink "$LOG/mail.log";
}
done_testing;
