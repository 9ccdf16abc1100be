# PHP-FPM with chrooted pools.  In a chroot that has a shell, the wrapper with
# its conf, and a sendmail, one bind mount gives the recorder's socket: that
# folder, at its own path.  Without it mail goes all the same.  There is no
# /proc in there.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use File::Path ();
use MO::Httpd;
use MO::Recorder;
use MO::Test;
use MO::Fpm;
use MO::Handlers;

my %uid = ('a.example' => 5001, 'b.example' => 5002);
my @mounted;

sub bind_mount {
    my ($from, $to) = @_;
    File::Path::make_path($to);
    my ($status, $out, $err) = run('mount', '--bind', $from, $to);
    die "mount --bind $from $to: $err" if $status;
    push @mounted, $to;
}

for my $with (1, 0) {
    my $recorder = MO::Recorder->new;
    my $before = () = $recorder->lines;
    my $root = scratch();
    my %jail = map { $_ => "$root/vhosts/$_" } keys %uid;
    my $fpm = MO::Fpm->new(pools => {map { $_ => {user => $uid{$_},
        chroot => $jail{$_}, 'pm.max_children' => 10} } keys %uid}, start => 0);
    my $row = MO::Handlers->new(mpm => 'event', order => 39,
        handler => 'PHP-FPM, chrooted pools', recorder => $recorder,
        modules => ['proxy', 'proxy_fcgi'], httpd => {root => $root},
        vhost_conf => sub {
            # its path as PHP sees it
            return $fpm->handler($_[0]) . 'ProxyFCGISetEnvIf true '
                . "SCRIPT_FILENAME \"%{reqenv:SCRIPT_NAME}\"\n";
        });
    # what a chroot that mails has anyway
    my ($status, $libs) = run(qw(ldd /bin/dash /usr/bin/env /bin/cat));
    my @files = ('/bin/sh', '/usr/bin/env', '/bin/cat', $WRAPPER,
        "$ETC/mailorigin.conf", grep { -e } $libs =~ m{(/lib\S+)}g);
    for my $jail (values %jail) {
        for my $file (@files) {
            my ($dir) = $file =~ m{^(.*)/};
            File::Path::make_path("$jail$dir");
            run('cp', '-L', $file, "$jail$file");
        }
        mkdir "$jail/dev";
        run('mknod', '-m', '666', "$jail/dev/null", qw(c 1 3));
        my ($dir) = $recorder->sink->path =~ m{^(.*)/};
        bind_mount($dir, "$jail$dir");
        bind_mount($row->dir, $jail . $row->dir);
        bind_mount($RUN, "$jail$RUN") if $with;
    }
    $fpm->start;
    $row->put('s.php', $row->php);
    note($with ? 'with the bind mount' : 'without');
    $row->steal('/s.php');
    if ($with) {
        $row->fire('/s.php', modes => [qw(direct plain clear direct forge late
            direct now nofd put)]);
        my @j = $row->verdicts(direct => 'verified', plain => 'verified',
            clear => 'verified', forge => 'verified', late => 'conflict',
            now => 'conflict', put => 'conflict', nofd => 'hidden');
        is(scalar(() = $recorder->sink->wait_mails(200)), 200,
            'every mail went');
    }
    else {
        $row->fire('/s.php', count => 60,
            modes => [qw(direct plain clear forge late nofd)]);
        my @mails = $recorder->sink->wait_mails(60);
        is(scalar @mails, 60, 'every mail went');
        is(scalar(() = $recorder->lines), $before, 'and is on no record');
        my %stamped;
        for my $mail (@mails) {
            my ($mode) = $mail->{data} =~ /^Message-ID: <\d+\.(\w+)@/m;
            $stamped{$mode}++ if $mail->{data} =~ /^Mail-Origin: .*\bt=/m;
        }
        # what it says can only be told later
        is_deeply([sort keys %stamped], ['forge', 'late'],
            'stamped where a token was shown');
    }
    $row->done($with ? 'verified' : 'mail goes, on no record', needs => $with
        ? 'the recorder\'s folder bind-mounted into the chroot' : 'nothing');
    $row->stop;
    $fpm->stop;
    run('umount', '-l', $_) for splice @mounted;
}

done_testing();
