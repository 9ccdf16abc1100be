# mod_cgi under prefork, mod_cgid under event and worker: the contract's
# variables, and the way from a CGI script's mail to its access_log line.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Chain;

my @names = qw(MAILORIGIN_ID MAILORIGIN_SCRIPT MAILORIGIN_TOKEN MAILORIGIN_URI
    MAILORIGIN_VHOST SSL_MAILORIGIN_TOKEN);
for (['prefork', 'cgi'], ['event', 'cgid'], ['worker', 'cgid']) {
    my ($mpm, $module) = @$_;
    my $what = "mod_$module, $mpm";
    my $c = MO::Chain->new(mpm => $mpm, modules => [$module],
        log_format => 'with_id', vhosts => [{name => 'a.example'}]);
    my ($h, $mail) = ($c->httpd, $c->mail_line);
    $h->put('a.example:s.cgi', "#!/bin/sh\n"
        . "printf 'Content-Type: text/plain\\n\\n'\nenv\n$mail\n", 0755);
    my $got = $c->one('/s.cgi/more%20path?secret=1', headers => {
        Host => 'a.example', 'MailOrigin-Token' => 'forged',
        'SSL-MAILORIGIN-TOKEN' => 'forged', 'MAILORIGIN-ID' => 'forged'});
    my %env = $got->{response}{content} =~ /^((?:SSL_)?MAILORIGIN_\w+)=(.*)$/mg;
    my $r = $got->{record};

    is_deeply [sort keys %env], \@names, "$what: the variables, and no others";
    is $env{MAILORIGIN_URI}, '/s.cgi/more%20path', "$what: the URI";
    is $env{MAILORIGIN_VHOST}, 'a.example', "$what: the vhost";
    is $env{MAILORIGIN_SCRIPT}, $h->docroot('a.example') . '/s.cgi',
        "$what: the script";
    like $env{MAILORIGIN_TOKEN}, qr/^[\w-]{100,}$/, "$what: the token";
    is $env{SSL_MAILORIGIN_TOKEN}, $env{MAILORIGIN_TOKEN},
        "$what: and under the name that suexec keeps";

    is $r->{verdict}, 'verified', "$what: verified";
    is $r->{evidence}, $module eq 'cgi' ? 'ancestry' : 'connection',
        "$what: by what";
    is $r->{reason}, undef, "$what: without a but";
    is $r->{request_id}, $env{MAILORIGIN_ID}, "$what: the record's request";
    is "$r->{vhost} $r->{uri} $r->{script}",
        "@env{qw(MAILORIGIN_VHOST MAILORIGIN_URI MAILORIGIN_SCRIPT)}",
        "$what: the record's origin";
    is "$got->{mails} $got->{records}", '1 1', "$what: one mail, one record";
    like $got->{line}, qr/ \Q$env{MAILORIGIN_ID}\E$/,
        "$what: access_log has the id";

    my ($status, $out, $err) = run({in => $got->{mail}{data}}, $MAILORIGIN,
        'trace', '--json', '-');
    is $status, 0, "$what: trace finds it" or diag $err;
    my $t = eval { JSON::PP::decode_json($out) } // {};
    is $t->{access_match}, 'exact', "$what: and the line, by the id";
    chomp(my $line = $got->{line});
    like join("\n", map { ref ? values %$_ : $_ } @{$t->{access_lines} // []}),
        qr/\Q$line\E/, "$what: which is this one";
    $h->stop;
    is $c->balance, '', "$what: every mail has its record";
    $c->recorder->stop;
    unlink "$LOG/mail.log";
}
done_testing;
