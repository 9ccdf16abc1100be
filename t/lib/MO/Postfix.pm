# MO::Postfix - a Postfix of the test's own.
#
#   my $p = MO::Postfix->new({main => "extra lines of main.cf",
#       syslog => 1}); (it is never started)
#   $p->start; $p->stop;
#   $p->sendmail       the command of its sendmail, a list: it takes -t, -f, …
#   $p->inject(TEXT, FROM, TO, …)   hands a mail in
#   $p->ids(QUEUE, …)  ids of files in those queues, sorted
#   $p->settled(N)     waits until N mails are deferred or on hold, and no
#                      other is on its way
#   $p->{etc} {spool}  its configuration and queue
#
# What it can't deliver at once (all goes to a dead port) is deferred.  The
# Debian package is installed by t/deps.mk; its own configuration isn't used.
package MO::Postfix;
use strict;
use warnings;
use MO::Test;

sub new {
    my ($class, $o) = @_;
    my $dir = scratch();
    my $self = bless {dir => $dir, etc => "$dir/etc", spool => "$dir/spool"},
        $class;
    mkdir "$dir/$_" for qw(etc spool lib);
    # (without a running Postfix its programs wait for postlogd)
    my $log = $o->{syslog} ? ''
        : "maillog_file = $dir/maillog\nmaillog_file_prefixes = /tmp\n";
    my $master = slurp('/etc/postfix/master.cf')
        // slurp('/usr/share/postfix/master.cf.dist');
    $master =~ s/^smtp(\s+)inet/127.0.0.1:2525$1inet/m;
    # a chroot would want files of the machine
    $master =~ s/^(\S+\s+\S+\s+\S+\s+\S+\s+)y/${1}n/mg;
    spew("$dir/etc/master.cf", $master);
    spew("$dir/etc/main.cf", <<"CF" . ($o->{main} // ''));
compatibility_level = 3.6
queue_directory = $dir/spool
data_directory = $dir/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.test
mydestination =
local_transport = error:none
default_transport = smtp:[127.0.0.1]:9
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
in_flow_delay = 0
$log
CF
    # unprivileged callers may name this configuration only if the default
    # one allows it; that is ours in this mount namespace
    spew("$dir/default.cf",
        (slurp('/etc/postfix/main.cf') // '')
            . "\nalternate_config_directories = $dir/etc\n");
    system(qw(mount --bind), "$dir/default.cf", '/etc/postfix/main.cf') == 0
        or die "mount: $?";
    chown((getpwnam 'postfix')[2], -1, "$dir/lib");
    my ($rc, undef, $err) = run('postfix', '-c', "$dir/etc", 'check');
    die "postfix check: $err" if $rc;
    return $self;
}

sub start {
    my ($self) = @_;
    my ($rc, $out, $err) = run('postfix', '-c', $self->{etc}, 'start');
    die "postfix start: $out$err" if $rc;
    $self->{running} = 1;
    wait_for(sub {-S "$self->{spool}/public/pickup"}, 'Postfix to start');
}

sub stop {
    my ($self) = @_;
    run('postfix', '-c', $self->{etc}, 'stop') if delete $self->{running};
}

sub sendmail {
    my ($self) = @_;
    return ('/usr/sbin/sendmail', '-C', $self->{etc});
}

sub inject {
    my ($self, $text, $from, @to) = @_;
    my ($rc, undef, $err)
        = run({in => $text}, $self->sendmail, '-i', '-f', $from, '--', @to);
    die "sendmail: $err" if $rc;
}

sub ids {
    my ($self, @queues) = @_;
    my %id;
    for my $q (@queues) {
        my @dirs = ("$self->{spool}/$q");
        while (defined(my $d = shift @dirs)) {
            opendir my $h, $d or next;
            for my $n (grep {!/^\./} readdir $h) {
                if (length $n == 1) {push @dirs, "$d/$n"}
                else {$id{$n} = 1}
            }
        }
    }
    return sort keys %id;
}

sub settled {
    my ($self, $n) = @_;
    return wait_for(
        sub {
            !(() = $self->ids(qw(maildrop incoming active)))
                && (() = $self->ids(qw(deferred hold))) == $n;
        },
        "$n mails in the queue");
}

1;
