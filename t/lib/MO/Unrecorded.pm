# MO::Unrecorded - what came past the wrapper, found in a real server's own
# log by `mailorigin log --unrecorded`, and nothing else.
#
#   unrecorded_test($mta, $recorder)   after mta_start and mta_wrap of MO::Mta,
#                                      which uses this one
package MO::Unrecorded;
use strict;
use warnings;
use IO::Socket::INET ();
use JSON::PP ();
use Test::More;
use Time::HiRes ();
use Time::Local ();
use MO::Test;

my $real = '/usr/sbin/sendmail.real';
my $ours = '/usr/sbin/sendmail';

sub mail {
    my ($label) = @_;
    return ($label ? "Message-ID: <$label\@x.example>\n" : '')
        . "Subject: u\n\nu\n";
}

sub dialogue {
    my ($label) = @_;
    my $text = "EHLO x\nMAIL FROM:<bob\@localhost>\nRCPT TO:<alice\@localhost>\n"
        . "DATA\n" . mail($label) . ".\nQUIT\n";
    return $text =~ s/\n/\r\n/gr;
}

sub batch {
    return join '', map { "MAIL FROM:<alice\@localhost>\n"
        . "RCPT TO:<bob\@localhost>\nDATA\n" . mail($_) . ".\n" } @_;
}

# by SMTP to this host, from that address of it
sub smtp {
    my ($label, $from) = @_;
    my $text = mail($label) =~ s/\n/\r\n/gr;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:25',
        LocalAddr => $from) or BAIL_OUT("smtp: $!");
    my $say = sub { print $s "$_[0]\r\n" if @_; readline $s };
    $say->();
    (my $host = (run('uname', '-n'))[1]) =~ s/[.\n].*//s;
    $say->($_) for 'HELO x', "MAIL FROM:<bob\@$host.example>",
        'RCPT TO:<alice@localhost>', 'DATA', "$text.", 'QUIT';
    close $s;
}

sub unrecorded_test {
    my ($mta, $recorder) = @_;
    my $log = $mta eq 'exim' ? '/var/log/exim4/mainlog' : '/var/log/maillog';
    my %uid = map { $_ => scalar getpwnam $_ } qw(alice bob carol root);
    my ($status, $direct) = run('readlink', '-f', $real);
    chomp $direct;
    my ($here, $gone) = ('203.0.113.7', '198.51.100.9');
    for my $ip ($here, $gone) {
        ($status, my $out, my $err) = run(qw(ip addr add), $ip, qw(dev lo));
        $status == 0 or BAIL_OUT("ip addr add $ip: $err");
    }

    run('truncate', '-s', '0', $log);
    my (%time, @want);
    # one that must be seen so, where it says "taken uid"
    my $sent = sub {
        my ($label, $seen, $send) = @_;
        $time{$label} = Time::HiRes::time();
        $send->();
        # (procmail waits 8 s for a mailbox that another delivery has locked)
        wait_for(\&MO::Mta::mta_idle, 'an empty queue', 60);
        push @want, "$seen $label" if $seen;
    };
    my $call = sub {
        my ($label, $seen, $user, $program, $in, @args) = @_;
        $sent->($label, $seen && "$seen $uid{$user}", sub {
            MO::Mta::call($user, $program, 'sendmail', $in, @args) });
    };
    $call->('past', 'local', 'alice', $real, mail('past'), '-i', 'bob');
    $call->('through', '', 'alice', $ours, mail('through'), '-i', 'bob');
    $call->('t', '', 'bob', $ours, "To: alice, carol\n" . mail('t'), '-t');
    $call->('root', '', 'root', $ours, mail('root'), '-i', 'bob');
    $call->('pastroot', 'local', 'root', $real, mail('pastroot'), '-i', 'bob');
    $call->('direct', 'local', 'bob', $direct, mail('direct'), '-i', 'alice');
    $call->('first', '', 'alice', $ours, mail('replayed'), '-i', 'bob');
    $call->('replayed', 'local', 'alice', $real, mail('replayed'), '-i', 'bob');
    $call->('ourmade', '', 'alice', $ours, mail(), '-i', 'bob');
    $call->('made', 'local', 'bob', $real, mail(), '-i', 'alice');
    $call->('bs', '', 'alice', $ours, dialogue('bs'), '-bs');
    $call->('pastbs', 'local', 'bob', $real, dialogue('pastbs'), '-bs');
    # a mail of his own past us is not what he sent through us without an id
    $call->('pastid', 'local', 'carol', $real, mail('pastid'), '-i', 'bob');
    $call->('madebs', '', 'carol', $ours, dialogue(), '-bs');
    $call->('bounced', '', 'alice', $ours, mail('bounced'), '-oem', '-i',
        'nobodyhere');
    if ($mta eq 'exim') {
        $call->('batch', '', 'alice', $ours, batch('one', '', 'two'), '-bS');
        $call->('pastbatch', 'local', 'alice', $real, batch('pastbatch'),
            '-bS');
    }
    $recorder->stop;
    $call->('norecord', 'local', 'alice', $ours, mail('norecord'), '-i', 'bob');
    $recorder->start;
    $sent->('smtp', 'smtp -', sub { smtp('smtp') });
    $sent->('smtphere', 'smtp -', sub { smtp('smtphere', $here) });
    # (an address that this host has no more is another host's)
    $sent->('elsewhere', '', sub { smtp('elsewhere', $gone) });
    run(qw(ip addr del), "$gone/32", qw(dev lo));
    my $end = Time::HiRes::time();

    ($status, my $out, my $err) = run($MAILORIGIN,
        qw(log --unrecorded --json), $log);
    is $status, 0, 'log --unrecorded: found' or diag($err);
    my (@got, @late, @lost);
    for my $m (map { JSON::PP::decode_json($_) } split /\n/, $out) {
        my $label = ($m->{message_id} // '') =~ /^(\w+)\@x\.example$/ ? $1
            : 'made';
        push @got, join ' ', $m->{taken}, $m->{uid} // '-', $label;
        my @t = ($m->{time} // '') =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;
        my $at = @t ? Time::Local::timegm(@t[5, 4, 3, 2], $t[1] - 1,
            $t[0]) : 0;
        # (their logs have whole seconds)
        push @late, "$label: $m->{time}" if $m->{mta} ne $mta
            || $at < int $time{$label} || $at > $end;
        my $id = $m->{message_id} // '';
        push @lost, "$label: $m->{queue_id}" if slurp($log)
            !~ /\b\Q$m->{queue_id}\E\b.*\Q$id\E/;
    }
    is join("\n", sort @got), join("\n", sort @want), 'just what came past us'
        or diag($out, slurp($log));
    is "@late", '', 'with its MTA and time';
    is "@lost", '', 'and queue id';
    ($status, $out) = run($MAILORIGIN, qw(log --unrecorded --uid), $uid{root},
        $log);
    like $out,
        qr/\A\S+ \S+ $mta \w[-\w]+ local uid=$uid{root} from=<[^\n]*\n\z/,
        'the filter --uid, as text';
    is((run($MAILORIGIN, qw(log --unrecorded --since), '@1', '--until', '@2',
        $log))[0], 1, 'the filter --until: nothing');
    is((run($MAILORIGIN, qw(log --unrecorded /nowhere)))[0], 2, 'no such log');
}

1;
