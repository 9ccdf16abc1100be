# MO::Wire - speaks to the recorder as wrappers do, or as they never would
# (include/mo_wire.h).
#   my $c = MO::Wire->connect;        undef if it can't ($! says why)
#   $c->hello(mode => 't', token => TEXT or [...], exe =>, cwd =>)
#   my $v = $c->mail(sender =>, rcpts =>, rcpt => [...], subject =>,
#                    message_id =>, size =>, nonce => 16 bytes)
#       {action => 'passed', reason, id, header}; undef at EOF or after 30 s
#   $c->ping                          its version, or undef
#   $c->admin('block', 'list')        (status, text)
#   $c->send(BYTES, fds => [...], cred => [PID, UID, GID])
#   $c->recv([SECONDS])               BYTES; '' at EOF; undef: nothing came
#   $c->ended([SECONDS])              true if the recorder hung up on us
#   message(TYPE, TAG => VALUE, ...)  a packet; numbers as \N
#   MO::Wire::ask(%mail)              a connection for one mail
#   MO::Wire::as(UID, CODE)           what CODE prints, run under that uid
package MO::Wire;
use strict;
use warnings;
use Exporter 'import';
use POSIX ();
use Socket ();
use Time::HiRes ();
use MO::Test;
our @EXPORT = qw(message);
require 'sys/syscall.ph';

my %type = (hello => 1, more => 2, mail => 3, verdict => 4, ping => 5,
    pong => 6, admin => 7, reply => 8);
my %tag = (nonce => 1, mode => 2, token => 3, exe => 4, cwd => 5, sender => 6,
    rcpts => 7, rcpt => 8, subject => 9, message_id => 10, size => 11,
    action => 12, reason => 13, header => 14, id => 15, text => 16,
    status => 17, above => 18);
my @action = ('', qw(passed refused limited held));

sub number {
    my ($n) = @_;
    my $bytes = '';
    for (; $n; $n >>= 8) { $bytes .= chr($n & 255) }
    return $bytes;
}

sub message {
    my ($type, @fields) = @_;
    my $m = 'MO' . pack 'CC', 1, $type{$type};
    while (@fields) {
        my ($tag, $value) = splice @fields, 0, 2;
        for my $v (ref $value eq 'ARRAY' ? @$value : $value) {
            my $bytes = ref $v ? number($$v) : $v;
            $m .= pack('Cv', $tag{$tag}, length $bytes) . $bytes;
        }
    }
    return $m;
}

sub parse {
    my ($m) = @_;
    my %name = reverse %tag;
    my ($magic, $version, $type, $rest) = unpack 'a2 C C a*', $m;
    my %f = (type => {reverse %type}->{$type});
    while (length $rest) {
        my ($tag, $len) = unpack 'Cv', $rest;
        $f{$name{$tag}} = substr $rest, 3, $len;
        substr $rest, 0, 3 + $len, '';
    }
    return \%f;
}

sub connect {
    my ($class, $path) = @_;
    socket(my $s, Socket::AF_UNIX(), Socket::SOCK_SEQPACKET(), 0)
        or die "socket: $!";
    connect($s, Socket::pack_sockaddr_un($path // "$RUN/recorder.sock"))
        or return undef;
    return bless {s => $s}, $class;
}

sub send {
    my ($self, $bytes, %o) = @_;
    my $control = '';
    my $add = sub {
        my ($type, $data) = @_;
        my $pad = -length($data) & 7;
        # struct cmsghdr: size_t, level SOL_SOCKET, type
        $control .= pack('Q l l', 16 + length $data, 1, $type) . $data
            . "\0" x $pad;
    };
    # by hand, as wrappers do: the kernel adds none for who does not ask yet
    $add->(2, pack 'l L L', @{$o{cred} // [$$, $>, (split ' ', $))[0]]});
    $add->(1, pack 'l*', @{$o{fds}}) if $o{fds};
    # $m's pointers live as long as these do
    my $iov = pack 'P Q', $bytes, length $bytes;
    my $m = pack 'Q L x4 P Q', 0, 0, $iov, 1;
    $m .= pack 'P Q', $control, length $control;
    $m .= pack 'l x4', 0;
    # MSG_NOSIGNAL
    return syscall(SYS_sendmsg(), fileno $self->{s}, $m, 0x4000)
        == length $bytes;
}

sub recv {
    my ($self, $seconds) = @_;
    vec(my $r = '', fileno $self->{s}, 1) = 1;
    return undef if !select $r, undef, undef, $seconds // 30;
    my $buf = '';
    defined recv($self->{s}, $buf, 65536, 0) or return '';
    return $buf;
}

sub ended {
    my ($self, $seconds) = @_;
    my $got = $self->recv($seconds // 30);
    return defined $got && $got eq '';
}

sub hello {
    my ($self, %o) = @_;
    $o{mode} //= 't';
    return $self->send(message('hello', map { $_ => $o{$_} } sort keys %o));
}

sub nonce {
    open my $fh, '<:raw', '/dev/urandom' or die "urandom: $!";
    read $fh, my $bytes, 16;
    return $bytes;
}

sub mail_message {
    my (%o) = @_;
    $o{nonce} //= nonce();
    $o{$_} = \(my $n = $o{$_}) for grep { defined $o{$_} } qw(rcpts size);
    return message('mail', map { $_ => $o{$_} } sort keys %o);
}

sub verdict {
    my ($self, $seconds) = @_;
    my $got = $self->recv($seconds);
    return undef if !defined $got || $got eq '';
    my $v = parse($got);
    return undef if $v->{type} ne 'verdict';
    $v->{action} = $action[ord $v->{action}];
    $v->{reason} //= '';
    return $v;
}

sub mail {
    my ($self, %o) = @_;
    $self->send(mail_message(%o)) or return undef;
    return $self->verdict;
}

sub ping {
    my ($self) = @_;
    $self->send(message('ping')) or return undef;
    my $got = $self->recv;
    return undef if !defined $got || $got eq '';
    my $f = parse($got);
    return $f->{type} eq 'pong' ? $f->{text} : undef;
}

sub admin {
    my ($self, @words) = @_;
    $self->send(message('admin', map { (text => $_) } @words)) or return;
    my $got = $self->recv;
    return if !defined $got || $got eq '';
    my $f = parse($got);
    return (ord($f->{status} // "\0"), $f->{text} // '');
}

sub ask {
    my (%mail) = @_;
    my $c = MO::Wire->connect or return undef;
    $c->hello or return undef;
    return $c->mail(%mail);
}

sub as {
    my ($uid, $code) = @_;
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        POSIX::setgid($uid);
        POSIX::setuid($uid);
        my @text = $code->();
        syswrite STDOUT, join '', map { $_ // '' } @text;
        POSIX::_exit(0);
    }
    local $/;
    my $text = <$out>;
    close $out;
    return $text;
}

1;
