#!/usr/bin/perl
# trace --queue-id: the mail behind a queue id, while it is in the queue and
# when only the MTA's log knows it: Postfix, Exim, Sendmail, and the bounces
# that each makes.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;

my $dir = scratch();
my $r = request(mail => 'AAAAAAAAAAAAAAA1', message_id => 'one@site1.example',
    from => 'shop@site1.example');
my $two = request(mail => 'AAAAAAAAAAAAAAA2', vhost => 'two.example',
    message_id => 'two@hacked.example');
spew("$LOG/mail.log", record(request()) . record($r) . record($two));
my $queues = "$SRC/t/data/queues";
spew("$dir/keyring", slurp("$queues/keyring"), 0600);

# ---- in the queue: files that real MTAs wrote, stamped with a key of their own
my %queue = (
    postfix => ['postfix'], exim => ['exim'], sendmail => ['sendmail/mqueue', 'sendmail/mqueue-client']);
for my $mta (sort keys %queue) {
    my @q = ('--keyring', "$dir/keyring", '--mta', $mta, map {('--queue-dir', "$queues/$_")}
        grep {-d "$queues/$_"} @{$queue{$mta}});
    my ($rc, $out) = run($MAILORIGIN, qw(queue --json --bounces), @q);
    my @listed = map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
    my ($one) = grep {($_->{id} // '') eq 'AAAAAAAAAAAAAAA1'
        && $_->{queue} ne 'maildrop'} @listed;
    ok($one, "$mta: the mail is in its queue") or diag($out), next;
    my @o = trace(@q, '--queue-id', $one->{queue_id});
    is($o[0]{id}, 'AAAAAAAAAAAAAAA1', "$mta: by its queue id");
    is($o[0]{stamp}, 'authentic', '... its stamp');
    is($o[0]{script}, '/srv/site1/shop.php', '... its origin');
    is($o[0]{where}, 'in the queue', '... and where it was');
    my ($bounce) = grep {$_->{bounce}} @listed;
    if ($bounce) {
        @o = trace(@q, '--queue-id', $bounce->{queue_id});
        is($o[0]{vhost}, 'hacked.example', "$mta: a bounce in the queue");
    }
    @o = trace(@q, map {('--queue-id', $_->{queue_id})} grep {!$_->{bounce}
        && $_->{id}} @listed);
    ok(@o >= 2, "$mta: several ids");
}

# ---- in the log
my %log = (
    Postfix => [<<'END', 'A94DF404B38D', '3zQ9mV1fYxz4Yk'],
Nov 24 08:00:01 web1 postfix/pickup[99]: A94DF404B38: uid=1001 from=<www>
Nov 24 08:00:01 web1 postfix/cleanup[101]: A94DF404B38: message-id=<innocent@x.example>
Nov 24 08:00:01 web1 postfix/cleanup[101]: A94DF404B38D: message-id=<one@site1.example>
Nov 24 08:00:01 web1 postfix/qmgr[102]: A94DF404B38D: from=<shop@site1.example>, size=512, nrcpt=1 (queue active)
Nov 24 08:00:02 web1 postfix/cleanup[101]: 3zQ9mV1fYxz4Yk: message-id=<20261124080002.3zQ9mV1fYxz4Yk@web1.example>
Nov 24 08:00:02 web1 postfix/bounce[103]: A94DF404B38D: sender non-delivery notification: 3zQ9mV1fYxz4Yk
END
    'Postfix, RFC 3339' => [<<'END', '4F1C22A0B1', undef],
2026-11-24T08:00:01.123456+01:00 web1 postfix/cleanup[101]: 4F1C22A0B1: message-id=<one@site1.example>
END
    Exim => [<<'END', '1vNkQz-0000Ab-CD', '1vNkR0-0000Ac-EF'],
2026-11-24 08:00:01 1vNkQz-0000Ab-CD <= shop@site1.example U=www-data P=local S=512 id=one@site1.example
2026-11-24 08:00:02 1vNkQz-0000Ab-CD ** b@far.example R=dnslookup T=remote_smtp: 550 no
2026-11-24 08:00:02 1vNkR0-0000Ac-EF <= <> R=1vNkQz-0000Ab-CD U=Debian-exim P=local S=1700
END
    Sendmail => [<<'END', '5AO801ab012345', '5AO802ab012346'],
Nov 24 08:00:01 web1 sendmail[812]: 5AO801ab012345: from=shop@site1.example, size=512, class=0, nrcpts=1, msgid=<one@site1.example>, relay=www@localhost
Nov 24 08:00:02 web1 sendmail[813]: 5AO801ab012345: to=b@far.example, delay=00:00:01, stat=User unknown
Nov 24 08:00:02 web1 sendmail[813]: 5AO801ab012345: 5AO802ab012346: DSN: User unknown
END
);
for my $name (sort keys %log) {
    my ($text, $id, $bounce) = @{$log{$name}};
    unlink glob "$dir/maillog*";
    spew("$dir/maillog", $text);
    my @o = trace('--maillog', "$dir/maillog", '--queue-id', $id);
    is($o[0]{id}, 'AAAAAAAAAAAAAAA1', "$name: by its log");
    is($o[0]{where}, "by the MTA's log", '... and says so');
    if ($bounce) {
        @o = trace('--maillog', "$dir/maillog", '--queue-id', $bounce);
        is($o[0]{id}, 'AAAAAAAAAAAAAAA1', "$name: a bounce's id");
    }
    run('sh', '-c', "cd $dir && gzip maillog && mv maillog.gz maillog.2.gz");
    @o = trace('--maillog', "$dir/maillog", '--queue-id', $id);
    is($o[0]{id}, 'AAAAAAAAAAAAAAA1', "$name: in a rotated log");
    my ($rc, $out, $err) = run($MAILORIGIN, 'trace', '--maillog',
        "$dir/maillog", '--queue-id', substr $id, 1);
    is($rc, 1, "$name: half an id is none");
    like($err, qr/neither the queue nor the MTA's log knows/, '... and says so');
}
# the mail left no record, but the MTA knows it
spew("$dir/maillog", "Nov 24 08:00:01 w postfix/cleanup[1]: ABCDEF12345: message-id=<no\@x.example>\n");
my ($rc, $out, $err) = run($MAILORIGIN, qw(trace --queue-id ABCDEF12345
    --maillog), "$dir/maillog");
is($rc, 1, 'no record of it');
like($err, qr/the mail log has no mail with Message-ID <no\@x.example>/, '... said');
for my $bad ('a;b', '*', '-rf', 'x' x 100, "A\nB") {
    ($rc, $out, $err) = run($MAILORIGIN, 'trace', "--queue-id=$bad");
    is($rc, 2, 'no queue id');
    like($err, qr/--queue-id '.*is no queue id/s, '... said');
    unlike($err, qr/[^\n\x20-\x7E]/, '... without a raw byte');
}
($rc, $out, $err) = run($MAILORIGIN, qw(trace --queue-id ABCDEF12345 --maillog),
    "$dir/none");
is($rc, 2, 'no such maillog');
like($err, qr{--maillog $dir/none: No such file}, '... said');
done_testing;
