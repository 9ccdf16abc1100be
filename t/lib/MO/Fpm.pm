# MO::Fpm - a private php-fpm.
#   my $f = MO::Fpm->new(pools => {a => {user => 5001, listen => 'unix'},
#                                  b => {listen => 'tcp', chroot => DIR}},
#       sendmail_path => "$WRAPPER -i -t", ini => {NAME => VALUE},
#       run_as => NAME,           not root: pools keep its uid
#       start => 1);
#   $f->socket('a')      'unix:/…|fcgi://localhost' or 'fcgi://127.0.0.1:N',
#                        as SetHandler "proxy:…" takes it
#   $f->handler('a' [, '^x\.php$'])  lines that give .php files to the pool
#   $f->address('a')     the path or host:port
#   $f->start, stop, pid, log
#   extension()          builds php/'s mailorigin.so; its path; with '7.4' that
#                        PHP's
#   at_home('7.4')       a PHP that t/suites.sh has put by; its folder
#   cgi()                the php-cgi program
#   bin()                the php-fpm program; $MO_FPM is another, and
#                        $MO_FPM_EXTENSION an extension that it loads
# A pool's further keys go into its section as they are (pm, max_children …).
package MO::Fpm;
use strict;
use warnings;
use IO::Socket ();
use MO::Test;
use POSIX ();

my $next_port = 9101;

sub bin {
    return $ENV{MO_FPM} if $ENV{MO_FPM};
    my ($bin) = reverse sort glob '/usr/sbin/php-fpm*';
    return $bin // die 'no php-fpm in /usr/sbin';
}

sub cgi {
    my ($cgi) = grep { -x } map { "$_/php-cgi" } qw(/usr/bin /usr/local/bin);
    return $cgi // die 'no php-cgi';
}

# Another Debian's PHP, as t/suites.sh has put it by: its folder; phpize's
# files come to where they belong, in the last one's place.
my $at_home = '';

sub at_home {
    my ($v) = @_;
    my $dir = ($ENV{MO_DEBS} || '/var/cache/mailorigin-test')
        . "/suites/php/$v";
    return $dir if $at_home eq $v;
    for my $d (qw(/usr/include/php /usr/lib/php)) {
        run('umount', '-l', $d) if $at_home;
        my ($status, undef, $err) = run('mount', '-t', 'overlay', '-o',
            "lowerdir=$dir/root$d:$d", 'mo-php', $d);
        die "PHP $v is not there (make -f Makefile.apxs debs): $err"
            if $status;
    }
    $at_home = $v;
    return $dir;
}

sub extension {
    my ($v) = @_;
    my $dir = scratch() . '/php';
    my ($phpize, $config) = ($ENV{PHPIZE} // 'phpize', 'php-config');
    if ($v) {
        my $bin = join '/', at_home($v), 'root', 'usr/bin';
        ($phpize, $config) = ("$bin/phpize$v", "$bin/php-config$v");
    }
    my ($status, $out, $err) = run('sh', '-c', 'cp -r "$1" "$2" && cd "$2" '
        . '&& "$3" && ./configure -q --with-php-config="$4" && make -s', 'sh',
        "$SRC/php", $dir, $phpize, $config);
    die "$out$err" if $status || !-e "$dir/modules/mailorigin.so";
    return "$dir/modules/mailorigin.so";
}

sub new {
    my ($class, %o) = @_;
    my $self = bless {sendmail_path => "$WRAPPER -i -t", ini => {}, %o},
        $class;
    $self->{dir} = scratch();
    run('chown', $o{run_as}, $self->{dir}) if $o{run_as};
    for my $name (sort keys %{$self->{pools}}) {
        my $p = $self->{pools}{$name};
        $self->{address}{$name} = ($p->{listen} // 'unix') eq 'unix'
            ? "$self->{dir}/$name.sock"
            : $p->{listen} eq 'tcp' ? '127.0.0.1:' . $next_port++
            : $p->{listen} eq 'tcp6' ? '[::1]:' . $next_port++ : $p->{listen};
    }
    $self->write_conf;
    $self->start if $o{start} // 1;
    return $self;
}

sub address { $_[0]{address}{$_[1]} }

sub socket {
    my ($self, $name) = @_;
    my $a = $self->{address}{$name};
    return $a =~ m{^/} ? "unix:$a|fcgi://$name.localhost" : "fcgi://$a";
}

sub handler {
    my ($self, $name, $files) = @_;
    return '<FilesMatch "' . ($files // '\.php$') . qq{">\n}
        . '  SetHandler "proxy:' . $self->socket($name)
        . qq{"\n</FilesMatch>\n};
}

sub log { slurp("$_[0]{dir}/log") // '' }
sub pid { $_[0]{pid} }

sub write_conf {
    my ($self) = @_;
    my $c = "[global]\nerror_log = $self->{dir}/log\n"
        . "pid = $self->{dir}/pid\ndaemonize = no\n";
    for my $name (sort keys %{$self->{pools}}) {
        my %p = (pm => 'static', 'pm.max_children' => 6, user => 'www-data',
            %{$self->{pools}{$name}}, listen => $self->{address}{$name});
        $p{group} //= $p{user};
        if ($self->{run_as}) {
            delete @p{qw(user group)};
        }
        $p{'listen.mode'} //= '0666' if $p{listen} =~ m{^/};
        $p{'php_admin_value[sendmail_path]'} //= $self->{sendmail_path};
        for my $k (sort keys %{$self->{ini}}) {
            $p{"php_admin_value[$k]"} //= $self->{ini}{$k};
        }
        $c .= "[$name]\n" . join '', map { "$_ = $p{$_}\n" } sort keys %p;
    }
    spew("$self->{dir}/conf", $c, 0644);
}

sub start {
    my ($self) = @_;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$self->{dir}/out";
        open STDERR, '>>', "$self->{dir}/out";
        delete $ENV{LD_PRELOAD};
        my @cmd = (bin(), '-n', '-F', '-y', "$self->{dir}/conf",
            map { ('-d', $_) } @{$self->{defines} // []},
            $ENV{MO_FPM_EXTENSION} ? "extension=$ENV{MO_FPM_EXTENSION}" : ());
        unshift @cmd, @{$self->{under}} if $self->{under};
        unshift @cmd, 'setpriv', "--reuid=$self->{run_as}",
            "--regid=$self->{run_as}", '--clear-groups', '--'
            if $self->{run_as};
        { no warnings; exec @cmd; }
        POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub { $self->log =~ /ready to handle connections/ },
        'php-fpm is ready')
        or die $self->log . (slurp("$self->{dir}/out") // '');
    return $self;
}

sub stop {
    my ($self, $signal) = @_;
    my $pid = delete $self->{pid} or return;
    kill $signal // 'TERM', $pid;
    waitpid $pid, 0;
}

1;
