# wrap refuses what it does not understand, and says what it saw
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay qw(ssmtp);
use MO::Test;

sub refused {
    my ($like, $name) = @_;
    my ($status, $out, $err) = run($MAILORIGIN, 'wrap');
    is $status, 2, "$name: status 2";
    like $err, $like, "$name: says what it saw";
}

my $p = '/usr/sbin/sendmail';
my $before = slurp($p);

rename $p, "$p.kept" or die;
refused(qr{sendmail: No such file.*mail server installed}, 'no sendmail');
spew($p, "#!/bin/sh\nexec /usr/sbin/other \"\$@\"\n", 0755);
refused(qr{is a script \(#!/bin/sh\)}, 'somebody\'s shell wrapper');
run('cp', '/bin/true', $p);
refused(qr{a program of no known MTA}, 'an unknown program');
is slurp($p), slurp('/bin/true'), 'which is left as it is';
rename "$p.kept", $p or die;

spew("$p.real", 'somebody\'s');
refused(qr{\Q$p.real\E exists already and is not ours}, 'a .real of others');
is slurp("$p.real"), 'somebody\'s', 'which is left as it is';
unlink "$p.real";

run('dpkg-divert', '--local', '--no-rename', '--divert', "$p.x", '--add', $p);
refused(qr{diverted by somebody else}, 'a diversion of others');
run('dpkg-divert', '--local', '--no-rename', '--remove', $p);

is slurp("$ETC/mailorigin.conf") // '', '', 'the conf names nothing';
ok !-s "$STATE/wrap", 'and no state is kept';
is slurp($p), $before, 'sendmail is as it was';

# an MTA that is removed while wrapped
is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap');
unlink "$p.real" or die;
my ($status, $out, $err) = run($MAILORIGIN, 'wrap', '--status');
is $status, 2, 'the real one is gone: status 2';
like $out, qr{\Q$p\E: broken: \Q$p.real\E is missing}, 'and it is said';
($status, $out, $err) = run($MAILORIGIN, 'unwrap');
is $status, 0, 'unwrap takes the wrapper away' or diag($err);
like $err, qr{is gone}, 'and says why';
ok !-l $p, 'no dead link is left';

# --php
my @dirs = glob '/etc/php/*/*/conf.d';
cmp_ok scalar(@dirs), '>', 0, 'there is a PHP';
is((run($MAILORIGIN, 'wrap', '--php'))[0], 0, 'wrap --php');
is((run('php', '-r', 'echo ini_get("sendmail_path");'))[1], "$WRAPPER -t -i",
    'PHP calls the wrapper');
is scalar(grep { -e "$_/99-mailorigin.ini" } @dirs), scalar(@dirs),
    'in each of its SAPIs';
is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap');
is scalar(grep { -e "$_/99-mailorigin.ini" } @dirs), 0, 'and in none after';
ok !-e "$STATE/wrap", 'no state is kept';

($status, $out, $err) = run({user => 'nobody'}, $MAILORIGIN, 'wrap');
is $status, 2, 'only root';
like $err, qr{only root}, 'and it says so' or diag($err);
is((run($MAILORIGIN, 'wrap', 'x'))[0], 2, 'no operands');
done_testing;
