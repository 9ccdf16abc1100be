# README's lines for a server, as they stand there, on one with apache2,
# php-fpm and postfix; and those that take it off again.  No systemd runs here:
# a stand-in does what systemctl is asked for.
# no sanitizers: it builds what is shipped
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(apache2 php-fpm postfix logrotate);
use MO::Test;

$ENV{PATH} = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

# the lines of each block in that section, without their comments
my ($section) = slurp("$SRC/README.md")
    =~ /^## On a real server\n(.*?)^## /ms;
my @blocks = map { [map { s/^    //r =~ s/\s+# .*//r } grep { /\S/ } split /\n/] }
    ($section // '') =~ /((?:^(?:    .*)?\n)*^    .*\n)/mg;
is scalar(@blocks), 3, 'the package, make, and off again' or BAIL_OUT('README');
my ($package, $on, $off) = @blocks;
is $package->[-1], 'mailorigin trace bounce.eml', 'and what it is for';

spew('/usr/local/bin/systemctl', <<'SH', 0755);
#!/bin/sh
set -e
dir=/usr/local/lib/systemd/system
case "$*" in
daemon-reload | 'disable --now mailorigin-recorder.socket'*) ;;
'enable --now mailorigin-recorder.socket')
    systemd-analyze verify --man=no $dir/mailorigin-recorder.socket
    systemd-tmpfiles --create
    $(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' \
        $dir/mailorigin-recorder.service) ;;
'restart apache2') apache2ctl restart ;;
*) echo "systemctl $*?" >&2; exit 1 ;;
esac
SH

sub listing {
    my ($status, $out) = run({timeout => 300}, qw(find /etc /usr/sbin /usr/bin
        /usr/lib/apache2 /usr/local /lib/systemd /run -xdev), '(', qw(-type d -printf),
        '%p %y %m %u:%g\n', '-o', '-printf', '%p %y %m %u:%g %s %l\n', ')');
    my @skip = qw(/etc/(?:passwd|group|shadow|gshadow)-? /run/(?!mailorigin).*
        /etc/apache2/mods-.* /etc/ld\.so\.cache
        /etc/mtab); # (systemd-tmpfiles)
    my $skip = join '|', @skip;
    return grep { !m{^(?:$skip) } } sort split /\n/, $out;
}

my ($php) = map { m{/etc/php/([\d.]+)/fpm} } glob '/etc/php/*/fpm';
run(qw(a2enmod -q proxy_fcgi setenvif));
run('a2enconf', '-q', "php$php-fpm");
spew('/etc/apache2/conf-available/local.conf', "ServerName localhost\n");
run(qw(a2enconf -q local));
spew('/var/www/html/mail.php',
    '<?php echo mail("root@localhost", "s", "text\n") ? "sent" : "not";');
spew('/etc/postfix/main.cf', "compatibility_level = 3.6\nalias_maps =\n"
    . "mydestination = localhost\ninet_interfaces = loopback-only\n"
    . "maillog_file = /var/log/mail.log\n");
run(qw(mkdir -p /run/php /run/apache2 /run/lock/apache2 /usr/local/lib
    /usr/local/share));
for (['postfix', 'start'], ["php-fpm$php", '-D', '-d', 'opcache.enable=0'],
    ['apache2ctl', 'start']) {
    my ($status, $out, $err) = run({timeout => 60}, 'setsid', @$_);
    is $status, 0, "$_->[0] starts" or diag($out, $err);
}
my $src = scratch() . '/src';
run('sh', '-c', 'mkdir "$2" && cd "$1" && tar -cf - --exclude=./.git \
    --exclude=./build . | tar -xf - -C "$2"', 'sh', $SRC, $src);

my @before = listing();
sub lines {
    for my $line (@_) {
        my ($status, $out, $err) = run({cwd => $src, timeout => 600,
            env => {MAKEFLAGS => '-j2'}}, 'setsid', 'sh', '-c', $line);
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        is $status, 0, $line or diag(substr("$out$err", -3000));
    }
}
lines(@$on);
sub get { (run(qw(curl -sS --max-time 60 http://127.0.0.1/mail.php)))[1] }
is get(), 'sent', 'a script sends a mail';
my $mail = '/var/mail/root';
wait_for(sub { (slurp($mail) // '') =~ /^text$/m }, 'it arrives', 60);
my ($status, $out, $err) = run({cwd => '/tmp'}, 'sh', '-c',
    "cp $mail bounce.eml && $package->[-1]");
is $status, 0, $package->[-1] or diag($out, $err);
like $out, qr{^Script +/var/www/html/mail\.php$}m, 'names the script';
like $out, qr{"GET /mail\.php HTTP}, 'and shows the line';

lines(@$off);
is get(), 'sent', 'the site mails as before';
my %was = map { $_ => 1 } @before;
my %is = map { $_ => 1 } listing();
is join("\n", grep { !$was{$_} && !m{^/etc/mailorigin(?:/keyring)? |^/run/mailorigin}
    } sort keys %is), '', 'nothing but the keyring is left';
is join("\n", grep { !$is{$_} } sort keys %was), '', 'and nothing is missing';
done_testing;
