# mod_fcgid with php-cgi; and under suexec, under event, where only a token
# can tell apart the requests that one process served.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Fpm;
use MO::Handlers;

MO::Handlers::customers();
MO::Handlers::suexec('/tmp');
my $extension = MO::Fpm::extension();
my %uid = ('a.example' => 1, 'b.example' => 2);

for (['prefork', 0, 0], ['event', 0, 0], ['event', 1, 0], ['event', 1, 1]) {
    my ($mpm, $suexec, $with) = @$_;
    # what suexec runs must be the customer's own
    my $bin = scratch();
    my $wrapper = sub {
        my ($vhost) = @_;
        my $cust = $suexec ? "cust$uid{$vhost}" : 'www-data';
        mkdir "$bin/$vhost";
        spew("$bin/$vhost/php", "#!/bin/sh\nPHP_FCGI_CHILDREN=0\n"
            . "PHP_FCGI_MAX_REQUESTS=0\n"
            . "export PHP_FCGI_CHILDREN PHP_FCGI_MAX_REQUESTS\n"
            . 'exec ' . MO::Fpm::cgi() . ' -n -d cgi.fix_pathinfo=1 '
            . "-d 'sendmail_path=$WRAPPER -i -t'"
            . ($with ? " -d extension=$extension" : '') . "\n", 0755);
        run('chown', '-R', "$cust:$cust", "$bin/$vhost");
        return ($suexec ? "SuexecUserGroup $cust $cust\n" : '')
            . "AddHandler fcgid-script .php\n"
            . "FcgidWrapper $bin/$vhost/php .php\n";
    };
    my $row = MO::Handlers->new(order => 40 + $suexec + $with, mpm => $mpm,
        handler => 'mod_fcgid + php-cgi' . ($suexec ? ' + suexec' : ''),
        modules => ['fcgid', $suexec ? 'suexec' : ()], conf => <<"EOT",
FcgidIPCDir $bin/ipc
FcgidProcessTableFile $bin/shm
FcgidMaxProcesses 12
FcgidMaxProcessesPerClass 6
FcgidMinProcessesPerClass 0
FcgidIOTimeout 60
EOT
        vhost_conf => $wrapper);
    $row->put('s.php', $row->php, 0755);
    if ($suexec) {
        run('chown', '-R', "cust$uid{$_}:cust$uid{$_}",
            $row->h->docroot($_)) for keys %uid;
    }
    my $what = "$row->{handler}, $mpm" . ($with ? ', extension' : '');
    $row->steal('/s.php');
    $row->fire('/s.php', count => $mpm eq 'prefork' ? 150 : 120,
        modes => [qw(direct plain clear direct forge late direct now)]);
    # a child of httpd serves one request at a time under prefork
    my $sure = $mpm eq 'prefork';
    my @unsure = ('ambiguous', 'verified', 'hidden');
    $row->verdicts($sure
        ? (direct => 'verified', plain => 'verified', clear => 'verified',
            forge => ['verified', 'conflict'], late => 'conflict',
            now => 'conflict')
        : (direct => $with ? 'verified' : \@unsure,
            plain => $with ? 'verified' : \@unsure, clear => \@unsure,
            forge => [@unsure, 'conflict', 'forged'],
            late => [@unsure, 'conflict', 'claimed'],
            now => [@unsure, 'conflict', 'claimed']));
    diag($row->h->error_log =~ s/^.*(?:info|notice)\].*\n//mgr)
        if !Test::More->builder->is_passing;
    $row->done($sure || $with ? 'verified' : 'ambiguous',
        needs => $with ? 'the PHP extension' : 'nothing');
    $row->stop;
}

done_testing();
