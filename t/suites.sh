#!/bin/sh
# suites.sh DIR - puts into DIR what the tests run of other Debians, taken
# from where this machine's apt has its own, and unpacked beside it:
#   httpd/VERSION/root    apache2-bin, older than the installed one
#   php/VERSION/          programs php, php-cgi and php-fpm, with libraries of
#                         their own in root/, and php-dev's files there
# Each of php/VERSION is another Debian's; this one's is installed.
set -eu
cd "$(dirname "$0")/.."
known='bullseye bookworm trixie'
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
# shellcheck disable=SC1091
. /etc/os-release
have=$(dpkg-query -W -f '${Version}' apache2-bin)
state=$(cat t/suites.sh /etc/os-release - <<END | sha256sum
$have
END
)
[ "$state" != "$(cat "$dir/state" 2>/dev/null)" ] || exit 0
case " $known " in
*" ${VERSION_CODENAME:-none} "*) ;;
*)
    echo "suites: this is ${PRETTY_NAME:-unknown}; the tests know $known" >&2
    exit 1
    ;;
esac
rm -rf "$dir/httpd" "$dir/php" "$dir/tmp"
mkdir -p "$dir/httpd" "$dir/php" "$dir/tmp"
log=$dir/log
: >"$log"

say() { echo "suites: $*" >&2; }
# again, as a mirror may not answer at once
try()
{
    for pause in 3 10 0; do
        "$@" >>"$log" 2>&1 && return
        sleep $pause
    done
    tail -n 20 "$log" >&2
    say "cannot do: $*"
    return 1
}

# use SUITE: apt and apt_cache are about that one from now on, on a machine
# that has nothing installed
use()
{
    suite=$1
    tmp=$dir/tmp/$suite
    mkdir -p "$tmp/lists/partial" "$tmp/debs/partial" "$tmp/parts"
    : >"$tmp/status"
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | sort -u | while read -r uri release part; do
        case $part/$release in
        main/"$VERSION_CODENAME" | main/"$VERSION_CODENAME"-updates | \
            main/"$VERSION_CODENAME"-security)
            echo "deb $uri $suite${release#"$VERSION_CODENAME"} $part" ;;
        esac
    done >"$tmp/sources.list"
    try apt update
}
apt()
{
    apt-get -q -y -o Acquire::Retries=3 -o Dir::Etc::sourcelist="$tmp/sources.list" \
        -o Dir::Etc::sourceparts="$tmp/parts" -o Dir::State::lists="$tmp/lists" \
        -o Dir::State::status="$tmp/status" -o Dir::Cache="$tmp" \
        -o Dir::Cache::archives="$tmp/debs" -o Debug::NoLocking=1 "$@"
}
apt_cache()
{
    apt-cache -o Dir::Etc::sourcelist="$tmp/sources.list" \
        -o Dir::Etc::sourceparts="$tmp/parts" -o Dir::State::lists="$tmp/lists" \
        -o Dir::State::status="$tmp/status" -o Dir::Cache="$tmp" "$@"
}
versions() { apt_cache madison "$1" | awk '{ print $3 }' | sort -Vu; }

# get PACKAGE=VERSION ROOT: unpacked
get()
{
    rm -rf "$tmp/one"
    mkdir -p "$tmp/one" "$2"
    (cd "$tmp/one" && try apt download "$1")
    dpkg-deb -x "$tmp/one"/*.deb "$2"
}

httpd()
{
    mkdir -p "$dir/httpd/$1"
    get "apache2-bin=$1" "$dir/httpd/$1/root"
    if ldd "$dir/httpd/$1/root/usr/sbin/apache2" | grep -q 'libpcre\.so.*not'; then
        get libpcre3 "$dir/httpd/$1/root"
    fi
}

php()
{
    v=$(apt_cache depends php-cli | sed -n 's/.*Depends: php\([0-9.]*\)-cli$/\1/p')
    [ -n "$v" ] || { say "$suite has no php-cli"; return 1; }
    into=$dir/php/$v
    mkdir -p "$into/root"
    set -- install --no-install-recommends --download-only "php$v-cli" \
        "php$v-cgi" "php$v-fpm"
    if ! apt "$@" >>"$log" 2>&1; then
        # a mirror's index may be ahead of its pool: the release as it was
        say "$suite without its updates"
        sed -i '/-\(security\|updates\) /d' "$tmp/sources.list"
        try apt update
        rm -f "$tmp"/debs/*.deb
        try apt "$@"
    fi
    for deb in "$tmp/debs"/lib*.deb "$tmp/debs"/php*.deb; do
        dpkg-deb -x "$deb" "$into/root"
    done
    get "php$v-dev" "$into/root"
    rm -rf "$into/root/usr/share" "$into/root/var"
    # by their own loader: other programs that they run have this machine's
    loader=
    libs=
    for f in "$into"/root/usr/lib/*-linux-* "$into"/root/lib/*-linux-*; do
        [ ! -d "$f" ] || libs=$libs${libs:+:}$f
        for l in "$f"/ld-linux*.so.* "$f"/ld-2.*.so; do
            [ ! -f "$l" ] || loader=$l
        done
    done
    [ -n "$loader" ] || { say "no loader in $into/root"; return 1; }
    for p in "bin/php$v" "bin/php-cgi$v" "sbin/php-fpm$v"; do
        program=$into/$(basename "$p" "$v")
        printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' \
            "$loader" "$libs" "$into/root/usr/$p" >"$program"
        chmod 755 "$program"
        "$program" -v >>"$log" 2>&1 || { say "$program does not run"; return 1; }
    done
}

use "$VERSION_CODENAME"
for v in $(versions apache2-bin); do
    dpkg --compare-versions "$v" ge "$have" || httpd "$v"
done
older=1
for s in $known; do
    if [ "$s" = "$VERSION_CODENAME" ]; then
        older=
        continue
    fi
    use "$s"
    # a later Debian's needs a later libc
    [ -z "$older" ] || httpd "$(versions apache2-bin | head -n 1)"
    php
done
rm -rf "$dir/tmp"
echo "$state" >"$dir/state"
