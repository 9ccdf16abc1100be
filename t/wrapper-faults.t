# Whatever fails below the wrapper: a mail arrives whole and once, or not at
# all, and then the caller is told.
# no sanitizers: their runtimes need the memory, files and calls taken away here
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use POSIX ();
use Time::HiRes ();

my $r = MO::Recorder->new;
my $sink = $r->sink;
my $dir = scratch();
my $small = "Subject: x\nTo: a\@b.example\n\nbody\n";
my $large = $small . ('z' x 76 . "\n") x 4000;
my $bs = "EHLO me\r\nMAIL FROM:<a\@b>\r\nRCPT TO:<c\@d>\r\nDATA\r\n"
    . "Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";

my %way = ( # text, arguments, conf, what arrives behind the field
    small => [$small, ['-t', '-i'], '', $small],
    large => [$large, ['a@b.example'], '', $large],
    pipe => [$large x 6, ['-t', '-i'], "handover pipe\n", $large x 6],
    bs => [$bs, ['-bs'], '', "Subject: x\r\n\r\nbody\r\n"],
);

# the arrived mails: '' or what is wrong with one; their number
sub arrived {
    my ($want) = @_;
    my @mails = map { $_->{data} } $sink->mails;
    $sink->clear;
    for (@mails) {
        s/\AMail-Origin:\x20v=1;\x20id=[\w-]{16}(?:;[\s]+s=[\w-]+
            (?:\r?\n\t[\w-]+)*)?\r?\n//x or return 'no field', scalar @mails;
        return 'another text: ' . length, scalar @mails if $_ ne $want;
    }
    return ('', scalar @mails);
}

# '' where all is as promised
sub verdict {
    my ($want, $status, $out, $err) = @_;
    my ($bad, $n) = arrived($want);
    return $bad if $bad;
    return "$n mails" if $n > 1;
    return "status 0 and no mail" if !$n && $status == 0
        && $want !~ /\r/; # in -bs its replies tell
    return "no mail, and 250 for it" if !$n && $out =~ /kept/;
    return "a mail, and status $status" if $n && $status != 0
        && $want !~ /\r/;
    return "status $status" if $status && $status < 128 && $status != 75
        && $status != 78;
    my @lines = split /^/, $err;
    return "no word for status $status" if !@lines
        && ($status == 75 || $status == 78);
    return "words: $err" if @lines > ($status && $status < 128 ? 1 : 0);
    return '';
}

sub strace {
    my ($way, @inject) = @_;
    my ($text, $args) = @{$way{$way}};
    my ($status, $out, $err) = quick($text, 'strace', '-o', "$dir/trace",
        '-qq', @inject, $WRAPPER, @$args);
    $err =~ s/^strace: .*\n//mg;
    return ($status, $out, $err);
}

# as run, without a clock
sub quick {
    my ($text, @cmd) = @_;
    spew("$dir/in", $text);
    my $pid = fork // die;
    if (!$pid) {
        alarm 60;
        open STDIN, '<', "$dir/in";
        open STDOUT, '>', "$dir/out";
        open STDERR, '>', "$dir/err";
        { no warnings; exec @cmd; }
        POSIX::_exit(126);
    }
    waitpid $pid, 0;
    return ($? & 127 ? 128 + ($? & 127) : $? >> 8, slurp("$dir/out"),
        slurp("$dir/err"));
}

sub no_tmp {
    run('rm', '-rf', @_) if (@_ = glob $sink->spool . '/tmp.*');
}

# ---- an error, or a signal, at each system call
my %error = ( # of a call, what can befall it beside EINTR and ENOMEM
    openat => ['EMFILE', 'ENFILE', 'EACCES'], open => ['EMFILE'],
    read => ['EIO'], write => ['ENOSPC', 'EIO'], pwrite64 => ['ENOSPC', 'EIO'],
    pread64 => ['EIO'], memfd_create => ['EMFILE', 'ENOSYS'], splice => ['ENOSPC', 'EINVAL'],
    sendfile => ['ENOSPC', 'EINVAL'], socket => ['EMFILE', 'EACCES'],
    connect => ['ECONNREFUSED', 'EAGAIN'], sendmsg => ['EPIPE', 'ENOBUFS'],
    recvfrom => ['ECONNRESET'], execve => ['EAGAIN', 'E2BIG', 'ENOENT'],
    pipe2 => ['EMFILE'], clone => ['EAGAIN'], dup2 => ['EBUSY'],
    getrandom => ['ENOSYS'], lseek => ['ESPIPE'], poll => ['EINVAL'],
);
# those that the program's start and libc make, whose failure is not ours
my %not_ours = map { $_ => 1 } qw(brk mmap munmap mprotect arch_prctl
    set_tid_address set_robust_list rseq prlimit64 exit_group exit
    rt_sigreturn);
my ($calls, $runs) = (0, 0);
for my $way (qw(small large pipe bs)) {
    my ($text, $args, $conf, $want) = @{$way{$way}};
    $r->conf("timeout 500ms\n$conf");
    strace($way);
    my ($bad) = arrived($want);
    is $bad, '', "$way: as it is";
    my (%count, @calls);
    for (split /\n/, slurp("$dir/trace")) {
        my ($name) = /^(\w+)\(/ or next;
        last if $name eq 'execve' && $count{execve}; # the sink's
        push @calls, [$name, ++$count{$name}];
        last if $name eq 'exit_group';
    }
    push @calls, ['execve', 2] if $way ne 'bs';
    my (@bad, %seen);
    for (@calls) {
        my ($name, $n) = @$_;
        next if $not_ours{$name} || "$name $n" eq 'execve 1';
        # what is done many times is tried at its beginning and its end
        next if $n > 4 && $n < $count{$name};
        # -bs and pipe share most of the start with the others
        next if $way ne 'small' && $name =~ /^(?:openat|readlink|getppid
            |geteuid|getpid|getegid|getcwd|fcntl|newfstatat|fstat|socket
            |connect|sendmsg|setsockopt|getdents64|close|getrandom)$/x;
        $calls++;
        my @faults = map { "error=$_" } 'EINTR', $name eq 'wait4' ? ()
            : 'ENOMEM', @{$error{$name} // []};
        push @faults, map { "signal=$_" } qw(KILL TERM);
        push @faults, 'signal=PIPE' if $name =~ /write|send|splice/;
        for my $fault (@faults) {
            # a close or a wait is not interrupted before it is done
            my $with = $name =~ /^(?:close|wait4)$/ && $fault =~ /error/
                ? "$fault:when=$n..$n" : "$fault:when=$n";
            my @got = strace($way, '-e', "trace=$name", '-e',
                "inject=$name:$with");
            $runs++;
            my $bad = verdict($want, @got);
            push @bad, "$name $n, $fault: $bad" if $bad ne '';
            no_tmp();
        }
    }
    is "@bad[0 .. ($#bad > 12 ? 12 : $#bad)]", '',
        "$way: a fault at each of " . @calls . ' calls'
        or diag join "\n", @bad;
}
cmp_ok $runs, '>', 300, "$runs faults at $calls calls";
like +(strace('small', '-e', 'trace=pwrite64', '-e',
    'inject=pwrite64:error=ENOSPC'))[2],
    qr/\Amailorigin-sendmail: cannot keep the message: No space left on device; nothing was sent\n\z/,
    'no room: one line that says so';
arrived($small);

# ---- stopped and continued, at each kind of call
for my $way (qw(small pipe bs)) {
    my ($text, $args, $conf, $want) = @{$way{$way}};
    $r->conf("timeout 500ms\n$conf");
    spew("$dir/in", $text);
    my @bad;
    for my $name ($way eq 'small' ? qw(openat read pwrite64 memfd_create
        connect sendmsg poll recvfrom lseek dup2) : qw(splice poll write)) {
        my $pid = fork // die;
        if (!$pid) {
            open STDIN, '<', "$dir/in";
            open STDOUT, '>', "$dir/out";
            exec 'strace', '-D', '-o', "$dir/trace", '-qq', '-e', "trace=$name",
                '-e', "inject=$name:signal=STOP:when=1", $WRAPPER, @$args;
        }
        my $done = wait_for(sub {
            kill 'CONT', $pid;
            waitpid($pid, POSIX::WNOHANG()) }, "$name, stopped");
        my $bad = $done ? verdict($want, $? >> 8, slurp("$dir/out"), '') : '';
        push @bad, "$name: $bad" if $bad;
    }
    is "@bad", '', "$way: stopped and continued";
}

# ---- short reads and writes
for my $way (qw(small large pipe bs)) {
    my ($text, $args, $conf, $want) = @{$way{$way}};
    $r->conf("timeout 20s\n$conf");
    for my $n ($way eq 'small' || $way eq 'bs' ? (1, 7) : (997, 65535)) {
        my @got = run({in => $text}, "$BUILD/t/tools/shorten", $n, $WRAPPER,
            @$args);
        is verdict($want, @got), '', "$way: at most $n bytes a call";
        is $got[0], 0, '… the status';
    }
}

# ---- what a caller may have set
sub caller_that {
    my ($name, $way, $set, %o) = @_;
    my ($text, $args, $conf, $want) = @{$way{$way}};
    $r->conf("timeout 500ms\n$conf");
    spew("$dir/in", $text);
    my $pid = fork // die;
    if (!$pid) {
        open STDIN, '<', "$dir/in";
        open STDOUT, '>', "$dir/out";
        open STDERR, '>', "$dir/err";
        $set->();
        { no warnings; exec $WRAPPER, @$args; }
        POSIX::_exit(126);
    }
    my $done = wait_for(sub { waitpid($pid, POSIX::WNOHANG()) }, $name, 60);
    kill 'KILL', $pid if !$done;
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    my $bad = verdict($want, $status, slurp("$dir/out"), slurp("$dir/err"));
    is $bad, '', "$way, $name";
    is $status, 0, '… it goes' if $o{goes};
}
for my $way (qw(small pipe bs)) {
    caller_that('SIGCHLD and SIGPIPE are ignored', $way, sub {
        $SIG{$_} = 'IGNORE' for qw(CHLD PIPE) }, goes => 1);
    caller_that('all signals are blocked', $way, sub {
        my $all = POSIX::SigSet->new;
        $all->fillset;
        POSIX::sigprocmask(POSIX::SIG_BLOCK(), $all) }, goes => 1);
    caller_that('a timer that is ignored', $way, sub {
        $SIG{ALRM} = 'IGNORE';
        Time::HiRes::ualarm(1000, 1000) }, goes => 1);
    caller_that('a timer that ends it', $way, sub {
        Time::HiRes::ualarm(3000) });
    for my $fds (['1'], ['2'], ['1', '2']) {
        next if $way eq 'bs' && "@$fds" =~ /1/;
        caller_that("descriptors @$fds are closed", $way, sub {
            POSIX::close($_) for @$fds });
    }
}
{
    # an empty mail, as Postfix takes it then
    my ($status) = run('sh', '-c', 'exec "$0" -t <&-', $WRAPPER);
    is $status, 0, 'descriptor 0 is closed';
    is join(' ', arrived('')), ' 1', '… an empty mail';
}
for my $way (qw(small large pipe bs)) {
    for my $limit ('-f 0', '-f 1', '-f 100', '-v 3000', '-v 6000', '-v 20000',
        '-n 3', '-n 4', '-n 5', '-n 6', '-n 8', '-n 12', '-t 1', '-s 32',
        '-s 64', '-u 1') {
        my ($text, $args, $conf, $want) = @{$way{$way}};
        $r->conf("timeout 500ms\n$conf");
        my @got = run({in => $text}, 'bash', '-c',
            "ulimit $limit && exec \"\$0\" \"\$@\"", $WRAPPER, @$args);
        # where the sink can't, it says so; it is not us
        my @alone = run({in => $text}, 'bash', '-c',
            "ulimit $limit && exec \"\$0\" \"\$@\"", $sink->path, @$args)
            if $limit =~ /-f|-n|-v/;
        my @mails = $sink->mails;
        if (@alone && $alone[0]) {
            $sink->clear;
            no_tmp();
            isnt $got[0], 0, "$way, ulimit $limit: told, as without us";
            next;
        }
        $sink->clear if !@alone;
        # the one without us has no field
        my @ours = grep { $_->{data} =~ /\AMail-Origin/ } @mails;
        my $bad = '';
        for (@ours) {
            my $d = $_->{data};
            $d =~ s/\AMail-Origin:.*?\n(?![ \t])//s;
            $bad .= 'another text' if $d ne $want;
        }
        $sink->clear;
        no_tmp();
        ok !$bad && @ours <= 1 && (@ours || $got[0] || $got[1] !~ /kept/
            && $way eq 'bs'), "$way, ulimit $limit: it goes, or one is told"
            or diag scalar(@ours), " mails $bad, @got";
    }
}

# ---- very many arguments, and recipients
{
    $r->conf('');
    my $max = POSIX::sysconf(POSIX::_SC_ARG_MAX());
    my @many = map { "user$_\@example.org" } 1 .. 100_000;
    splice @many, 60_000 if $max < 4_000_000;
    my $n = $r->records;
    my ($status, $out, $err) = run({in => $small}, 'bash', '-c',
        'ulimit -s unlimited 2>/dev/null; exec "$@"', 'bash', 'perl', '-e',
        'exec shift, "-i", map { "user$_\@example.org" } 1 .. shift', $WRAPPER,
        100_000);
    is "$status$out$err", '0', '100,000 recipients as arguments';
    my ($m) = $sink->mails;
    is scalar(@{$m->{argv}}), 100_002, 'all of them';
    my @r = $r->wait_records($n + 1);
    is $r[-1]{recipients}, 100_000, 'counted';
    is((arrived($small))[0], '', 'the mail');
    my @long = map { 'x' x 100_000 . $_ } 1 .. 18;
    ($status, $out, $err) = run({in => $small}, $WRAPPER, '-i', '-f', @long);
    is "$status$out$err", '0', '1.8 MB of arguments';
    ($m) = $sink->mails;
    is_deeply [@{$m->{argv}}[4 .. 20]], [@long[1 .. 17]], 'as they came';
    $sink->clear;
    my $to = join ",\n ", @many;
    my $text = "Subject: x\nTo: $to\n\nbody\n";
    ($status, $out, $err) = run({in => $text}, $WRAPPER, '-t', '-i');
    is "$status$out$err", '0', '100,000 recipients in the header';
    is((arrived($text))[0], '', 'the mail');
    my $in = "MAIL FROM:<a>\r\n" . join('', map { "RCPT TO:<u$_>\r\n" }
        1 .. 20_000) . "DATA\r\nx: y\r\n\r\nz\r\n.\r\nQUIT\r\n";
    ($status, $out, $err) = run({in => $in}, $WRAPPER, '-bs');
    is scalar(() = $out =~ /^250 2\.1\.5/mg), 20_000, '20,000 in -bs';
    is join(' ', arrived("x: y\r\n\r\nz\r\n")), ' 1', 'the mail';
}

# ---- memory: bounded, whatever the mail's size
{
    my $tmp = scratch();
    $r->conf("sendmail /bin/true\n");
    my ($status, $out, $err) = run('sh', '-c',
        'head -c 200000000 /dev/zero | tr "\0" x | fold -w 76 | '
        . '/usr/bin/env perl -e \'
            my $p = fork // die; if (!$p) { exec @ARGV; die }
            my $peak = 0;
            while (waitpid($p, 1) == 0) {
                open my $f, "<", "/proc/$p/status" or last; local $/;
                my ($a) = <$f> =~ /^RssAnon:\s+(\d+)/m or next;
                $peak = $a if $a > $peak;
                select undef, undef, undef, .002;
            }
            print "$peak $?\n";\' "$@"', 'sh', $WRAPPER, '-t', '-i');
    my ($peak, $st) = split ' ', $out;
    is $st // '', 0, '200 MB from a pipe';
    cmp_ok $peak, '<', 20_000, "$peak KiB of its own memory";
}

# ---- past 4 MiB the mail is on disk; where that is full, in memory after all
{
    my $big = $small . ('z' x 76 . "\n") x 100_000;
    spew("$dir/big", $big);
    spew("$dir/where", "#!/bin/sh\nreadlink /proc/self/fd/0; "
        . "exec @{[$sink->path]} \"\$@\"\n", 0755);
    for my $var ('', 'size=4500k', 'size=100k', 'size=4100k') {
        run('mount', '-t', 'tmpfs', '-o', $var, 'mo-test', '/var/tmp') if $var;
        for my $how ('"$0" -t -i <"$1"', 'cat "$1" | "$0" -t -i') {
            $r->conf("sendmail $dir/where\n");
            my ($status, $out, $err) = run('sh', '-c', $how, $WRAPPER,
                "$dir/big");
            is "$status$err", '0', "7.7 MB, /var/tmp $var, $how";
            like $out, $var ? qr{\A/memfd:mail} : qr{\A/var/tmp/#},
                '… it is kept where there is room';
            is join(' ', arrived($big)), ' 1', '… and arrives';
        }
        run('umount', '/var/tmp') if $var;
    }
}
done_testing;
