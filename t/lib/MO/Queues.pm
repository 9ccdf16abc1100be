# MO::Queues - Exim or Sendmail as the machine's own, in MO::Overlay, with all
# mail for 127.0.0.1:2526, where nothing listens at first: it stays queued.
#   my $m = MO::Queues->exim, or ->sendmail_mta
#   $m->start, stop, pid, sendmail, spool, args, flush   as MO::Rehearsal wants
#   $m->inject(TEXT, FROM, TO, …)
package MO::Queues;
use strict;
use warnings;
use MO::Test;

sub exim {
    my ($class) = @_;
    spew('/etc/exim4/exim4.conf', <<'CONF', 0644);
primary_hostname = mx.test
log_selector = +pid
acl_smtp_rcpt = accept
local_interfaces = 127.0.0.1
host_lookup =
trusted_users = www-data : games
remote_max_parallel = 4
begin acl
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1
  transport = out
  self = send
begin transports
out:
  driver = smtp
  port = 2526
  allow_localhost
  hosts_try_fastopen =
  hosts_avoid_tls = *
begin retry
* * F,1d,2s
CONF
    return bless {mta => 'exim', pidfile => '/run/exim4/exim.pid',
        start => [qw(/usr/sbin/exim4 -bd -q10s)],
        flush => [qw(/usr/sbin/exim4 -qff)],
        path => '/usr/sbin/exim4', spool => ['/var/spool/exim4/input']},
        $class;
}

sub sendmail_mta {
    my ($class) = @_;
    # no name server: what isn't in the file isn't there, rather than unknown
    # (each with an address of its own, else Sendmail takes all for the first)
    my @names = qw(mx.test relay.test far.example hacked.example good.example);
    spew('/etc/hosts', slurp('/etc/hosts')
            . join('', map { '127.0.1.' . ($_ + 1) . " $names[$_]\n" } 0 .. $#names));
    spew('/etc/mail/switch', "hosts files\naliases files\n", 0644);
    for my $file (qw(sendmail.cf submit.cf)) {
        my $cf = slurp("/etc/mail/$file");
        $cf =~ s{^#?O ServiceSwitchFile=.*$}
            {O ServiceSwitchFile=/etc/mail/switch}m or die $file;
        spew("/etc/mail/$file", $cf);
    }
    my $cf = slurp('/etc/mail/sendmail.cf');
    $cf =~ s/^DS.*$/DSrelay:[127.0.0.1]/m or die 'no DS';
    $cf =~ s/^(Mrelay.*?A=TCP \$h)$/$1 2526/ms or die 'no Mrelay';
    # (to each queue run its try, and none is put off because of the others)
    $cf .= "O MinQueueAge=0\nO Timeout.hoststatus=0\nO Timeout.iconnect=5s\n"
        . "O HelpFile=/dev/null\nO RefuseLA=900\nO QueueLA=900\n";
    spew('/etc/mail/sendmail.cf', $cf);
    return bless {mta => 'sendmail', pidfile => '/run/sendmail/mta/sendmail.pid',
        start => [qw(/usr/sbin/sendmail -bd -q10s)],
        flush => ['sh', '-c', 'sendmail -Ac -q; sendmail -q'],
        path => '/usr/sbin/sendmail',
        spool => [qw(/var/spool/mqueue /var/spool/mqueue-client)]}, $class;
}

sub sendmail { $_[0]{path} }
sub spool { @{$_[0]{spool}} }
sub args { ['--mta', $_[0]{mta}] }
sub flush { run(@{$_[0]{flush}}) }
sub pid { (slurp($_[0]{pidfile}) // '') =~ /^(\d+)/ ? $1 : 0 }

sub start {
    my ($self) = @_;
    my ($rc, $out, $err) = run(@{$self->{start}});
    die "$self->{mta}: $rc: $out$err" if $rc;
    wait_for(sub { $self->pid && kill 0, $self->pid }, "$self->{mta} to start");
}

sub stop {
    my ($self) = @_;
    my $pid = $self->pid or return;
    kill 'TERM', $pid;
    wait_for(sub { proc_state($pid) =~ /^Z?$/ }, "$self->{mta} to end");
}

sub inject {
    my ($self, $text, $from, @to) = @_;
    my ($rc, undef, $err)
        = run({in => $text}, $self->{path}, '-i', '-f', $from, '--', @to);
    die "$self->{mta}: $err" if $rc;
}

1;
