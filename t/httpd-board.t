# The board over httpd's life: full, killed children, restarts, other names
# of the client, other threads than httpd's.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::LookHttpd;

keyring();

sub file_of {
    my ($h) = @_;
    return "$RUN/board/" . $h->pid;
}

# until only N slots are in use
sub settled {
    my ($n, $what) = @_;
    my @s;
    wait_for(sub { @s = slots(); @s == $n }, $what);
    return scalar @s;
}

sub stopped {
    my ($h) = @_;
    unlike($h->error_log, qr/AddressSanitizer|runtime error:/,
        'no fault under a sanitizer');
    $h->stop;
    is(join(' ', glob "$RUN/board/* $RUN/httpd/*"), '',
        'the parent leaves nothing at its end');
}

# ---- the file
my $h = look_httpd(mpm => 'event');
my $file = file_of($h);
my @st = stat $file;
is(sprintf('%o', $st[2] & 07777), '640', 'the board\'s mode');
is($st[4], 0, '… it is root\'s');
like(slurp("/proc/$_/maps") // '', qr{run/board/}, 'a child has it mapped')
    for grep { (slurp("/proc/$_/maps") // '') =~ /board/ } $h->children;
unlike(slurp('/proc/' . $h->pid . '/maps'), qr{run/board/},
    'the parent has not');
my $w = wait_cgi($h, 'descriptors');
unlike(join(' ', map { readlink($_) // '' } glob('/proc/' . $w->pid . '/fd/*')),
    qr/board|keyring|loadavg|ns_last_pid/, 'a script has none of our descriptors');
unlike(slurp('/proc/' . $w->pid . '/maps'), qr/board/, '… and no board');
$w->release;

# ---- full
my ($status, $total) = peek('fill', $file, 1);
chomp $total;
cmp_ok($total, '>=', 64 + 16, 'a slot for each thread');
my @w = map { wait_cgi($h, "full$_") } 1 .. 4;
is($_->release->{status}, 200, 'a full board: httpd serves') for @w;
my @said = grep { /board .* is full/ } ours($h, 'crit');
is(scalar(@said), 1, '… and says so once');
like($said[0], qr{\Q$file\E.*$total slots.*stop and start httpd},
    '… with name, size and mend');
stopped($h);

# ---- killed children, threads and processes
for my $mpm ('event', 'prefork') {
    $h = look_httpd(mpm => $mpm);
    $file = file_of($h);
    my $kills = $ENV{MO_KILLS} || 5; # many more by hand
    my $n = 0;
    for my $round (1 .. $kills) {
        my @waits = map { wait_cgi($h, 'k' . $n++) } 1 .. 5;
        my %child = map { $_->{child} => 1 } slots();
        kill 'KILL', keys %child;
        settled(0, "$mpm: slots of killed children, round $round") == 0
            or last;
        spew("$_->{file}.go", '') for @waits;
    }
    is(settled(0, 'all free'), 0, "$mpm: no slot of a killed child is left");
    my $wait = wait_cgi($h, 'after');
    is(scalar(my @s = slots()), 1, "$mpm: … and new requests have theirs");
    $wait->release;
    is(settled(0, 'all free'), 0, "$mpm: … while they last");
    stopped($h);
}

# ---- graceful restarts
$h = look_httpd(mpm => 'event', log_format => 'with_id');
$file = file_of($h);
my $inode = (stat $file)[1];
my $old = wait_cgi($h, 'old');
my ($before) = slots();
keyring(1);
for my $n (2 .. 4) {
    $h->graceful;
    wait_for(sub { my $k = () = $h->error_log =~ /resuming normal/g; $k >= $n },
        'a graceful restart');
}
is((stat $file)[1], $inode, 'graceful: the same board');
my $new = wait_for(sub {
    # children of the generation before may take some
    my $l = look($h, '/look.cgi');
    ($l->{origin}{hash} // '') =~ /^5eed5ee1:/ ? $l : 0;
}, 'a request with the new key');
my ($still) = grep { $_->{serial} == $before->{serial} } slots();
is($still->{id}, $before->{id}, 'graceful: an old request is still on it');
like($still->{hash}, qr/^5eed5ee0:/, '… with the key of its time');
is($old->release->{status}, 200, '… and ends well');
settled(0, 'the old request\'s slot');
is(join("\n", ours($h)), '', '… without a line');

# the MPM keeps its limits at a restart, so the board fits; what would not
# fit is said once
$h->conf("ServerLimit 40\nLoadModule http2_module "
    . MO::Httpd::moddir() . "/mod_http2.so\n");
for my $n (5 .. 6) {
    $h->graceful;
    wait_for(sub { my $k = () = $h->error_log =~ /resuming normal/g; $k >= $n },
        'a graceful restart');
}
my @grow = grep { /slots/ } ours($h);
is(scalar(@grow), 1, 'a changed ServerLimit and HTTP/2: one line of ours');
like($grow[0], qr{\Q$file\E.*stopped and started}, '… with name and mend');
is((stat $file)[1], $inode, '… on the same board');
my $w2 = wait_cgi($h, 'grown');
is(scalar(my @s2 = slots()), 1, '… which works');
$w2->release;
stopped($h);

# ---- a parent that was killed leaves its files; the next takes no harm
$h = look_httpd(mpm => 'prefork');
# stopped first, so that it makes no child while its children are counted
kill 'STOP', $h->pid;
wait_for(sub { proc_state($h->pid) eq 'T' }, 'httpd is stopped');
kill 'KILL', $h->pid, $h->children;
wait_for(sub { !$h->alive && !$h->answers }, 'httpd is killed');
$h->{pid} = 0;
unlink $h->root . '/run/httpd.pid';
$h->start;
is(wait_cgi($h, 'again')->release->{status}, 200, 'started after a kill');
$h->stop;
unlink glob "$RUN/board/* $RUN/httpd/*";

# ---- mod_remoteip
$h = look_httpd(modules => ['remoteip'], mpm => 'worker',
    conf => "RemoteIPHeader X-Real\nRemoteIPInternalProxy 127.0.0.1\n",
    log_format => '%a %{MAILORIGIN_ID}e');
my $l = look($h, '/look.cgi', headers => {'X-Real' => '192.0.2.7'});
is($l->{origin}{client}, '192.0.2.7', 'mod_remoteip: the client as %a logs it');
my ($line) = $h->wait_access(qr/\Q$l->{vars}{MAILORIGIN_ID}\E/);
like($line, qr/^192\.0\.2\.7 /, '… in access_log too');
like($l->{vars}{MAILORIGIN_ID}, qr/^[A-Za-z0-9_-]{16}$/,
    'without mod_unique_id an id of our own');
stopped($h);

# ---- HTTP/2: requests on threads that are no MPM's
$h = look_httpd(modules => ['http2'], mpm => 'event',
    conf => "Protocols h2c http/1.1\n");
my $url = 'http://127.0.0.1:' . $h->port;
my $root = $h->root;
my $curl = fork // die $!;
if (!$curl) {
    exec 'curl', '-s', '--no-progress-meter', '--http2-prior-knowledge', '--parallel',
        '--parallel-immediate', '-o', '/dev/null', "$url/wait.cgi?h[1-8]";
    exit 127;
}
wait_for(sub { my @p = glob("$root/waits/h?.pid"); @p == 8 },
    'eight streams of one connection run');
my @h2 = slots();
is(scalar(@h2), 8, 'HTTP/2: a slot a stream');
my %tid = map { $_->{slot_tid} => 1 } @h2;
is(scalar(keys %tid), 8, '… each of its own thread');
my %id = map { $_->{id} => 1 } @h2;
is(scalar(keys %id), 8, '… with its own id');
spew("$root/waits/h$_.go", '') for 1 .. 8;
waitpid $curl, 0;
is($?, 0, '… and all end well');
is(settled(0, 'all streams\' slots'), 0, '… with their slots free');
stopped($h);

# ---- mpm_itk: a process a connection below the MPM's child
$h = look_httpd(mpm => 'itk');
my $itk = wait_cgi($h, 'itk');
my ($slot) = slots();
isnt($slot->{slot_pid}, $slot->{child}, 'mpm_itk: a process below the child');
ok((grep { $_ == $slot->{child} } $h->children), '… which is the parent\'s');
kill 'KILL', $slot->{slot_pid};
is(settled(0, 'a killed connection process\'s slot'), 0,
    '… killed, it leaves no slot');
spew("$itk->{file}.go", '');
$h->stop;
done_testing;
