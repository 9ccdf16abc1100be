# MO::Look - for t/httpd/*.t: asks the server of Apache::Test, and reads what
# t/htdocs/look.sh shows.
#   look('/look.cgi?x', Header => 'value', …)   all "looks" in the answer:
#       {vars => {NAME => VALUE}, origin => {…}, slots => [{…}],
#        slot => the one with this request's id}
#       in scalar context the first of them; {} where there is none
#   get(PATH, …)      the whole answer, head included
#   ask(SOCKET, PATH, …)  one of several on a connection (connection())
#   logged(QR, [NAME])    the lines of id_log that match, polled for
#   mpm()             prefork, worker, event
#   logs()            the folder of logs
package MO::Look;
use strict;
use warnings;
use Exporter 'import';
use Apache::Test ();
use IO::Socket::INET ();
use JSON::PP ();
use Time::HiRes ();

our @EXPORT = qw(look get ask looks connection logged mpm logs slurp_file);

# Apache::Test's `plan` would make a missing module a skip; these are here to
# fail.
sub vars { Apache::Test::vars($_[0]) }
sub mpm { $ENV{MO_MPM} // 'event' }
sub logs { vars('t_logs') }

sub slurp_file {
    open my $fh, '<:raw', $_[0] or return '';
    local $/;
    return scalar(<$fh>) // '';
}

sub connection {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => vars('port'), Timeout => 30) // die "connect: $@";
}

sub request {
    my ($path, %h) = @_;
    my $method = delete $h{method} // 'GET';
    %h = (Host => 'look.example', %h);
    return "$method $path HTTP/1.1\r\n"
        . join('', map { "$_: $h{$_}\r\n" } sort keys %h) . "\r\n";
}

sub get {
    my ($path, @h) = @_;
    my $s = connection();
    print $s request($path, Connection => 'close', @h);
    local $/;
    return scalar(<$s>) // '';
}

# one answer of several on a connection
sub ask {
    my ($s, $path, @h) = @_;
    print $s request($path, @h);
    my $all = '';
    my $length;
    local $/ = "\n";
    while (defined(my $line = <$s>)) {
        $all .= $line;
        $length = $1 if $line =~ /^Content-Length: (\d+)/i;
        last if $line eq "\r\n";
    }
    if (defined $length) {
        read $s, $all, $length, length $all;
        return $all;
    }
    while (defined(my $line = <$s>)) {
        my $n = $line =~ /^([0-9a-f]+)/i ? hex $1 : 0;
        read $s, $all, $n, length $all;
        <$s>;
        last if !$n;
    }
    return $all;
}

sub looks {
    my ($text) = @_;
    # away with the chunks' sizes
    $text =~ s/\r\n[0-9a-f]+\r\n//g;
    my @looks;
    while ($text =~ /^vars:\n(.*?)^origin:\n(.*?)^board:\n(.*?)^end\.$/msg) {
        my ($vars, $origin, $board) = ($1, $2, $3);
        my %l = (vars => {$vars =~ /^([^=\n]+)=(.*)$/mg}, text => $&);
        $l{origin} = $origin =~ /^\{/ ? JSON::PP::decode_json($origin)
            : {error => $origin};
        $l{slots} = [map { JSON::PP::decode_json($_) } grep { /^\{/ }
            split /\n/, $board];
        my $id = $l{vars}{MAILORIGIN_ID};
        ($l{slot}) = grep { defined $id && ($_->{id} // '') eq $id }
            @{$l{slots}};
        push @looks, \%l;
    }
    return @looks;
}

sub look {
    my @looks = looks(get(@_));
    return wantarray ? @looks : $looks[0] // {};
}

sub logged {
    my ($re, $name) = @_;
    my $file = logs() . '/' . ($name // 'id_log');
    my $end = Time::HiRes::time() + 30;
    for (;;) {
        my @lines = grep { $_ =~ $re } split /\n/, slurp_file($file);
        return wantarray ? @lines : $lines[0] if @lines;
        return if Time::HiRes::time() > $end;
        Time::HiRes::sleep(0.02);
    }
}

1;
