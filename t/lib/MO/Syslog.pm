# MO::Syslog - a /dev of the test's own, with a /dev/log that is read.
#   my $syslog = MO::Syslog->new;
#   $syslog->lines               all that came so far
#   $syslog->wait_line(QR [, SECONDS])   the first one that matches
#   $syslog->clear
#   $syslog->stop_reading        its buffer fills from now on
package MO::Syslog;
use strict;
use warnings;
use Socket ();
use MO::Test;

sub new {
    my ($class) = @_;
    my $dev = scratch() . '/dev';
    mkdir $dev;
    my $sh = <<'SH';
set -e
mount -t tmpfs -o mode=755 mo-dev "$1"
for f in null zero full random urandom tty; do
    touch "$1/$f"
    mount --bind "/dev/$f" "$1/$f"
done
mkdir "$1/shm" "$1/pts"
mount -t tmpfs -o mode=1777 mo-shm "$1/shm"
[ ! -d /dev/pts ] || mount --bind /dev/pts "$1/pts"
ln -s pts/ptmx "$1/ptmx"
ln -s /proc/self/fd "$1/fd"
for n in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${n%:*}" "$1/${n#*:}"
done
# moved, so that the scratch folder leads to no device when it is removed
mount --move "$1" /dev
SH
    my ($status, $out, $err) = run('sh', '-c', $sh, 'sh', $dev);
    die "a /dev of its own: $out$err" if $status;
    my $self = bless {lines => [], reading => 1}, $class;
    socket($self->{s}, Socket::AF_UNIX(), Socket::SOCK_DGRAM(), 0)
        or die "socket: $!";
    bind($self->{s}, Socket::pack_sockaddr_un('/dev/log'))
        or die "/dev/log: $!";
    chmod 0666, '/dev/log';
    return $self;
}

sub lines {
    my ($self) = @_;
    my $line;
    while ($self->{reading}
        && defined recv($self->{s}, $line, 65536, Socket::MSG_DONTWAIT())) {
        push @{$self->{lines}}, $line;
    }
    return @{$self->{lines}};
}

sub wait_line {
    my ($self, $re, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $found;
    wait_for(sub { ($found) = grep { $_ =~ $re } $self->lines },
        "syslog: $re", $seconds);
    return $found;
}

sub clear {
    my ($self) = @_;
    $self->lines;
    $self->{lines} = [];
}

sub stop_reading { $_[0]{reading} = 0 }

1;
