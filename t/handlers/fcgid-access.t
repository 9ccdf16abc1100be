# mod_fcgid runs programs for a request's access check, too, which .htaccess
# may name, and before the request is on the board.  What such a program
# mails is not the request's that happens to be served beside it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

MO::Handlers::customers();
my $bin = scratch();
spew("$bin/php", "#!/bin/sh\nPHP_FCGI_CHILDREN=0\nexport PHP_FCGI_CHILDREN\n"
    . 'exec ' . MO::Fpm::cgi() . " -n -d 'sendmail_path=$WRAPPER -i -t'\n",
    0755);
run('chown', '-R', 'www-data', $bin);
my $row = MO::Handlers->new(mpm => 'event', handler => 'mod_fcgid',
    modules => ['fcgid'], conf => <<"EOT",
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MinSpareThreads 1
MaxSpareThreads 16
MaxRequestWorkers 16
FcgidIPCDir $bin/ipc
FcgidProcessTableFile $bin/shm
EOT
    vhost_conf => sub { "AddHandler fcgid-script .php\n"
        . "FcgidWrapper $bin/php .php\n" });
my $h = $row->h;
my $dir = $row->dir;
chmod 0777, $dir;
$row->put('slow.php', <<"EOT", 0755);
<?php
touch('$dir/began');
for (\$i = 0; \$i < 600 && !file_exists('$dir/go'); \$i++) { usleep(100000); }
echo 'done';
EOT
# it answers nothing: what the connection is good for is its mail
my $checker = spew("$dir/checker", <<"EOT", 0755);
#!/usr/bin/perl
use Socket;
\$^F = 100;
while (accept(my \$c, STDIN)) {
    sysread \$c, my \$request, 65536;
    open my \$m, '|-', '$WRAPPER', '-i', '-t' or exit 1;
    print \$m "To: <victim\\\@example.net>\\n",
        "Message-ID: <1.access\\\@b.example>\\n\\nwin\\n";
    close \$m;
    open my \$f, '>', '$dir/sent';
    close \$c;
}
EOT
$h->put('b.example:.htaccess', "FcgidAccessChecker $checker\n");
$h->put('b.example:page.txt', "page\n");

my $slow = fork // die "fork: $!";
if (!$slow) {
    $h->get('/slow.php', headers => {Host => 'a.example'});
    POSIX::_exit(0);
}
wait_for(sub { -e "$dir/began" }, 'the innocent request is served');
$h->get('/page.txt', headers => {Host => 'b.example'});
ok(-e "$dir/sent", 'the access check has sent a mail')
    or diag $h->error_log;
spew("$dir/go", '');
waitpid $slow, 0;
my ($r) = grep { ($_->{message_id} // '') =~ /1\.access/ }
    $row->recorder->records;
ok($r, 'it has a record');
is($r->{verdict}, 'ambiguous', 'and is not taken for the other request')
    or diag "of $r->{vhost} $r->{script}";
is($r->{vhost} // '', '', 'of no site');
like($r->{reason} // '', qr/may have been another's/, 'and says why');
$row->stop;

done_testing();
