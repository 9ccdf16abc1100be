# Directives, and that nothing but their syntax stops httpd: what is missing
# at run time is one line.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::LookHttpd;

sub sh {
    system(@_) == 0 or die "@_";
}

keyring();

# ---- syntax
my $h = look_httpd(start => 0);
my $base = slurp($h->conf_file);

sub check {
    my ($lines, @want) = @_;
    spew($h->conf_file, "$base$lines\n");
    my ($status, $out, $err) = $h->command('-t');
    if (@want) {
        isnt($status, 0, "refused: $lines");
        like($err, $_, "… $_") for @want;
    }
    else {
        is($status, 0, "taken: $lines") or diag($err);
    }
}
check('MailOrigin maybe', qr/MailOrigin\b/, qr/maybe/, qr/On\b.*\bOff/);
check('MailOriginForward 1', qr/MailOriginForward\b/, qr/"1"/, qr/On\b.*\bOff/);
check('MailOriginRecord Body', qr/MailOriginRecord\b/, qr/"Body"/,
    qr/None.*All.*Query.*Subject.*Recipients/);
check('MailOriginRecord +All', qr/MailOriginRecord\b/, qr/"\+All"/);
check('MailOriginRecord Query -Subject', qr/MailOriginRecord\b/,
    qr/Query -Subject/, qr/either all words have \+ or -/);
check('MailOriginRecord None Query', qr/MailOriginRecord\b/, qr/"None"/);
check('MailOriginRecord', qr/MailOriginRecord\b/, qr/None.*All.*Query/);
check('MailOrigin', qr/MailOrigin\b/);
check($_) for 'MailOrigin On', 'mailorigin OFF', 'MailOriginRecord None',
    'MailOriginRecord query subject', 'MailOriginRecord +Query -Recipients',
    'MailOriginRecord ALL', "<Location /x>\nMailOrigin Off\n</Location>",
    "<Directory /x>\nMailOriginRecord All\nMailOriginForward On\n</Directory>",
    "<VirtualHost *>\nMailOrigin Off\n</VirtualHost>",
    "<FilesMatch php>\nMailOrigin Off\n</FilesMatch>";
is(join(' ', glob("$RUN/*")), '', 'httpd -t makes nothing');
spew($h->conf_file, $base);

# ---- what is missing at run time
my $waits = 0;
sub serves {
    my ($what, $re, $board) = @_;
    $h->start;
    my $l = look($h, '/look.cgi');
    is($l->{vars}{MAILORIGIN_URI}, '/look.cgi', "$what: httpd serves");
    my @crit = ours($h, 'crit');
    is(scalar(@crit), 1, "$what: one line") or diag("@crit");
    like($crit[0], $re, "$what: $re");
    my $wait = wait_cgi($h, 'w' . ++$waits);
    # the one before may end a moment after its answer
    ok(wait_for(sub { (my @slots = slots()) == $board }, 'slots'),
        "$what: requests on the board: $board");
    $wait->release;
    $h->get('/look.cgi') for 1 .. 3;
    is(scalar(ours($h, 'crit')), 1, "$what: one line after more requests");
    $h->stop;
    spew($h->root . '/logs/error.log', '');
    return $l;
}

my $l;
unlink "$ETC/keyring";
$l = serves('no keyring', qr{\Q$ETC\E/keyring.*mailorigin key init}, 1);
ok(!$l->{vars}{MAILORIGIN_TOKEN}, '… no token');
keyring(0, 0644);
$l = serves('a world-readable keyring', qr{\Q$ETC\E/keyring}, 1);
ok(!$l->{vars}{MAILORIGIN_TOKEN}, '… is not used');
spew("$ETC/keyring", "nonsense\n", 0640);
serves('a broken keyring', qr{\Q$ETC\E/keyring.*1}, 1);
keyring();

rmdir "$RUN/board";
spew("$RUN/board", '');
serves('the board\'s folder is a file', qr{\Q$RUN\E/board can't be used}, 0);
unlink "$RUN/board";

# a full file system: room for a part of the board only
sh('mount', '-t', 'tmpfs', '-o', 'size=128k,mode=755', 'small', $RUN);
serves('no room', qr{the board \Q$RUN\E/board/\d+ .*can't be made}, 0);
is(join(' ', glob "$RUN/board/*"), '', '… and no torso is left');
sh('umount', $RUN);

# no run directory: another PREFIX in the place of this one
my $bare = scratch();
mkdir "$bare/$_" for 'etc', 'lib', 'var';
sh('cp', '-a', "$PREFIX/lib/apache2", "$bare/lib/");
sh('cp', '-a', $ETC, "$bare/etc/");
sh('mount', '--bind', $bare, $PREFIX);
serves('no run directory', qr{run directory \Q$RUN\E can't be used.*mkdir -p},
    0);
ok(!-e $RUN, '… and none is made');
mkdir $RUN;
sh('mount', '--bind', $RUN, $RUN);
sh('mount', '-o', 'remount,bind,ro', $RUN);
serves('a run directory that can\'t be written', qr{\Q$RUN\E can't be used}, 0);
sh('umount', $RUN);
sh('umount', $PREFIX);

# ---- an ordinary user
sh('chown', '-R', 'www-data', $RUN);
keyring();
chown 0, 0, "$ETC/keyring";
$h = look_httpd(run_as => 'www-data');
my @crit = ours($h, 'crit');
is(scalar(@crit), 1, 'an ordinary user, root\'s keyring: one line');
like($crit[0], qr{\Q$ETC\E/keyring}, '… of the keyring');
is(scalar(grep { /not started by root/ } ours($h, 'warn')), 1,
    '… and one of what it costs');
is(scalar(@{look($h, '/look.cgi')->{slots} // []}), 1,
    '… requests are on the board');
$h->graceful;
$h->wait_error(qr/resuming normal operations.*resuming normal operations/s);
is(scalar(grep { /not started by root/ } ours($h, 'warn')), 1,
    '… said once, also after a graceful restart');
$h->stop;

# ---- clean, with nothing missing
sh('chown', '-R', 'root', $RUN);
$h = look_httpd();
look($h, '/look.cgi');
is(join("\n", ours($h)), '', 'all is there: not a line');
$h->stop;
is(join(' ', glob "$RUN/board/* $RUN/httpd/*"), '',
    'the parent removes board and layout at its end');
done_testing;
