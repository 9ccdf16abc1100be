# MailOrigin and MailOriginRecord by directory and location.
use strict;
use warnings;
use Test::More;
use MO::Look;

for my $path ('/off/look.cgi') {
    my $l = look($path);
    is(scalar(grep { /MAILORIGIN/ } keys %{$l->{vars}}), 0,
        "$path: Off: no variable");
    is(scalar(@{$l->{slots}}), 1, "$path: Off: on the board");
    is($l->{slots}[0]{nameless}, 1, "$path: … without a name");
    ok(!exists $l->{slots}[0]{uri}, "$path: … at all");
    like(logged(qr{"GET \Q$path\E }), qr/^- /, "$path: no id in access_log");
}
for my $path ('/off/on/look.cgi', '/off/location/look.cgi', '/look.cgi') {
    my $l = look($path);
    is($l->{origin}{uri}, $path, "$path: On: token");
    is($l->{slot}{uri}, $path, "$path: On: board");
}

my %bits = ('' => 1, '/more' => 2, '/all' => 7, '/all/none' => 0,
    '/all/some' => 3);
for my $dir (sort keys %bits) {
    my $l = look("/record$dir/look.cgi?the=query&x");
    is($l->{origin}{record}, $bits{$dir}, "/record$dir: what may be recorded");
    if ($bits{$dir} & 1) {
        is($l->{origin}{query}, 'the=query&x', "/record$dir: query");
        is($l->{slot}{query}, 'the=query&x', "/record$dir: query, board");
    }
    else {
        unlike($l->{text}, qr/the=query/, "/record$dir: no query anywhere");
    }
}
ok(!exists look('/record/look.cgi')->{origin}{query}, 'no query: no field');
done_testing;
