#!/usr/bin/perl
# block by each key, with real requests: the next mail of what is named is
# refused, with the reason, and no other mail; so it is while the recorder is
# gone, and until a time that was given.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

my $c = MO::Chain->new(mpm => 'event', modules => ['cgid', 'remoteip'],
    conf => "RemoteIPHeader X-Client\n", vhosts => [{name => 'a.example'}]);
my $h = $c->httpd;
my $send = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "printf 'To: you\@example.org\\n\\nx\\n' | $WRAPPER -t -i 2>&1\n"
    . "echo \"status \$?\"\n";
$h->put($_, $send, 0755) for 'x.cgi', 'other.cgi', 'up/2026/x.cgi',
    'uploads.cgi', 'a.example:x.cgi';
my $root = $h->docroot;

# [path, vhost, client]
sub answer {
    my ($path, $vhost, $client) = @_;
    my $r = $h->get($path, headers => {Host => $vhost // 'localhost',
        'X-Client' => $client // '192.0.2.50'});
    return $r->{status} == 200 ? $r->{content} : "HTTP $r->{status}";
}
sub passes { answer(@{$_[0]}) =~ /^status 0$/m }

my @cases = (
    [['--vhost', 'A.Example'], [['/x.cgi', 'a.example']], [['/x.cgi']]],
    [['--script', "$root/x.cgi"], [['/x.cgi']],
        [['/other.cgi'], ['/x.cgi', 'a.example']]],
    [['--dir', "$root/up"], [['/up/2026/x.cgi']], [['/uploads.cgi']]],
    [['--uri-prefix', '/up/'], [['/up/2026/x.cgi']], [['/uploads.cgi']]],
    [['--client', '198.51.100.7'], [['/x.cgi', undef, '198.51.100.7']],
        [['/x.cgi', undef, '198.51.100.70']]],
    [['--client', '198.51.100.0/25'], [['/x.cgi', undef, '198.51.100.127']],
        [['/x.cgi', undef, '198.51.100.128']]],
    [['--client', '2001:db8::/33'],
        [['/x.cgi', undef, '2001:db8:7fff::1'], ['/x.cgi', undef, '2001:DB8::']],
        [['/x.cgi', undef, '2001:db8:8000::1'], ['/x.cgi']]],
    [['--client', '2001:db8:0::0:7'], [['/x.cgi', undef, '2001:db8::7']],
        [['/x.cgi', undef, '2001:db8::8']]],
    [['--uid', (getpwnam 'www-data')[2]], [['/x.cgi'], ['/other.cgi']], []]);
for my $case (@cases) {
    my ($what, $blocked, $free) = @$case;
    my ($rc, $out, $err)
        = run($MAILORIGIN, 'block', @$what, '--reason', 'call 555; $(x)');
    is($rc, 0, "block @$what") or diag($err);
    for (@$blocked) {
        my $got = answer(@$_);
        like($got, qr/^status 77$/m, "... refused: " . join ' ', map {$_ // ''} @$_)
            or diag($got);
        like($got, qr/call 555; \$\(x\)/, '... with the reason');
    }
    ok(passes($_), '... not: ' . join ' ', map {$_ // ''} @$_) for @$free;
    is((run({in => "x\n"}, $WRAPPER, '-i', 'you@example.org'))[0], 0,
        '... nor root\'s own');
    is((run($MAILORIGIN, 'unblock', @$what))[0], 0, '... unblocked');
    ok(passes($blocked->[0]), '... and it goes again');
}
my @refused = grep {$_->{action} eq 'refused'} $c->recorder->records;
is(scalar @refused, 11, 'each refusal is on record');
is(scalar(grep {($_->{reason} // '') =~ /call 555/} @refused), 11,
    '... with its reason');

# so long and no longer
is((run($MAILORIGIN, 'block', '--script', "$root/x.cgi", '--for', '4s'))[0], 0,
    'block --for 4s');
ok(!passes(['/x.cgi']), '... refused');
ok(wait_for(sub {passes(['/x.cgi'])}, 'it to run out'), '... then it goes');
is((run($MAILORIGIN, 'blocks'))[0], 1, '... and is listed no more');

# while the recorder is gone the wrapper looks itself: by the token
for my $what (['--vhost', 'a.example'], ['--script',
    $h->docroot('a.example') . '/x.cgi'],
    ['--uri-prefix', '/x.cgi'], ['--client', '192.0.2.0/24'],
    ['--uid', (getpwnam 'www-data')[2]]) {
    is((run($MAILORIGIN, 'block', @$what))[0], 0, "block @$what");
    $c->recorder->stop;
    like(answer('/x.cgi', 'a.example'), qr/^status 77$/m,
        '... holds while the recorder is gone');
    is((run({in => "x\n"}, $WRAPPER, '-i', 'you@example.org'))[0], 0,
        '... for that one');
    $c->recorder->start;
    like(answer('/x.cgi', 'a.example'), qr/^status 77$/m,
        '... and when it is back');
    is((run($MAILORIGIN, 'unblock', @$what))[0], 0, '... unblocked');
}
$h->stop;
done_testing;
