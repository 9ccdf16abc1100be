# now --follow: each request that begins, mails and ends, as JSON and text; on a
# terminal a screen.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;
use JSON::PP ();

is((run($MAILORIGIN, qw(now --follow)))[0], 2, 'no httpd has run');
my $dir = scratch();
chmod 0777, $dir;
my $c = MO::Chain->new(mpm => 'event', modules => ['cgid'], vhosts => [{name => 'a.example'}]);
my $h = $c->httpd;
my $mail = $c->mail_line;
$h->put('a.example:mail.cgi', <<"SH", 0755);
#!/bin/sh
while [ ! -e $dir/mail.\$QUERY_STRING ]; do sleep 0.05; done
for i in 1 2 3; do $mail; done
while [ ! -e $dir/end.\$QUERY_STRING ]; do sleep 0.05; done
printf 'Content-Type: text/plain\\n\\nsent\\n'
SH

# follow(NAME, CMD…): its output goes to a file of that name
my %pid;
sub follow {
    my ($name, @cmd) = @_;
    my $pid = fork // die;
    if (!$pid) {
        $ENV{TERM} = 'xterm';
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$dir/$name";
        open STDERR, '>', "$dir/$name.err";
        { no warnings; exec @cmd; }
        POSIX::_exit(127);
    }
    $pid{$name} = $pid;
}
my @now = ($MAILORIGIN, qw(now --follow));
follow(json => @now, '--json');
follow(text => @now);
follow(other => @now, '--json', '--vhost', 'b.example');
follow(screen => 'script', '-qefc', "stty rows 4 cols 60; exec @now", "$dir/typescript");

sub said { slurp("$dir/$_[0]") // '' }
sub changes {
    return grep {($_->{uri} // '') eq '/mail.cgi'}
        map {JSON::PP->new->utf8->decode($_)} grep {/\n\z/} split /^/m, said('json');
}
sub start {
    my ($n) = @_;
    my $s = $h->connect;
    $h->send_request($s, 'GET', "/mail.cgi?$n", headers => {Host => 'a.example', Connection => 'close'});
    return $s;
}
my $s = start(1);
ok(wait_for(sub {said('json') =~ /"change":"began"/}, 'a request'), 'began');
ok(wait_for(sub {said('text') =~ /^began .* 0 mails .*a\.example GET \/mail\.cgi \S+mail\.cgi$/m}, 'a line'), '... as text');
ok(wait_for(sub {said('screen') =~ /1 in progress.* 0 mails\b/s}, 'a screen'), '... on a terminal');
spew("$dir/mail.1", '');
ok(wait_for(sub {said('json') =~ /"change":"mails".*"mails":3,/}, 'its mails'), 'mails');
ok(wait_for(sub {said('text') =~ /^mails .* 3 mails/m}, 'a line'), '... as text');
ok(wait_for(sub {said('screen') =~ / 3 mails/}, 'a screen'), '... on a terminal');
# more than the screen has rows
my @more = map {start($_)} 2 .. 5;
ok(wait_for(sub {said('screen') =~ /5 in progress.*and 3 more/s}, 'five'), 'more than there are rows');
spew("$dir/$_", '') for map {("mail.$_", "end.$_")} 1 .. 5;
for my $name (qw(json text)) {
    ok(wait_for(sub {5 == (() = said($name) =~ /\bended\b/g)}, 'their ends'), "$name: each ends");
}
ok(wait_for(sub {said('screen') =~ /\e\[H\d\d:\d\d:\d\d  0 in progress\e\[K\r?\n\e\[J\z/}, 'an empty screen'),
    'the screen is empty');
my @c = changes();
is(join(' ', sort map {"$_->{change}"} grep {$_->{request_id} eq $c[0]{request_id}} @c),
    join(' ', sort 'began', ('mails') x (grep {$_->{change} eq 'mails'
        && $_->{request_id} eq $c[0]{request_id}} @c), 'ended'), 'one line a change');
is(join(' ', map {$_->{mails}} grep {$_->{change} eq 'ended'} @c), '3 3 3 3 3', '... with their mails');
my %is;
is(scalar(grep {$is{$_->{request_id}} && $_->{change} eq 'began' or $_->{change} ne 'began'
    && !$is{$_->{request_id}} or ($is{$_->{request_id}} = $_->{change}) eq ''} @c), 0, '... begun first');
# the end
for my $name (qw(json text other)) {
    kill $name eq 'text' ? 'TERM' : 'INT', $pid{$name};
    waitpid $pid{$name}, 0;
    is($? >> 8, $name eq 'other' ? 1 : 0, "$name: its status");
    is(said("$name.err"), '', '... nothing else to say');
    like(said($name), qr/\A(?:.*\n)*\z/, '... whole lines');
}
is(said('other'), '', 'filtered');
# the terminal's Ctrl-C
my ($child) = (slurp("/proc/$pid{screen}/task/$pid{screen}/children") // '') =~ /(\d+)/;
kill 'INT', $child;
waitpid $pid{screen}, 0;
is($? >> 8, 0, 'screen: its status');
like(said('screen'), qr/\A\e\[\?1049h\e\[\?7l.*\e\[\?7h\e\[\?1049l\z/s, '... the terminal is as it was');
my ($most) = sort {$b <=> $a} map {scalar(() = /\d mails/g)} split /\e\[H/, said('screen');
is($most, 2, '... never more than its rows');
done_testing;
