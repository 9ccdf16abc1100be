# MO::LookHttpd - a MO::Httpd whose scripts show what they got (look.sh), for
# t/httpd-*.t that need another server than Apache::Test's.
#   keyring([N])            writes the keyring with the Nth key
#   my $h = look_httpd(MO::Httpd options)   /look.cgi and /wait.cgi are there
#   look($h, PATH, …)       as in MO::Look; where root starts httpd, scripts
#                           can't see the board
#   slots([FILE])           what is on the board(s) now
#   ours($h, LEVEL)         error_log's lines of the module
#   wait_cgi($h, NAME)      a request to /wait.cgi that runs until release():
#                           an object with ->pid (the script's), ->release
package MO::LookHttpd;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use MO::Httpd;
use MO::Look ();
use MO::Test;

our @EXPORT = qw(keyring look_httpd look slots ours wait_cgi peek);

sub peek { return run("$BUILD/t/tools/peek", @_) }

sub keyring {
    my ($n, $mode) = @_;
    my $key = 'ABCDEFG';
    my $file = spew("$ETC/keyring", sprintf("5eed5ee%d %s 2026-01-01T00:00:00Z\n",
        $n // 0, substr($key, $n // 0, 1) x 42 . 'A'), $mode // 0640);
    # so that look.sh can open tokens
    chown 0, scalar(getgrnam 'www-data'), $file;
    return $file;
}

sub look_httpd {
    my (%o) = @_;
    my $start = delete $o{start} // 1;
    my $mpm = $o{mpm} // 'event';
    my $cgi = $mpm =~ /prefork|itk/ ? 'cgi' : 'cgid';
    my $h = MO::Httpd->new(%o, start => 0, mpm => $mpm,
        modules => [$cgi, 'log_config', @{$o{modules} // []}],
        conf => "SetEnv MO_LOOK $SRC/t/htdocs/look.sh\n"
            . "SetEnv MO_PEEK $BUILD/t/tools/peek\nSetEnv MO_PREFIX $PREFIX\n"
            . "SetEnv ASAN_OPTIONS detect_leaks=0\n" . ($o{conf} // ''));
    $h->put('look.cgi', slurp("$SRC/t/htdocs/look.cgi"), 0755);
    $h->put('plain.txt', "plain\n");
    mkdir $h->root . '/waits';
    chmod 0777, $h->root . '/waits';
    $h->put('wait.cgi', <<"EOT", 0755);
#!/bin/sh
cd @{[$h->root]}/waits || exit 1
printf 'Content-Type: text/plain\\r\\n\\r\\n'
echo \$\$ > "\$QUERY_STRING.tmp"
mv "\$QUERY_STRING.tmp" "\$QUERY_STRING.pid"
# ends with the test too
while [ -d . ] && [ ! -e "\$QUERY_STRING.go" ]; do sleep 0.05; done
EOT
    # a script may only be run when no one writes to it any more
    $h->start if $start;
    return $h;
}

sub look {
    my ($h, $path, %o) = @_;
    my @looks = MO::Look::looks($h->get($path, %o)->{content});
    return wantarray ? @looks : $looks[0] // {};
}

sub slots {
    my @files = @_ ? @_ : glob "$RUN/board/[1-9]*";
    return if !@files;
    my ($status, $out, $err) = peek('board', @files);
    die "peek: $err" if $status;
    return map { JSON::PP::decode_json($_) } split /\n/, $out;
}

sub ours {
    my ($h, $level) = @_;
    my $re = defined $level ? qr/\[mailorigin:\Q$level\E\]/ : qr/\[mailorigin:/;
    return grep { $_ =~ $re } split /\n/, $h->error_log;
}

sub wait_cgi {
    my ($h, $name) = @_;
    my $file = $h->root . "/waits/$name";
    my $s = $h->connect;
    $h->send_request($s, 'GET', "/wait.cgi?$name",
        headers => {Connection => 'close'});
    my $pid = wait_for(sub { (slurp("$file.pid") // '') =~ /(\d+)\n/ && $1 },
        "a script runs ($name)");
    return bless {h => $h, s => $s, file => $file, pid => $pid},
        'MO::LookHttpd::Wait';
}

package MO::LookHttpd::Wait;

sub pid { $_[0]{pid} }

sub release {
    my ($self) = @_;
    MO::Test::spew("$self->{file}.go", '');
    my $r = $self->{h}->read_response($self->{s});
    close $self->{s};
    return $r;
}

1;
