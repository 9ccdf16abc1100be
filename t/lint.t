# What programs can say about the sources and the built programs: formatting,
# static analysis, shell and Perl syntax, units, hardening, symbols.
# no sanitizers: it reads sources and the programs as they are shipped
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;

chdir $SRC or die "$SRC: $!";
my @tree = split /\n/, (run('git', '-c', "safe.directory=$SRC", 'ls-files',
    '--cached', '--others', '--exclude-standard'))[1];
@tree = map { chomp; s{^\./}{}r } `find . -type f -not -path './build/*'`
    if !@tree; # no checkout
@tree = grep { -f && !-l } @tree;
cmp_ok scalar(@tree), '>', 200, 'the files are found';
my @c = grep { /\.[ch]$/ } @tree;
my @parts = map { my $d = $_; grep { m{^\Q$d\E/[^/]+\.c$} } @tree }
    qw(lib recorder sendmail cli);
my @module = grep { /^mod_\w+\.c$/ } @tree;

# clean NAME, CMD… - exits 0 and says nothing
sub clean {
    my ($name, @cmd) = @_;
    my ($status, $out, $err) = run({timeout => 600}, @cmd);
    my $said = join '', grep { !/^\s*$/ } split /^/, $out . $err;
    $said =~ s/^((?:.*\n){60})(?:.*\n)+/$1…\n/;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $status == 0 && $said eq '', $name or diag("status $status\n$said");
}

# ---- C
clean('clang-format', qw(clang-format --dry-run -Werror), @c);

# with uthash's macros and without the rest of the system's headers
my $dir = scratch();
run('cp', '/usr/include/uthash.h', $dir);
clean('cppcheck', qw(cppcheck -q -j2 --std=c11 --max-configs=1
    --inline-suppr --error-exitcode=1), '--enable=warning,portability,performance',
    "-I$dir", map({ "-I$_" } qw(include lib recorder
    sendmail cli)), @parts, @module);

# GCC's analyzer.  Where a struct behind a pointer owns what was allocated,
# it takes that for lost (to GCC 14 at least): in these files its leaks are
# not minded, LeakSanitizer looks for those.
my %owns = map { $_ => 1 } qw(cli/cases.c cli/correlate.c cli/files.c cli/now.c
    cli/plan.c cli/queue_act.c cli/queue_pick.c cli/queue_postfix.c cli/sources.c
    cli/unrecorded.c cli/waves_find.c lib/layout.c recorder/policy.c);
# it would take many minutes for these: it looks at fewer ways through them
my %wide = map { $_ => 1 } qw(cli/now.c cli/unrecorded.c);
sub analyze {
    my ($name, $flags, @files) = @_;
    my $text = join '', map {
        my ($part) = m{^(.*)/};
        join(' ', $_, $part ? "-I$part" : (),
            $owns{$_} ? '-Wno-analyzer-malloc-leak' : (),
            $wide{$_} ? '--param analyzer-bb-explosion-factor=1' : ()) . "\n"
    } @files;
    my ($status, $out, $err) = run({in => $text, timeout => 900},
        qw(xargs -P2 -L1 gcc -std=gnu11 -D_GNU_SOURCE -O2 -fPIC -Iinclude
        -fanalyzer -c -o /dev/null), @$flags);
    my @warnings = grep { /\[-Wanalyzer|error:/ } split /\n/, $err;
    ok $status == 0 && !@warnings, "gcc -fanalyzer: $name"
        or diag("status $status\n", join "\n", @warnings);
}
analyze('the programs', [], @parts);
my $httpd = `apxs -q CFLAGS` . ' -I' . `apxs -q INCLUDEDIR` . ' '
    . `apr-config --includes --cppflags` . `apu-config --includes`;
analyze('the module', [grep { !/^-[Og]/ } split ' ', $httpd], @module);

# ---- shell; SC1090: a path that is known at run time only
my @sh = grep { /\.sh$/
    || m{^(?:.*/)?(?:[^./]+|[^/]+\.cgi)$} && slurp($_) =~ m{\A#!/bin/sh} } @tree;
cmp_ok scalar(@sh), '>', 10, 'the shell scripts are found';
clean('shellcheck', qw(shellcheck -x -s sh -S warning -e SC1090), @sh);
clean('shellcheck: completion', qw(shellcheck -s bash -S warning),
    'conf.d/mailorigin.bash');

# ---- Perl: our modules that begin a test anew are there already, as stubs
spew("$dir/Stub.pm", <<'PM');
package Stub;
$ENV{MO_ISOLATED} = Cwd::abs_path($0);
$INC{'MO/Overlay.pm'} = __FILE__;
*MO::Overlay::import = sub {} if $0 !~ /Overlay/;
1;
PM
my @perl = grep { /\.(?:t|p[lm]|PL)$/ } @tree;
cmp_ok scalar(@perl), '>', 40, 'the Perl files are found';
{
    my ($status, $out, $err) = run({in => join("\n", @perl), timeout => 300},
        qw(xargs -P2 -n1 perl -It/lib), "-I$dir", qw(-MCwd -MStub -wc));
    my @said = grep { !/ syntax OK$/ } split /\n/, $err;
    ok $status == 0 && !@said, 'perl -c' or diag(join "\n", @said);
}

# ---- the tree
{
    my @hosts = map { m{https?://(?:[^/\s\@]*\@)?([^/:\s]+)}g } map {
        slurp($_) // '' } '/etc/apt/sources.list', '/etc/pip.conf',
        (glob '~/.npmrc ~/.config/pip/pip.conf'), glob('/etc/apt/sources.list.d/* /etc/apt/apt.conf.d/*');
    my @names = ((grep { !/\bdebian\.org$/ && !/^(?:localhost|127\..*)$/ }
        @hosts), map { join '', @$_ } ['/wo', 'rk/'], ['/tm', 'p/w/'],
        ['/tm', 'p/hub'], ['/ro', 'ot/'], ['/ho', 'me/']);
    my $re = join '|', map { quotemeta } @names;
    my @found;
    for my $f (@tree) {
        my $n = 0;
        for (split /\n/, slurp($f)) {
            $n++;
            push @found, "$f:$n" if /(?<![\w@.])(?:$re)/;
        }
    }
    is "@found", '', 'no path or host of a machine is named';

    my %long = ( # why they are
        't/unit/test_board.c' => 'its cases share one board',
    );
    my @long = grep { !$long{$_} && (() = slurp($_) =~ /\n/g) > 650 } grep {
        !m{^t/data/|^fuzz/corpus/|^LICENSE$} } @tree;
    is "@long", '', 'no file does two jobs';
    my @odd = grep { slurp($_) =~ /[ \t]+$/m } grep {
        /\.(?:[ch]|t|p[lm]|mk|in|sh|def|md|[158])$|^Makefile/ } @tree;
    is "@odd", '', 'no blanks at the end of a line';
}

# ---- units
for my $unit (qw(service socket)) {
    my $text = slurp("$SRC/conf.d/systemd/mailorigin-recorder.$unit.in");
    my %p = (PREFIX => $PREFIX, LIBDIR => "$PREFIX/lib/mailorigin",
        RUNDIR => '/run/mailorigin', STATEDIR => '/var/lib/mailorigin',
        LOGDIR => '/var/log/mailorigin', MO_USER => 'daemon');
    $text =~ s/\@(\w+)\@/$p{$1} \/\/ die $1/ge;
    spew("$dir/mailorigin-recorder.$unit", $text);
}
clean('systemd-analyze verify', qw(systemd-analyze verify --man=no),
    map { "$dir/mailorigin-recorder.$_" } qw(socket service));

# ---- what was built
sub elf { return (run('readelf', '-W', @_))[1] }
my $x86 = `uname -m` =~ /^(?:x86_64|i686)$/;
my $so = "$BUILD/mod_mailorigin.so";
for my $file ($so, map { "$BUILD/mailorigin$_" } '', '-recorder', '-sendmail') {
    my $name = $file =~ s{.*/}{}r;
    my $dynamic = elf('-d', $file);
    my $segments = elf('-lh', $file);
    my $symbols = elf('-s', $file);
    like $segments, qr/Type: +DYN /, "$name: position independent";
    like $dynamic, qr/FLAGS_1\).*PIE/, "$name: PIE" if $file ne $so;
    like $segments, qr/GNU_RELRO/, "$name: RELRO";
    like $dynamic, qr/BIND_NOW|FLAGS_1\).*NOW/, "$name: BIND_NOW";
    like $segments, qr/GNU_STACK .* RW /, "$name: no executable stack";
    unlike $segments, qr/LOAD .* RWE /, "$name: nothing writable is executed";
    unlike $dynamic, qr/TEXTREL|RPATH|RUNPATH/, "$name: no relocated text, no path";
    like $symbols, qr/__stack_chk_fail/, "$name: stack protector";
    like $symbols, qr/__\w+_chk\b/, "$name: FORTIFY";
}
if ($x86) { # Debian's libc has none, so that the whole program says nothing
    my @objects = map { glob "$BUILD/obj/$_" } qw(*.o lib/*.o recorder/*.o
        sendmail/*.o cli/*.o);
    cmp_ok scalar(@objects), '>', 60, 'the object files are found';
    is join(' ', grep { elf('-n', $_) !~ /x86 feature: IBT, SHSTK/ } @objects),
        '', 'CET in each';
}
unlike elf('-ld', $WRAPPER), qr/INTERP|NEEDED/, 'the wrapper is static';
is join(' ', grep { /^(?:sodium|crypto_|json_|ZSTD|inflate|apr_|ap_)/ }
    map { (split ' ')[-1] // '' } split /\n/, (run('nm', $WRAPPER))[1]), '',
    'and has libc alone in it';

sub symbols {
    my ($what, @files) = @_;
    return map { (split ' ')[-1] =~ s/@.*//r } grep { /\S/ && !/:$/ }
        map { split /\n/, (run('nm', '-D', $what, $_))[1] } @files;
}
my ($apache) = grep { -x } qw(/usr/sbin/apache2 /usr/sbin/httpd);
my %given = map { $_ => 1 } symbols('--defined-only', $apache,
    grep { m{/(?:lib(?:apr|c\.|sodium)|ld-)} }
    (run('ldd', $apache, $so))[1] =~ m{\s(/\S+) \(}g);
cmp_ok scalar(keys %given), '>', 1000, 'httpd and its libraries are found';
is join(' ', grep { !$given{$_} && !/^_ITM_|^__gmon_start__$/ }
    symbols('--undefined-only', $so)), '',
    'the module needs httpd, APR, libc and libsodium only';
is join(' ', symbols('--defined-only', $so)), 'mailorigin_module',
    'and gives its own name only';
done_testing;
