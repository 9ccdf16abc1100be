# mod_wsgi, embedded: Python in httpd's own process.  Under prefork its
# os.environ is a copy of what stood there when the first request was served,
# and is handed to every program: the kernel decides.   Its daemons are
# in forward.t.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my %embedded = (clear => 'verified', late => 'conflict', now => 'conflict',
    own => 'conflict');

for my $mpm (qw(event prefork)) {
    my $row = MO::Handlers->new(order => 62, handler => 'mod_wsgi, embedded',
        mpm => $mpm, modules => ['wsgi'],
        conf => "AddHandler wsgi-script .wsgi\nWSGIRestrictEmbedded Off\n"
            . "WSGIApplicationGroup %{GLOBAL}\n");
    $row->put('s.wsgi', $row->python);
    $row->steal('/s.wsgi');
    $row->fire('/s.wsgi', modes => [qw(plain clear plain forge plain late plain own now nofd)]);
    # Under prefork the stale os.environ shows an older request's token, but
    # in the process's first request: which of both is the test's chance.
    my $stale = $mpm eq 'event' ? 'verified' : ['verified', 'conflict'];
    my @j = $row->verdicts(%embedded, plain => $stale, nofd => $stale,
        forge => $stale);
    $row->visible(grep { $_->{mode} ne 'forge'
        || $_->{r}{verdict} eq 'verified' } @j);
    $row->done('verified');
    $row->stop;
}

done_testing();
