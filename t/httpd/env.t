# The variables of the contract, and their agreement with token and board.
use strict;
use warnings;
use Test::More;
use MO::Look;

my $look = look('/look.cgi?secret=1', 'User-Agent' => 'x');
my ($vars, $origin, $slot) = @$look{qw(vars origin slot)};

is($vars->{MAILORIGIN_ID}, $vars->{UNIQUE_ID}, 'the id is mod_unique_id\'s');
is($vars->{MAILORIGIN_URI}, '/look.cgi', 'URI, without the query');
is($vars->{MAILORIGIN_VHOST}, 'look.example', 'vhost');
like($vars->{MAILORIGIN_SCRIPT}, qr{^/.*/t/htdocs/look\.cgi$}, 'script');
like($vars->{MAILORIGIN_TOKEN}, qr/^[A-Za-z0-9_-]{80,}$/, 'token');
is($vars->{SSL_MAILORIGIN_TOKEN}, $vars->{MAILORIGIN_TOKEN},
    'the same under the name that suexec lets through');
is(scalar(grep { /MAILORIGIN/ } keys %$vars), 6, 'and no others');

is($origin->{id}, $vars->{MAILORIGIN_ID}, 'token: id');
is($origin->{uri}, '/look.cgi', 'token: uri');
is($origin->{script}, $vars->{MAILORIGIN_SCRIPT}, 'token: script');
is($origin->{vhost}, 'look.example', 'token: vhost');
is($origin->{client}, '127.0.0.1', 'token: client');
is($origin->{method}, 'GET', 'token: method');
is($origin->{handler}, 'cgi-script', 'token: handler');
ok(abs($origin->{time} / 1e6 - time) < 60, 'token: time in us');
ok(!exists $origin->{query}, 'token: no query unless asked for');
is($origin->{record}, 0, 'token: nothing more is to be recorded');
unlike($look->{text}, qr/secret/, 'the query is nowhere');

ok($slot, 'the request is on the board');
for my $k (qw(id uri script vhost client method handler time hash pid)) {
    is($slot->{$k}, $origin->{$k}, "board and token agree: $k");
}
is($slot->{slot_pid}, $origin->{pid}, 'the slot is of the process that serves');
is($slot->{child}, $slot->{slot_pid}, '… which is the MPM\'s child');

# the hash is of the line as access_log writes it
sub line_hash {
    my ($line) = @_;
    pipe my $r, my $w;
    my $pid = open(my $out, '-|') // die $!;
    if (!$pid) {
        close $w;
        open STDIN, '<&', $r;
        exec $ENV{MO_PEEK} // "$ENV{MO_BUILD}/t/tools/peek", 'hash',
            "$ENV{MO_PREFIX}/etc/mailorigin/keyring";
    }
    close $r;
    print $w $line;
    close $w;
    chomp(my $hash = <$out>);
    return $hash;
}
for my $path ('/look.cgi?a="b"', '/look.cgi?%0a%ff', "/look.cgi?\xe4\\x") {
    my $one = look($path);
    my $line = logged(qr/^\Q$one->{vars}{MAILORIGIN_ID}\E /);
    my ($request) = $line =~ / "(.*)"$/;
    is($one->{origin}{hash}, line_hash($request),
        "request_hash is of access_log's: $request");
}

# every request has its own id and token, one connection or not
my $s = connection();
my @ids = map { (looks(ask($s, "/look.cgi?$_")))[0]{origin}{id} } 1 .. 3;
my %seen = map { $_ => 1 } @ids;
is(scalar(keys %seen), 3, 'kept-alive requests have their own origins');
for (@ids) {
    like(logged(qr/^\Q$_\E /), qr/^\S+ \Q$_\E 200 /,
        'access_log has the id, as %{MAILORIGIN_ID}e');
}

is(look('/look.cgi', method => 'POST', 'Content-Length' => 0)
    ->{origin}{method}, 'POST', 'method: POST');

# a plain file has none of this
get('/plain.txt?no-id');
like(logged(qr/plain\.txt\?no-id/), qr/^- \S+ 200 /, 'a plain file: no id');
done_testing;
