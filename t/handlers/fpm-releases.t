# Other releases of httpd with the module as it was built: what Debian offers
# beside the installed one, and the one of the Debian before, each mounted over
# the installed one in namespaces of its own, for the tests of PHP-FPM.
use strict;
use warnings;
use Test::More;

# before MO::Test, which leaves the network behind
my $script;
BEGIN {
    $script = <<'SH';
set -e
dir=$1
cd "$dir"
have=$(dpkg-query -W -f '${Version}' apache2-bin)
# get VERSION [APT-OPTION…]: into $dir/VERSION
get()
{
    v=$1
    shift
    mkdir -p "$v/root"
    cd "$v"
    if apt-get -qq "$@" download "apache2-bin=$v"; then
        dpkg-deb -x apache2-bin_*.deb root
        case $(ldd root/usr/sbin/apache2) in
        *'libpcre.so.3 => not found'*)
            apt-get -qq "$@" download libpcre3
            dpkg-deb -x libpcre3_*.deb root ;;
        esac
    fi
    rm -f ./*.deb
    cd ..
    [ -x "$v/root/usr/sbin/apache2" ] || rm -rf "$v"
}
versions() { apt-cache "$@" madison apache2-bin | awk '{ print $3 }' | sort -u; }
for v in $(versions); do
    [ "$v" = "$have" ] || get "$v"
done
# the Debian before, from where this one comes
. /etc/os-release
case $VERSION_CODENAME in
bookworm) before=bullseye ;;
trixie) before=bookworm ;;
*) exit 0 ;;
esac
mkdir apt apt/lists apt/lists/partial apt/cache apt/cache/archives \
    apt/cache/archives/partial
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -e "$f" ] || sed "s/$VERSION_CODENAME/$before/g" "$f" >> apt/a.list
done
for f in /etc/apt/sources.list.d/*.sources; do
    [ ! -e "$f" ] || { sed "s/$VERSION_CODENAME/$before/g" "$f"; echo; } \
        >> apt/a.sources
done
set -- -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$dir/apt" \
    -o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt/cache"
apt-get -qq "$@" update || exit 0
v=$(versions "$@" | grep -vxF "$(versions)" | head -n 1)
[ -z "$v" ] || get "$v" "$@"
SH
    if (!$^C && !$ENV{MO_RELEASES}) {
        require File::Temp;
        my $dir = File::Temp::mkdtemp('/tmp/mo-releases.XXXXXX');
        chmod 0755, $dir;
        $ENV{MO_RELEASES} = $dir;
        system('sh', '-c', "exec 2>'$dir/err' >&2\n$script", 'sh', $dir);
    }
}
use lib "$ENV{MO_SRC}/t/lib";
use File::Path ();
use MO::Test;
use MO::Httpd;

my $dir = $ENV{MO_RELEASES} // scratch(); # none: a syntax check
delete $ENV{MO_RESULTS};
my @versions = grep { -x "$dir/$_/root/usr/sbin/apache2" }
    map { s{.*/}{}r } glob "$dir/*";
if (!@versions) {
    diag(slurp("$dir/err") // '');
    File::Path::remove_tree($dir);
    plan skip_all => 'no other release of httpd is offered';
}
for my $v (@versions) {
    my $root = "$dir/$v/root";
    # libraries of its own
    local $ENV{LD_LIBRARY_PATH} = join ':', glob "$root/usr/lib/*-linux-* "
        . "$root/lib/*-linux-*";
    my @over = ([$root . MO::Httpd::bin(), MO::Httpd::bin()],
        ["$root/usr/lib/apache2/modules", MO::Httpd::moddir()]);
    for my $m (@over) {
        my ($status, $out, $err) = run('mount', '--bind', @$m);
        is($status, 0, "$m->[1] is $v\'s") or diag $err;
    }
    my (undef, $version) = run(MO::Httpd::bin(), '-v');
    my ($short) = $v =~ /^([\d.]+)/;
    like($version, qr{Apache/\Q$short\E\b}, "httpd $short");
    for my $test (qw(fpm fpm-same fpm-begin)) {
        my ($status, $out, $err) = run({timeout => 200}, $^X,
            "$SRC/t/handlers/$test.t");
        my $ok = () = $out =~ /^ok/mg;
        ok($status == 0 && $ok > 10, "$test with $v: $ok ok")
            or diag "$out$err";
    }
    run('umount', '-l', $_->[1]) for reverse @over;
}

File::Path::remove_tree($dir);
done_testing();
