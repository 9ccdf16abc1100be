#!/usr/bin/perl
# 20 clients send mail while httpd and the recorder restart, and while the
# recorder is killed: every mail is delivered, with exactly one record.  The
# recorder stopped, or not there: on-failure, without or with little delay.
#
# MO_RESTARTS=50 restarts that often (default 8), and kills ten times.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;
use MO::Syslog;
use POSIX ();
use Time::HiRes ();

my $restarts = $ENV{MO_RESTARTS} || 8;
my $kills = $ENV{MO_RESTARTS} ? 10 : 3;
my $syslog = MO::Syslog->new;
my ($c, $h, $r, $dir, @clients);

sub chain {
    my ($module, %o) = @_;
    if ($h) {
        $h->stop;
        $r->stop;
        unlink "$LOG/mail.log", "$STATE/seen";
        $syslog->clear;
    }
    $c = MO::Chain->new(modules => [$module], passed => 1, %o);
    ($h, $r, $dir) = ($c->httpd, $c->recorder, scratch());
    my $mail = "printf 'To: you\@example.org\\nSubject: %s\\n\\nbody\\n' "
        . "\"\$QUERY_STRING\" | $WRAPPER -t -i 2>&1";
    $h->put('m.cgi', "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "$mail && echo sent\n", 0755);
    $h->put('m.php', '<?php if (mail("you@example.org", '
        . '$_SERVER["QUERY_STRING"], "body\n")) echo "sent\n";');
    $h->{page} = $module eq 'php' ? '/m.php' : '/m.cgi';
}

# clients that send mail, each its own subjects, until they are told to stop
sub begin {
    my ($n) = @_;
    @clients = ();
    unlink glob "$dir/*";
    unlink "$LOG/mail.log";
    $r->hup;
    $c->sink->clear;
    $syslog->clear;
    for my $i (1 .. $n) {
        my $pid = fork // die "fork: $!";
        if ($pid) {
            push @clients, $pid;
            next;
        }
        my $stop = 0;
        $SIG{TERM} = sub { $stop = 1 };
        open my $fh, '>>', "$dir/$i";
        $fh->autoflush(1);
        for (my $k = 0; !$stop; $k++) {
            my $got = eval { $h->get("$h->{page}?$i-$k") };
            my $said = $got ? "$got->{status} $got->{content}" : "none $@";
            print $fh "$i-$k $said" =~ s/\s+/ /gr, "\n";
        }
        POSIX::_exit(0);
    }
}
sub answers { return map { split /^/, slurp($_) // '' } glob "$dir/*" }
# lets so many more mails go through
sub progress {
    my ($n) = @_;
    my $begin = $c->sink->count;
    # syslog's socket holds ten lines; what nobody reads is lost
    wait_for(sub { $syslog->lines; $c->sink->count >= $begin + $n },
        "$n more mails", 60) or diag(substr($h->error_log, -3000));
}
# A graceful restart, and mod_cgid's daemon is there again: where the next one
# comes before that has its socket, httpd goes on without a daemon.
sub graceful {
    my $resumed = sub { my @n = $h->error_log =~ /resuming normal/g; return @n + 0 };
    my $before = $resumed->();
    $h->graceful;
    my $socket = $h->root . "/run/cgisock.$h->{pid}";
    wait_for(sub { $syslog->lines; $resumed->() > $before
        && ($h->{page} !~ /cgi/ || -e $socket) }, 'httpd resumes', 60);
}
sub end {
    kill 'TERM', @clients;
    waitpid $_, 0 for @clients;
}
# every mail that was sent is there, once, with one record
sub check {
    my ($name) = @_;
    my (%sent, %mail, %busy, @wrong);
    for (answers()) {
        my ($subject, $said) = /^(\S+) (.*)/;
        # mod_cgid's own, while its daemon restarts; the script may have run
        next if $h->{page} =~ /cgi/ && $said =~ /^503 / && ++$busy{$subject};
        $said =~ /^200 sent/ ? $sent{$subject}++ : push @wrong, $_;
    }
    $mail{$_->{data} =~ /^Subject: (\S*)/m && $1}++ for $c->sink->mails;
    my $n = keys %sent;
    is "@wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]", '',
        "$name: each of $n requests was answered";
    is join(' ', grep { !$mail{$_} } sort keys %sent), '',
        '... each mail is delivered';
    is join(' ', grep { $mail{$_} > 1 || !$sent{$_} && !$busy{$_} }
        sort keys %mail), '',
        '... once, and no other';
    is $c->balance, '', '... with exactly one record';
    is join('', grep { /mail without a record/ } $syslog->lines), '',
        '... none went without the recorder';
    return $n;
}

for my $case (['event', 'cgid', 'send'], ['prefork', 'php', 'refuse']) {
    my ($mpm, $module, $on_failure) = @$case;
    chain($module, mpm => $mpm, recorder_conf => "on-failure $on_failure\n");
    my $what = "$mpm, mod_$module, on-failure $on_failure";
    begin(20);
    progress(20);
    for (1 .. $restarts) {
        graceful();
        progress(3);
        $r->restart;
        progress(3);
    }
    end();
    my $n = check("$what: $restarts restarts of each");
    # but for scripts of mod_cgid that its restart cut off from their requests
    is scalar(grep { $_->{verdict} ne 'verified' && ($module ne 'cgid'
        || $_->{verdict} ne 'claimed') } $r->records), 0, '... verified';
    cmp_ok scalar(grep { $_->{verdict} eq 'verified' } $r->records), '>=', $n,
        '... all of the answered ones';

    begin(20);
    for (1 .. $kills) {
        progress(5);
        $r->kill;
        $r->start;
    }
    progress(5);
    end();
    check("$what: $kills KILLs of the recorder");
}

# ---- stopped
sub timed {
    my $begin = Time::HiRes::time();
    my $got = $h->get("$h->{page}?timed");
    return ($got->{content}, Time::HiRes::time() - $begin);
}
for my $on_failure ('send', 'refuse') {
    # mod_php: a socket that mod_cgid waits for would be among those that lie
    # unread before the recorder
    chain('php', mpm => 'prefork', recorder_conf => "on-failure $on_failure\n");
    timed();
    my $n = $r->records;
    $r->signal('STOP');
    wait_for(sub { proc_state($r->pid) eq 'T' }, 'the recorder is stopped');
    $c->sink->clear;
    my ($said, $took) = timed();
    cmp_ok $took, '<', 3, "the recorder stopped, $on_failure: within 3 s";
    cmp_ok $took, '>', 1.9, '... but it is waited for';
    if ($on_failure eq 'send') {
        is $said, "sent\n", '... the mail goes';
        my ($mail) = $c->sink->mails;
        my ($id) = $c->field($mail) =~ /^ v=1; id=([\w-]{16}); t=[\w -]+$/;
        ok $id, '... stamped with its token' or diag $c->field($mail);
        like $syslog->wait_line(qr/mail without a record/),
            qr/mailorigin-sendmail\[\d+\]: mail without a record \(no verdict: Connection timed out\): id=\Q$id\E mode=t uid=\d+ .* token=yes/,
            '... with its line in syslog';
    }
    else {
        is $said, '', '... mail() returns false';
        like $h->error_log, qr/^mailorigin-sendmail: no answer from the recorder \(no verdict: Connection timed out\), and on-failure is refuse$/m,
            '... one line says so';
        is $c->sink->count, 0, '... and it does not go';
    }
    $r->signal('CONT');
    wait_for(sub { MO::Recorder::answers() }, 'it goes on');
    is $r->records, $n, '... which leaves no record of what nobody waits for';

    $r->stop;
    close delete $r->{listener};
    for my $there ('its socket is left', 'there is no socket') {
        unlink "$RUN/recorder.sock" if $there =~ /no/;
        $c->sink->clear;
        $syslog->clear;
        ($said, $took) = timed();
        cmp_ok $took, '<', 1, "no recorder, $there, $on_failure: without delay";
        my $why = $there =~ /no/ ? 'No such file or directory'
            : 'Connection refused';
        if ($on_failure eq 'send') {
            is $said, "sent\n", '... the mail goes';
            like $c->field(($c->sink->mails)[0]),
                qr/^ v=1; id=[\w-]{16}; t=/, '... stamped with its token';
            ok $syslog->wait_line(qr/mail without a record \(\S+: $why\)/),
                '... with its line in syslog';
        }
        else {
            like $h->error_log, qr/^mailorigin-sendmail: no answer from the recorder \(\S+: $why\), and on-failure is refuse$/m,
                '... one line says so';
            is $c->sink->count, 0, '... and it does not go';
        }
    }
}

# ---- a socket of its own is gone while it restarts: mail is not
{
    $r->{passed} = 0;
    chain('cgid', passed => 0);
    begin(5);
    for (1 .. 5) {
        progress(5);
        $r->restart;
    }
    end();
    my $sent = grep { /^\S+ 200 sent/ } answers();
    is $sent, scalar(answers()), 'its own socket: all are answered';
    is scalar(my @m = $c->sink->mails), $sent, '... every mail is delivered';
    my %known = map { $_->{id} => 1 } $r->records;
    $known{$_} = 1 for map { /mail without a record .*: id=(\S+)/ }
        $syslog->lines;
    is scalar(grep { !$known{$c->field($_) =~ /id=([\w-]+)/ && $1} } @m), 0,
        '... with a record, or a line in syslog';
}
$h->stop;
$r->stop;
done_testing;
