# What is missing costs a line in the error log and evidence, never an answer
# or a mail.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

sub sh {
    my ($status, $out, $err) = run(@_);
    die "@_: $err" if $status;
    return $out;
}

my ($c, $h, $sent);
sub chain {
    my (%o) = @_;
    $h->stop if $h;
    if ($c) {
        is $c->balance, '', '… every mail has its record'
            if !delete $o{unrecorded};
        $c->recorder->stop;
    }
    unlink "$LOG/mail.log";
    $sent = 0;
    $c = MO::Chain->new(modules => ['cgid'], mpm => 'event', %o);
    $h = $c->httpd;
    $h->put('m.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "@{[$c->mail_line('through')]} && echo sent\n", 0755);
    return $c;
}

# a request whose script mails; its record
sub sends {
    my ($what, %o) = @_;
    my $n = $c->recorder->records;
    my $r = $h->get('/m.cgi?q');
    is "$r->{status} $r->{content}", "200 sent\n", "$what: httpd serves"
        or diag $h->error_log;
    my @mail = $c->sink->wait_mails(++$sent);
    like $mail[-1]{data}, qr/^Subject: through\n\nbody\n\z/m,
        "$what: the mail goes";
    if ($o{unrecorded}) {
        is scalar($c->recorder->records), $n, "$what: without a record";
        return $mail[-1];
    }
    my @r = $c->recorder->wait_records($n + 1);
    return $r[-1];
}

# our lines in the error log
sub said {
    my ($level) = @_;
    return grep { /\[mailorigin:$level\]/ } split /\n/, $h->error_log;
}

sub said_once {
    my ($level, $re, $what) = @_;
    my @said = said($level);
    is scalar(@said), 1, "$what: one $level line" or diag "@said";
    like $said[0], $re, "$what: $re";
}

# ---- nothing is missing
chain();
my $r = sends('as it should be');
is "$r->{verdict} $r->{uri}", 'verified /m.cgi', '… and verified';
is join("\n", said('\w+')), '', '… without a line';

# ---- a changed ServerLimit, on graceful
$h->conf("ServerLimit 40\nMaxRequestWorkers 640\n");
my $seen = () = $h->error_log =~ /resuming normal/g;
$h->graceful;
wait_for(sub { my $k = () = $h->error_log =~ /resuming normal/g; $k > $seen },
    'a graceful restart');
$r = sends('a changed ServerLimit');
is "$r->{verdict} $r->{uri}", 'verified /m.cgi', '… and verified';
# httpd keeps to its old limit, with a line of its own
cmp_ok scalar(said('\w+')), '<=', 1, '… a line of ours at most';

# ---- a full board
my ($board) = glob "$RUN/board/[1-9]*";
wait_for(sub { sh("$BUILD/t/tools/peek", 'board', $board) eq '' },
    'all slots are free');
sh("$BUILD/t/tools/peek", 'fill', $board, 0);
for my $n (1, 2) {
    $r = sends("a full board, $n");
    # no slot, so no fact of the kernel's; the token speaks
    is "$r->{verdict} $r->{uri}", 'claimed /m.cgi', '… claimed by its token';
}
my @full = grep { /board .* is full/ } said('crit');
is scalar(@full), 1, 'a full board: one line';
like $full[0], qr/\Q$board\E.*slots.*stop and start httpd/,
    '… with its name and mend';

# ---- keyrings
unlink "$ETC/keyring";
chain();
is scalar(said('crit')), 0, 'a new keyring: nothing to say';
$h->stop;
chmod 0644, "$ETC/keyring";
$h->start;
$r = sends('a world-readable keyring');
said_once('crit', qr{\Q$ETC\E/keyring.*mailorigin key init},
    'a world-readable keyring');
is "$r->{verdict} $r->{uri}", 'verified /m.cgi', '… the kernel names it still';
is $r->{request_hash}, undef, '… without a hash';
$h->stop;
chmod 0640, "$ETC/keyring";
spew("$ETC/keyring", "nonsense\n");
spew($h->root . '/logs/error.log', '');
$h->start;
$r = sends('a broken keyring');
said_once('crit', qr{\Q$ETC\E/keyring}, 'a broken keyring');
is "$r->{verdict} $r->{uri}", 'verified /m.cgi', '… the kernel names it still';
unlink "$ETC/keyring";

# ---- an ordinary user, who can't read root's keyring
$h->stop;
$c->recorder->stop;
undef $h;
undef $c;
sh(qw(chown -R www-data), $RUN, $LOG);
sh($MAILORIGIN, qw(key init));
chmod 0640, "$ETC/keyring";
chown 0, 0, "$ETC/keyring";
unlink "$LOG/mail.log";
$c = bless {}, 'MO::Chain';
$c->{recorder} = MO::Recorder->new(user => 'www-data');
$c->{httpd} = $h = MO::Httpd->new(modules => ['cgid'], mpm => 'event',
    run_as => 'www-data');
$h->put('m.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "@{[$c->mail_line('through')]} && echo sent\n", 0755);
$sent = 0;
$r = sends('an ordinary user');
is "$r->{verdict} $r->{uri}", 'verified /m.cgi', '… verified for its own recorder';
said_once('crit', qr{\Q$ETC\E/keyring}, "root's keyring");
said_once('warn', qr/not started by root/, 'what it costs');
$r = sends('an ordinary user, again');
is scalar(said('\w+')), 2, '… said once';
$h->stop;
$c->recorder->stop;
undef $h;
undef $c;
sh(qw(chown -R root), $RUN, $LOG);

# ---- no run directory, so no recorder either: another PREFIX in place of ours
my $bare = scratch();
mkdir "$bare/$_" for qw(etc var var/lib var/lib/mailorigin var/log);
sh('cp', '-a', "$PREFIX/lib", "$PREFIX/bin", "$bare/");
sh('cp', '-a', $ETC, "$bare/etc/");
sh('mount', '--bind', $bare, $PREFIX);
$c = bless {}, 'MO::Chain';
$c->{recorder} = MO::Recorder->new(start => 0);
$c->{httpd} = $h = MO::Httpd->new(modules => ['cgid'], mpm => 'event');
$h->put('m.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
    . "@{[$c->mail_line('through')]} && echo sent\n", 0755);
$sent = 0;
my $mail = sends('no run directory', unrecorded => 1);
said_once('crit', qr{run directory \Q$RUN\E can't be used.*mkdir -p},
    'no run directory');
like $c->field($mail), qr/^ v=1; id=[\w-]{16}; t=\S{30}/,
    '… the mail has the token as its stamp';
sends('no run directory, again', unrecorded => 1);
is scalar(said('crit')), 1, '… said once';
$h->stop;
sh('umount', $PREFIX);
done_testing;
