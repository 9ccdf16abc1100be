# MO::Rehearsal - three in the morning: a real httpd and PHP-FPM with sixty
# innocent sites that mail, and one whose upload form let a script in that
# sends spam, over a real MTA.  The admin's three commands must find, stop and
# clear exactly that, and the mail server is never stopped.
#   rehearse($mta, spam => N, log_format => …, …)
# $mta: start, sendmail (the program's path), pid, spool (folders), args (for
# queue and purge), flush; it hands all mail to 127.0.0.1:2526.
# What is true is read from marks in the mails: what PHP was told is sent, what
# lies in the spool, what arrives at last; no stamp is asked for it.
package MO::Rehearsal;
use strict;
use warnings;
use Exporter 'import';
use Fcntl qw(:DEFAULT);
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use MO::Test;
use MO::Fpm;
use MO::Httpd;
use MO::Recorder;
our @EXPORT = qw(rehearse smtp_sink marks);

use constant SITES => 60;
use constant PORT => 2526;
my $json = JSON::PP->new->utf8;
my $dir;

sub path { $_[0]{path} } # a MO::Sink for MO::Recorder

# an SMTP server that keeps each message in FILE, in one write; its pid
sub smtp_sink {
    my ($file) = @_;
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
        LocalPort => PORT, Listen => 50, ReuseAddr => 1) or die "listen: $!";
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    $SIG{CHLD} = 'IGNORE';
    while (1) {
        my $s = $listen->accept or next;
        next if fork;
        my $say = sub { print $s "$_[0]\r\n"; $s->flush };
        $say->('220 sink.test ESMTP');
        while (defined(my $line = <$s>)) {
            if ($line =~ /^DATA/i) {
                $say->('354 go on');
                my $text = '';
                while (defined($line = <$s>) && $line ne ".\r\n") {
                    $text .= $line;
                }
                sysopen my $out, $file, O_WRONLY | O_APPEND | O_CREAT;
                syswrite $out, "$text\n";
                $say->('250 ok');
            }
            elsif ($line =~ /^QUIT/i) {
                $say->('221 bye');
                last;
            }
            else {
                $say->('250 ok');
            }
        }
        POSIX::_exit(0);
    }
}

# "good:site07.example:…" of all files below the folders, with their number
sub marks {
    my %n;
    for my $top (@_) {
        my @at = ($top);
        while (defined(my $at = shift @at)) {
            if (opendir my $d, $at) {
                push @at, map { "$at/$_" } grep { !/^\.\.?$/ } readdir $d;
                next;
            }
            my $text = slurp($at) // next;
            $n{$1}++ while $text =~ /MARK:([\w.:-]+);/g;
        }
    }
    return \%n;
}

sub keep {
    my ($name, $text) = @_;
    sysopen my $out, "$dir/$name", O_WRONLY | O_APPEND | O_CREAT;
    syswrite $out, $text;
}

# the first of a list, for a failure's sake
sub some {
    my @all = sort @_;
    return join ' ', @all > 3 ? (@all[0 .. 2], "... of " . @all) : @all;
}

sub php {
    my ($kind) = @_;
    return <<"PHP";
<?php
\$site = \$_SERVER['SERVER_NAME'];
for (\$i = 0; \$i < (int)\$_POST['n']; \$i++) {
    \$mark = "$kind:\$site:" . bin2hex(random_bytes(8));
    if (mail("user\$i\@far.example", 'Hello', "MARK:\$mark;\\n",
            "From: web\@\$site"))
        echo "MARK:\$mark;\\n";
}
PHP
}

# a process that runs code(), until file STOP-name is there
sub background {
    my ($name, $code) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    eval { 1 while !-e "$dir/stop-$name" && $code->(); 1 }
        or keep('trouble', "$name: $@");
    POSIX::_exit(0);
}

sub stop_background {
    my ($name, @pids) = @_;
    spew("$dir/stop-$name", '');
    waitpid $_, 0 for @pids;
}

sub post {
    my ($h, $site, $path, $n) = @_;
    my $r = $h->post($path, "n=$n", headers => {Host => $site,
        'Content-Type' => 'application/x-www-form-urlencoded'});
    keep('trouble', "$site$path: $r->{status} $r->{content}\n")
        if $r->{status} != 200;
    return $r->{content};
}

# three weeks of site07's newsletter, about now
sub past {
    my ($script) = @_;
    my $log = '';
    for my $week (3, 2, 1) {
        for my $i (0 .. 79) {
            my $t = time - $week * 7 * 86400 + $i;
            my $when = POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime $t);
            $log .= sprintf '{"time":"%s.000000Z","id":"past%012d",'
                . '"verdict":"verified","action":"passed",'
                . '"vhost":"site07.example","script":"%s"}' . "\n", $when,
                100 * $week + $i, $script;
        }
    }
    return $log;
}

sub rehearse {
    my ($mta, %o) = @_;
    my $spam = $ENV{MO_REHEARSAL_SPAM} // $o{spam};
    my $began = time;
    $dir = scratch();
    my $fpm = MO::Fpm->new(pools => {sites => {user => 'www-data'},
        hacked => {user => 'games'}});
    my @sites = map { sprintf 'site%02d.example', $_ } 1 .. SITES;
    my $h = MO::Httpd->new(mpm => 'event', modules => [qw(proxy proxy_fcgi)],
        log_format => $o{log_format} // 'vhost_combined', start => 0,
        vhosts => [(map { {name => $_, conf => $fpm->handler('sites')} } @sites),
            {name => 'hacked.example', conf => $fpm->handler('hacked')}]);
    $h->put("$_:contact.php", php('good')) for @sites, 'hacked.example';
    $h->put('hacked.example:wp-content/plugins/forms/upload.php', <<'PHP');
<?php
$dir = $_SERVER['DOCUMENT_ROOT'] . '/wp-content/uploads';
file_put_contents($dir . '/' . $_GET['as'], file_get_contents('php://input'));
PHP
    my $uploads = $h->docroot('hacked.example') . '/wp-content/uploads';
    mkdir $uploads;
    chmod 0777, $uploads;
    spew("$LOG/mail.log",
        past($h->docroot('site07.example') . '/contact.php'));
    $mta->start;
    my $recorder = MO::Recorder->new(sink => bless({path => $mta->sendmail}));
    $h->start;
    my $pid = $mta->pid;
    ok($pid, 'the mail server runs');

    # the sites go about their business; the script comes in; spam goes out
    my $round = 0;
    my @good = background(good => sub {
        for my $site (@sites, 'hacked.example') {
            keep('good', post($h, $site, '/contact.php', 1));
            last if -e "$dir/stop-good";
        }
        keep('rounds', '.');
        sleep 0.2;
        return ++$round < 15; # what goes past twenty an hour is a wave
    });
    my $r = $h->post('/wp-content/plugins/forms/upload.php?as=x.php',
        php('spam'), headers => {Host => 'hacked.example'});
    is($r->{status}, 200, 'a script comes in');
    my $script = "$uploads/x.php";
    ok(-s $script, '... by the upload form');
    sleep 2.1; # later than the upload, by the clock of access_log
    my @bad = map {
        background(bad => sub {
            my $asked = time;
            my $got = post($h, 'hacked.example', '/wp-content/uploads/x.php',
                20);
            keep('spam', $got);
            keep('requests', sprintf "%.3f %d\n", $asked,
                scalar(() = $got =~ /MARK/g));
            # the whole wave is out; it goes on, as long as it can
            sleep 1 if ((-s "$dir/spam") // 0) > $spam * length
                'MARK:spam:hacked.example:0123456789abcdef;\n';
            return 1;
        })
    } 1 .. 3;
    keep('good', post($h, 'site07.example', '/contact.php', 60));
    wait_for(sub { keys %{marks("$dir/spam")} >= $spam }, "$spam spams", 600);
    wait_for(sub { (-s "$dir/rounds") // 0 }, 'a mail of each site', 120);

    # one: what is it?
    my $t = time;
    my ($rc, $out, $err) = run($MAILORIGIN, qw(waves --json));
    my @took = (time - $t);
    is($rc, 0, 'waves') or diag($err);
    my @w = map { $json->decode($_) } split /\n/, $out;
    is(scalar @w, 1, '... one') or diag($out);
    is($w[0]{script}, $script, '... the script');
    is($w[0]{vhost}, 'hacked.example', '... its vhost');
    is($w[0]{client}, '127.0.0.1', '... who set it off');
    cmp_ok($w[0]{count}, '>=', $spam, '... all its mails');
    like($w[0]{access_match} // '', $o{match} // qr/^(?:unique|ambiguous)$/,
        '... the first request\'s line');
    like($w[0]{access_lines}[0] // '', qr{"POST /wp-content/uploads/x\.php },
        '... is that script\'s');
    like(join("\n", map { $_->{line} } @{$w[0]{uploads}}),
        qr{"POST /wp-content/plugins/forms/upload\.php\?as=x\.php },
        '... and what let it in');
    my ($text) = (run($MAILORIGIN, 'waves'))[1];
    like($text, qr/\Q$script\E/, '... as text, too');

    # two: stop it
    $t = time;
    ($rc, $out, $err) = run($MAILORIGIN, 'block', '--script', $w[0]{script},
        '--reason', 'spam; call us');
    push @took, time - $t;
    my $blocked = time;
    is($rc, 0, 'block') or diag($out, $err);

    # three: clear the queue
    $t = time;
    ($rc, $out, $err) = run({timeout => 300}, $MAILORIGIN, 'purge',
        @{$mta->args}, '--script', $w[0]{script}, '--save', "$dir/saved",
        '--yes');
    push @took, time - $t;
    is($rc, 0, 'purge')
        or diag((grep { !/ verified .*example$/ } split /^/, $out), $err);
    my ($deleted, $of) = $out =~ /^deleted (\d+) of (\d+) mails/m;
    ok($deleted, '... deletes') or diag($out, $err);
    diag(sprintf '%s: %d deleted of %d; seconds: waves %.1f, block %.1f, '
        . 'purge %.1f', ref $mta, $deleted // 0, $of // 0, @took);

    # it goes on trying, and nobody else is hit
    my $rounds = (-s "$dir/rounds") // 0;
    wait_for(sub {
        my @late = grep { (split)[0] > $blocked } split /\n/,
            slurp("$dir/requests") // '';
        return @late >= 3;
    }, 'more requests of the script', 120);
    wait_for(sub { ((-s "$dir/rounds") // 0) > $rounds || $rounds >= 15 },
        'more mails of the others', 120);
    stop_background(bad => @bad);
    stop_background(good => @good);
    my @late = grep { $_->[0] > $blocked } map { [split] } split /\n/,
        slurp("$dir/requests");
    is(scalar(grep { $_->[1] } @late), 0,
        'no mail of a later request was taken');
    my %sent = %{marks("$dir/spam")};
    my %good = %{marks("$dir/good")};
    cmp_ok(scalar(keys %good), '>', 2 * SITES, 'all the others mailed');
    is(slurp("$dir/trouble") // '', '', 'and no request failed');
    my @refused = grep { $_->{action} eq 'refused' } $recorder->records;
    is(scalar(grep { ($_->{script} // '') ne $script } @refused), 0,
        'of nobody else a mail was refused');
    ok(@refused > 0, '... but of that script');
    my $left = marks($mta->spool);
    is(scalar(grep { /^spam/ } keys %$left), 0, 'no spam is left in the queue')
        or diag(some(grep { /^spam/ } keys %$left));
    is($mta->pid, $pid, 'the mail server was never stopped');
    ok(kill(0, $pid), '... and runs');

    # a copy of each deleted mail; one is what the customer is shown
    my $saved = marks("$dir/saved");
    is(scalar(grep { !/^spam/ } keys %$saved), 0, 'only spam was deleted');
    is(scalar(grep { !$sent{$_} } keys %$saved), 0, '... all of it sent');
    is(scalar(keys %$saved), $deleted // -1, '... each once');
    my ($copy) = grep { !m{/df|-D$} } glob "$dir/saved/*";
    ($rc, $out, $err) = run($MAILORIGIN, 'trace', '--report', $copy);
    is($rc, 0, 'trace --report') or diag($err);
    like($out, qr/hacked\.example/, '... names the site') or diag($out);
    like($out, qr{wp-content/uploads/x\.php}, '... and the script');
    unlike($out, qr/site\d+\.example/, '... and no other customer');

    # the next hop is back: what was not deleted arrives, all and once
    my $sink = smtp_sink("$dir/arrived");
    my ($arrived, $last) = ({}, 0);
    wait_for(sub {
        if (time - $last > 5) {
            $mta->flush;
            $last = time;
        }
        $arrived = marks("$dir/arrived");
        return !grep { !$arrived->{$_} } keys %good;
    }, 'all good mails to arrive', 180);
    is(some(grep { !$arrived->{$_} } keys %good), '',
        'no innocent mail is lost');
    is(some(grep { $arrived->{$_} > 1 } keys %$arrived), '', '... or twice');
    is(scalar(grep { !/^good/ } keys %$arrived), 0, 'and no spam arrives');
    is(some(grep { !$saved->{$_} } keys %sent), '', 'each spam was deleted');
    kill 'KILL', $sink;
    $h->stop;
    $fpm->stop;
    $mta->stop;
    diag(sprintf '%d spams, %d others, %.0f s in all', scalar(keys %sent),
        scalar(keys %good), time - $began);
}

1;
