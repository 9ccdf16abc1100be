#!/usr/bin/perl
# block, unblock and blocks with the real recorder: effective for the next
# mail, kept over a restart, readable while it is gone, root's only.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use JSON::PP;

my $r = MO::Recorder->new;
my $json = JSON::PP->new->utf8;
sub cli {return run($MAILORIGIN, @_)}
sub blocks {
    my ($rc, $out) = cli('blocks', '--json');
    return map {$json->decode($_)} split /\n/, $out;
}
sub send_mail {
    return run({in => "Subject: x\n\nhello\n"}, $WRAPPER, '-i',
        'to@far.example');
}

is((cli('blocks'))[0], 1, 'no block at first');
is((send_mail())[0], 0, 'a mail goes');
my ($rc, $out, $err) = cli('block', '--uid', $>, '--reason', 'spam; $(x) %');
is($rc, 0, 'block --uid') or diag($out, $err);
my ($b) = blocks();
is($b->{type}, 'uid', 'it is listed');
is($b->{value}, "$>", '... with its value');
is($b->{action}, 'refuse', '... and action');
is($b->{reason}, 'spam; $(x) %', '... and reason, literally');
($rc, $out, $err) = send_mail();
is($rc, 77, 'the next mail is refused') or diag($err);
$r->restart;
is((send_mail())[0], 77, 'so it is after a restart');
($rc) = cli('unblock', $b->{id});
is($rc, 0, 'unblock by id');
is((send_mail())[0], 0, 'mail goes again');
is((cli('unblock', $b->{id}))[0], 1, 'unblocked twice: nothing');

# replaced, not doubled; times; forms
is((cli('block', '--vhost', 'a.example', '--for', '2h'))[0], 0, '--for');
is((cli('block', '--vhost', 'a.example', '--hold', '--http'))[0], 0,
    'the same again');
is(scalar(my @one = blocks()), 1, '... replaces it');
is($one[0]{action}, 'hold', '... with what is asked now');
ok($one[0]{http} && !$one[0]{until}, '... all of it');
is((cli('unblock', '--vhost', 'a.example'))[0], 0, 'unblock by what it hits');

# wrong ones say what is allowed
for my $bad (['block'], ['block', '--vhost', 'a', '--uid', '1'],
    ['block', '--uid', 'root'], ['block', '--client', '300.1.1.1'],
    ['block', '--client', '10.0.0.0/99'],
    ['block', '--vhost', 'a', '--for', 'soon'], ['unblock'],
    ['unblock', 'x'], ['blocks', 'x']) {
    ($rc, $out, $err) = cli(@$bad);
    is($rc, 2, "@$bad: refused");
    like($err, qr/^mailorigin: \S/, '... in words');
}
is((cli('blocks'))[0], 1, 'no block came of it');

# hostile names are kept as they are
for my $evil ("/srv/;\$(touch x)/-rf *.php", "/srv/a\tb\nc") {
    is((cli('block', '--script', $evil))[0], 0, 'a hostile name');
    my ($got) = blocks();
    is($got->{value}, $evil, '... literally');
    is((cli('unblock', '--script', $evil))[0], 0, '... and gone');
}

# only root, by the kernel's word
chmod 0755, $RUN;
($rc, $out, $err)
    = run({user => 'nobody'}, $MAILORIGIN, 'block', '--vhost', 'b.example');
is($rc, 2, 'another user may not') or diag($out, $err);
is((cli('blocks'))[0], 1, '... and nothing is blocked');

# the recorder gone
cli('block', '--vhost', 'c.example');
$r->stop;
is((cli('blocks'))[0], 0, 'without the recorder blocks can be read');
($rc, $out, $err) = cli('block', '--vhost', 'd.example');
is($rc, 2, '... but not changed');
like($err, qr/recorder at .*nothing is changed/, '... and it says so');
done_testing;
