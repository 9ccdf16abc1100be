#!/usr/bin/perl
# trace: the stamp is found in whatever form a mail is at hand, opened, and
# shown with what the mail log still has of it.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Trace;
use MIME::Base64 ();
use MIME::QuotedPrint ();

my $dir = scratch();
my $r = request();
my $other = request(vhost => 'innocent.example', uri => '/contact.php',
    script => '/srv/innocent/contact.php', client => '192.0.2.44', uid => 1002);
my $log = "$LOG/mail.log";
spew($log, record($other) . record($r) . "no record\n");
my $mail = mail($r);
(my $head = $mail) =~ s/\n\n.*/\n/s;
my $field = field($r);

sub report {
    my (%o) = @_;
    my $cte = $o{cte} ? "Content-Transfer-Encoding: $o{cte}\n" : '';
    my $text = $o{text} // "It was not delivered.\n";
    return <<"END";
Return-Path: <>
From: MAILER-DAEMON\@mx.example
To: www\@hacked.example
Subject: Undelivered Mail
Message-ID: <bounce-1\@mx.example>
Date: Tue, 24 Nov 2026 08:05:00 +0000
MIME-Version: 1.0
Content-Type: multipart/report; report-type=@{[$o{kind} // 'delivery-status']};
\tboundary="=_b 1"

--=_b 1
Content-Type: text/plain

$text
--=_b 1
Content-Type: message/@{[$o{kind} // 'delivery-status']}

Reporting-MTA: dns; mx.example

--=_b 1
Content-Type: $o{type}
$cte
$o{returned}
--=_b 1--
END
}

sub crlf { my ($t) = @_; $t =~ s/\n/\r\n/g; return $t }
(my $folded = $field) =~ s/\n(?=[ \t])//g;
my $one_line = $folded =~ s/\s+/ /gr;
(my $unfolded_at_margin = $field) =~ s/\n[ \t]+/\n/g;
(my $quoted = $head) =~ s/^/> /mg;
(my $nbsp = $one_line) =~ s/ /\xC2\xA0/g;
my @form = (
    ['the mail', $mail],
    ['the mail with CRLF', crlf($mail)],
    ['a bounce, message/rfc822',
        report(type => 'message/rfc822', returned => $mail)],
    ['a bounce, text/rfc822-headers',
        report(type => 'text/rfc822-headers', returned => $head)],
    ['a bounce with CRLF', crlf(report(type => 'message/rfc822',
        returned => $mail))],
    ['a bounce, base64', report(type => 'message/rfc822', cte => 'base64',
        returned => MIME::Base64::encode(crlf($mail)))],
    ['a bounce, quoted-printable', report(type => 'text/rfc822-headers',
        cte => 'quoted-printable',
        returned => MIME::QuotedPrint::encode($head))],
    ['a bounce, as text', "From: MAILER-DAEMON\@mx.example\nSubject: failed\n"
        . "\nHi. This is the qmail-send program.\n\n--- Below this line is a "
        . "copy of the message.\n\n$mail"],
    ['a bounce of a bounce', report(type => 'message/rfc822',
        returned => report(type => 'message/rfc822', returned => $mail))],
    ['a bounce cut at its end', substr(report(type => 'message/rfc822',
        returned => $mail), 0, -40)],
    ['an abuse report', report(kind => 'feedback-report',
        type => 'message/rfc822', returned => $mail)],
    ['an abuse report, headers only', report(kind => 'feedback-report',
        type => 'text/rfc822-headers; charset=utf-8', returned => $head)],
    ['a forwarded mail, quoted', "Subject: Fwd: spam\n\nlook:\n$quoted"],
    ['the header alone', $field],
    ['the header in one line', $one_line],
    ['the header with its folds at the margin', $unfolded_at_margin],
    ['the header with no-break spaces', $nbsp],
    ['the header with blanks in its seal', $one_line =~ s/(.{70})/$1  /gr],
    ['the header with text after it', $one_line =~ s/\s*\z/ Thanks, Eve/r],
    ['the value alone', $one_line =~ s/^Mail-Origin:\s*//r],
    ['the header in lower case', lc(substr $one_line, 0, 12)
        . substr $one_line, 12],
    ['the header in HTML', "Content-Type: text/html\nFrom: a\@b.example\n\n"
        . '<p><b>' . ($one_line =~ s/: /:<\/b> /r =~ s/=/&#61;/gr)
        . '</p>'],
);
for my $f (@form) {
    my ($name, $text) = @$f;
    spew("$dir/x.eml", $text);
    my @o = trace("$dir/x.eml");
    is($?, 0, "$name: exit status");
    is(scalar @o, 1, "$name: one mail");
    is($o[0]{id}, $r->{mail}, "$name: its id");
    is($o[0]{uri}, $r->{uri}, "$name: its request");
    is($o[0]{stamp}, 'authentic', "$name: its stamp");
    is($o[0]{recorded}, 'yes', "$name: its record");
    is($o[0]{replay}, undef, "$name: no replay");
}

# ---- several at once
spew("$dir/box", join "\n", map {"From www\@hacked.example Tue Nov 24 08:00:01 2026\n"
    . ($_ =~ s/^From /From /mgr)} mail($r, body => ">From here\nTo there\n"),
    mail($other), "From: x\@y.example\nSubject: of another host\n\nhi\n");
my @o = trace("$dir/box");
is(join(' ', map {$_->{vhost}} @o), 'hacked.example innocent.example', 'an mbox');
mkdir "$dir/Maildir";
mkdir "$dir/Maildir/$_" for qw(cur new tmp);
spew("$dir/Maildir/cur/1.host:2,S", mail($r));
spew("$dir/Maildir/new/2.host", mail($other));
spew("$dir/Maildir/tmp/3.host", mail(request()));
@o = trace("$dir/Maildir");
is(join(' ', map {$_->{vhost}} @o), 'hacked.example innocent.example',
    'a Maildir, without what is being delivered');
mkdir "$dir/folder";
spew("$dir/folder/a.eml", mail($r));
spew("$dir/folder/b.eml", mail($other));
is(scalar(trace("$dir/folder")), 2, 'a folder of mails');
is((trace({in => $mail}, '-'))[0]{uri}, $r->{uri}, 'standard input');
is(scalar(trace("$dir/folder/a.eml", "$dir/folder/b.eml")), 2, 'two files');
run('sh', '-c', "gzip -c $dir/box >$dir/box.gz");
is(scalar(trace("$dir/box.gz")), 2, 'a compressed mbox');

# ---- without a mail at hand
is((trace('--id', $r->{mail}))[0]{uri}, $r->{uri}, '--id of a mail');
is((trace('--id', $r->{id}))[0]{id}, $r->{mail}, '--id of a request');
is((trace('--message-id', $r->{message_id}))[0]{id}, $r->{mail},
    '--message-id');
is((trace('--message-id', "<$r->{message_id}>"))[0]{id}, $r->{mail},
    '... with its brackets');
spew("$dir/x.eml", $mail =~ s/\AMail-Origin:.*\n(?:[ \t].*\n)*//r);
@o = trace("$dir/x.eml");
is($o[0]{id}, $r->{mail}, 'the field was taken out: by its Message-ID');
is($o[0]{stamp}, undef, '... and no stamp');

# a request that sent three mails
spew($log, join '', map {record($r, id => "N00000000000000$_")} 1 .. 3);
@o = trace('--id', $r->{id});
is("$o[0]{id} $o[0]{mails}", 'N000000000000001 3',
    '--id of a request that sent several mails: the first and how many');
like((run($MAILORIGIN, 'trace', '--id', $r->{id}))[1],
    qr/sent 3 mails.*: mailorigin log --request-id $r->{id}$/m,
    '... and how to list them');
is((trace('--id', 'N000000000000002'))[0]{mails}, undef, '... not by the mail');
spew($log, record($other) . record($r));

# ---- as text
my ($rc, $out, $err) = run($MAILORIGIN, 'trace', "$dir/folder/a.eml");
is($rc, 0, 'as text');
like($out, qr/^Mail +$r->{mail} /m, '... the mail');
like($out, qr/^Stamp +the stamp is authentic$/m, '... the stamp in words');
like($out, qr/^Verdict +verified: Kernel facts name exactly/m,
    '... the verdict in words');
like($out, qr{^Request +POST /wp-content/x\.php$}m, '... the request');
like($out, qr/^Site +hacked\.example$/m, '... the site');
like($out, qr/^Client +198\.51\.100\.9$/m, '... the client');
like($out, qr/^By +1001.* on web1\.example/m, '... who on which host');
like($out, qr/no access log is known/, '... and that no log could be searched');
for my $verb (qw(log block purge)) {
    like($out, qr{^  mailorigin $verb --script /srv/hacked/wp-content/x\.php$}m,
        "... and goes on with $verb");
}
unlike($out, qr/[^\n\x20-\x7E]/, '... no colour in a pipe');

# ---- what is not there or not ours
sub fails {
    my ($status, $said, $what, @arg) = @_;
    my ($got, $to, $stderr) = run($MAILORIGIN, 'trace', @arg);
    is($got, $status, "$what: exit status");
    is($to, '', "$what: nothing on stdout");
    like($stderr, $said, "$what: says it");
}
fails(2, qr/which mail\?/, 'no mail');
fails(2, qr{$dir/none.eml: No such file}, 'no such file', "$dir/none.eml");
fails(1, qr/has no such mail/, 'an unknown id', '--id', 'M999');
fails(1, qr/no mail with Message-ID <x\@y>/, 'an unknown Message-ID',
    '--message-id', '<x@y>');
spew("$dir/x.eml", "From: a\@b.example\nSubject: x\n\nx\n");
fails(1, qr/no Mail-Origin field/, 'a mail without our field', "$dir/x.eml");
spew("$dir/x.eml", '');
fails(1, qr/it is empty/, 'an empty file', "$dir/x.eml");

# ---- stamps that do not open
spew($log, record($other));
my $seal = ($one_line =~ s/\s//gr =~ /;s=([\w-]+)/)[0];
sub with_seal { return mail($r, field => "Mail-Origin: v=1; id=$r->{mail}; s=$_[0]\n") }
my $flip = $seal;
substr($flip, 100, 1) = substr($flip, 100, 1) eq 'A' ? 'B' : 'A';
spew("$dir/x.eml", with_seal($flip));
fails(1, qr/changed or forged/, 'one character changed', "$dir/x.eml");
spew("$dir/x.eml", with_seal(substr $seal, 0, 120));
fails(1, qr/cut or damaged/, 'half a stamp', "$dir/x.eml");
run('mv', "$ETC/keyring", "$dir/old-keyring");
run($MAILORIGIN, qw(key init));
spew("$dir/x.eml", $mail);
fails(1, qr/key that is not in the keyring/, 'another keyring', "$dir/x.eml");
unlink $log;
@o = trace('--keyring', "$dir/old-keyring", "$dir/x.eml");
is($o[0]{stamp}, 'authentic', 'a keyring elsewhere opens it');
is($o[0]{recorded}, 'no', 'with mail log and access_log gone');
is_deeply([@{$o[0]}{qw(vhost uri script client method uid host verdict)}],
    ['hacked.example', $r->{uri}, $r->{script}, $r->{client}, 'POST', 1001,
        'web1.example', 'verified'], '... the stamp holds the origin');
is($o[0]{request_time}, rfc($r->{time}) =~ s/\.25/.00/r, '... and its time');
($rc, $out) = run($MAILORIGIN, 'trace', '--keyring', "$dir/old-keyring",
    "$dir/x.eml");
is($rc, 0, '... found');
like($out, qr/the stamp alone says this/, '... and says what is missing');
run('mv', "$dir/old-keyring", "$ETC/keyring");
# the record still tells where the stamp does not
spew($log, record($r));
spew("$dir/x.eml", with_seal($flip));
($rc, $out) = run($MAILORIGIN, 'trace', "$dir/x.eml");
is($rc, 0, 'a forged stamp of a known id: the record is shown');
like($out, qr/^Stamp +the stamp does not authenticate/m, '... and the forgery');
spew("$dir/x.eml", with_seal(''));
is((trace("$dir/x.eml"))[0]{uri}, $r->{uri}, 'a field with the id alone');
# a token stands in for the stamp where no recorder answered
unlink $log;
spew("$dir/x.eml", mail($r, field => field($r, token => 1)));
@o = trace("$dir/x.eml");
is($o[0]{stamp}, 'token', 'a token instead of a stamp');
is($o[0]{verdict}, 'claimed', '... is a claim');
# other names of the field
spew("$ETC/mailorigin.conf", "header X-Origin\n");
spew("$dir/x.eml", mail($r, field => field($r, header => 'X-Origin')));
is((trace("$dir/x.eml"))[0]{uri}, $r->{uri}, 'the field by the name in the conf');
unlink "$ETC/mailorigin.conf";

# ---- a stamp copied onto another mail
spew($log, record($r));
spew("$dir/x.eml", mail($r));
is((trace("$dir/x.eml"))[0]{replay}, undef, 'the stamped mail is no replay');
my %odd = (
    'Message-ID' => mail($r, message_id => 'z@z.example'),
    'sender' => mail($r, message_id => '') =~ s/www\@/other\@/r,
    'date' => mail($r) =~ s/^Date: .*/Date: Tue, 01 Dec 2026 08:00:00 +0000/mr,
);
for my $what (sort keys %odd) {
    spew("$dir/x.eml", $odd{$what});
    @o = trace("$dir/x.eml");
    like($o[0]{replay} // '', qr/\Q$what\E|dated/, "another $what: replay");
    like((run($MAILORIGIN, 'trace', "$dir/x.eml"))[1],
        qr/^Warning +possible replay: /m, '... as text');
}
done_testing;
