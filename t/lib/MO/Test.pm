# MO::Test - what every Perl test of ours begins with.
#
#   use Test::More;
#   use lib "$ENV{MO_SRC}/t/lib";
#   use MO::Test;
#
# At import it runs the test again in mount, pid and network namespaces of
# its own, with `lo` up and empty $PREFIX/etc, run and var, so that tests can
# run side by side and leave nothing behind: when the test ends, so does every
# process it started.  Pids of the other namespaces are not visible in there.
# Exports:
#   $SRC $BUILD $PREFIX  checkout, build folder, install prefix
#   $ETC $RUN $STATE $LOG  $PREFIX/etc/mailorigin, run, var/lib/mailorigin,
#                        var/log
#   $MAILORIGIN $WRAPPER $RECORDER  the installed programs
#   $SAN                 true under sanitizers
#   scratch()            a new folder, 0755, removed at exit
#   slurp(FILE)          all of it; undef where there is none
#   spew(FILE, TEXT [, MODE])
#   wait_for(CODE, WHAT [, SECONDS = 30])
#                        its first true value; a failed test and undef if none
#   run(CMD, …)          (status, stdout, stderr); run({in => TEXT, env => {…},
#                        cwd => DIR, user => NAME, timeout => 120}, CMD, …).
#                        status is the exit status, 128 + N for signal N
#   proc_state(PID)      its letter in /proc/PID/stat; '' if there is none
package MO::Test;
use strict;
use warnings;
use Exporter 'import';
use Cwd ();
use Fcntl qw(:DEFAULT);
use File::Path ();
use POSIX ();
use Socket ();
use Test::More ();
use Time::HiRes ();

our ($SRC, $BUILD, $PREFIX) = @ENV{qw(MO_SRC MO_BUILD MO_PREFIX)};
our $SAN = $ENV{MO_SAN} ? 1 : 0;
our ($ETC, $RUN, $STATE, $LOG, $MAILORIGIN, $WRAPPER, $RECORDER);
our @EXPORT = qw($SRC $BUILD $PREFIX $SAN $ETC $RUN $STATE $LOG $MAILORIGIN
    $WRAPPER $RECORDER scratch slurp spew wait_for run proc_state);

my @scratch;
my $owner = $$;

# tests send these; who starts us in the background may have them ignored
$SIG{$_} = 'DEFAULT' for qw(INT QUIT TERM HUP PIPE CHLD);

sub bail {
    print "Bail out!  $_[0]\n";
    exit 255;
}

# pid 1 of the test's namespace: a shell that waits for any child, so that
# orphans are reaped, and whose end is the end of all.
my $init = <<'SH';
set -e
for d in etc run var; do
    mkdir -p "$MO_PREFIX/$d"
    mount -t tmpfs -o mode=755 mo-test "$MO_PREFIX/$d"
done
mkdir -p "$MO_PREFIX/etc/mailorigin" "$MO_PREFIX/var/lib/mailorigin" \
    "$MO_PREFIX/var/log"
set +e
"$@"
exit $?
SH

sub isolate {
    for my $name (qw(MO_SRC MO_BUILD MO_PREFIX)) {
        bail("$name is not set; run the tests by t/run") if !$ENV{$name};
    }
    bail('the tests make namespaces and must run as root') if $> != 0;
    my $test = Test::More->builder;
    bail("$0: `use MO::Test` must come before the plan")
        if $test->has_plan || $test->current_test;
    $ENV{MO_ISOLATED} = Cwd::abs_path($0);
    my @warn = $^W ? '-w' : ();
    no warnings 'exec';
    exec qw(unshare -m -p -n -f --mount-proc --kill-child --), 'sh', '-c',
        $init, 'sh', $^X, @warn, $0, @ARGV;
    bail("unshare: $!");
}

sub lo_up {
    socket(my $s, Socket::AF_INET(), Socket::SOCK_DGRAM(), 0)
        or bail("socket: $!");
    # struct ifreq: name, then flags: IFF_UP | IFF_RUNNING
    my $ifreq = pack 'a16 s x22', 'lo', 0x41;
    ioctl($s, 0x8914, $ifreq)
        or bail("bringing lo up: $!");
}

if (($ENV{MO_ISOLATED} // '') ne (Cwd::abs_path($0) // $0)) {
    isolate();
}
lo_up();
umask 022;
# what is left of the caller's environment must not change a test
delete @ENV{grep { /^(?:SSL_)?MAILORIGIN_/ } keys %ENV};
$ENV{LC_ALL} = 'C';
$ENV{TZ} = 'UTC';
if ($SAN) {
    $ENV{ASAN_OPTIONS} //= 'detect_leaks=0:abort_on_error=0:exitcode=99';
    $ENV{UBSAN_OPTIONS} //= 'print_stacktrace=1';
    # opcache is loaded in a way that sanitizers cannot bear
    $ENV{PHP_INI_SCAN_DIR} = '/nonexistent';
}
($ETC, $RUN, $STATE, $LOG) = ("$PREFIX/etc/mailorigin", "$PREFIX/run",
    "$PREFIX/var/lib/mailorigin", "$PREFIX/var/log");
($MAILORIGIN, $WRAPPER, $RECORDER) = ("$PREFIX/bin/mailorigin",
    "$PREFIX/lib/mailorigin/sendmail", "$PREFIX/lib/mailorigin/recorder");

sub scratch {
    require File::Temp;
    my $dir = File::Temp::mkdtemp('/tmp/mo-test.XXXXXXXX');
    chmod 0755, $dir;
    push @scratch, $dir;
    return $dir;
}

END {
    if ($$ == $owner) {
        my $status = $?;
        chdir '/';
        File::Path::remove_tree($_) for @scratch;
        $? = $status;
    }
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return undef;
    local $/;
    return scalar(<$fh>) // '';
}

sub spew {
    my ($file, $text, $mode) = @_;
    open my $fh, '>:raw', $file or die "$file: $!";
    print $fh $text;
    close $fh or die "$file: $!";
    chmod $mode, $file if defined $mode;
    return $file;
}

sub wait_for {
    my ($code, $what, $seconds) = @_;
    my $end = Time::HiRes::time() + ($seconds // 30);
    my $pause = 0.005;
    for (;;) {
        my $got = $code->();
        return $got if $got;
        last if Time::HiRes::time() > $end;
        Time::HiRes::sleep($pause);
        $pause *= 1.5 if $pause < 0.1;
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    Test::More::fail('in time: ' . ($what // 'what was waited for'));
    return undef;
}

sub run {
    my $o = ref $_[0] eq 'HASH' ? shift : {};
    my @cmd = @_;
    require File::Temp;
    my ($in, $out, $err) = map { File::Temp->new(DIR => '/tmp') } 1 .. 3;
    if (defined $o->{in}) {
        binmode $in;
        print $in $o->{in};
        $in->flush;
        seek $in, 0, 0;
    }
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<&', $in;
        sysseek STDIN, 0, 0;
        open STDOUT, '>&', $out;
        open STDERR, '>&', $err;
        chdir $o->{cwd} or die "$o->{cwd}: $!" if $o->{cwd};
        if ($o->{env}) {
            while (my ($k, $v) = each %{$o->{env}}) {
                defined $v ? $ENV{$k} = $v : delete $ENV{$k};
            }
        }
        unshift @cmd, 'setpriv', "--reuid=$o->{user}", "--regid=" . (getpwnam $o->{user})[3],
            '--clear-groups', '--'
            if $o->{user};
        { no warnings; exec {$cmd[0]} @cmd; }
        print STDERR "$cmd[0]: $!\n";
        POSIX::_exit(127);
    }
    my $limit = $o->{timeout} // 120;
    my $end = Time::HiRes::time() + $limit;
    my $pause = 0.001;
    my $late = 0;
    while (waitpid($pid, POSIX::WNOHANG()) == 0) {
        if (!$late && Time::HiRes::time() > $end) {
            Test::More::diag("killed after $limit s: @cmd");
            kill 'KILL', $pid;
            $late = 1;
        }
        Time::HiRes::sleep($pause);
        $pause *= 1.3 if $pause < 0.02;
    }
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    return ($status, map { seek $_, 0, 0; local $/; scalar(<$_>) // '' } $out,
        $err);
}

sub proc_state {
    my ($pid) = @_;
    my $stat = slurp("/proc/$pid/stat") // return '';
    return $stat =~ /\) (\S)/ ? $1 : '';
}

1;
