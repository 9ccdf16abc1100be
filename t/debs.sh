#!/bin/sh
# debs.sh DIR - downloads into DIR what the tests' overlays install: the
# packages of each `use MO::Overlay qw(…)`, with what this machine lacks of
# their dependencies, so that the tests themselves need no network.
set -eu
cd "$(dirname "$0")/.."
debs=$1
list=$(sed -n 's/^use MO::Overlay qw(\(.*\));.*/\1/p' t/*.t t/*/*.t | sort -u)
mkdir -p "$debs/partial"
# good until a test asks for more, this machine has other packages, or one of
# the files has gone
state()
{
    {
        echo "$list"
        cat /var/lib/dpkg/status
        ls -l --time-style=full-iso /var/lib/apt/lists
        ls "$debs"/*.deb
    } 2>/dev/null | sha256sum
}
[ "$(state)" != "$(cat "$debs/state" 2>/dev/null)" ] || exit 0

# each set by itself: there is one mail server at a time on a Debian (as a
# condition it runs without -e)
download()
{
    echo "$list" | while read -r set; do
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends --download-only \
            -o Dir::Cache::archives="$debs" -o Debug::NoLocking=1 $set ||
            exit
        for p in $set; do
            v=$(apt-cache policy "$p" | sed -n 's/^ *Candidate: //p')
            f=${p}_$(echo "$v" | sed 's/:/%3a/g')_
            # what is installed already, install does not download
            [ -n "$(find "$debs" -name "$f*.deb")" ] ||
                (cd "$debs" && apt-get download -qq "$p=$v") || exit
        done
    done
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! download >"$log" 2>&1; then
    apt-get update -qq
    download >"$log" 2>&1 || {
        cat "$log" >&2
        echo "debs: cannot download what the tests install" >&2
        exit 1
    }
fi
state >"$debs/state"
