#!/usr/bin/perl
# kill -9 of httpd's children in the middle of requests, slow ones and ones
# that come and go: no slot of the board stays taken, and httpd serves on.
#
# MO_KILLS=1000 kills so many for each MPM (default 100).
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Httpd;
use JSON::PP ();
use POSIX ();

my $kills = $ENV{MO_KILLS} || 100;
run($MAILORIGIN, qw(key init));

my ($h, $board);
sub slots {
    my ($status, $out, $err) = run("$BUILD/t/tools/peek", 'board', $board);
    die "peek: $err" if $status;
    return map { JSON::PP::decode_json($_) } split /\n/, $out;
}

for my $case (['prefork', 'cgi', <<'EOT'], ['event', 'cgid', <<'EOT']) {
ServerLimit 48
StartServers 24
MinSpareServers 24
MaxSpareServers 40
MaxRequestWorkers 48
EOT
ServerLimit 24
StartServers 12
ThreadsPerChild 4
MinSpareThreads 48
MaxSpareThreads 80
MaxRequestWorkers 96
EOT
    my ($mpm, $module, $conf) = @$case;
    $h = MO::Httpd->new(mpm => $mpm, modules => [$module], conf => $conf);
    $board = "$RUN/board/" . $h->pid;
    my $head = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n";
    $h->put('slow.cgi', "${head}exec sleep 1000\n", 0755);
    $h->put('quick.cgi', "${head}echo ok\n", 0755);

    my @quick;
    for (1 .. 2) {
        my $pid = fork // die "fork: $!";
        if ($pid) {
            push @quick, $pid;
            next;
        }
        eval { $h->get('/quick.cgi') } while 1;
    }
    my ($killed, $held, $rounds) = (0, 0, 0);
    while ($killed < $kills) {
        my @slow = map {
            my $s = $h->connect;
            $h->send_request($s, 'GET', '/slow.cgi');
            $s;
        } 1 .. 12;
        my @s;
        wait_for(sub {
            @s = grep { ($_->{uri} // '') eq '/slow.cgi' } slots();
            return @s >= 10;
        }, 'slow requests on the board', 60) or last;
        my %child = map { $_->{child} => 1 } slots();
        $held += @s;
        $killed += kill 'KILL', keys %child;
        $rounds++;
        wait_for(sub { !grep { $child{$_->{child}} } slots() },
            'slots of the dead are free', 60) or last;
    }
    kill 'KILL', @quick;
    waitpid $_, 0 for @quick;
    cmp_ok $killed, '>=', $kills, "$mpm: $killed children killed in $rounds "
        . "rounds, with $held slow requests among theirs";
    wait_for(sub { !grep { ($_->{uri} // '') ne '/slow.cgi' } slots() },
        'quick requests end');
    # those that the last kill left
    my %child = map { $_->{child} => 1 } slots();
    kill 'KILL', keys %child;
    my $free = '';
    wait_for(sub {
        $free = (run("$BUILD/t/tools/peek", 'free', $board))[1];
        return $free =~ /^(\d+) of \1$/;
    }, "$mpm: all slots are free", 60) or diag explain [slots()];
    like $free, qr/^(\d+) of \1$/, "$mpm: no slot stays taken";
    is $h->get('/quick.cgi')->{content}, "ok\n", "$mpm: httpd serves on";
    unlike $h->error_log, qr/AddressSanitizer|runtime error:/,
        "$mpm: no fault under a sanitizer";
    $h->stop;
    is join(' ', glob "$RUN/board/*"), '', "$mpm: its board goes with it";
}
done_testing;
