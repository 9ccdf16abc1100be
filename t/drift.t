# Docs that lag behind the code: directives, conf keys, verbs.
# no sanitizers: it reads texts
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;

my $readme = slurp("$SRC/README.md");
my $module = slurp("$SRC/mod_mailorigin.c");
my $httpd = slurp("$SRC/conf.d/httpd/mailorigin.conf");
my $mail = slurp("$SRC/conf.d/mail/mailorigin.conf");

my %directive = map { $_ => 1 } $module =~ /"(MailOrigin\w*)"/g;
is scalar(keys %directive), 3, 'the directives are found';
for my $d (sort keys %directive) {
    like $readme, qr/^\| `\Q$d\E /m, "README has $d";
    like $httpd, qr/^ *#?\Q$d\E /m, "conf.d has $d";
}
my ($token) = slurp("$SRC/mod_mailorigin_proxy.c")
    =~ /define FORWARD_HEADER "(.*)"/;
like $_, qr/\b\Q$token\E\b/, 'the forwarded header has one name'
    for $readme, $httpd, $module;

my ($table) = slurp("$SRC/lib/conf.c")
    =~ /^\s*(\{"sendmail", set_sendmail\}.*?)\};/ms;
my @keys = ($table // '') =~ /\{"([\w-]+)", set_/g;
cmp_ok scalar(@keys), '>', 9, 'the conf keys are found';
for my $k (@keys) {
    like $mail, qr/^#\Q$k\E \S/m, "mailorigin.conf shows $k";
}
# what it shows commented out is what there is without it, and allowed
for my $line ($mail =~ /^#([a-z-]+ \S.*)$/mg) {
    my ($k) = split / /, $line;
    next if !grep { $_ eq $k } @keys;
    $line =~ s{\@LOGDIR\@}{/var/log};
    spew("$ETC/mailorigin.conf", "$line\n");
    my ($status, $out, $err) = run($MAILORIGIN, 'log');
    unlike $err, qr/mailorigin\.conf/, "it may be written: $line";
}
spew("$ETC/mailorigin.conf", "no-such-key 1\n");
like((run($MAILORIGIN, 'log'))[2], qr/no-such-key/, 'another may not');
unlink "$ETC/mailorigin.conf";

my @verbs = slurp("$SRC/cli/verbs.def") =~ /^VERB\((\w+)\)/mg;
cmp_ok scalar(@verbs), '>', 10, 'the verbs are found';
my $help = (run($MAILORIGIN, '--help'))[1];
for my $v (@verbs) {
    like $readme, qr/^\| .*`\Q$v\E[` ]/m, "README has $v";
    like $help, qr/^ +\Q$v\E\b/m, "--help has $v";
    is((run($MAILORIGIN, $v, '--help'))[0], 0, "$v --help");
}
done_testing;
