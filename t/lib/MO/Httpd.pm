# MO::Httpd - a private httpd, with a configuration that is all its own.
#   my $h = MO::Httpd->new(
#       mpm => 'prefork',         worker, event, itk
#       modules => ['php', 'cgid', 'rewrite'],   mod_NAME, php, perl, itk …
#       conf => "lines\n",        in the server's part
#       vhosts => [{name => 'a.example', conf => "lines\n"}, …],
#       user => 'www-data',       of the children
#       run_as => NAME,           httpd itself, instead of root
#       mailorigin => 1,          LoadModule it (0: not)
#       on => 1,                  MailOrigin On in the server's part
#       log_format => 'combined', a nickname or as httpd writes it
#       env => {NAME => VALUE},   of the httpd process
#       start => 1);
# There is always a main server, named localhost, with documents in
# $h->docroot; a vhost's are in $h->docroot('a.example').  PHP, .cgi, .pl and
# .sh files (where php, cgi or cgid is loaded) run anywhere below.
#   $h->start, stop, graceful, restart, kill, pid, children, port, alive
#   $h->put('a.php', TEXT [, MODE]), put('a.example:x.cgi', TEXT, 0755)
#   $h->get('/a.php?x', headers => {Host => …}, method => …, body => …)
#   $h->post('/a.php', 'body', headers => …)
#       {status, reason, headers => {lower-case name => value}, content}
#   $h->connect               a socket; $h->send_request($s, METHOD, PATH, …),
#   $h->read_response($s)     for several on one connection
#   $h->raw("GET / HTTP/1.0\r\n\r\n")   all bytes that come back
#   $h->error_log, access_lines([NAME])
#   $h->wait_error(QR), wait_access(N or QR): polled for
#   $h->conf("more lines\n") appends to the server's part, for a reload
#   $h->root                  its folder: conf/ logs/ htdocs/ run/
package MO::Httpd;
use strict;
use warnings;
use IO::Socket::INET ();
use MO::Test;
use POSIX ();
use Socket ();

my $next_port = 8001;
my ($bin, $moddir, %static);

sub find {
    return if $bin;
    ($bin) = grep { -x } map {; "$_/apache2", "$_/httpd" }
        qw(/usr/sbin /usr/local/sbin);
    die 'no apache2 or httpd in /usr/sbin' if !$bin;
    my ($status, $out) = run(qw(apxs -q LIBEXECDIR));
    chomp $out;
    $moddir = $status == 0 && $out ne '' ? $out : '/usr/lib/apache2/modules';
    ($status, $out) = run($bin, '-l');
    $static{$1} = 1 while $out =~ /^\s+mod_(\w+)\.c/mg;
}

sub bin { find(); return $bin }
sub moddir { find(); return $moddir }

sub load_module {
    my ($name) = @_;
    return '' if $static{$name};
    my ($id, $file) = ("${name}_module", "$moddir/mod_$name.so");
    if ($name eq 'php') {
        ($file) = reverse sort glob "$moddir/libphp*.so";
        die "no libphp*.so in $moddir" if !$file;
        $id = $file =~ /libphp7/ ? 'php7_module' : 'php_module';
    }
    ($id, $file) = ('mpm_itk_module', "$moddir/mpm_itk.so")
        if $name eq 'mpm_itk';
    die "no $file" if !-e $file;
    return "LoadModule $id $file\n";
}

sub new {
    my ($class, %o) = @_;
    find();
    my $self = bless {mpm => 'event', user => 'www-data', mailorigin => 1,
        on => 1, log_format => 'combined', conf => '', modules => [],
        vhosts => [], env => {}, %o, extra => ''}, $class;
    $self->{root} //= scratch();
    $self->{port} //= $next_port++;
    for my $d ('', qw(/conf /logs /htdocs /run /vhosts), map {
        "/vhosts/$_->{name}" } @{$self->{vhosts}}) {
        mkdir "$self->{root}$d";
    }
    if ($self->{run_as}) {
        run('chown', '-R', $self->{run_as}, $self->{root});
    }
    $self->write_conf;
    $self->start if $o{start} // 1;
    return $self;
}

sub root { $_[0]{root} }
sub port { $_[0]{port} }
sub conf_file { "$_[0]{root}/conf/httpd.conf" }

sub docroot {
    my ($self, $name) = @_;
    return defined $name && $name ne '' ? "$self->{root}/vhosts/$name"
        : "$self->{root}/htdocs";
}

sub quote {
    my ($s) = @_;
    $s =~ s/(["\\])/\\$1/g;
    return qq{"$s"};
}

sub write_conf {
    my ($self) = @_;
    my $root = $self->{root};
    my %has = map { $_ => 1 } @{$self->{modules}};
    my @load = ($self->{mpm} eq 'itk' ? ('mpm_prefork', 'mpm_itk')
        : "mpm_$self->{mpm}");
    my %seen;
    push @load, grep { !$seen{$_}++ } qw(authn_core authz_core authz_host mime
        dir alias env setenvif unixd), @{$self->{modules}};
    my $c = "ServerRoot $root\nServerName localhost\n"
        . "Listen 127.0.0.1:$self->{port}\nPidFile $root/run/httpd.pid\n"
        . "DefaultRuntimeDir $root/run\n"
        . "Mutex file:$root/run default\n"
        . "ErrorLog $root/logs/error.log\nLogLevel info\n"
        . "Timeout 60\n";
    $c .= load_module($_) for @load;
    if ($self->{mailorigin}) {
        $c .= "LoadModule mailorigin_module "
            . "$PREFIX/lib/apache2/modules/mod_mailorigin.so\n";
    }
    $c .= "User $self->{user}\nGroup $self->{user}\n" if !$self->{run_as};
    $c .= "ScriptSock $root/run/cgisock\n" if $has{cgid};
    # small and quick, whatever the MPM
    $c .= $self->{mpm} =~ /prefork|itk/
        ? "StartServers 4\nMinSpareServers 2\nMaxSpareServers 8\n"
            . "MaxRequestWorkers 40\n"
        : "StartServers 2\nThreadsPerChild 16\nMinSpareThreads 16\n"
            . "MaxSpareThreads 64\nMaxRequestWorkers 64\n";
    $c .= <<'EOT';
LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost_combined
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined
LogFormat "%h %l %u %t \"%r\" %>s %O" common
LogFormat "%h %l %u %t \"%r\" %>s %O %{MAILORIGIN_ID}e" with_id
EOT
    my $format = $self->{log_format};
    $c .= "CustomLog $root/logs/access.log "
        . ($format =~ /\A\w+\z/ ? $format : quote($format)) . "\n";
    $c .= "DocumentRoot $root/htdocs\nTypesConfig /etc/mime.types\n"
        . "DirectoryIndex index.php index.cgi index.html\n"
        . "<Directory $root>\n  Require all granted\n  AllowOverride All\n"
        . "  Options All\n</Directory>\n";
    $c =~ s{^TypesConfig.*\n}{}m if !-e '/etc/mime.types';
    $c =~ s{^(DirectoryIndex)}{TypesConfig $root/conf/mime.types\n$1}m
        if !-e '/etc/mime.types';
    spew("$root/conf/mime.types", "text/html html\ntext/plain txt\n");
    $c .= "<FilesMatch \"\\.php\$\">\n  SetHandler application/x-httpd-php\n"
        . "</FilesMatch>\n" if $has{php};
    $c .= "AddHandler cgi-script .cgi .pl .sh\n" if $has{cgi} || $has{cgid};
    $c .= "MailOrigin On\n" if $self->{mailorigin} && $self->{on};
    $c .= $self->{conf};
    if (@{$self->{vhosts}}) {
        # so that the main server still answers for its own name
        $c .= "<VirtualHost *:*>\n  ServerName localhost\n</VirtualHost>\n";
    }
    for my $v (@{$self->{vhosts}}) {
        $c .= "<VirtualHost *:*>\n  ServerName $v->{name}\n"
            . "  DocumentRoot $root/vhosts/$v->{name}\n"
            . ($v->{conf} // '') . "</VirtualHost>\n";
    }
    $c .= $self->{extra};
    spew($self->conf_file, $c);
}

sub conf {
    my ($self, $lines) = @_;
    $self->{extra} .= $lines;
    $self->write_conf;
}

sub environment {
    my ($self) = @_;
    my %env = (PATH => '/usr/sbin:/usr/bin:/sbin:/bin', LANG => 'C');
    if ($SAN) {
        my ($status, $asan) = run(qw(cc -print-file-name=libasan.so));
        chomp $asan;
        %env = (%env, LD_PRELOAD => $asan, ASAN_OPTIONS => $ENV{ASAN_OPTIONS},
            UBSAN_OPTIONS => $ENV{UBSAN_OPTIONS},
            PHP_INI_SCAN_DIR => $ENV{PHP_INI_SCAN_DIR});
    }
    return (%env, %{$self->{env}});
}

# httpd's own command line: $h->command('-t'): (status, stdout, stderr)
sub command {
    my ($self, @args) = @_;
    my %env = $self->environment;
    my @as = $self->{run_as} ? ('setpriv', "--reuid=$self->{run_as}",
        "--regid=$self->{run_as}", '--clear-groups', '--') : ();
    return run(@as, 'env', '-i', (map { "$_=$env{$_}" } sort keys %env), $bin,
        '-f', $self->conf_file, @args);
}

sub start {
    my ($self) = @_;
    my ($status, $out, $err) = $self->command('-k', 'start');
    die "httpd: exit status $status: $out$err" . $self->error_log if $status;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub { $self->{pid} = $self->pid }, "httpd's pid file")
        or die $self->error_log;
    wait_for(sub { $self->answers }, 'httpd answers') or die $self->error_log;
    return $self;
}

sub pid {
    my ($self) = @_;
    my ($pid) = (slurp("$self->{root}/run/httpd.pid") // '') =~ /(\d+)/;
    return $pid;
}

sub alive {
    my ($self) = @_;
    return $self->{pid} && proc_state($self->{pid}) =~ /[^Z]/ ? 1 : 0;
}

sub answers {
    my ($self) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{port}) or return 0;
    return 1;
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = $self->{pid} or return;
    CORE::kill($signal // 'TERM', $pid);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub { !$self->alive }, 'httpd ends', 60);
    $self->{pid} = 0;
}

sub graceful { CORE::kill('USR1', $_[0]{pid}) }
sub hup { CORE::kill('HUP', $_[0]{pid}) }

sub restart {
    my ($self) = @_;
    $self->stop;
    return $self->start;
}

# pids of the parent's children: workers, cgid's daemon, piped logs …
sub children {
    my ($self) = @_;
    my $list = slurp("/proc/$self->{pid}/task/$self->{pid}/children") // '';
    return split ' ', $list;
}

sub put {
    my ($self, $file, $text, $mode) = @_;
    my $dir = $self->docroot($file =~ s/^([^:\/]+):// ? $1 : undef);
    my $path = $dir;
    my @parts = split m{/}, $file;
    my $name = pop @parts;
    for (@parts) {
        $path .= "/$_";
        mkdir $path, 0755;
    }
    return spew("$path/$name", $text, $mode // 0644);
}

sub connect {
    my ($self) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $self->{port}, Timeout => 30) // die "connect: $@";
}

sub send_request {
    my ($self, $s, $method, $path, %o) = @_;
    my %h = (Host => 'localhost', %{$o{headers} // {}});
    $h{'Content-Length'} = length $o{body} if defined $o{body};
    my $text = "$method $path HTTP/1.1\r\n"
        . join('', map { "$_: $h{$_}\r\n" } sort keys %h) . "\r\n"
        . ($o{body} // '');
    local $SIG{PIPE} = 'IGNORE';
    print $s $text;
    $s->flush;
}

sub read_response {
    my ($self, $s) = @_;
    local $/ = "\n";
    my %r = (status => 0, reason => '', headers => {}, content => '');
    my $line = <$s>;
    return \%r if !defined $line;
    @r{qw(status reason)} = $line =~ m{^HTTP/\S+ (\d+) ?([^\r\n]*)};
    $r{status} //= 0;
    while (defined($line = <$s>)) {
        $line =~ s/\r?\n\z//;
        last if $line eq '';
        $r{headers}{lc $1} = $2 if $line =~ /^([^:]+):\s*(.*)$/;
    }
    if (($r{headers}{'transfer-encoding'} // '') =~ /chunked/i) {
        while (defined($line = <$s>)) {
            my $n = hex($line =~ /^([0-9a-fA-F]+)/ ? $1 : 0);
            read $s, my $chunk, $n if $n;
            $r{content} .= $chunk if $n;
            <$s>;
            last if !$n;
        }
    }
    elsif (defined $r{headers}{'content-length'}) {
        read $s, $r{content}, $r{headers}{'content-length'};
    }
    elsif ($r{status} != 204 && $r{status} != 304) {
        local $/;
        $r{content} = <$s> // '';
    }
    return \%r;
}

sub get {
    my ($self, $path, %o) = @_;
    my $s = $self->connect;
    $o{headers} = {Connection => 'close', %{$o{headers} // {}}};
    $self->send_request($s, $o{method} // 'GET', $path, %o);
    my $r = $self->read_response($s);
    close $s;
    return $r;
}

sub post {
    my ($self, $path, $body, %o) = @_;
    return $self->get($path, method => 'POST', body => $body, %o);
}

sub raw {
    my ($self, $bytes) = @_;
    my $s = $self->connect;
    local $SIG{PIPE} = 'IGNORE';
    print $s $bytes;
    $s->flush;
    shutdown $s, 1;
    local $/;
    return scalar(<$s>) // '';
}

sub error_log { slurp("$_[0]{root}/logs/error.log") // '' }

sub access_lines {
    my ($self, $name) = @_;
    return split /^/, slurp("$self->{root}/logs/" . ($name // 'access.log'))
        // '';
}

sub wait_error {
    my ($self, $re, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return wait_for(sub { $self->error_log =~ $re }, "error_log: $re",
        $seconds);
}

# until there are N lines, or one that matches: the lines, or the match
sub wait_access {
    my ($self, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @lines;
    wait_for(sub {
        @lines = $self->access_lines($name);
        @lines = grep { $_ =~ $want } @lines if ref $want;
        return @lines >= (ref $want ? 1 : $want);
    }, "access_log: $want");
    return @lines;
}

1;
