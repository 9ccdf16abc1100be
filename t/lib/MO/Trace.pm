# MO::Trace - mails, records and access_log lines made up, for tests of the
# command alone: no httpd, no recorder.  At import it makes a keyring.
#   request(NAME => VALUE…)  a request that sent a mail: vhost, uri, script,
#       client, method, line (of access_log), id, mail, time (s), sent (s), uid,
#       from, message_id; each has a default; the rest goes into its record
#   field(R [, NAME => VALUE…])  the header field; options of t/tools/stamp
#   record(R [, NAME => VALUE…])  its line of the mail log; undef leaves out
#   access(R [, ext => TEXT])  its line of access_log, common; ext follows
#   mail(R [, body => TEXT])  the mail, with its field on top
#   rfc(T) clf(T [, ZONE])   a time as records and as access_log have it
#   trace(ARG, …)            (objects of `trace --json`); $? is its status
package MO::Trace;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use MO::Test;
use POSIX ();

our @EXPORT = qw(request field record access mail rfc clf trace);
my $json = JSON::PP->new->utf8->canonical;
my ($rc, undef, $err) = run($MAILORIGIN, qw(key init));
die "key init: $err" if $rc != 0;
my $n = 0;

sub rfc {
    return POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime $_[0]) . '.250000Z';
}

sub clf {
    my ($t, $zone) = @_;
    $zone //= '+0000';
    my ($sign, $h, $m) = $zone =~ /^([+-])(\d\d)(\d\d)$/;
    $t += ($sign eq '-' ? -60 : 60) * (60 * $h + $m);
    return POSIX::strftime('%d/%b/%Y:%H:%M:%S ', gmtime $t) . $zone;
}

sub request {
    my %r = (vhost => 'hacked.example', method => 'POST',
        uri => '/wp-content/x.php', script => '/srv/hacked/wp-content/x.php',
        client => '198.51.100.9', time => 1795507200, uid => 1001,
        from => 'www@hacked.example', @_);
    $n++;
    $r{id} //= sprintf 'Req%021d', $n;
    $r{mail} //= sprintf 'M%015d', $n;
    $r{sent} //= $r{time} + 1;
    $r{line} //= "$r{method} $r{uri}?n=$n HTTP/1.1";
    $r{message_id} //= "m$n\@hacked.example";
    return \%r;
}

sub stamp {
    my ($r, %o) = @_;
    my %a = (mail => $r->{mail}, when => $r->{sent}, time => $r->{time},
        uid => $r->{uid}, id => $r->{id}, host => 'web1.example',
        client => $r->{client}, vhost => $r->{vhost},
        method => $r->{method}, uri => $r->{uri}, script => $r->{script},
        request => $r->{line}, %o);
    my $keyring = delete $a{keyring} // "$ETC/keyring";
    my ($status, $out, $said) = run("$BUILD/t/tools/stamp", $keyring,
        map {"$_=$a{$_}"} grep {defined $a{$_}} sort keys %a);
    die "stamp: $said" if $status != 0;
    return $out;
}

sub field { return stamp(@_) }

sub record {
    my ($r, %o) = @_;
    chomp(my $hash = stamp($r, hash => 1));
    my %f = (host => 'web1.example', id => $r->{mail}, verdict => 'verified',
        evidence => 'ancestry', action => 'passed', request_id => $r->{id},
        request_time => rfc($r->{time}), request_hash => $hash,
        client => $r->{client}, vhost => $r->{vhost},
        method => $r->{method}, uri => $r->{uri}, script => $r->{script},
        uid => $r->{uid} + 0, envelope_from => $r->{from}, recipients => 1,
        message_id => "<$r->{message_id}>", %o);
    delete @f{grep {!defined $f{$_}} keys %f};
    my $line = JSON::PP->new->ascii->canonical->encode(\%f);
    # the time stands first, as the recorder writes it
    return '{"time":"' . ($o{time} // rfc($r->{sent})) . '",'
        . substr($line, 1) . "\n";
}

sub access {
    my ($r, %o) = @_;
    return sprintf "%s - - [%s] \"%s\" %s 512%s\n", $o{client} // $r->{client},
        clf($o{time} // $r->{time}, $o{zone}), $o{line} // $r->{line},
        $o{status} // 200, defined $o{ext} ? " $o{ext}" : '';
}

sub mail {
    my ($r, %o) = @_;
    my $field = $o{field} // field($r);
    return $field . "Return-Path: <$r->{from}>\nFrom: $r->{from}\n"
        . "To: you\@victim.example\nSubject: cheap\n"
        . 'Date: ' . POSIX::strftime('%a, %d %b %Y %H:%M:%S +0000',
            gmtime $r->{sent}) . "\n"
        . "Message-ID: <" . ($o{message_id} // $r->{message_id}) . ">\n\n"
        . ($o{body} // "Buy!\n");
}

sub trace {
    my $o = ref $_[0] ? shift : {};
    my ($status, $out, $said) = run($o, $MAILORIGIN, 'trace', '--json', @_);
    Test::More::diag($said) if $status > 1;
    $? = $status;
    return map {$json->decode($_)} split /\n/, $out;
}

1;
