# What .htaccess and a client can write changes no origin.
use strict;
use warnings;
use Test::More;
use MO::Look;

for my $n ('', 2, 3) {
    like(get("/refused$n/look.cgi"), qr{^HTTP/1.1 500 },
        "our directives in .htaccess are refused ($n)");
}
like(slurp_file(logs() . '/error_log'),
    qr{refused/\.htaccess: MailOrigin not allowed here}, '… and named');

sub is_true {
    my ($l, $what) = @_;
    unlike($l->{text}, qr/=forged/, "$what: nothing forged is left")
        if $what !~ /header/;
    is(scalar(grep { /^(?:SSL_)?MAILORIGIN/ } keys %{$l->{vars}}), 6,
        "$what: the six variables");
    is($l->{origin}{id}, $l->{vars}{MAILORIGIN_ID}, "$what: the id");
    is($l->{origin}{uri}, $l->{vars}{MAILORIGIN_URI}, "$what: the URI");
    is($l->{slot}{id}, $l->{origin}{id}, "$what: the board");
}
my $l = look('/hostile/look.cgi');
delete $l->{vars}{UNIQUE_ID};
$l->{text} =~ s/^UNIQUE_ID=.*\n//m;
is_true($l, '.htaccess');
isnt($l->{vars}{MAILORIGIN_ID}, 'forged', 'the id is not .htaccess\'s');
like(logged(qr{"GET /hostile/look}), qr/^\Q$l->{origin}{id}\E /,
    '… in access_log neither');
get('/hostile/plain.txt');
like(logged(qr{"GET /hostile/plain}), qr/^- /,
    'a plain file there takes no id of another');

is_true(scalar look('/look.cgi', 'MAILORIGIN_TOKEN' => 'forged',
    'MailOrigin-Token' => 'forged', 'SSL_MAILORIGIN_TOKEN' => 'forged',
    'Mail-Origin-Token' => 'forged', 'UNIQUE_ID' => 'forged'),
    'request headers');
unlike(look('/look.cgi', 'Mail-Origin-Token' => 'forged')->{text},
    qr/HTTP_MAIL_ORIGIN_TOKEN/, 'a client\'s Mail-Origin-Token goes no further');

# a URI is what was sent, and no byte of it becomes another line
my %path = (
    'CR LF and a header' => '/blog/%0d%0aBcc:victim@example.org',
    '%ff' => '/blog/%ff%fe',
    'quotes' => q{/blog/"'`},
    'markup' => '/blog/<script>alert(1)</script>',
    'an encoded ESC' => '/blog/%1b[31m',
    '2,000 bytes' => '/blog/' . 'a/' x 1000,
    'bytes above ASCII' => "/blog/\xc3\xa4\xff",
);
for my $what (sort keys %path) {
    my $one = look($path{$what});
    my $want = $path{$what};
    is($one->{vars}{MAILORIGIN_URI}, $want, "$what: MAILORIGIN_URI");
    is($one->{origin}{id}, $one->{vars}{MAILORIGIN_ID}, "$what: token opens");
    is($one->{slot}{id}, $one->{origin}{id}, "$what: on the board");
    is(scalar(grep { /MAILORIGIN/ } keys %{$one->{vars}}), 6,
        "$what: no variable more");
}

# too long for any field: its middle goes, its hash stays
my $long = look('/long/begin' . 'x' x 8000 . 'end');
is($long->{origin}{cut}, 1, '8,000 bytes: cut');
like($long->{origin}{uri}, qr{^/long/beginx+\.\.\.x+end$}, '… in the middle');
ok(length $long->{origin}{uri} <= 2048, '… to what a field holds');
ok($long->{origin}{hash}, '… with the whole line\'s hash');
is($long->{vars}{MAILORIGIN_URI}, '/long/begin' . 'x' x 8000 . 'end',
    '… and whole in the plain variable');

like(get('/look.cgi%00.txt'), qr{^HTTP/1.1 (?:400|404) }, '%00 is httpd\'s to refuse');
done_testing;
