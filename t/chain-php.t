# mod_php under prefork: however a script sends its mail, the record names
# the request; nothing of it stays in the process; what it leaves running in
# the background never names a later request.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

# one child, so that every request meets what the last one left
my $c = MO::Chain->new(mpm => 'prefork', modules => ['php', 'perl'],
    conf => <<'EOT');
MaxRequestWorkers 1
<Files "*.perl">
  SetHandler perl-script
  PerlResponseHandler ModPerl::Registry
  PerlOptions +ParseHeaders
  Options +ExecCGI
</Files>
EOT
my ($h, $sink) = ($c->httpd, $c->sink);
my $mail = $c->mail_line;

my $lib = $h->put('lib.inc', <<"EOT");
<?php
const MAIL = "$mail";
function send_env(\$env) {
    \$p = proc_open(MAIL, [], \$pipes, null, \$env);
    proc_close(\$p);
}
EOT
my %ways = (
    'mail()' => 'mail("you@example.org", "s", "b\n");',
    'popen' => "\$p = popen('$WRAPPER -t', 'w'); "
        . 'fwrite($p, "To: you@example.org\n\nb\n"); pclose($p);',
    'exec' => 'exec(MAIL);',
    'proc_open with its own environment' =>
        'send_env(["PATH" => getenv("PATH")]);',
    'env -i' => 'exec("env -i sh -c " . escapeshellarg(MAIL));',
    'putenv that clears' => 'foreach (["MAILORIGIN_TOKEN", '
        . '"SSL_MAILORIGIN_TOKEN", "MAILORIGIN_ID"] as $v) putenv($v); '
        . 'exec(MAIL);',
    'putenv that forges' => 'foreach (["MAILORIGIN_TOKEN", '
        . '"SSL_MAILORIGIN_TOKEN"] as $v) putenv("$v=" . str_repeat("A", 400));'
        . ' exec(MAIL);',
);
for my $way (sort keys %ways) {
    (my $file = $way) =~ s/\W+/-/g;
    $h->put("$file.php", "<?php require '$lib'; $ways{$way} echo 'done';");
    my $got = $c->one("/$file.php?secret=1");
    my $r = $got->{record};
    is $r->{verdict}, 'verified', "$way: verified";
    is $r->{evidence}, 'ancestry', "$way: by ancestry";
    is $r->{uri}, "/$file.php", "$way: the URI";
    is $r->{script}, $h->docroot . "/$file.php", "$way: the script";
    is $got->{response}{content}, 'done', "$way: the script went on";
    is "$got->{mails} $got->{records}", '1 1', "$way: one mail, one record";
    my ($id) = $c->field($got->{mail}) =~ /^ v=1; id=([\w-]{16}); s=/;
    is $id, $r->{id}, "$way: the stamp's id is the record's";
    unlike $h->error_log, qr/Segmentation|AddressSanitizer/, "$way: no crash";
}

# Another request's token: the kernel decides, and the lie is kept.
$h->put('token.php', '<?php echo getenv("MAILORIGIN_TOKEN");');
my $token = $h->get('/token.php')->{content};
like $token, qr/^[\w-]{100,}$/, 'a token of another request';
$h->put('forge.php', "<?php require '$lib'; "
    . 'send_env(["MAILORIGIN_TOKEN" => $_SERVER["HTTP_X_TOKEN"]]);');
my $r = $c->one('/forge.php', headers => {'X-Token' => $token})->{record};
is $r->{verdict}, 'conflict', "another's token: conflict";
is $r->{uri}, '/forge.php', 'the origin is the kernel\'s';
is $r->{claimed_uri}, '/token.php', 'and the claim is kept';

# Two requests on one connection.
$h->put("keep$_.php", "<?php require '$lib'; exec(MAIL); echo $_;") for 1, 2;
my $before = $c->recorder->records;
my $s = $h->connect;
for my $n (1, 2) {
    $h->send_request($s, 'GET', "/keep$n.php");
    is $h->read_response($s)->{content}, $n, "kept alive: answer $n";
}
close $s;
my @r = $c->recorder->wait_records($before + 2);
is_deeply [map { $_->{uri} } @r[-2, -1]], ['/keep1.php', '/keep2.php'],
    'on a kept-alive connection each request has its own origin';
isnt $r[-1]{request_id}, $r[-2]{request_id}, 'and its own id';

# What the process environment holds afterwards, seen from a request that is
# not recorded.
$h->put('off/.keep', '');
$h->conf('<Location /off>' . "\n  MailOrigin Off\n</Location>\n");
$h->graceful;
$h->put('off/env.php', '<?php echo shell_exec("env | grep MAILORIGIN_");');
wait_for(sub { $h->get('/off/env.php')->{content} !~ /=./ },
    'an Off request has no variables');
$h->put('on.php', '<?php echo shell_exec("env | grep MAILORIGIN_");');
like $h->get('/on.php')->{content}, qr/^MAILORIGIN_TOKEN=./m,
    'an On request has them';
# MAILORIGIN_ names may stay as empty ones, which mean absent
unlike $h->get('/off/env.php')->{content}, qr/MAILORIGIN_\w+=./,
    'nothing of the last request is left in the process environment';

# Processes left behind: the mail goes while the next request, in the same
# httpd child, is in progress.
my $dir = scratch();
chmod 0777, $dir;
my $late = spew(scratch() . '/late.sh', <<"EOT");
while [ ! -e $dir/go ]; do sleep 0.02; done
$mail
: > $dir/sent
EOT
my $null = '</dev/null >/dev/null 2>&1';
my %background = (
    'double fork' => ['php', "exec('sh $late $null &');"],
    'setsid' => ['php', "exec('setsid sh $late $null &');"],
    'nohup, no environment' => ['php', "exec('env -i nohup sh $late $null &');"],
    'single fork' => ['perl', <<"EOT"],
if (!(my \$pid = fork)) {
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    POSIX::close(\$_) for 3 .. 60;
    exec 'sh', '$late';
}
EOT
);
$h->put('hold.php', "<?php touch('$dir/held'); while (!file_exists('$dir/sent')"
    . ") { usleep(20000); clearstatcache(); } echo 'held';");
for my $way (sort keys %background) {
    my ($kind, $code) = @{$background{$way}};
    unlink glob "$dir/*";
    (my $file = $way) =~ s/\W+/-/g;
    $file .= ".$kind";
    $h->put($file, $kind eq 'php' ? "<?php $code"
        : "use POSIX ();\nprint \"Content-Type: text/plain\\n\\n\";\n$code",
        0755);
    my $n = $c->recorder->records;
    my $answer = $h->get("/$file");
    is $answer->{status}, 200, "$way: the request that leaves it behind"
        or diag $answer->{content}, $h->error_log;
    my $s = $h->connect;
    $h->send_request($s, 'GET', '/hold.php', headers => {Connection => 'close'});
    wait_for(sub { -e "$dir/held" }, "$way: the next request is in progress");
    spew("$dir/go", '');
    my @r = $c->recorder->wait_records($n + 1);
    is $h->read_response($s)->{content}, 'held', "$way: the next one's answer";
    my $r = $r[-1];
    is scalar @r, $n + 1, "$way: one record";
    isnt $r->{uri} // '', '/hold.php', "$way: the next request is not named";
    unlike join("\n", map { $_ // '' } @$r{qw(candidates claimed_uri)}),
        qr/hold/, "$way: nor listed";
    if ($way =~ /no environment/) {
        like $r->{verdict}, qr/^(?:none|hidden)$/, "$way: no origin";
    }
    else {
        is "$r->{verdict} " . ($r->{state} // ''), 'claimed late',
            "$way: claimed, late" or diag explain $r;
        is $r->{uri}, "/$file", "$way: by the token, its own request";
    }
}
is $c->balance, '', 'every mail has its record, every record its mail';
done_testing;
