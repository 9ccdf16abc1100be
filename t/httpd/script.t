# The URI is the one of access_log, the script the one that ran.
use strict;
use warnings;
use Test::More;
use MO::Look;

sub is_origin {
    my ($l, $uri, $script, $what) = @_;
    for my $k (qw(origin slot)) {
        is($l->{$k}{uri}, $uri, "$what: uri ($k)");
        like($l->{$k}{script} // '', qr{/t/htdocs\Q$script\E$},
            "$what: script ($k)");
    }
    is($l->{vars}{MAILORIGIN_URI}, $uri, "$what: MAILORIGIN_URI");
    like($l->{vars}{MAILORIGIN_SCRIPT} // '', qr{/t/htdocs\Q$script\E$},
        "$what: MAILORIGIN_SCRIPT");
    my $id = $l->{vars}{MAILORIGIN_ID} // 'none';
    like(logged(qr/^\Q$id\E /) // '', qr{"\S+ \Q$uri\E[ ?]},
        "$what: access_log's line has the id");
}

is_origin(scalar look('/blog/2024/hello?q=1'), '/blog/2024/hello',
    '/blog/front.cgi', 'front controller');
is_origin(scalar look('/blog/front.cgi'), '/blog/front.cgi',
    '/blog/front.cgi', 'the front controller itself');
is_origin(scalar look('/errors/none'), '/errors/none', '/errors/look.cgi',
    'ErrorDocument');
is_origin(scalar look('/multi/doc'), '/multi/doc', '/multi/doc.cgi',
    'MultiViews');
is_origin(scalar look('/index/'), '/index/', '/index/look.cgi',
    'DirectoryIndex');
is_origin(scalar look('/look.cgi/path/info'), '/look.cgi/path/info',
    '/look.cgi', 'path info');
is_origin(scalar look('/%6cook.cgi'), '/%6cook.cgi', '/look.cgi',
    'an encoded URI');
is_origin(scalar look('//look.cgi'), '//look.cgi', '/look.cgi',
    'a double slash');
is_origin(scalar look('http://look.example/look.cgi'),
    'http://look.example/look.cgi', '/look.cgi', 'an absolute URI');

is_origin(scalar look('/ssi/virtual.shtml'), '/ssi/virtual.shtml',
    '/look.cgi', 'SSI include virtual');
is_origin(scalar look('/ssi/exec.shtml'), '/ssi/exec.shtml',
    '/ssi/exec.shtml', 'SSI exec cmd');

# the page's own again, when what it included has ended
my @both = look('/ssi/both.shtml');
is(scalar(@both), 2, 'a page that includes and then runs');
is_origin($both[0], '/ssi/both.shtml', '/look.cgi', '… the included');
is_origin($both[1], '/ssi/both.shtml', '/ssi/both.shtml', '… the page after');
is($both[0]{vars}{MAILORIGIN_ID}, $both[1]{vars}{MAILORIGIN_ID},
    '… are one request');
is($both[0]{slot}{serial}, $both[1]{slot}{serial}, '… and one slot');
is(scalar(@{$both[0]{slots}}), 1, '… which is the only one');

my @lookup = look('/ssi/lookup.shtml');
is(scalar(@lookup), 1, 'a page that only looks up a script');
is_origin($lookup[0], '/ssi/lookup.shtml', '/ssi/lookup.shtml',
    '… lookups leave nothing');

# a script fails, and a plain file is shown: the line still has the id
my $answer = get('/errors/look.cgi?x');
my ($l) = looks($answer);
like(logged(qr/errors\/look\.cgi\?x/), qr/^\Q$l->{vars}{MAILORIGIN_ID}\E /,
    'a script with no error');

is_deeply([sort map { $_->{uri} } @{look('/look.cgi')->{slots}}],
    ['/look.cgi'], 'all that ended is off the board');
done_testing;
