# mod_cgi and mod_cgid; then both under suexec, as another uid, which lets
# only a few variables through.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my %want = (plain => 'verified', clear => 'verified',
    forge => 'verified', map({ $_ => 'conflict' } qw(late now again own)),
    nofd => 'verified', captured => 'verified');
MO::Handlers::customers();
MO::Handlers::suexec('/tmp');

for (['prefork', 'cgi', 0], ['event', 'cgid', 0],
    ['worker', 'cgid', 0], ['prefork', 'cgid', 0],
    ['prefork', 'cgi', 1], ['event', 'cgid', 1]) {
    my ($mpm, $module, $suexec) = @$_;
    my %uid = ('a.example' => 1, 'b.example' => 2);
    my $row = MO::Handlers->new(mpm => $mpm, order => $suexec ? 20 : 10,
        handler => "mod_$module" . ($suexec ? ' + suexec' : ''),
        modules => [$module, $suexec ? 'suexec' : ()],
        vhost_conf => sub {
            $suexec ? "SuexecUserGroup cust$uid{$_[0]} cust$uid{$_[0]}\n" : ''
        });
    $row->put('s.cgi', $row->sh, 0755);
    if ($suexec) {
        for my $vhost (sort keys %uid) {
            run('chown', '-R', "cust$uid{$vhost}:cust$uid{$vhost}",
                $row->h->docroot($vhost));
        }
    }
    my $what = "$row->{handler}, $mpm";
    $row->steal('/s.cgi');
    $row->fire('/s.cgi', modes => [qw(plain clear plain forge
        late plain now again own nofd captured)]);
    # under mod_cgid, the script's stdin and stdout are what names it: where a
    # mailer has neither, a token is all there is
    my @j = $row->verdicts(%want, $module eq 'cgid'
        ? (nofd => 'claimed', captured => 'claimed',
            # which of its sockets it shows is its own choice
            own => ['conflict', 'claimed']) : ());
    $row->visible(@j);
    my %uids = map { ($_->{r}{uid} // '') => 1 } @j;
    is_deeply([sort keys %uids], $suexec ? [5001, 5002]
        : [scalar getpwnam 'www-data'], "$what: as whom");
    diag($row->h->error_log =~ s/^.*(?:info|notice)\].*\n//mgr)
        if !Test::More->builder->is_passing;
    $row->done($module eq 'cgi' ? 'verified'
        : 'verified; claimed where the script captures its mailer');
    $row->stop;
}

done_testing();
