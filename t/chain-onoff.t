# MailOrigin Off in a directory of a vhost that is On, and the reverse; what
# can hold secrets is nowhere unless it was asked for.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

for (['prefork', 'cgi'], ['event', 'cgid'], ['worker', 'cgid']) {
    my ($mpm, $module) = @$_;
    my $root = scratch();
    my $c = MO::Chain->new(mpm => $mpm, modules => [$module], on => 0,
        root => $root, conf => <<"EOT",
<Directory $root/vhosts/on.example/off>
  MailOrigin Off
</Directory>
<Directory $root/vhosts/off.example/on>
  MailOrigin On
</Directory>
<Directory $root/vhosts/on.example/asked>
  MailOriginRecord +Query +Subject +Recipients
</Directory>
<Directory $root/vhosts/on.example/asked/part>
  MailOriginRecord -Query
</Directory>
EOT
        vhosts => [{name => 'on.example', conf => "MailOrigin On\n"},
            {name => 'off.example', conf => "MailOrigin Off\n"}]);
    my $h = $c->httpd;
    my $script = "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
        . "env | grep MAILORIGIN\nprintf 'To: secret-rcpt\@example.org\\n"
        . "Bcc: \"S, B\" <secret-bcc\@example.org>\\n"
        . "Subject: secret-subject\\n\\nb\\n' | $WRAPPER -i secret-rcpt\@example.org\n";
    $h->put($_, $script, 0755) for map { ("on.example:$_", "off.example:$_") }
        map { "${_}m.cgi" } '', 'off/', 'on/', 'asked/', 'asked/part/';
    my $ask = sub {
        my ($vhost, $path) = @_;
        return $c->one("$path?secret-query=1", headers => {Host => $vhost});
    };

    for (['on.example', '/m.cgi', 1], ['on.example', '/off/m.cgi', 0],
        ['off.example', '/m.cgi', 0], ['off.example', '/on/m.cgi', 1],
        ['off.example', '/off/m.cgi', 0]) {
        my ($vhost, $path, $on) = @$_;
        my $what = "$mpm, $vhost$path";
        my $got = $ask->($vhost, $path);
        my $r = $got->{record};
        if ($on) {
            is $r->{verdict}, 'verified', "$what: On: verified";
            is $r->{uri}, $path, "$what: On: named";
        }
        else {
            is $got->{response}{content}, '', "$what: Off: no variable";
            is $r->{verdict}, 'hidden', "$what: Off: hidden";
            is join(' ', grep { defined $r->{$_} } qw(vhost uri script client
                request_id candidates claimed_id)), '',
                "$what: Off: nothing of the request";
            like $r->{reason}, qr/MailOrigin Off/, "$what: Off: says so";
        }
        like $got->{mail}{data}, qr/secret-subject\n\nb\n\z/,
            "$what: the mail goes";
    }
    my @where = ("$LOG/mail.log", glob("$RUN/httpd/*"), glob("$RUN/board/*"));
    cmp_ok scalar(@where), '>=', 3, "$mpm: mail log, layout, board";
    unlike slurp($_), qr/secret/, "$mpm: no secret in $_" for @where;

    my $r = $ask->('on.example', '/asked/m.cgi')->{record};
    is $r->{query}, 'secret-query=1', "$mpm: Query, asked for";
    is $r->{subject}, 'secret-subject', "$mpm: Subject, asked for";
    like $r->{recipient_list} // '', qr/secret-rcpt\@example\.org/,
        "$mpm: Recipients, asked for";
    is $r->{recipients}, 1, "$mpm: and always, how many";
    $h->put('on.example:asked/t.cgi', $script =~ s/-i secret\S+/-t -i/r, 0755);
    $r = $ask->('on.example', '/asked/t.cgi')->{record};
    is $r->{recipient_list}, 'secret-rcpt@example.org, secret-bcc@example.org',
        "$mpm: Recipients of -t";
    is $r->{recipients}, 2, "$mpm: how many of -t";
    $r = $ask->('on.example', '/asked/part/m.cgi')->{record};
    is $r->{query}, undef, "$mpm: -Query below";
    is $r->{subject}, 'secret-subject', "$mpm: … takes nothing else away";
    is $c->balance, '', "$mpm: every mail has its record";
    $h->stop;
    $c->recorder->stop;
    unlink "$LOG/mail.log";
}
done_testing;
