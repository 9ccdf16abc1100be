# Customers' processes hold nothing of ours: no descriptor of the board, the
# keyring or any of our files and sockets, no mapping of the board, and no key
# in their memory, which native code could read.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MIME::Base64 ();
use MO::Fpm;
use MO::Test;
use MO::Handlers;
use POSIX ();

MO::Handlers::customers();
MO::Handlers::suexec('/tmp');
my $ours = qr{\Q$PREFIX\E/|\b(?:loadavg|ns_last_pid)\b|memfd:mailorigin};
my $share = scratch();

sub fds_of {
    my ($pid) = @_;
    opendir my $dir, "/proc/$pid/fd" or return;
    return grep { defined } map { readlink "/proc/$pid/fd/$_" }
        grep { /^\d/ } readdir $dir;
}

sub cmd_of { (slurp("/proc/$_[0]/cmdline") // '') =~ s/\0/ /gr }

# our sockets by inode: /proc/net/unix has their paths
sub our_sockets {
    return map { m{\s(\d+) \Q$RUN\E/} ? ("socket:[$1]" => 1) : () }
        split /\n/, slurp('/proc/net/unix');
}

# the subkeys are derived from the master; the module holds token's and hash's
sub key_bytes {
    my ($text) = slurp("$ETC/keyring") =~ /^[0-9a-f]{8} (\S+)/m;
    my ($status, $out, $err) = run("$BUILD/t/tools/peek", 'subkeys',
        "$ETC/keyring");
    die "peek: $err" if $status;
    return (master => MIME::Base64::decode_base64url($text), text => $text, map { /^(\w+) ([0-9a-f]+)$/
        ? ($1 => pack 'H*', $2) : () } split /\n/, $out);
}

my %key;
# what of the keys is in the process's writable memory: names
sub keys_in {
    my ($pid) = @_;
    open my $mem, '<:raw', "/proc/$pid/mem" or return 'unreadable';
    my %found;
    for (split /\n/, slurp("/proc/$pid/maps") // '') {
        my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
        no warnings 'portable';
        my ($at, $end) = (hex $from, hex $to);
        next if $end - $at > 256 << 20;
        sysseek $mem, $at, 0 or next;
        my $text = '';
        while ($at < $end) {
            my $n = sysread $mem, $text, $end - $at < 1 << 20 ? $end - $at
                : 1 << 20, length $text or last;
            $at += $n;
        }
        for my $name (keys %key) {
            $found{$name} = 1 if index($text, $key{$name}) >= 0;
        }
    }
    return sort keys %found;
}

sub holds_nothing {
    my ($pid, $what) = @_;
    my $cmd = cmd_of($pid);
    my %socket = our_sockets();
    my @fd = fds_of($pid);
    cmp_ok scalar(@fd), '>', 0, "$what: its descriptors can be seen ($cmd)";
    is join(' ', grep { $_ =~ $ours || $socket{$_} } @fd), '',
        "$what: none is ours";
    my @maps = split /\n/, slurp("/proc/$pid/maps") // '';
    cmp_ok scalar(@maps), '>', 0, "$what: its mappings can be seen";
    is join(' ', grep { m{\Q$RUN\E/|\Q$ETC\E/} } @maps), '',
        "$what: none of the board";
    is join(' ', keys_in($pid)), '', "$what: no key in its memory";
}

# until the script of a request has told its pid
my ($row, @clients);
sub hold {
    my ($vhost, $path) = @_;
    my $file = "$row->{dir}/pid";
    unlink $file;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $row->get($vhost, $path);
        POSIX::_exit(0);
    }
    push @clients, $pid;
    return wait_for(sub { (slurp($file) // '') =~ /^(\d+)\n/ && $1 },
        "$path runs") || die $row->h->error_log;
}

sub stay {
    return "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "echo \$\$ > $row->{dir}/pid.\$\$ && mv $row->{dir}/pid.\$\$ "
        . "$row->{dir}/pid\nwhile [ -d $row->{dir} ] && "
        . "[ ! -e $row->{dir}/stop ]; do sleep 0.05; done\n";
}

sub released {
    spew("$row->{dir}/stop", '');
    waitpid $_, 0 for splice @clients;
    $row->stop;
}

my $pipe = spew("$share/log", "#!/bin/sh\nexec cat > /dev/null\n", 0755);
my $fpm = MO::Fpm->new(pools => {a => {user => 'cust1'}});
for (['prefork', 'cgi'], ['event', 'cgid']) {
    my ($mpm, $module) = @$_;
    my $event = $mpm eq 'event';
    $row = MO::Handlers->new(mpm => $mpm, modules => [$module, 'suexec',
        qw(proxy proxy_fcgi), $event ? 'wsgi' : ()],
        vhost_conf => sub {
            $_[0] eq 'a.example' ? "CustomLog \"|$pipe\" combined\n"
                . $fpm->handler('a')
                . ($event ? "WSGIDaemonProcess a user=cust2 group=cust2 home=/tmp\n"
                    . "WSGIProcessGroup a\nAddHandler wsgi-script .wsgi\n" : '')
                : "SuexecUserGroup cust1 cust1\n";
        }, conf => $event ? "WSGISocketPrefix /tmp/fds-$$-\n" : '');
    %key = key_bytes() if !%key;
    is scalar(keys %key), 4, 'the master, as text too, and its subkeys'
        if !$event;
    chmod 0777, $row->{dir};
    my $h = $row->h;
    $row->put('s.cgi', stay(), 0755);
    run('chown', '-R', 'cust1:cust1', $h->docroot('b.example'));
    $row->put('s.php', "<?php \$d = '$row->{dir}'; file_put_contents(\"\$d/p\", "
        . 'getmypid() . "\n"); rename("$d/p", "$d/pid"); '
        . 'while (is_dir($d) && !file_exists("$d/stop")) usleep(50000);');
    $row->put('s.wsgi', <<"EOT");
import os, time
def application(environ, start_response):
    start_response('200 OK', [])
    with open('$row->{dir}/w', 'w') as f:
        f.write(str(os.getpid()) + '\\n')
    os.rename('$row->{dir}/w', '$row->{dir}/pid')
    while os.path.exists('$row->{dir}') and not os.path.exists(
            '$row->{dir}/stop') and environ['QUERY_STRING'] != 'go':
        time.sleep(0.05)
    return [b'']
EOT
    my $cgi = hold('a.example', '/s.cgi');
    holds_nothing($cgi, "mod_$module");
    holds_nothing(hold('b.example', '/s.cgi'), "mod_$module + suexec");
    holds_nothing(hold('a.example', '/s.php'), 'PHP-FPM child');
    holds_nothing($fpm->pid, 'PHP-FPM master');
    my ($log) = grep { cmd_of($_) =~ /^(?:\S*sh -c )?(?:exec )?\S*(?:log|cat)\b/ }
        $h->children;
    ok($log, 'a piped log');
    holds_nothing($log, "piped log, $mpm") if $log;
    if ($event) {
        my $daemon = hold('a.example', '/s.wsgi');
        isnt cmd_of($daemon), '', 'mod_wsgi daemon';
        holds_nothing($daemon, 'mod_wsgi daemon');
        # the one in its place is forked by a parent that is long configured
        kill 'KILL', $daemon;
        my $next = wait_for(sub {
            my $r = $row->get('a.example', '/s.wsgi?go');
            my ($pid) = (slurp("$row->{dir}/pid") // '') =~ /^(\d+)\n/;
            $r->{status} == 200 && $pid && $pid != $daemon && $pid;
        }, 'another mod_wsgi daemon');
        holds_nothing($next, 'mod_wsgi daemon that was restarted');
    }
    # and the test sees what it looks for: the children that serve have it
    my @serve = grep { (slurp("/proc/$_/maps") // '') =~ m{\Q$RUN\E/board/} }
        $h->children;
    cmp_ok scalar(@serve), '>', 0, "$mpm: children that serve map the board";
    my %held = map { map { $_ => 1 } keys_in($_) } @serve;
    is join(' ', sort keys %held), 'hash token',
        '… and hold the keys that they need, not the master';
    is join(' ', keys_in($h->pid)), '', '… their parent holds none';
    unlike slurp('/proc/' . $h->pid . '/maps'), qr{\Q$RUN\E/board/},
        '… and maps no board';
    released();
}
done_testing();
