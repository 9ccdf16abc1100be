#!/usr/bin/perl
# block --http: the module answers 403 to what is blocked, within two
# seconds and without a reload, and nothing else; by vhost, script, URI
# prefix and client; under prefork and event.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Httpd;

my $r = MO::Recorder->new;
for my $mpm (qw(prefork event)) {
    my $h = MO::Httpd->new(mpm => $mpm,
        modules => [$mpm eq 'prefork' ? 'cgi' : 'cgid'],
        vhosts => [{name => 'a.example'}]);
    for my $f ('x.cgi', 'y.cgi', 'a.example:x.cgi') {
        $h->put($f, "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nran\\n'\n",
            0755);
    }
    $h->put('plain.txt', 'plain');
    my $status = sub {
        my ($path, $host) = @_;
        return $h->get($path, $host ? (headers => {Host => $host}) : ())
            ->{status};
    };
    my $script = $h->docroot . '/x.cgi';
    is($status->('/x.cgi'), 200, "$mpm: the script runs");
    run($MAILORIGIN, 'block', '--script', $script); # without --http
    my ($rc, $out, $err)
        = run($MAILORIGIN, 'block', '--client', '192.0.2.1', '--http');
    is($rc, 0, 'another client is blocked') or diag($err);
    # each: options, blocked paths, free paths
    for my $case (
        [['--script', $script], ['/x.cgi'],
            ['/y.cgi', '/plain.txt', ['/x.cgi', 'a.example']]],
        [['--uri-prefix', '/y'], ['/y.cgi'], ['/x.cgi', '/plain.txt']],
        [['--vhost', 'a.example'], [['/x.cgi', 'a.example']],
            ['/x.cgi', '/plain.txt']],
        [['--client', '127.0.0.0/8'], ['/x.cgi', '/plain.txt'], []]) {
        my ($what, $blocked, $free) = @$case;
        ($rc, $out, $err) = run($MAILORIGIN, 'block', @$what, '--http');
        is($rc, 0, "$mpm: block @$what --http") or diag($err);
        my @at = map {ref $_ ? $_ : [$_]} @$blocked;
        # each child looks for itself, at most once a second
        ok(wait_for(
                sub {!grep {$status->(@{$at[0]}) != 403} 1 .. 20}, '403'),
            '... 403');
        sleep 1; # so that a child which had no request yet looks, too
        is($status->(@$_), 403, "... $_->[0]") for @at;
        for (map {ref $_ ? $_ : [$_]} @$free) {
            is($status->(@$_), 200, "... but not $_->[0]");
        }
        run($MAILORIGIN, 'unblock', @$what);
        ok(wait_for(
                sub {!grep {$status->(@{$at[0]}) != 200} 1 .. 20}, '200'),
            '... and unblocked again');
        sleep 1;
    }
    $h->stop;
}
done_testing;
