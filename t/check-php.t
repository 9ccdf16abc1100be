# mailorigin check: which sendmail each PHP calls, as each real one says itself:
# by its ini files, FPM's pools, and httpd's own configuration.
# no sanitizers: it is about the machine around
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Httpd;
use MO::Recorder;
use JSON::PP ();

my $dir = scratch();
my $show = '<?php echo ini_get("sendmail_path"), function_exists("mail") '
    . '? "" : " (disabled)";';
spew("$dir/show.php", $show, 0644);

# ---- a /etc/php of our own, which Debian's PHPs read
my ($status, $version) = run('php', '-n', '-r',
    'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;');
my $etc = "/etc/php/$version";
run(qw(mount -t tmpfs -o mode=755 t /etc/php));
for my $sapi (qw(cli cgi apache2 fpm)) {
    run('mkdir', '-p', "$etc/$sapi/conf.d", "$etc/fpm/pool.d");
    spew("$etc/$sapi/php.ini", <<"INI", 0644);
[PHP]
sendmail_path = "/bin/$sapi -t"
; sendmail_path = /bin/comment
[HOST=h.example]
sendmail_path = /bin/$sapi-host
[PATH=$dir]
memory_limit = 100M
[mail function]
mail.add_x_header = Off
INI
}
spew("$etc/cli/conf.d/20-x.ini", "sendmail_path=$WRAPPER -t -i\n", 0644);

my %pool = (
    plain => '',
    value => "php_value[sendmail_path] = /bin/value\n",
    admin => "php_admin_value[sendmail_path] = $WRAPPER -t -i\n"
        . "php_value[sendmail_path] = /bin/value\n",
    after => "php_value[sendmail_path] = /bin/value\n"
        . "php_admin_value[sendmail_path] = '/bin/admin -t'\n",
    twice => "php_admin_value[sendmail_path] = /bin/first\n"
        . "php_admin_value[sendmail_path] = /bin/second\n",
    off => "php_admin_value[disable_functions] = exec\n"
        . "php_value[disable_functions] = popen, mail\n",
    map {; $_ => '' } qw(env sei rewrite expr off2 ht),
);
for my $name (keys %pool) {
    spew("$etc/fpm/pool.d/$name.conf", "[$name]\nuser = www-data\n"
        . "group = www-data\nlisten = $dir/$name.sock\nlisten.mode = 0666\n"
        . "pm = static\npm.max_children = 1\n$pool{$name}", 0644);
}
spew("$dir/fpm.conf", "[global]\nerror_log = $dir/fpm.log\n"
    . "include = $etc/fpm/pool.d/*.conf\n");
my $fpm = fork // die "fork: $!";
if (!$fpm) {
    exec MO::Fpm::bin(), '-F', '-y', "$dir/fpm.conf";
    die "php-fpm: $!";
}
wait_for(sub { !grep { !-S "$dir/$_.sock" } keys %pool }, 'php-fpm listens');

# ---- httpd with mod_php, and FPM for vhosts that have a pool's name
my %vhost = (
    map({ $_ => '' } keys %pool),
    vhost => "php_admin_value sendmail_path '/bin/vhost -t'\n",
    wrapped => "php_admin_value sendmail_path \"$WRAPPER -t -i\"\n",
    # which does nothing: the name is PHP_INI_SYSTEM
    phpvalue => "php_value sendmail_path /bin/phpvalue\n"
        . "php_admin_value disable_functions mail\n",
    section => "<Location /show.php>\nphp_admin_value sendmail_path /bin/loc\n"
        . "</Location>\n",
    none => "php_admin_value sendmail_path none\n",
    env => "SetEnv PHP_ADMIN_VALUE \"sendmail_path=/bin/env -t\"\n",
    sei => "SetEnvIf Request_URI . \"PHP_VALUE=sendmail_path = $WRAPPER -t -i\"\n",
    rewrite => "RewriteEngine On\n"
        . "RewriteRule . - [E=PHP_ADMIN_VALUE:sendmail_path=/bin/rw,L]\n",
    expr => 'ProxyFCGISetEnvIf true PHP_VALUE "memory_limit=99M \n '
        . "sendmail_path='/bin/expr -t' \\n log_errors=1\"\n",
    off2 => "SetEnv PHP_ADMIN_VALUE \"disable_functions=exec,mail\"\n",
);
$vhost{$_} = "<FilesMatch \"\\.php\$\">\n"
    . "SetHandler \"proxy:unix:$dir/$_.sock|fcgi://localhost\"\n"
    . "</FilesMatch>\n$vhost{$_}" for keys %pool;
my $recorder = MO::Recorder->new;
my $httpd = MO::Httpd->new(mpm => 'prefork', modules => [qw(php proxy proxy_fcgi
    setenvif rewrite env)], vhosts => [map {{name => "$_.example",
    conf => $vhost{$_}}} sort keys %vhost]);
$httpd->put('show.php', $show);
$httpd->put("$_.example:show.php", $show) for keys %vhost;
sub real {
    my ($name) = @_;
    return $httpd->get('/show.php', headers => {Host => $name})->{content};
}

# ---- what check says: NAME => "sendmail_path", with " (disabled)" behind
my %said;
my $out;
sub check {
    ($status, $out) = run({timeout => 300}, $MAILORIGIN, qw(check --json
        --no-relay));
    my @facts = grep { $_->{check} eq 'php' } map { JSON::PP::decode_json($_) }
        split /\n/, $out;
    %said = ();
    for my $f (@facts) {
        my ($what, $path) = $f->{message} =~ /^(.*) calls the wrapper \((.*)\)$/;
        is $f->{state}, 'ok', $f->{message} if defined $what;
        ($what, $path) = $f->{message} =~ /^(.*) calls (.*), which is not/
            if !defined $what;
        ($what, $path) = ($1, 'DISABLED')
            if $f->{message} =~ /^(.*) has mail\(\) disabled/;
        ($what, $path) = ($1, "INI $2")
            if $f->{message} =~ /^(.*) takes httpd's own.* \((.*)\)$/;
        ok defined $what, 'understood' or diag($f->{message});
        ok !$said{$what}, "$what: once";
        $said{$what} = $path eq 'nothing' ? '' : $path;
        isnt $f->{mend} // '', '', "$what: a mend" if $f->{state} ne 'ok';
    }
}
check();

# as NAME of check's, it is what a real one says
sub same {
    my ($what, $real) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $real = 'DISABLED' if $real =~ / \(disabled\)$/;
    is delete $said{$what}, $real, "$what: as it says itself" or diag($out);
}

same("PHP $version cli", (run('php', "$dir/show.php"))[1]);
sub cgi {
    return (run({env => {SCRIPT_FILENAME => "$dir/show.php", SERVER_NAME => $_[0],
        REQUEST_METHOD => 'GET', REDIRECT_STATUS => 1,
        PHP_ADMIN_VALUE => 'sendmail_path=/bin/x'}}, MO::Fpm::cgi(), '-q'))[1]
        =~ s/.*\r\n//sr;
}
same("PHP $version cgi", cgi('x.example'));
same("PHP $version cgi [HOST=h.example]", cgi('h.example'));
same("PHP $version apache2", real('localhost'));
is real('phpvalue.example'), real('localhost'),
    "mod_php: php_value can't set it, nor can httpd disable mail()";
same('mod_php for vhost.example (php_admin_value)', real('vhost.example'));
same('mod_php for wrapped.example (php_admin_value)', real('wrapped.example'));
same('mod_php for none.example (php_admin_value)', real('none.example'));
same('mod_php for section.example <Location /show.php> (php_admin_value)',
    real('section.example'));
same("PHP $version FPM pool $_", real("$_.example"))
    for qw(plain value admin after twice off);
# these pools' own, before httpd said otherwise
my $plain = delete $said{"PHP $version FPM pool ht"};
is delete $said{"PHP $version FPM pool $_"}, $plain, "pool $_"
    for qw(env sei rewrite expr off2);
same('PHP-FPM for env.example (SetEnv)', real('env.example'));
same('PHP-FPM for sei.example (SetEnvIf)', real('sei.example'));
same('PHP-FPM for rewrite.example (RewriteRule)', real('rewrite.example'));
same('PHP-FPM for expr.example (ProxyFCGISetEnvIf)', real('expr.example'));
same('PHP-FPM for off2.example (SetEnv)', real('off2.example'));
is delete $said{"PHP $version fpm [HOST=h.example]"}, '/bin/fpm-host',
    'a section of FPM\'s php.ini';
is join(', ', sort keys %said), '', 'and nothing else';

# ---- who else can, and who can't
is real('ht.example'), $plain, 'before';
spew($httpd->docroot('ht.example') . '/.user.ini',
    "sendmail_path = /bin/userini\n", 0644);
spew($httpd->docroot . '/.htaccess', "php_value sendmail_path /bin/ht\n", 0644);
is real('localhost'), '/bin/apache2 -t', ".htaccess can't, by mod_php";
spew($httpd->docroot . '/.htaccess', '', 0644);
spew($httpd->docroot('ht.example') . '/.htaccess',
    "SetEnv PHP_VALUE sendmail_path=/bin/ht\n", 0644);
is real('ht.example'), '/bin/ht', 'by FPM it can';
unlink $httpd->docroot('ht.example') . '/.htaccess';
is real('ht.example'), '/bin/ht', '... for later requests, too';

# ---- the main server's holds in all
$httpd->conf("php_admin_value sendmail_path /bin/main\n");
$httpd->restart;
check();
same('mod_php for localhost (php_admin_value)', real('localhost'));
same('mod_php for vhost.example (php_admin_value)', real('vhost.example'));
is real('phpvalue.example'), '/bin/main', 'in the vhosts, too';
is $said{"PHP $version apache2"}, 'INI /bin/apache2 -t', 'so its ini does not';

kill 'TERM', $fpm;
waitpid $fpm, 0;
done_testing;
