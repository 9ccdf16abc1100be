# mod_cgid while httpd restarts gracefully, with us and without, side by side:
# its daemon is away for a moment, and the requests of that moment get 503
# from it.  We must add none.  And what a recorder that hangs does to mod_cgid.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;
use MO::Httpd;
use POSIX ();

my $row = MO::Handlers->new(handler => 'mod_cgid', mpm => 'event',
    modules => ['cgid']);
my $bare = MO::Httpd->new(mpm => 'event', modules => ['cgid'],
    mailorigin => 0, vhosts => [map { {name => $_} } @MO::Handlers::VHOSTS]);
my %httpd = (with => $row->h, without => $bare);
my $dir = scratch();
my @clients;
for my $name (sort keys %httpd) {
    my $h = $httpd{$name};
    $h->put("a.example:s.cgi",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nanswered'\n", 0755);
    for my $i (1 .. 3) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            my $stop = 0;
            $SIG{TERM} = sub { $stop = 1 };
            open my $f, '>', "$dir/$name.$i";
            $f->autoflush;
            while (!$stop) {
                my $got = eval { $h->get('/s.cgi',
                    headers => {Host => 'a.example'}) } // {status => 'none'};
                print $f "$got->{status} ",
                    $got->{content} =~ /answered/ ? 1 : 0, "\n";
            }
            POSIX::_exit(0);
        }
        push @clients, $pid;
    }
}
sub answers {
    my ($name) = @_;
    return map { split /\n/, slurp($_) // '' } glob "$dir/$name.*";
}
sub resumed { my @n = $_[0]->error_log =~ /resuming normal/g; return @n + 0 }

# by turns, each as soon as its last one is over, its daemon there again
my $rounds = 12;
for (1 .. $rounds) {
    for my $name (sort keys %httpd) {
        my $h = $httpd{$name};
        my ($before, $answered) = (resumed($h), scalar answers($name));
        my $socket = $h->root . "/run/cgisock.$h->{pid}";
        $h->graceful;
        wait_for(sub { resumed($h) > $before && -e $socket }, "$name resumes",
            60) or last;
        wait_for(sub { answers($name) > $answered + 10 },
            "$name answers again", 60) or last;
    }
}
kill 'TERM', @clients;
waitpid $_, 0 for @clients;
my %busy;
for my $name (sort keys %httpd) {
    my @all = answers($name);
    my @odd = grep { !/^(?:200 1|503 0)$/ } @all;
    is("@odd[0 .. ($#odd > 4 ? 4 : $#odd)]", '', "$name: answered, or 503");
    $busy{$name} = grep { /^503/ } @all;
    note("$name: ", scalar @all, " answers, $busy{$name} of them 503");
}
cmp_ok($busy{with}, '<=', 2 * $busy{without} + $rounds,
    'no more 503 than without us');
$bare->stop;

# The script's output is a socket that the wrapper shows the recorder: while
# that hangs, httpd may wait for the end of its answer.  No mail is lost.
$row->put('mail.cgi', $row->sh, 0755);
my $sink = $row->recorder->sink;
my $before = $sink->count;
$row->recorder->signal('STOP');
my $pid = fork // die "fork: $!";
if (!$pid) {
    my $got = $row->h->get('/mail.cgi?n=1&m=plain',
        headers => {Host => 'a.example'});
    spew("$dir/hung", "$got->{status} $got->{content}");
    POSIX::_exit(0);
}
wait_for(sub { $sink->count > $before }, 'the mail goes while it hangs', 60);
$row->recorder->signal('CONT');
waitpid $pid, 0;
like(slurp("$dir/hung"), qr/^200 sent/, 'the answer is whole');
$row->stop;

done_testing();
