# mpm_itk: a process a connection, of the vhost's own uid, with mod_php and
# CGI; and a killed connection process.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

MO::Handlers::customers();
my %uid = ('a.example' => 1, 'b.example' => 2);
my $row = MO::Handlers->new(order => 63, handler => 'mod_php and mod_cgi',
    mpm => 'itk', modules => ['php', 'cgi'],
    conf => "php_admin_value sendmail_path \"$WRAPPER -i -t\"\n",
    vhost_conf => sub { "AssignUserID cust$uid{$_[0]} cust$uid{$_[0]}\n" });
$row->put('s.php', $row->php);
$row->put('s.cgi', $row->sh, 0755);
$row->steal('/s.php');
$row->fire(['/s.php', '/s.php', '/s.cgi', '/s.cgi'], modes => [qw(direct plain
    clear direct forge late direct now own nofd)]);
my @j = $row->verdicts(direct => 'verified', plain => 'verified',
    clear => 'verified', forge => 'verified',
    late => 'conflict', now => 'conflict', own => 'conflict', nofd => 'verified');
$row->visible(@j);
my %uids = map { $_->{r}{uid} => 1 } @j;
is_deeply([sort keys %uids], [5001, 5002], 'mail of both uids');

# a request whose process is killed, with a program left over
$row->put('stay.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "echo \$\$ > $row->{dir}/stay.pid\nexec sleep 60\n", 0755);
spew("$row->{dir}/stay.pid", '', 0666);
my $client = fork // die $!;
if (!$client) {
    $row->get('a.example', '/stay.cgi');
    POSIX::_exit(0);
}
my $cgi = wait_for(sub { slurp("$row->{dir}/stay.pid") =~ /^(\d+)$/m && $1 },
    'the script runs');
my $parent = (slurp("/proc/$cgi/stat") =~ /\) \S (\d+)/)[0];
my $uid = (stat "/proc/$parent")[4];
is($uid, 5001, "its parent is the connection's process");
kill 'KILL', $parent;
waitpid $client, 0;
# what it leaves behind is an orphan, and nobody's
my ($status) = run({env => {MAILORIGIN_TOKEN => undef}, in => ''},
    $row->send, 'plain', 9001, 'a.example');
is($status, 0, 'mail of no request goes');
$row->fire('/s.cgi', count => 40, modes => ['plain', 'clear']);
@j = $row->verdicts(count => $row->{sent} + 1, plain => ['verified', 'none'],
    clear => 'verified');
is_deeply([map { $_->{r}{verdict} } grep { $_->{n} == 9001 } @j], ['none'],
    'and is named for none');
$row->done('verified');
kill 'KILL', $cgi;

done_testing();
