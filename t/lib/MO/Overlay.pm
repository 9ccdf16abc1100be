# MO::Overlay - a test on a machine of its own, with other Debian packages.
#
#   use MO::Overlay qw(exim4-daemon-light);   # before MO::Test
#   use MO::Test;
#
# At import it lays an overlay over this machine's root, kept in memory, installs
# the packages into that (removing what conflicts: there is one MTA at a time
# on a Debian), and runs the test again inside by chroot.  Nothing of it
# reaches the machine, and all is gone with the test.  The .deb files come from
# where t/debs.sh put them, $MO_DEBS, which reads the line above; those named
# are in /mo-debs for a test that installs them again.
package MO::Overlay;
use strict;
use warnings;
use Cwd ();

my $init = <<'SH';
set -e
packages=$1 debs=$2; shift 2
work=/tmp/mo-overlay # one for all: what is mounted there is ours alone
mkdir -p "$work"
mount -t tmpfs -o mode=755,size=4g mo-overlay "$work"
mkdir "$work/upper" "$work/work" "$work/root"
# (procmail waits a second where a mailbox was read in this one)
mount -t overlay \
    -o "noatime,lowerdir=/,upperdir=$work/upper,workdir=$work/work" \
    mo-overlay "$work/root"
root=$work/root
mount -t proc proc "$root/proc"
# with room for a /dev/log of the test's own
mkdir "$work/dev"
mount -t tmpfs -o mode=755 mo-dev "$work/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty \
    "$work/dev/"
ln -s /proc/self/fd "$work/dev/fd"
ln -s pts/ptmx "$work/dev/ptmx"
mkdir "$work/dev/pts" "$work/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 mo-pts "$work/dev/pts"
mount -t tmpfs -o mode=1777 mo-shm "$work/dev/shm"
mount --rbind "$work/dev" "$root/dev"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# Sendmail's package waits a minute for a full host name, and makes
# Diffie-Hellman parameters for another: no openssl, no parameters
h=$(uname -n)
printf '127.0.0.1 %s.example %s localhost\n' "${h%%.*}" "${h%%.*}" \
    > "$root/etc/hosts"
[ ! -e "$root/usr/bin/openssl" ] ||
    mv "$root/usr/bin/openssl" "$root/usr/bin/openssl.kept"
mkdir -p "$root/mo-debs/all"
mount --bind "$debs" "$root/mo-debs/all"
if ! chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends --no-download -o Debug::NoLocking=1 \
    -o Dir::Cache::archives=/mo-debs/all -o Dpkg::Options::=--force-unsafe-io \
    $packages > "$work/apt" 2>&1; then
    sed 's/^/# /' "$work/apt" >&2
    echo "not ok 1 - the overlay installs $packages from $debs" \
        "(make -f Makefile.apxs debs)"
    echo 1..1
    exit 1
fi
for p in $packages; do
    v=$(chroot "$root" dpkg-query -W -f '${Version}' "$p" | sed 's/:/%3a/g')
    cp "$root/mo-debs/all/${p}_${v}_"*.deb "$root/mo-debs/"
done
umount "$root/mo-debs/all"
rmdir "$root/mo-debs/all"
[ ! -e "$root/usr/bin/openssl.kept" ] ||
    mv "$root/usr/bin/openssl.kept" "$root/usr/bin/openssl"
set +e
chroot "$root" sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "$@"
exit $?
SH

sub import {
    my ($class, @packages) = @_;
    return if ($ENV{MO_OVERLAY} // '') eq "@packages $0";
    if ($> != 0) {
        print "Bail out!  overlays need root\n";
        exit 255;
    }
    $ENV{MO_OVERLAY} = "@packages $0";
    no warnings 'exec';
    exec qw(unshare -m -p -f --mount-proc --kill-child --), 'sh', '-c', $init,
        'sh', "@packages", $ENV{MO_DEBS} || '/var/cache/mailorigin-test', $^X,
        Cwd::abs_path($0), @ARGV;
    print "Bail out!  unshare: $!\n";
    exit 255;
}

1;
