# httpd with FastCGI backends behaves as without us: the same requests to the
# same php-fpm, with and without the module: status, headers, bodies, what
# the error log says, timeouts, the attempts at dead members, and how many
# connections the backend saw.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use IO::Socket::INET ();
use MO::Test;
use MO::Fpm;
use MO::Httpd;
use Time::HiRes ();

my $dir = scratch();
my $fpm = MO::Fpm->new(pools => {
    u => {'pm.max_children' => 5}, t => {listen => 'tcp'},
    kept => {'pm.max_children' => 5}, kept_t => {listen => 'tcp'}});

# All of one request, to the empty STDIN record that ends it: who hangs up
# before may be met by httpd's write or by its read, as it happens.
sub read_request {
    my ($s) = @_;
    my $rest = sub {
        my ($n) = @_;
        my $got = '';
        while (length $got < $n) {
            sysread $s, $got, $n - length $got, length $got or return;
        }
        return $got;
    };
    while (defined(my $head = $rest->(8))) {
        my (undef, $type, undef, $len, $pad) = unpack 'CCnnC', $head;
        return if $type == 5 && $len == 0;
        $rest->($len + $pad);
    }
}

# a backend that only counts its connections, and hangs up or says nothing
sub counter {
    my ($how) = @_;
    my $l = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1',
        ReuseAddr => 1) or die $@;
    spew("$dir/$how", '');
    my $pid = fork // die $!;
    return $l->sockport if $pid;
    my @open;
    while (my $s = $l->accept) {
        open my $fh, '>>', "$dir/$how";
        syswrite $fh, '.';
        close $fh;
        push @open, $s if $how eq 'silent';
        next if $how eq 'silent';
        read_request($s);
        syswrite $s, "HTTP/1.0 200 what is this?\r\n\r\n" if $how eq 'rude';
        close $s;
    }
    exit;
}
my %port = map { $_ => counter($_) } qw(hangs_up rude silent);

sub conf {
    my $u = $fpm->socket('u');
    my $c = $fpm->handler('u') . $fpm->handler('t', '^t\.php$')
        . $fpm->handler('kept', '^kept\.php$')
        . $fpm->handler('kept_t', '^kept_t\.php$');
    $c .= '<Proxy "' . $fpm->socket($_)
        . "\">\nProxySet enablereuse=on max=2\n</Proxy>\n" for qw(kept kept_t);
    $c .= "<FilesMatch ^$_\\.php\$>\nSetHandler proxy:fcgi://127.0.0.1:"
        . "$port{$_}\n</FilesMatch>\n" for keys %port;
    $c .= "<FilesMatch ^gone\\.php\$>\nSetHandler proxy:fcgi://127.0.0.1:9\n"
        . "</FilesMatch>\n"
        . "<FilesMatch ^nosock\\.php\$>\n"
        . "SetHandler \"proxy:unix:$dir/none.sock|fcgi://none\"\n"
        . "</FilesMatch>\n"
        . "<Proxy balancer://half>\nBalancerMember fcgi://127.0.0.1:9\n"
        . "BalancerMember $u\n</Proxy>\n"
        . "<FilesMatch ^half\\.php\$>\nSetHandler proxy:balancer://half\n"
        . "</FilesMatch>\n"
        . "<Proxy balancer://none>\nBalancerMember fcgi://127.0.0.1:9 retry=0\n"
        . "BalancerMember fcgi://127.0.0.1:10 retry=0\n</Proxy>\n"
        . "<FilesMatch ^none\\.php\$>\nSetHandler proxy:balancer://none\n"
        . "</FilesMatch>\n"
        . "ProxyTimeout 1\n"
        . "<FilesMatch ^sendcl\\.php\$>\nSetEnv proxy-sendcl 1\n"
        . "</FilesMatch>\n"
        . "ProxyPass /pass/ \"$u/\"\n";
    return $c;
}

my @requests = (
    ['/s.php'], ['/s.php', method => 'HEAD'], ['/s.php/path/info?a=b&c'],
    ['/s.php', method => 'POST', body => 'x' x 10],
    ['/s.php', method => 'POST', body => 'y' x 100_000],
    ['/s.php', method => 'POST', body => 'z' x 1_000_000],
    ['/sendcl.php', method => 'POST', body => 'z' x 300_000],
    ['/s.php?status=404'], ['/s.php?status=500'], ['/s.php?status=302'],
    ['/s.php?big=1'], ['/s.php?die=1'], ['/s.php?sleep=3'], ['/missing.php'],
    ['/t.php'], ['/t.php', method => 'POST', body => 'x' x 20_000],
    (map { (["/kept.php?$_"], ["/kept_t.php?$_"]) } 1 .. 6),
    ['/kept.php?exit=1'], ['/kept.php?after'], ['/kept_t.php?status=500'],
    ['/kept_t.php?after'],
    # the next request's turn comes when the last one's script is over
    (map { (["/$_.php?busy=400"], ["/$_.php?next"], ["/$_.php?busy=1500"],
        ["/$_.php?next"], ["/$_.php?later"]) } qw(kept kept_t)),
    ['/gone.php'], ['/gone.php', method => 'POST',
        body => 'x' x 5000], ['/gone.php'], ['/nosock.php'],
    ['/hangs_up.php'], ['/hangs_up.php', method => 'POST', body => 'x'],
    ['/rude.php'], ['/silent.php'],
    (map { ["/half.php?$_"] } 1 .. 4),
    ['/half.php', method => 'POST', body => 'x' x 50_000],
    (map { ["/none.php?$_"] } 1 .. 2), ['/none.php', method => 'POST',
        body => 'x' x 5000], ['/pass/none']);

sub ask_all {
    my ($mailorigin) = @_;
    # one process and one connection at a time: the order is the same
    my $h = MO::Httpd->new(mpm => 'event', mailorigin => $mailorigin,
        modules => [qw(proxy proxy_fcgi proxy_balancer slotmem_shm
        lbmethod_byrequests)], conf => "StartServers 1\nServerLimit 1\n"
        . "ThreadsPerChild 4\nMaxRequestWorkers 4\nMinSpareThreads 1\n"
        . "MaxSpareThreads 4\n" . conf());
    $h->put("$_.php", <<'EOT') for qw(s t kept kept_t half sendcl);
<?php
$in = file_get_contents('php://input');
if (isset($_GET['status'])) { http_response_code((int)$_GET['status']); }
if (isset($_GET['sleep'])) { sleep((int)$_GET['sleep']); }
if (isset($_GET['die'])) { echo 'x'; flush(); posix_kill(getmypid(), 9); }
header('X-Seen: ' . ($_SERVER['CONTENT_LENGTH'] ?? 'none'));
header('X-Script: ' . $_SERVER['SCRIPT_NAME'] . ' ' . ($_SERVER['PATH_INFO'] ?? ''));
echo $_SERVER['REQUEST_METHOD'], ' ', md5($in);
if (isset($_GET['big'])) { echo str_repeat("0123456789abcdef\n", 100000); }
if (isset($_GET['exit'])) { exit; }
if (isset($_GET['busy'])) {
    fastcgi_finish_request();
    usleep((int)$_GET['busy'] * 1000);
}
EOT
    $h->put("$_.php", '') for qw(none gone nosock), keys %port;
    my @out;
    for my $q (@requests) {
        my ($path, %o) = @$q;
        my $began = Time::HiRes::time();
        my $r = $h->get($path, %o);
        delete $r->{headers}{date};
        push @out, join ' ', $o{method} // 'GET', $path, $r->{status},
            $r->{reason}, join(';', map { "$_=$r->{headers}{$_}" }
            sort keys %{$r->{headers}}), length $r->{content},
            substr($r->{content}, 0, 60),
            Time::HiRes::time() - $began > 0.9 ? 'slow' : 'quick';
    }
    # kept connections: as many sockets stay open to the pools that are kept
    my ($child) = $h->children;
    my $ports = sprintf ':%04X', $fpm->address('kept_t') =~ /:(\d+)/;
    my $open = () = slurp("/proc/$child/net/tcp")
        =~ /^\s*\d+: \S+ 0100007F\Q$ports\E 01 /mg;
    push @out, "open to the kept TCP pool: $open";
    $h->stop;
    # which dead member is tried first is the balancer's choice
    push @out, map { s/127\.0\.0\.1:(?:9|10)\b/DEAD/gr }
        map { s/\b$h->{port}\b/PORT/gr }
        map { s/\Q$h->{root}\E/ROOT/gr }
        map { /\[(proxy\w*:\w+)\].*?((?:\(\d+\)[^:]*: )?AH\d+: .*)/
            ? "$1 $2" : () } split /\n/, $h->error_log;
    for my $how (sort keys %port) {
        push @out, "$how: " . length slurp("$dir/$how");
        spew("$dir/$how", '');
    }
    return map { s/ \[client \S+\]//gr } @out;
}

my @without = ask_all(0);
my @with = ask_all(1);
cmp_ok(scalar @without, '>', @requests + 10, 'there is much to compare');
for my $i (0 .. ($#with > $#without ? $#with : $#without)) {
    is($with[$i], $without[$i], substr($without[$i] // 'nothing more', 0, 60));
}

done_testing();
