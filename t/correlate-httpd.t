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
use MIME::Base64 ();
use POSIX ();
use Time::HiRes ();

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
    modules => [qw(cgid rewrite include negotiation actions logio auth_basic
        authn_file authz_user http2)], conf => <<'EOT');
Protocols h2c http/1.1
Listen [::1]:9001
Listen [::]:9002
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
RewriteEngine On
RewriteRule ^/sl/(.*) /m.cgi?x=$1 [PT]
ErrorDocument 400 /errors/sorry.cgi
EOT
site($l);
my $h = $l->httpd;
sub clf { POSIX::strftime('%d/%b/%Y:%H:%M:%S +0000', gmtime $_[0]) }
my $noise = 0;
sub noise {
    $h->get('/plain.txt?' . $noise++) for 1 .. $_[0];
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
# of a page that httpd went on to, %q and %m are that page's
my %doubt = (json_parts => ['to-another-page', 'half']);

# ---- what stands in a line
my $fake = '1.1.1.1 - - [' . clf(time + 86400) . '] "GET /m.cgi HTTP/1.1" 200 1';
my %odd = (
    'quotes and backslashes' => ['GET /m.cgi/a"b\\c\\\\"?x="y"\\z'],
    'UTF-8' => ["GET /m.cgi/caf\xc3\xa9?n=\xe2\x82\xac", {'User-Agent' => "\xf0\x9f\x90\x98"}],
    'Latin 1' => ["GET /m.cgi/caf\xe9?n=\xff"],
    'control bytes, escaped' => ['GET /m.cgi/%0a%1b%7f?%0d%0a', {'User-Agent' => "a\tb"}],
    'another line in the query' => ["GET /m.cgi?" . $fake =~ tr/ /+/r],
    'quotes in headers' => ['GET /m.cgi?s=1', {'User-Agent' => 'a "b" \\ \\"',
        Referer => 'http://x.example/"\\'}],
    'a header of quotes' => ['GET /m.cgi?s=2', {'User-Agent' => '"' x 8000,
        Referer => '\\' x 8000}],
    'another line in a header' => ['GET /m.cgi?s=3', {'User-Agent' => "$fake \"-\" \"-\"",
        Referer => $fake}],
    'a query of quotes' => ['GET /m.cgi?' . '"' x 8000],
    'a query of brackets' => ['GET /m.cgi?' . '[' x 8000],
    'a long path' => ['GET /m.cgi' . '/yyyy' x 500],
    'a name of blanks' => ['GET /auth/m.cgi', {Authorization =>
        'Basic ' . MIME::Base64::encode('a b  "c" [x] \\ ' . ' x' x 2000 . ':pw', '')}],
    'no version' => ['GET /m.cgi?s=4', {}, 'HTTP/1.0'],
    'no host' => ['GET /m.cgi?s=5', {Host => undef}], # 400, of which a page mails
    'its own method' => ['BREW /m.cgi?s=6'],
);
# the only request of its second: nothing but it is looked for there
Time::HiRes::sleep 1.1;
$l->ask('long-alone', 'GET /m.cgi' . '/zzzz' x 500 . '?s HTTP/1.1');
is($l->mail('long-alone')->{truncated}, JSON::PP::true(), 'a long path is cut, and it is said');
Time::HiRes::sleep 1.1;
$h->put('auth/m.cgi', $l->script, 0755);
$h->put('auth/.htaccess', "AuthType Basic\nAuthName x\nAuthUserFile $dir/users\n"
    . "Require valid-user\nErrorDocument 401 /errors/sorry.cgi\n");
spew("$dir/users", 'other:' . crypt('pw', '$1$abcdefgh$') . "\n");
for my $what (sort keys %odd) {
    my ($line, $headers, $version) = @{$odd{$what}};
    my $case = $what =~ s/\W+/-/gr;
    noise(2);
    # lines of no request
    $h->raw($_) for "\x16\x03\x01\x02\0\x01\xfc\x03\x03", "GET / HTTP/9.9\r\n\r\n",
        "\"\\ [24/Nov/2026:08:00:00 +0000] \"\r\n\r\n", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n";
    $l->ask($case, "$line " . ($version // 'HTTP/1.1'), headers => $headers // {});
    $l->mail($case);
}

# ---- clients
$l->ask('six', 'GET /m.cgi?six HTTP/1.1', peer => ['::1', 9001]);
$l->ask('mapped', 'GET /m.cgi?mapped HTTP/1.1', peer => ['127.0.0.1', 9002]);
$l->ask('six-any', 'GET /m.cgi?any HTTP/1.1', peer => ['::1', 9002]);
is($l->mail('six')->{client}, '::1', 'the client by IPv6');
is($l->mail('mapped')->{client}, '127.0.0.1', '... and mapped');
is((run(qw(curl -s --http2-prior-knowledge -H), 'X-Case: http2', '-H', 'User-Agent: "',
    'http://127.0.0.1:' . $h->port . '/m.cgi?http2'))[1], "sent\n", 'HTTP/2');

# ---- who goes before the end
my $s = $l->say('aborted', 'GET /large.cgi?a HTTP/1.1');
read $s, my $some, 1000;
close $s;
$l->mail('aborted');
$s = $l->say('gone', 'GET /large.cgi?b HTTP/1.1');
close $s;
$s = $l->say('half', 'POST /m.cgi?half HTTP/1.1', headers => {'Content-Length' => 100}, body => 'x');
$l->mail('half');
close $s;

# ---- slow ones: their lines stand behind those of later requests
my @slow = map {$l->say("slow-$_", "GET /slow.cgi?$_ HTTP/1.1")} 1 .. 3;
$l->mail("slow-$_") for 1 .. 3;
{
    my $id = $l->mail('slow-2')->{id};
    my ($o) = $l->traced('--id', $id);
    is("$o->{access_match} $o->{in_progress}", 'none yes', 'a request in progress has no line yet');
    like((run($MAILORIGIN, qw(trace --id), $id))[1], qr/^access_log +none yet: .* in progress/m,
        '... and it is said');
}
for my $n (3, 1, 2) {
    my $now = time;
    wait_for(sub {noise(5); time > $now + 1}, 'a second');
    spew("$dir/go.$n", '');
    my $socket = $slow[$n - 1];
    my $answer = join '', <$socket>;
    like($answer, qr/sent/, "the slow request $n ends");
}

# ---- equal requests of one second, until there are such
my %twins;
for my $try (1 .. 50) {
    $l->ask("twin-$try-$_", "GET /m.cgi?twin=$try HTTP/1.1") for 1, 2;
    $l->mail("twin-$try-$_") for 1, 2;
    my @t = map {(($l->mail("twin-$try-$_")->{request_time}) =~ /(.*)\./)[0]} 1, 2;
    next if $t[0] ne $t[1];
    %twins = ("twin-$try-1" => ["twin-$try-2"], "twin-$try-2" => ["twin-$try-1"]);
    last;
}
ok(%twins, 'two equal lines in a second');
$l->settle;
$l->check('all', twins => \%twins, doubt => \%doubt);

# what was no request at all, but had its page mail, has its own line too
my @none = grep {($_->{subject} // '') eq 'none'} $l->found('--access-log',
    $l->log_file('combined'));
cmp_ok(scalar @none, '>=', scalar keys %odd, 'mails of requests that were none');
is(scalar(grep {$_->{access_match} =~ /^(?:unique|ambiguous)$/
    && !grep {!/ 400 /} @{$_->{access_lines}}} @none), scalar @none, '... have their lines');

# ---- trace, one mail at a time: by the id in one of httpd's logs, and by second
my @wrong;
for my $r (grep {$l->names($_)} $l->recorder->records) {
    my ($status, $out) = run($MAILORIGIN, qw(trace --json --id), $r->{id});
    my $o = JSON::PP->new->utf8->decode($out);
    push @wrong, "$r->{subject}: in progress" if $o->{in_progress};
    push @wrong, "$r->{subject}: $o->{access_match}: @{$o->{access_lines}}"
        if $o->{access_match} ne 'exact' or @{$o->{access_lines}} != 6
        or grep {!/\Q$r->{request_id}/} @{$o->{access_lines}};
    push @wrong, $l->is_right('combined', 'trace', {twins => \%twins},
        $l->traced('--id', $r->{id}, '--access-log', $l->log_file('combined'))) ? () : 'none';
}
is(join("\n", @wrong, map {$l->{wrong}{$_}} sort keys %{$l->{wrong}}), '',
    'trace: each has its line');

# ---- top: the same names, however strange
for my $by (qw(uri client)) {
    my %want;
    $want{$_->{$by} // ''}++ for $l->recorder->records;
    my ($status, $out) = run($MAILORIGIN, qw(top --json -n 0 --by), $by);
    my %got = map {my $o = JSON::PP->new->utf8->decode($_); $o->{key} => $o->{count}}
        split /\n/, $out;
    is_deeply(\%got, \%want, "top --by $by");
}
$l->done;

# ---- a proxy in front, names in place of addresses, and what strict httpd refuses
$l = MO::Lines->new(mpm => 'prefork', modules => [qw(cgi remoteip)],
    formats => [qw(combined vhost_combined address json json_parts with_id)],
    conf => "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n"
        . "HttpProtocolOptions Unsafe\n");
$h = $l->httpd;
$h->put('m.cgi', $l->script, 0755);
my %from = (proxied => '198.51.100.7', six => '2001:db8::7', chain => '203.0.113.5, 198.51.100.8',
    direct => undef, forged => 'x"\\, [24/Nov/2026:08:00:00 +0000]');
for my $case (sort keys %from) {
    # the same but for the client, as the proxy says it
    $l->ask($case, 'GET /m.cgi?' . ($case eq 'forged' ? 2 : 1) . ' HTTP/1.1', headers => {'X-Forwarded-For' => $from{$case}});
    is($l->mail($case)->{client}, {proxied => '198.51.100.7', six => '2001:db8::7',
        chain => '198.51.100.8'}->{$case} // '127.0.0.1', "$case: the client");
}
$l->ask('blanks', 'GET   /m.cgi?blanks   HTTP/1.1');
$l->mail('blanks');
$l->settle;
$l->check('behind a proxy');
$l->done;

$l = MO::Lines->new(mpm => 'worker', modules => ['cgid'], conf => "HostnameLookups On\n",
    formats => [qw(combined vhost_combined epoch json_parts with_id)]);
$l->httpd->put('m.cgi', $l->script, 0755);
$l->ask("named-$_", "GET /m.cgi?$_ HTTP/1.1") for 1 .. 3;
$l->mail("named-$_") for 1 .. 3;
$l->settle;
like(($l->line('combined', 'named-1'))[0], qr/^localhost /, 'the log has names');
$l->check('HostnameLookups On');
$l->done;
done_testing;
