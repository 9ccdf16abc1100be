# suite-apt.sh - the packages of other Debians, from where this machine's apt
# has its own; for t/suites.sh and t/php-matrix.sh, which set dir, where all is
# put, and log, a file.
#   use SUITE            what follows is about that one, on a machine that has
#                        nothing installed
#   apt, apt_cache       apt-get and apt-cache
#   apt_or_release ARG…  apt; where that fails, with the release as it was
#   versions PACKAGE     the lowest first
#   get PACKAGE ROOT     unpacked there
# shellcheck shell=sh
: "${dir:?}" "${log:?}"
known='bullseye bookworm trixie'
# shellcheck disable=SC1091
. /etc/os-release

known_here()
{
    case " $known " in
    *" ${VERSION_CODENAME:-none} "*) ;;
    *)
        echo "suites: this is ${PRETTY_NAME:-unknown}; the tests know $known" >&2
        exit 1
        ;;
    esac
}

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
            echo "deb $uri $suite${release#"$VERSION_CODENAME"} $part"
            [ -z "${sources:-}" ] ||
                echo "deb-src $uri $suite${release#"$VERSION_CODENAME"} $part" ;;
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
# a mirror's index may be ahead of its pool
apt_or_release()
{
    ! apt "$@" >>"$log" 2>&1 || return 0
    say "$suite without its updates"
    sed -i '/-\(security\|updates\) /d' "$tmp/sources.list"
    try apt update
    rm -f "$tmp"/debs/*.deb
    try apt "$@"
}
versions() { apt_cache madison "$1" | awk '{ print $3 }' | sort -Vu; }

get()
{
    rm -rf "$tmp/one"
    mkdir -p "$tmp/one" "$2"
    (cd "$tmp/one" && try apt download "$1")
    dpkg-deb -x "$tmp/one"/*.deb "$2"
}
