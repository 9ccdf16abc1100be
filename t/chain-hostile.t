# What .htaccess, a client's headers and a URI can do: no more than a mail's
# one header field, one line of JSON and printable text.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

my $message = "From: <a\@example.org>\nTo: <you\@example.org>\n"
    . "Subject: s\n\nbody\n";

# what a command writes to a terminal
sub on_terminal {
    my (@cmd) = @_;
    my ($status, $out) = run({env => {NO_COLOR => 1, TERM => 'xterm'}},
        'script', '-qec', join(' ', @cmd), '/dev/null');
    return ($status, $out);
}

sub utf8_of {
    my ($text) = @_;
    utf8::encode($text);
    return $text;
}

for (['prefork', 'cgi'], ['event', 'cgid'], ['worker', 'cgid']) {
    my ($mpm, $module) = @$_;
    my $root = scratch();
    my $c = MO::Chain->new(mpm => $mpm, modules => [$module, qw(rewrite
        headers)], root => $root, recorder_conf => "disclose uri\n",
        conf => "ScriptAliasMatch ^/u/ $root/htdocs/m.cgi\n"
            . "MailOriginRecord Query\n");
    my $h = $c->httpd;
    my $script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "printf '" . $message =~ s/\n/\\n/gr . "' | $WRAPPER -t -i\n";
    $h->put($_, $script, 0755) for 'm.cgi', map { "$_/m.cgi" } qw(refused0
        refused1 refused2 setenv rewrite setenvif header);

    # our directives there are refused
    my @ours = ('MailOrigin Off', 'MailOriginRecord None',
        'MailOriginForward On');
    for my $i (0 .. $#ours) {
        $h->put("refused$i/.htaccess", "$ours[$i]\n");
        is $h->get("/refused$i/m.cgi")->{status}, 500,
            "$mpm: $ours[$i] in .htaccess is refused";
        my ($name) = $ours[$i] =~ /^(\w+)/;
        like $h->error_log, qr/\b$name not allowed here/, "$mpm: … by name";
    }
    is scalar($c->recorder->records), 0, "$mpm: … and nothing ran";

    my $other = $c->one('/m.cgi?other')->{record};
    my @names = qw(MAILORIGIN_TOKEN SSL_MAILORIGIN_TOKEN MAILORIGIN_ID
        MAILORIGIN_URI MAILORIGIN_VHOST MAILORIGIN_SCRIPT UNIQUE_ID
        MAILORIGIN-TOKEN SSL-MAILORIGIN-TOKEN mailorigin.token);
    my %lines = (
        setenv => [map { "SetEnv $_ forged" } @names],
        rewrite => ['RewriteEngine On', map { "RewriteRule .* - [E=$_:forged]" }
            @names],
        setenvif => [map { "SetEnvIf Request_URI . $_=forged" } @names],
        header => [map { "RequestHeader set $_ forged" } @names,
            'MailOrigin-Token'],
    );
    my $is_own = sub {
        my ($got, $uri, $what) = @_;
        my $r = $got->{record};
        is "$r->{verdict} $r->{uri} $r->{vhost}", "verified $uri localhost",
            "$mpm, $what: verified, its own";
        is $r->{script}, $h->docroot . $uri, "$mpm, $what: its script";
        is $r->{reason}, undef, "$mpm, $what: nothing forged was shown";
        isnt $r->{request_id}, 'forged', "$mpm, $what: its id";
    };
    for my $dir (sort keys %lines) {
        $h->put("$dir/.htaccess", join "\n", @{$lines{$dir}}, '');
        $is_own->($c->one("/$dir/m.cgi"), "/$dir/m.cgi", $dir);
    }
    my %headers = map { $_ => 'forged', tr/_/-/r => 'forged' } @names,
        'MailOrigin-Token', 'Mail-Origin';
    $is_own->($c->one('/m.cgi', headers => \%headers), '/m.cgi',
        'client headers');

    my %uri = (
        'CR, LF and Bcc' => '/u/%0d%0aBcc:victim@example.org',
        'CR, LF and an end' => '/u/%0D%0A%0D%0Abody',
        '%ff' => '/u/%ff%FE',
        'quotes' => q{/u/"'`\\},
        'markup' => '/u/<script>alert(1)</script>',
        'an encoded ESC' => '/u/%1b[31m%1b]0;title%07',
        'C1 controls' => '/u/%c2%9b31m',
        'bytes above ASCII' => "/u/\xc2\x9b31m\xff\xe2\x80\xae",
        'semicolons, as tags have' => '/u/;v=2;id=AAAAAAAAAAAAAAAA;s=x',
        '8,000 bytes' => '/u/' . 'x' x 7997,
        'a query' => '/u/?%0d%0aBcc:x@example.org&"<script>%1b',
    );
    for my $what (sort keys %uri) {
        my $got = $c->one($uri{$what});
        my $r = $got->{record};
        my ($path) = split /\?/, $uri{$what};
        is $r->{verdict}, 'verified', "$mpm, $what: verified";
        if (length $path < 2000) {
            # JSON has no bytes: UTF-8 is what it says, others their number
            is utf8_of($r->{uri}), $path =~ s/\xff/\xc3\xbf/r,
                "$mpm, $what: the URI as it was sent";
        }
        else {
            like $r->{uri}, qr{^/u/x+\.\.\.x+$},
                "$mpm, $what: the URI, cut in its middle";
        }
        my ($field, $rest) = $got->{mail}{data}
            =~ /\A(Mail-Origin:[^\n]*\n(?:[ \t][^\n]*\n)*)(.*)\z/s;
        is $rest, $message, "$mpm, $what: the mail, and one field more";
        like $field // '', qr/\A[\x20-\x7e\n\t]+\z/,
            "$mpm, $what: which is plain text";
        my ($id) = ($field // '') =~ /\bid=([\w-]{16});/;
        is $id, $r->{id}, "$mpm, $what: with the record's id";

        my $line = ($c->recorder->lines)[-1];
        like $line, qr/\A[\x20-\x7e]+\n\z/, "$mpm, $what: a line of ASCII";
        cmp_ok length $line, '<=', 8192, "$mpm, $what: of 8 KiB at most";
        my ($status, $out, $err) = run({in => $line}, qw(jq -r .uri));
        is $status, 0, "$mpm, $what: which jq reads" or diag $err;
        is scalar(grep { /\S/ } split /^/, $out), 1, "$mpm, $what: as one";

        my $mail = spew(scratch() . '/mail', $got->{mail}{data});
        for my $cmd ([$MAILORIGIN, 'trace', $mail], [$MAILORIGIN, 'log']) {
            ($status, $out) = on_terminal(@$cmd);
            is $status, 0, "$mpm, $what: $cmd->[1] on a terminal";
            like $out, qr/\Q$id\E/, "$mpm, $what: … finds it"
                if $cmd->[1] eq 'trace';
            unlike $out =~ s/\r?\n//gr, qr/[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]/,
                "$mpm, $what: … without a control byte";
        }
    }
    # what httpd itself refuses
    my $n = $c->recorder->records;
    for my $bad ('/u/%00', "/u/\x1b[31m", "/u/\x01", '/u/' . 'x' x 9000) {
        my ($status) = $h->raw("GET $bad HTTP/1.1\r\nHost: localhost\r\n"
            . "Connection: close\r\n\r\n") =~ m{^HTTP/1.1 (\d+)};
        if (($status // '') eq '200') {
            my @r = $c->recorder->wait_records(++$n);
            is $r[-1]{verdict}, 'verified', "$mpm: %00 that httpd lets through";
        }
        else {
            like $status // 'none', qr/^4\d\d$/, "$mpm: httpd refuses it";
        }
    }
    unlike $_, qr/[\x00-\x09\x0b-\x1f\x7f-\xff]/, "$mpm: no such byte in a line"
        for grep { /[^\x20-\x7e\n]/ } $c->recorder->lines;
    is $c->balance, '', "$mpm: every mail has its record";
    $h->stop;
    $c->recorder->stop;
    unlink "$LOG/mail.log";
}
done_testing;
