# mod_fcgid with php-cgi; and under suexec.  Under event only a token can
# tell apart the requests that one process serves, and it may where suexec
# tells the customers apart.
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

for (['prefork', 0, 0], ['prefork', 1, 0], ['event', 0, 0], ['event', 0, 1],
    ['event', 1, 0], ['event', 1, 1]) {
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
    my $row = MO::Handlers->new(order => 40 + $suexec * 2 + $with, mpm => $mpm,
        handler => 'mod_fcgid + php-cgi' . ($suexec ? ' + suexec' : ''),
        bearer => $suexec && $mpm eq 'event',
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
    $row->fire('/s.php', count => $suexec == $with ? 160 : 80,
        modes => [qw(direct plain clear direct forge late direct now put
            own)]);
    # a child of httpd serves one request at a time under prefork
    my $sure = $mpm eq 'prefork';
    # a request that is alone in its child is verified there too
    my @unsure = ('ambiguous', 'verified');
    my $picks = $suexec && $with;
    my @j = $row->verdicts($sure
        ? (direct => 'verified', plain => 'verified', clear => 'verified',
            forge => ['verified', 'conflict'], late => 'conflict',
            now => 'conflict', put => 'conflict',
            own => ['conflict', 'claimed'])
        # the shell between script and mailer has the script's token
        : $picks ? (direct => 'verified', plain => 'verified',
            clear => 'verified', forge => 'verified', late => 'conflict',
            now => 'conflict', put => ['ambiguous', 'conflict', 'verified'],
            own => ['ambiguous', 'conflict', 'claimed', 'verified'])
        : (direct => \@unsure, plain => \@unsure, clear => \@unsure,
            forge => \@unsure, late => ['ambiguous', 'conflict'],
            now => ['ambiguous', 'conflict'],
            put => ['ambiguous', 'conflict', $suexec ? 'verified' : ()],
            own => ['ambiguous', 'conflict', 'claimed',
                $suexec ? 'verified' : ()]));
    is(scalar(grep { $_->{r}{verdict} eq 'ambiguous' && !$_->{listed} } @j), 0,
        'where it is ambiguous, the site is listed');
    my %other = ('a.example' => 'b.example', 'b.example' => 'a.example');
    is(scalar(grep { ($_->{r}{candidates} // '')
        =~ /\b\Q$other{$_->{vhost}}\E/ } @j), 0,
        'under suexec no other customer is listed') if $suexec;
    diag($row->h->error_log =~ s/^.*(?:info|notice)\].*\n//mgr)
        if !Test::More->builder->is_passing;
    $row->done($sure || $picks ? 'verified' : 'ambiguous',
        needs => $with ? 'the PHP extension' : 'nothing')
        if $picks || !$with;
    $row->stop;
}

done_testing();
