# What a token is worth where nothing else is known: the mail goes whatever it
# is, and the record says which it was.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

my $c = MO::Chain->new(mpm => 'event', modules => ['cgid']);
my ($h, $recorder) = ($c->httpd, $c->recorder);
my $dir = scratch();
chmod 0777, $dir;
$h->put('token.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "echo \"\$MAILORIGIN_TOKEN\"\n", 0755);
$h->put('stay.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "echo \"\$MAILORIGIN_TOKEN\" > $dir/tmp && mv $dir/tmp $dir/token\n"
    . "while [ -d $dir ] && [ ! -e $dir/stop ]; do sleep 0.05; done\n", 0755);

# mails from here, where no web server is above
my $sent = 0;
sub send_with {
    my ($token, $what) = @_;
    my $n = $recorder->records;
    my ($status, $out, $err) = run({env => {MAILORIGIN_TOKEN => $token},
        in => "To: you\@example.org\nSubject: $sent\n\nb\n"}, $WRAPPER, '-t');
    is "$status$out$err", '0', "$what: the wrapper is content";
    my @r = $recorder->wait_records($n + 1);
    my @m = $c->sink->wait_mails(++$sent);
    like $m[-1]{data}, qr/\nSubject: @{[$sent - 1]}\n\nb\n\z/,
        "$what: the mail goes";
    isnt $c->field($m[-1]), '', "$what: stamped";
    is scalar(@r), $n + 1, "$what: one record";
    return $r[-1];
}

chomp(my $token = $h->get('/token.cgi')->{content});
like $token, qr/^[\w-]{100,}$/, 'a token';
my $r;
wait_for(sub {
    # its slot may go a moment after its answer
    $r = send_with($token, 'after its request');
    ($r->{state} // '') eq 'late';
}, 'the request is over');
is "$r->{verdict} $r->{state}", 'claimed late', 'after its request: claimed late';
is $r->{uri}, '/token.cgi', '… with the request it was of';
is $r->{reason}, undef, '… and no more to say';

my $s = $h->connect;
$h->send_request($s, 'GET', '/stay.cgi', headers => {Connection => 'close'});
my $now = wait_for(sub { slurp("$dir/token") }, 'a request in progress');
chomp $now;
$r = send_with($now, 'in progress');
is "$r->{verdict} $r->{state}", 'claimed in_progress',
    'a bearer elsewhere: claimed, in progress';
is $r->{uri}, '/stay.cgi', '… named for what it is';
spew("$dir/stop", '');
$h->read_response($s);

# each bit counts, wherever it is
my $digits = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';
for my $at (0, 1, 2, 8, 20, 40, length($token) >> 1, length($token) - 2,
    length($token) - 1) {
    my $changed = $token;
    my $value = index $digits, substr($token, $at, 1);
    # the last digit's lowest bits may say nothing: then it is not base64url
    substr($changed, $at, 1) = substr $digits, $value ^ 1, 1;
    $r = send_with($changed, "one bit of digit $at");
    is $r->{verdict}, 'forged', "one bit of digit $at: forged";
    is join(' ', grep { defined $r->{$_} } qw(vhost uri script request_id
        claimed_id)), '', '… and nothing of it is named';
}
$r = send_with(substr($token, 0, -4), 'cut');
is $r->{verdict}, 'forged', 'cut: forged';
$r = send_with("${token}AAAA", 'longer');
is $r->{verdict}, 'forged', 'longer: forged';

# sealed with a key that is not ours
unlink "$ETC/keyring";
my ($status, $out, $err) = run($MAILORIGIN, qw(key init));
is $status, 0, 'another keyring' or diag $err;
$recorder->restart;
$r = send_with($token, 'another key');
is $r->{verdict}, 'forged', 'another key: forged';

$r = send_with(undef, 'no token');
is $r->{verdict}, 'none', 'no token: none';
is $c->balance, '', 'every mail has its record';
done_testing;
