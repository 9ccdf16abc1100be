#!/bin/sh
# php-matrix.sh DIR - the PHP extension's own tests with PHPs built here from
# the sources of each Debian, with threads (ZTS) and without; kept in DIR.
# `make -f Makefile.apxs php-matrix`; some minutes for each, so no part of
# `test`.  PHP_SOURCES: folders of further sources, unpacked.
set -eu
cd "$(dirname "$0")/.."
src=$(pwd -P)
mkdir -p "$1"
dir=$(cd "$1" && pwd -P)
log=$dir/log
: >"$log"
sources=1 # of suite-apt.sh: source packages, too
# shellcheck source=t/suite-apt.sh
. t/suite-apt.sh
known_here

# build SOURCE PREFIX zts|nts
build()
{
    [ ! -x "$2/bin/php-cgi" ] || return 0
    rm -rf "$2.build"
    cp -r "$1" "$2.build"
    zts=
    [ "$3" = nts ] || zts='--enable-zts --enable-maintainer-zts'
    # shellcheck disable=SC2086
    (cd "$2.build" && ./configure -q --prefix="$2" --disable-all --enable-cgi \
        --without-pear $zts CFLAGS='-O1 -w' && make -s -j"$(nproc)" &&
        make -s install) >>"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        say "cannot build $1"
        return 1
    }
    rm -rf "$2.build"
}

failed=0
# tried PREFIX: the extension's tests with it
tried()
{
    rm -rf "$dir/ext"
    cp -r "$src/php" "$dir/ext"
    what=$("$1/bin/php" -n -r 'echo PHP_VERSION, PHP_ZTS ? " ZTS" : " NTS";')
    if (cd "$dir/ext" && "$1/bin/phpize" &&
        ./configure -q --with-php-config="$1/bin/php-config" &&
        make -s CFLAGS='-O2 -Wall -Werror' &&
        TEST_PHP_EXECUTABLE=$1/bin/php TEST_PHP_CGI_EXECUTABLE=$1/bin/php-cgi \
            NO_INTERACTION=1 REPORT_EXIT_STATUS=1 "$1/bin/php" -n \
            run-tests.php -n -q -d "extension=$dir/ext/modules/mailorigin.so" \
            tests) >"$dir/out" 2>&1 &&
        ! grep -q 'Tests skipped *: *[1-9]' "$dir/out"; then
        echo "ok - PHP $what:$(sed -n 's/^Tests passed *: */ /p' "$dir/out")"
    else
        cat "$dir/out" >&2
        echo "not ok - PHP $what"
        failed=1
    fi
}

for s in $known; do
    have=
    for p in "$dir/$s"-zts "$dir/$s"-nts; do
        [ ! -x "$p/bin/php-cgi" ] || have=$have.
    done
    if [ "$have" != .. ]; then
        use "$s"
        v=$(apt_cache depends php-cli |
            sed -n 's/.*Depends: php\([0-9.]*\)-cli$/\1/p')
        mkdir -p "$tmp/src"
        (cd "$tmp/src" && apt_or_release source --download-only "php$v")
        rm -rf "$tmp/php"
        mkdir "$tmp/php"
        for tar in "$tmp/src/php${v}_"*.orig.tar.?z; do
            tar -xf "$tar" -C "$tmp/php" --strip-components=1
            break
        done
        build "$tmp/php" "$dir/$s-zts" zts
        build "$tmp/php" "$dir/$s-nts" nts
        rm -rf "$tmp"
    fi
    tried "$dir/$s-zts"
    tried "$dir/$s-nts"
done
for s in ${PHP_SOURCES:-}; do
    for k in zts nts; do
        build "$s" "$dir/$(basename "$s")-$k" "$k"
        tried "$dir/$(basename "$s")-$k"
    done
done
exit "$failed"
