# From real mails to lines that a real httpd wrote, wherever rotation has put
# them, and while it goes on writing.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;
use JSON::PP ();

my $dir = scratch();
chmod 0777, $dir;
my $combined = '%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"';
my $n = 0;

# a mail by a request of its own: its record
sub mail {
    my ($c, $uri) = @_;
    $n++;
    $uri //= '/m.cgi';
    my $before = $c->recorder->records;
    $c->httpd->get("$uri?n=$n");
    my @r = $c->recorder->wait_records($before + 1);
    $r[-1]{n} = $n;
    return $r[-1];
}

# the line of that request in one of these files
sub line_in {
    my ($r, @file) = @_;
    my @line = map {grep {/\?n=$r->{n} /} split /^/, slurp($_) // ''} @file;
    chomp @line;
    return @line;
}

sub trace_json {
    my @arg = @_;
    my ($status, $out, $err) = run($MAILORIGIN, qw(trace --json), @arg);
    diag($err) if $status > 1;
    return JSON::PP->new->utf8->decode($out || '{}');
}

# each of them is found, and the same in bulk
sub found {
    my ($what, $match, $r, @arg) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @wrong;
    for my $r (@$r) {
        my @want = @{$r->{lines}};
        push @wrong, "n=$r->{n}: no line to look for" if !@want;
        my $o = trace_json('--id', $r->{id}, @arg);
        push @wrong, "trace n=$r->{n}: $o->{access_match} @{$o->{access_lines}}"
            if "$o->{access_match} @{$o->{access_lines}}" ne "$match @want";
    }
    my ($status, $out, $err) = run($MAILORIGIN, qw(log --access --json), @arg);
    my %o = map {$_->{id} => $_} map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
    for my $r (@$r) {
        my $o = $o{$r->{id}};
        push @wrong, "log n=$r->{n}: $o->{access_match} @{$o->{access_lines}}"
            if "$o->{access_match} @{$o->{access_lines}}" ne "$match @{$r->{lines}}";
    }
    is(join("\n", @wrong), '', $what) or diag($err);
    is($err, '', '... without a complaint');
}

sub script {
    my ($c, $after) = @_;
    return "#!/bin/sh\n" . $c->mail_line . "\n" . ($after // '')
        . "printf 'Content-Type: text/plain\\n\\nsent\\n'\n";
}

# ---- logrotate's way: renamed, then a reload, with requests under way
my $c = MO::Chain->new(mpm => 'event', modules => ['cgid']);
my $h = $c->httpd;
my $log = $h->root . '/logs/access.log';
$h->put('m.cgi', script($c), 0755);
$h->put('slow.cgi', script($c, "while [ ! -e $dir/go ]; do sleep 0.05; done\n"), 0755);
my @r = map {mail($c)} 1 .. 3;
my $slow = $h->connect;
my $before = $c->recorder->records;
$n++;
$h->send_request($slow, 'GET', "/slow.cgi?n=$n");
push @r, ($c->recorder->wait_records($before + 1))[-1];
$r[-1]{n} = $n;
push @r, mail($c);
rename $log, "$log.1";
push @r, mail($c); # before the reload: still into the renamed one
my $layout = "$RUN/httpd/" . $h->pid . '.json';
my $inode = (stat $layout)[1];
$h->graceful;
wait_for(sub {((stat $layout)[1] // $inode) != $inode && -e $log}, 'the reload');
push @r, mail($c) for 1 .. 2;
spew("$dir/go", '');
$h->read_response($slow);
for my $r (@r) {
    wait_for(sub {line_in($r, $log, "$log.1")}, "the line of n=$r->{n}");
    $r->{lines} = [line_in($r, $log, "$log.1")];
}
found('renamed', 'unique', \@r);
run('gzip', '-k', "$log.1");
found('compressed, the plain one is still there', 'unique', \@r);
found('... and named by a pattern', 'unique', \@r, '--access-log', "$log*");
unlink "$log.1";
found('compressed', 'unique', \@r);
found('... and named by a pattern', 'unique', \@r, '--access-log', "$log*");

# ---- copied and cut
run('cp', $log, "$log.2");
run('truncate', '-s', 0, $log);
found('copied and cut', 'unique', \@r);
push @r, mail($c);
wait_for(sub {line_in($r[-1], $log)}, 'the next line');
$r[-1]{lines} = [line_in($r[-1], $log)];
found('... and written to anew', 'unique', \@r);

# ---- another format from now on, in the same file
$h->{log_format} = 'with_id';
$h->write_conf;
$inode = (stat $layout)[1];
$h->graceful;
wait_for(sub {(stat $layout)[1] != $inode}, 'the reload');
my @id = map {mail($c)} 1 .. 3;
for my $r (@id) {
    wait_for(sub {line_in($r, $log)}, 'a line with its id');
    $r->{lines} = [line_in($r, $log)];
}
like($id[-1]{lines}[0], qr/ \Q$id[-1]{request_id}\E$/, 'the format has changed');
found('a log whose format has changed: before', 'unique', \@r);
found('... and after', 'exact', \@id);

# ---- being written: a line is there in part
my $copy = "$dir/written.log";
{
    my $format = '%h %l %u %t "%r" %>s %O %{MAILORIGIN_ID}e';
    my $last = $id[-1]{lines}[0];
    my @wrong;
    for my $cut (0 .. length $last) {
        my $part = substr $last, 0, $cut;
        spew($copy, join('', map {"$_->{lines}[0]\n"} @id[0 .. 1]) . $part);
        my ($status, $out, $err) = run($MAILORIGIN, qw(log --access --json
            --access-log), $copy, '--log-format', $format);
        my %o = map {$_->{id} => $_} map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
        push @wrong, "$cut: $err" if $err ne '';
        push @wrong, "$cut: $_->{n}" for grep {$o{$_->{id}}{access_match} ne 'exact'} @id[0, 1];
    }
    is(join("\n", @wrong), '', 'a line that is half written hides none and is no fault');
}

# ---- ... and more come while we read
my $writer = fork // die;
if (!$writer) {
    $h->get('/none.txt') for 1 .. 100000;
    POSIX::_exit(0);
}
found("read while httpd writes, $_", 'exact', \@id) for 1 .. 5;
kill 'KILL', $writer;
waitpid $writer, 0;

# ---- renamed and begun anew after we have chosen what to read
for my $way ('rename', 'copy and cut') {
    unlink glob("$dir/m.log*"), "$dir/strace";
    spew("$dir/m.log", join '', map {"$_->{lines}[0]\n"} @id);
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$dir/out";
        open STDERR, '>', "$dir/err";
        { no warnings; exec 'strace', '-f', '-o', "$dir/strace", '-P', "$dir/m.log", '-e', 'trace=close',
            '-e', 'inject=close:signal=SIGSTOP:when=1', $MAILORIGIN, qw(log --access
            --json --access-log), "$dir/m.log"; }
        POSIX::_exit(127);
    }
    my ($stopped) = wait_for(sub {(slurp("$dir/strace") // '') =~ /^(\d+) .*stopped by SIGSTOP/m
        ? $1 : 0}, 'it stops before it reads');
    run('cp', "$dir/m.log", "$dir/m.log.1") if $way ne 'rename';
    rename "$dir/m.log", "$dir/m.log.1" if $way eq 'rename';
    spew("$dir/m.log", '192.0.2.1 - - [01/Jan/2020:00:00:00 +0000] "GET / HTTP/1.1" 200 1 x' . "\n");
    kill 'CONT', $stopped;
    waitpid $pid, 0;
    my %o = map {$_->{id} => $_} map {JSON::PP->new->utf8->decode($_)} split /\n/, slurp("$dir/out");
    if ($way eq 'rename') {
        is(join(' ', map {$o{$_->{id}}{access_match}} @id), 'exact exact exact',
            "$way in the middle: each is found") or diag(slurp("$dir/err"));
    }
    else { # (what was cut is nowhere that we had looked at)
        like(slurp("$dir/err"), qr{m\.log: .*while it was read}, "$way in the middle: it is said");
    }
}

# ---- compressed by what we don't read: said, where it may be of that time
unlink glob "$dir/m.log*";
spew("$dir/m.log", "$id[-1]{lines}[0]\n");
spew("$dir/m.log.2.xz", 'x');
my $is_said = qr{m\.log\.2\.xz is compressed in a way that is not read};
like((run($MAILORIGIN, qw(trace --id), $r[0]{id}, '--access-log', "$dir/m.log"))[1], $is_said,
    'a kind of compression that is not read is said');
utime 1e9, 1e9, "$dir/m.log.2.xz";
unlike((run($MAILORIGIN, qw(trace --id), $r[0]{id}, '--access-log', "$dir/m.log"))[1], $is_said,
    '... but not where it is too old');

# ---- several logs of several formats by one pattern, none that httpd names
mkdir "$dir/many";
spew("$dir/many/a.access.log", "$r[-1]{lines}[0]\n");
spew("$dir/many/b.access.log", "localhost:443 $r[-2]{lines}[0]\n");
spew("$dir/many/c.access.log.1", "$id[-1]{lines}[0]\n");
spew("$dir/many/c.access.log", '192.0.2.1 - - [24/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1'
    . " AAAAAAAAAAAAAAAA\n");
for my $pair ([$r[-1], 'unique'], [$r[-2], 'unique'], [$id[-1], 'exact']) {
    my ($r, $match) = @$pair;
    is(trace_json('--id', $r->{id}, '--access-log', "$dir/many/*.log*")->{access_match}, $match,
        "a pattern over several formats: n=$r->{n}");
}
unlink $layout;
spew("$ETC/mailorigin.conf", slurp("$ETC/mailorigin.conf") . "access-log $dir/many/*.log* combined\n");
is(trace_json('--id', $_->{id})->{access_match}, 'unique',
    "... all called combined in the conf: n=$_->{n}") for @r[-2, -1], $id[-1];
$h->stop;
$c->recorder->stop;
unlink "$LOG/mail.log";

# ---- rotatelogs, each way it names its files
my $rotatelogs = '/usr/bin/rotatelogs';
$c = MO::Chain->new(mpm => 'worker', modules => ['cgid'], log_format => 'common', start => 0);
$h = $c->httpd;
my %pipe = (epoch => "$rotatelogs -l $dir/epoch.log 1", named => "$rotatelogs $dir/named.%H.%M.%S 1",
    linked => "$rotatelogs -L $dir/current $dir/linked.log 1", ring => "$rotatelogs -n 50 $dir/ring.log 1",
    cut => "$rotatelogs -t $dir/cut.log 86400", 'through a shell' => "\$$rotatelogs $dir/shell.log 86400");
$h->{conf} .= join '', map {"CustomLog \"|$pipe{$_}\" combined\n"} sort keys %pipe;
$h->write_conf;
$h->start;
$h->put('m.cgi', script($c), 0755);
@r = ();
for (1 .. 3) {
    push @r, mail($c);
    my $now = time;
    wait_for(sub {time > $now}, 'a second');
}
my @glob = map {"$dir/$_*"} qw(epoch named linked ring cut shell);
for my $r (@r) {
    for my $glob (@glob) {
        wait_for(sub {line_in($r, glob $glob)}, "n=$r->{n} in $glob");
    }
    $r->{lines} = [$r->{access} = (line_in($r, $h->root . '/logs/access.log'))[0],
        (line_in($r, glob "$dir/epoch*")) x @glob];
}
cmp_ok(scalar(() = glob "$dir/epoch.log.*"), '>', 1, 'rotatelogs has rotated');
my @wrong;
for my $r (@r) {
    my $o = trace_json('--id', $r->{id});
    push @wrong, "n=$r->{n}: $o->{access_match} " . join "\n", @{$o->{access_lines}}
        if $o->{access_match} ne 'unique' or join("\n", sort @{$o->{access_lines}})
            ne join "\n", sort @{$r->{lines}};
}
is(join("\n", @wrong), '', 'each is found in what each rotatelogs wrote');
$h->stop;
done_testing;
