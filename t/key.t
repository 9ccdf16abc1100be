# mailorigin key: a keyring is made once, never written over, and renewed
# without losing a key; whoever reads it meanwhile sees it whole.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use JSON ();
use POSIX ();

my $ring = "$ETC/keyring";

sub key {
    my @arg = @_;
    my $o = ref $arg[0] ? shift @arg : {};
    return run($o, $MAILORIGIN, 'key', @arg);
}

sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777 }
sub lines { return grep { !/^#/ } split /\n/, slurp($_[0]) }
sub entries { opendir my $d, $ETC or die; return sort grep { !/^\./ } readdir $d }

my $line = qr/^[0-9a-f]{8} [A-Za-z0-9_-]{43} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

subtest 'init' => sub {
    my ($s, $out, $err) = key('list');
    is $s, 2, 'list without a keyring is trouble';
    like $err, qr/\Q$ring\E: No such file.*mailorigin key init/,
        'and says which and how to make it';

    ($s, $out, $err) = key('init');
    is $s, 0, 'made';
    is $out, '', 'no data';
    like $err, qr/made \Q$ring\E, with key [0-9a-f]{8}$/, 'says so';
    is mode($ring), '0640', 'mode';
    my @l = lines($ring);
    is @l, 1, 'one key';
    like $l[0], $line, 'its form';
    is_deeply [entries()], ['keyring'], 'no temporary file is left';

    my $was = slurp($ring);
    my @st = stat $ring;
    ($s, $out, $err) = key('init');
    is $s, 0, 'again';
    like $err, qr/there already, with 1 key; nothing to do/, 'says so';
    is slurp($ring), $was, 'the keyring is as it was';
    is_deeply [(stat $ring)[0, 1, 9]], [@st[0, 1, 9]], 'the very file';
};

subtest 'init never writes over a bad one' => sub {
    my $was = slurp($ring);
    spew($ring, "precious, torn\n", 0640);
    my ($s, $out, $err) = key('init');
    is $s, 2, 'trouble';
    like $err, qr/\Q$ring\E: line 1: not the three words/, 'says what';
    is slurp($ring), "precious, torn\n", 'untouched';
    ($s, $out, $err) = key('rotate');
    is $s, 2, 'nor does rotate';
    is slurp($ring), "precious, torn\n", 'untouched';
    unlink $ring;
    symlink 'nowhere', $ring or die;
    ($s) = key('init');
    is $s, 2, 'a dangling link is trouble';
    is readlink $ring, 'nowhere', 'and stays';
    unlink $ring;
    spew($ring, $was, 0640);
};

subtest 'list' => sub {
    my ($s, $out, $err) = key('list');
    is $s, 0;
    my ($id, $master, $created) = split / /, (lines($ring))[0];
    like $out, qr/^\Q$id\E +\Q$created\E +seals and opens$/m, 'one line';
    unlike $out, qr/\Q$master\E/, 'no key in it';
    ($s, $out) = key('list', '--json');
    is_deeply [map { JSON::decode_json($_) } split /\n/, $out],
        [{key => $id, created => $created, seals => JSON::true()}], '--json';
};

subtest 'rotate' => sub {
    my ($old) = lines($ring);
    chmod 0600, $ring;
    chown 0, 4242, $ring;
    my ($s, $out, $err) = key('rotate');
    is $s, 0 or diag $err;
    my @l = lines($ring);
    is @l, 2, 'one more';
    is $l[1], $old, 'the old one is the second';
    like $l[0], $line, 'the new one is the first';
    isnt substr($l[0], 0, 8), substr($old, 0, 8), 'with an id of its own';
    is mode($ring), '0600', 'mode kept';
    is((stat $ring)[5], 4242, 'group kept');
    like slurp($ring), qr/^# /, 'the comment stays first';
    is_deeply [entries()], ['keyring'], 'no temporary file is left';
    ($s, $out) = key('list', '--json');
    is_deeply [map { JSON::decode_json($_)->{seals} ? 1 : 0 } split /\n/, $out],
        [1, 0], 'only the first seals';

    # a link stays one
    rename $ring, "$ETC/real" or die;
    symlink 'real', $ring or die;
    ($s) = key('rotate');
    is $s, 0;
    ok -l $ring, 'a link is still one';
    is scalar(lines("$ETC/real")), 3, 'its target has the new key';
    unlink $ring;
    rename "$ETC/real", $ring or die;
};

subtest 'many rotations at once lose nothing' => sub {
    my @before = lines($ring);
    my @pid;
    for (1 .. 6) {
        my $pid = fork // die;
        if (!$pid) {
            open STDERR, '>', '/dev/null';
            exec $MAILORIGIN, 'key', 'rotate' or POSIX::_exit(127);
        }
        push @pid, $pid;
    }
    # meanwhile it is whole at each look
    my $bad = 0;
    my %left = map { $_ => 1 } @pid;
    while (%left) {
        $bad++ if grep { !/$line/ } lines($ring);
        for (keys %left) {
            delete $left{$_} if waitpid($_, POSIX::WNOHANG()) != 0;
        }
    }
    is $bad, 0, 'no half a file was seen';
    my @after = lines($ring);
    is @after, @before + 6, 'six more';
    is_deeply [@after[6 .. $#after]], \@before, 'the old ones behind them';
};

subtest 'as many as are allowed' => sub {
    while (lines($ring) < 16) {
        my ($s) = key('rotate');
        last if $s;
    }
    my $was = slurp($ring);
    my $oldest = substr +(lines($ring))[-1], 0, 8;
    my ($s, $out, $err) = key('rotate');
    is $s, 2, 'a 17th is refused';
    like $err, qr/holds 16 keys.*delete the oldest one's line \(\Q$oldest\E/,
        'and says what can go';
    is slurp($ring), $was, 'untouched';
};

subtest 'a keyring elsewhere' => sub {
    my $dir = scratch();
    my ($s, $out, $err) = key('init', '--keyring', "$dir/k");
    is $s, 0 or diag $err;
    is scalar(lines("$dir/k")), 1, 'made there';
    chmod 0644, "$dir/k";
    ($s, $out, $err) = key('list', '--keyring', "$dir/k");
    is $s, 2, 'one that others may read is refused';
    like $err, qr{\Q$dir\E/k: mode 0644.*0640}, 'and says what is allowed';
    ($s, $out, $err) = key('init', '--keyring', "$dir/no/k");
    is $s, 2, 'no folder for it';
    like $err, qr{\Q$dir\E/no/k: No such file}, 'named';
    ($s, $out, $err) = key({user => 'www-data'}, 'init', '--keyring', "$dir/n");
    is $s, 2, 'a folder that is not ours';
    like $err, qr{\Q$dir\E/n: Permission denied}, 'named';
};

subtest 'words' => sub {
    for ([[], qr/what is to be done\? Allowed are init, list, rotate/],
        [['lsit'], qr/'lsit' is not known; allowed are init, list, rotate/],
        [['list', 'all'], qr/'all' is one word too many/],
        [['list', '--force'], qr/--force/]) {
        my ($s, $out, $err) = key(@{$_->[0]});
        is $s, 2, "key @{$_->[0]}";
        like $err, $_->[1], 'says what is wrong';
    }
};

done_testing;
