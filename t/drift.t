# Docs that lag behind the code: directives, conf keys, record fields, verbs and
# their options, --json's names; in README, conf.d and the man pages.
# no sanitizers: it reads texts
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;

# a man page as it is installed
sub man {
    my ($page) = @_;
    my ($section) = $page =~ /(\d)$/;
    return slurp("$PREFIX/share/man/man$section/$page") // '';
}

my $readme = slurp("$SRC/README.md");
my $module = slurp("$SRC/mod_mailorigin.c");
my $httpd = slurp("$SRC/conf.d/httpd/mailorigin.conf");
my $mail = slurp("$SRC/conf.d/mail/mailorigin.conf");

my %directive = map { $_ => 1 } $module =~ /"(MailOrigin\w*)"/g;
is scalar(keys %directive), 3, 'the directives are found';
for my $d (sort keys %directive) {
    like $readme, qr/^\| `\Q$d\E /m, "README has $d";
    like $httpd, qr/^ *#?\Q$d\E /m, "conf.d has $d";
    like man('mod_mailorigin.8'), qr/^\.It Ic \Q$d\E /m, "man has $d";
}
# what a directive sets: how it begins, and how an inner section's is merged
my ($members) = slurp("$SRC/mod_mailorigin.h")
    =~ /^struct mo_dir \{\n(.*?)^\};/ms;
my ($create, $merge) = map { $module =~ /^static void \*$_\(.*?^\{(.*?)^\}/ms }
    qw(mo_dir_create mo_dir_merge);
my @members = ($members // '') =~ /^ +(int|unsigned) (\w+);/mg;
cmp_ok scalar(@members), '>=', 2 * keys %directive,
    'the members that they set are found';
while (my ($type, $m) = splice @members, 0, 2) {
    like $merge, qr/^ +d->\Q$m\E =/m, "merge has $m";
    next if $type ne 'int'; # 0 says nothing: a word's bits
    like $create, qr/^ +d->\Q$m\E = -1;/m, "create has $m";
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
    like man('mailorigin.conf.5'), qr/^(?:\.It Xo\n\.|\.It )Ic \Q$k\E /m,
        "man has $k";
}
# what it shows commented out is what there is without it, and allowed
for my $line ($mail =~ /^#([a-z-]+ \S.*)$/mg) {
    my ($k) = split / /, $line;
    next if !grep { $_ eq $k } @keys;
    $line =~ s{\@(?:LOGDIR|PREFIX)\@}{/var/log};
    spew("$ETC/mailorigin.conf", "$line\n");
    my ($status, $out, $err) = run($MAILORIGIN, 'log');
    unlike $err, qr/mailorigin\.conf/, "it may be written: $line";
}
spew("$ETC/mailorigin.conf", "no-such-key 1\n");
like((run($MAILORIGIN, 'log'))[2], qr/no-such-key/, 'another may not');
unlink "$ETC/mailorigin.conf";

my @fields = slurp("$SRC/lib/record.c") =~ /^ +\[MO_F_\w+\] = F\("(\w+)"\)/mg;
cmp_ok scalar(@fields), '>', 30, 'the record fields are found';
is_deeply [man('mailorigin-log.5') =~ /^\.It Va (\w+)$/mg], \@fields,
    'man has each of them, in their order';

# ---- verbs and their options: what --help says, and what man says
my @verbs = slurp("$SRC/cli/verbs.def") =~ /^VERB\((\w+)\)/mg;
cmp_ok scalar(@verbs), '>', 10, 'the verbs are found';
my $man1 = man('mailorigin.1');
my ($man_common) = $man1 =~ /^\.Sh OPTIONS OF ALL COMMANDS\n(.*?)^\.Sh /ms;
my ($man_filters) = $man1 =~ /^\.Sh FILTERS\n(.*?)^\.Sh /ms;
my $help = (run($MAILORIGIN, '--help'))[1];
my %man_verb = $man1 =~ /^\.Ss (\w+)\b.*\n((?:(?!\.S[sh] ).*\n)*)/mg;

sub options { # out of a part of --help: with their dashes
    return ($_[0] // '') =~ /^  (--?[\w-]+)/mg;
}
sub in_man { # is that one explained there?
    my ($text, $option) = @_;
    my $name = $option =~ s/^-//r;
    return ($text // '') =~ /^\.It Fl \Q$name\E(?: |$)/m;
}

for my $v (@verbs) {
    like $readme, qr/^\| .*`\Q$v\E[` ]/m, "README has $v";
    like $help, qr/^ +\Q$v\E\b/m, "--help has $v";
    my ($status, $out) = run($MAILORIGIN, $v, '--help');
    is $status, 0, "$v --help";
    ok exists $man_verb{$v}, "man has $v";
    my ($own) = $out =~ /^Options:\n(.*?)\n\n/ms;
    my @own = options($own);
    is_deeply [grep { !in_man($man_verb{$v}, $_) } @own], [],
        "man has each option of $v";
    my @said = map { "-$_" } ($man_verb{$v} // '') =~ /^\.It Fl ([\w-]+)/mg;
    is_deeply [grep { my $o = $_; !grep { $_ eq $o } @own } @said], [],
        "and no other";
}
is_deeply [sort keys %man_verb], [sort @verbs], 'man has no other verbs';
my ($common) = $help =~ /^Options of all commands:\n(.*?)\n\n/ms;
my @common = options($common);
cmp_ok scalar(@common), '>', 8, 'the common options are found';
is_deeply [grep { !in_man($man_common, $_) } @common], [],
    'man has each of them';
for my $f (grep { $_ ne 'time' } @fields) {
    my $option = $f =~ tr/_/-/r;
    like $man_filters, qr/[ ]-\Q$option\E(?: |$)/m, "man has the filter $f";
}

# ---- what --json prints
my ($man_json) = $man1 =~ /^\.Sh JSON OUTPUT\n(.*?)^\.Sh /ms;
my %json;
for my $file (glob "$SRC/cli/*.c") {
    my $c = slurp($file);
    $json{$_} = $file =~ s{.*/}{}r
        for $c =~ /cli_json_(?:str|num)\(\s*\w+,\s*&\w+,\s*"(\w+)"/g,
        $c =~ /\\"(\w+)\\":/g;
}
cmp_ok scalar(keys %json), '>', 30, 'names of --json are found';
delete @json{@fields};
for my $n (sort keys %json) {
    like $man_json, qr/^\.Va (?:\w+ , )*\Q$n\E\b/m, "man has $json{$n}'s $n";
}

# ---- the pages themselves
my @pages = map { s{.*/}{}r } glob "$SRC/man/*.[158]";
is scalar(@pages), 6, 'the man pages are found';
for my $page (@pages) {
    my ($section) = $page =~ /(\d)$/;
    my $path = "$PREFIX/share/man/man$section/$page";
    unlike man($page), qr/\@[A-Z_]+\@/, "$page: all paths are filled in";
    my ($status, $out, $err) = run(qw(mandoc -Tlint -W warning), $path);
    is "$status $out$err", '0 ', "$page: mandoc has nothing to say";
}
done_testing;
