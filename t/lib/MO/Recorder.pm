# MO::Recorder - the installed recorder, with a conf, a keyring and a sink.
#   my $r = MO::Recorder->new;    (conf => "extra lines\n", sink => MO::Sink,
#                                  start => 0, user => NAME, passed => 1,
#                                  files => RLIMIT_NOFILE)
#   passed: its socket is ours, as systemd's would be, and outlives it
#   $r->start, stop, kill, hup, restart, pid, alive
#   $r->sink                      the MO::Sink that stands for sendmail
#   $r->conf("extra lines\n")     writes mailorigin.conf anew
#   $r->records                   the mail log, each line decoded
#   $r->wait_records(N [, SECONDS])
#   $r->lines                     the mail log's raw lines
#   $r->log                       what it said on stderr
package MO::Recorder;
use strict;
use warnings;
use JSON::PP ();
use POSIX ();
use Fcntl ();
use Socket ();
use MO::Wire ();
use MO::Sink;
use MO::Test;

sub new {
    my ($class, %o) = @_;
    my $self = bless {pid => 0, user => $o{user}, passed => $o{passed},
        files => $o{files}, stderr => "$LOG/recorder.err",
        mail_log => "$LOG/mail.log"}, $class;
    $self->{sink} = $o{sink} // MO::Sink->new;
    $self->conf($o{conf} // '');
    if (!-e "$ETC/keyring") {
        my ($status, $out, $err) = run($MAILORIGIN, qw(key init));
        die "mailorigin key init: $status: $out$err" if $status;
    }
    $self->start if $o{start} // 1;
    return $self;
}

sub sink { $_[0]{sink} }
sub pid { $_[0]{pid} }
sub log { slurp($_[0]{stderr}) // '' }

sub conf {
    my ($self, $extra) = @_;
    my $path = $self->{sink}->path;
    spew("$ETC/mailorigin.conf", "sendmail $path\n$extra", 0644);
}

sub start {
    my ($self) = @_;
    die 'recorder already runs' if $self->{pid};
    $self->listen if $self->{passed} && !$self->{listener};
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        $self->pass_listener if $self->{passed};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $self->{stderr};
        open STDERR, '>>', $self->{stderr};
        my @cmd = ($RECORDER, '--foreground');
        unshift @cmd, 'setpriv', "--reuid=$self->{user}",
            '--regid=' . (getpwnam $self->{user})[3], '--clear-groups', '--'
            if $self->{user};
        unshift @cmd, 'prlimit', "--nofile=$self->{files}" if $self->{files};
        { no warnings; exec @cmd; }
        print STDERR "$RECORDER: $!\n";
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub { answers() || !$self->alive }, 'recorder answers');
    die "recorder ended at once: " . $self->log if !$self->alive;
    return $self;
}

sub listen {
    my ($self) = @_;
    my $path = "$RUN/recorder.sock";
    socket(my $s, Socket::AF_UNIX(), Socket::SOCK_SEQPACKET(), 0)
        or die "socket: $!";
    unlink $path;
    bind($s, Socket::pack_sockaddr_un($path)) or die "$path: $!";
    chmod 0666, $path;
    listen($s, 4096) or die "$path: $!";
    $self->{listener} = $s;
}

# as descriptor 3, in the child
sub pass_listener {
    my ($self) = @_;
    my $fd = fileno $self->{listener};
    if ($fd == 3) {
        fcntl($self->{listener}, Fcntl::F_SETFD(), 0);
    }
    else {
        POSIX::dup2($fd, 3);
    }
    @ENV{qw(LISTEN_PID LISTEN_FDS)} = ($$, 1);
}

# does it answer a PING?
sub answers {
    my $c = MO::Wire->connect or return 0;
    return defined $c->ping;
}

# has it not ended? (and reaps it if it has)
sub alive {
    my ($self) = @_;
    return 0 if !$self->{pid};
    if (waitpid($self->{pid}, POSIX::WNOHANG())) {
        $self->{status} = $?;
        $self->{pid} = 0;
        return 0;
    }
    return 1;
}

sub end_by {
    my ($self, $signal) = @_;
    return 0 if !$self->{pid};
    CORE::kill($signal, $self->{pid});
    waitpid $self->{pid}, 0;
    $self->{pid} = 0;
    return $self->{status} = $?;
}

sub stop { $_[0]->end_by('TERM') }
sub kill { $_[0]->end_by('KILL') }
sub hup { CORE::kill('HUP', $_[0]{pid}) }
sub signal { CORE::kill($_[1], $_[0]{pid}) }

sub restart {
    my ($self) = @_;
    $self->stop;
    return $self->start;
}

sub lines {
    my ($self) = @_;
    return split /^/, slurp($self->{mail_log}) // '';
}

sub records {
    my ($self) = @_;
    return map { JSON::PP::decode_json($_) } grep { /\n\z/ } $self->lines;
}

sub wait_records {
    my ($self, $n, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @r;
    wait_for(sub { @r = $self->records; @r >= $n }, "$n records", $seconds);
    return @r;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    $self->stop if $self->{pid} && $$ == ($self->{owner} //= $$);
}

1;
