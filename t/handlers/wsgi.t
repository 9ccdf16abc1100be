# mod_wsgi, embedded: Python in httpd's own process.  Under prefork its
# os.environ is a copy of what stood there when the first request was served,
# and is handed to every program: the kernel decides.  A daemon's programs
# have nothing of ours but, where the admin forwards it, the token.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my %embedded = (clear => 'verified', late => 'conflict', now => 'conflict');

for my $mpm (qw(event prefork)) {
    my $row = MO::Handlers->new(order => 62, handler => 'mod_wsgi, embedded',
        mpm => $mpm, modules => ['wsgi'],
        conf => "AddHandler wsgi-script .wsgi\nWSGIRestrictEmbedded Off\n"
            . "WSGIApplicationGroup %{GLOBAL}\n");
    $row->put('s.wsgi', $row->python);
    $row->steal('/s.wsgi');
    $row->fire('/s.wsgi', count => $mpm eq 'event' ? 200 : 100,
        modes => [qw(plain clear plain forge plain late plain now nofd)]);
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

my $daemon = sub {
    my ($vhost, $forward) = @_;
    my $group = $vhost =~ s/\W//gr;
    return "WSGIDaemonProcess $group processes=2 threads=4 user=www-data "
        . "group=www-data\nWSGIProcessGroup $group\n"
        . ($forward ? "MailOriginForward On\n" : '');
};
for my $forward (0, 1) {
    my $row = MO::Handlers->new(order => 70 + $forward,
        handler => 'mod_wsgi, daemon', mpm => 'event', modules => ['wsgi'],
        conf => "AddHandler wsgi-script .wsgi\n"
            . "WSGISocketPrefix /tmp/wsgi-$$\n",
        vhost_conf => sub { $daemon->($_[0], $forward) });
    my $app = $row->python("environ.get('HTTP_MAILORIGIN_TOKEN', '')");
    # README's two lines; several threads share a process, so that they go
    # to the program, not to os.environ
    $app =~ s{host\], *\n}{host], env={**os.environ, 'MAILORIGIN_TOKEN':
        environ.get('HTTP_MAILORIGIN_TOKEN', '')},\n} if $forward;
    $row->put('s.wsgi', $app);
    if ($forward) {
        $row->steal('/s.wsgi');
        $row->fire('/s.wsgi', count => 120,
            modes => [qw(plain clear plain forge plain late plain now)]);
        # A bearer's token is believed to be just that: a claim.  The program
        # that was given it shows it yet where its child lies.
        my @j = $row->verdicts(default => 'claimed');
        $row->visible(@j);
        is(scalar(grep { $_->{r}{vhost} ne $_->{vhost}
            || $_->{r}{query} !~ /\bn=$_->{n}\b/ } @j), 0,
            'each is claimed for its own request');
        $row->done('claimed', needs => 'MailOriginForward On and a line in '
            . 'the application');
    }
    else {
        $row->fire('/s.wsgi', count => 80, modes => [qw(plain clear forge)]);
        # its daemon is a child of httpd's, which is all that can be seen
        $row->verdicts(default => 'hidden', forge => 'forged');
        $row->done('hidden');
    }
    $row->stop;
}

done_testing();
