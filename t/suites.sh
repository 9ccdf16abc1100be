#!/bin/sh
# suites.sh DIR - puts into DIR what the tests run of other Debians, taken
# from where this machine's apt has its own, and unpacked beside it:
#   httpd/VERSION/root    apache2-bin, older than the installed one
#   php/VERSION/          programs php, php-cgi and php-fpm, with libraries of
#                         their own in root/, and php-dev's files there
# Each of php/VERSION is another Debian's; this one's is installed.
set -eu
cd "$(dirname "$0")/.."
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
log=$dir/log
# shellcheck source=t/suite-apt.sh
. t/suite-apt.sh
have=$(dpkg-query -W -f '${Version}' apache2-bin)
state=$(cat t/suites.sh t/suite-apt.sh /etc/os-release - <<END | sha256sum
$have
END
)
[ "$state" != "$(cat "$dir/state" 2>/dev/null)" ] || exit 0
known_here
rm -rf "$dir/httpd" "$dir/php" "$dir/tmp"
mkdir -p "$dir/httpd" "$dir/php" "$dir/tmp"
: >"$log"

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
    apt_or_release install --no-install-recommends --download-only \
        "php$v-cli" "php$v-cgi" "php$v-fpm"
    for deb in "$tmp/debs"/lib*.deb "$tmp/debs"/php*.deb; do
        dpkg-deb -x "$deb" "$into/root"
    done
    get "php$v-dev" "$into/root"
    rm -rf "$into/root/usr/share" "$into/root/var"
    # by their own loader: other programs that they run have this machine's
    loader=
    libs=
    for f in "$into/root"/usr/lib/*-linux-* "$into/root"/lib/*-linux-*; do
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
