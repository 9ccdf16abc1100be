# queue and purge in a Postfix queue of MAILS mails (10,000), every fifth of a
# hacked site: what `queue` takes beside `grep -rlaF` over the same files,
# which is what one does without stamps, and what `purge --yes` takes for that
# fifth beside the two that no purge of Postfix's goes without, `postsuper -h`
# and `postsuper -d`, given the ids.  On this disk and in memory: a file system
# that discards blocks as they are freed makes each deletion wait for the disk.
# ROUNDS rounds side by side, medians; the queue is warm in the cache.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-5}
MAILS=${MAILS:-10000}
make_keyring
stamp=$W/build/t/tools/stamp
spool=$tmp/spool
mkdir -p "$tmp/etc" "$spool" "$tmp/lib"
cp /usr/share/postfix/master.cf.dist "$tmp/etc/master.cf"
cat >"$tmp/etc/main.cf" <<EOT
compatibility_level = 3.6
queue_directory = $spool
data_directory = $tmp/lib
myhostname = mx.test
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
EOT
chown postfix "$tmp/lib"
# (its own folders are to be reachable for Postfix's user)
chmod 755 "$tmp"
echo "mta postfix" >"$ETC/mailorigin.conf"
now=$(date +%s)
for i in $(seq 20); do
	"$stamp" "$ETC/keyring" mail="$(printf 'Hack%012d' "$i")" when="$now" \
		time="$now" vhost=hacked.example script=/srv/hacked/wp-content/x.php \
		uri=/wp-content/x.php client=198.51.100.9 uid=1001 host=mx.test \
		id="$(printf 'Hack%020d' "$i")" method=POST \
		request='POST /wp-content/x.php HTTP/1.1' >"$tmp/spam.$i"
	"$stamp" "$ETC/keyring" mail="$(printf 'Good%012d' "$i")" when="$now" \
		time="$now" vhost="site$i.example" script="/srv/site$i/index.php" \
		uri=/contact client=192.0.2.7 uid=1002 host=mx.test \
		id="$(printf 'Good%020d' "$i")" method=POST \
		request='POST /contact HTTP/1.1' >"$tmp/good.$i"
done
# queue files as Postfix writes them; 2.4 KB of text, as PHP's mails are
cat >"$tmp/fill.pl" <<'EOT'
my ($tmp, $spool, $mails) = @ARGV;
sub slurp { open my $f, '<', $_[0] or die "$_[0]: $!"; local $/; <$f> }
sub rec {
	my ($type, $data) = @_;
	my ($n, $len) = (length $data, '');
	do { my $b = $n & 127; $n >>= 7; $len .= chr($b | ($n ? 128 : 0)) } while $n;
	return $type . $len . $data;
}
my ($uid, $gid) = (getpwnam 'postfix')[2, 3];
my $body = join '', map {rec('N', 'The quick brown fox jumps over the lazy '
	. "dog, and then sleeps. $_")} 1 .. 36;
for my $i (1 .. $mails) {
	my $kind = $i % 5 ? 'good' : 'spam';
	my $site = $kind eq 'good' ? 'site' . ($i % 20) . '.example' : 'hacked.example';
	my $field = slurp("$tmp/$kind." . (1 + $i % 20));
	my $m = join '', map {rec('N', $_)} split(/\n/, $field), "From: web\@$site",
		"To: user$i\@far.example", "Subject: mail $i",
		"X-PHP-Originating-Script: 1001:x.php", '';
	$m .= $body;
	my $t = rec('T', time . ' 1') . rec('A', 'log_message_origin=local')
		. rec('S', "web\@$site") . rec('R', "user$i\@far.example");
	my $c = 0;
	my $make = sub {rec('C', sprintf '%15d %15d %15d %15d %15d %15d', length $m,
		$c, 1, 0, length $m, 0)};
	$c = length($make->()) + length($t) + 2;
	my $id = sprintf '%X%05X', $i % 16, 0xA0000 + $i;
	my $dir = "$spool/deferred/" . substr $id, 0, 1;
	mkdir $dir, 0700 and chown $uid, $gid, $dir;
	open my $f, '>', "$dir/$id" or die "$dir/$id: $!";
	print $f $make->() . $t . rec('M', '') . $m . rec('X', '') . rec('E', '');
	close $f;
	chmod 0700, "$dir/$id";
	chown $uid, $gid, "$dir/$id";
}
EOT
fill() { perl "$tmp/fill.pl" "$tmp" "$spool" "$MAILS"; }
once() {
	name=$1 want=$2
	shift 2
	"$BENCH/runs" 1 /dev/null /bin/sh -c '"$@" >"$0"' "$tmp/out" "$@" \
		>>"$tmp/t.$where.$name" || :
	got=$(grep -c . "$tmp/out" || :)
	if [ "$got" != "$want" ]; then
		echo "bench: $name has $got lines, not $want" >&2
		exit 1
	fi
}
cli() {
	verb=$1
	shift
	set -- "$MAILORIGIN" "$verb" --mta postfix --mta-config "$tmp/etc" "$@"
	once "$verb" "$want" "$@"
}
cat >"$tmp/postsuper" <<END
postsuper -c $tmp/etc -h - <$tmp/ids 2>&1
postsuper -c $tmp/etc -d - hold <$tmp/ids 2>&1
END
LC_ALL=C
export LC_ALL
fifth=$((MAILS / 5))
for where in disk memory; do
	[ $where = disk ] || mount -t tmpfs -o mode=755 mo-spool "$spool"
	postfix -c "$tmp/etc" check
	for _ in $(seq "$ROUNDS"); do
		fill
		sync
		grep -rlaF nothing "$spool" >/dev/null || :
		once grep $fifth grep -rlaF 'From: web@hacked.example' "$spool"
		sed 's,.*/,,' "$tmp/out" >"$tmp/ids"
		want=$fifth
		cli queue --vhost hacked.example
		want=$((fifth + 1)) # and the sum
		cli purge --vhost hacked.example --yes
		grep -q "^deleted $fifth of $fifth mails" "$tmp/out" || {
			tail -n 1 "$tmp/out" >&2
			exit 1
		}
		fill
		sync
		want=$((2 * fifth + 2))
		once postsuper $want sh "$tmp/postsuper"
	done
done
umount "$spool"
m() {
	awk -v c="$3" '{ print $c }' "$tmp/t.$1.$2" | median
}
row() { # NAME FILE BASE
	printf '| %s |' "$1"
	for where in disk memory; do
		printf ' %.0f | %s | %.0f |' "$(m $where "$2" 1)" \
			"$(ratio "$(m $where "$2" 1)" "$(m $where "$3" 1)")" \
			"$(m $where "$2" 2)"
	done
	echo
}
head_line() {
	echo "| $MAILS queued mails | on disk: ms | of $1 | CPU ms |" \
		"in memory: ms | of $1 | CPU ms |"
	echo "|---|--:|--:|--:|--:|--:|--:|"
}
head_line grep
row '`grep -rlaF`' grep grep
row '`queue --vhost`' queue grep
echo
head_line postsuper
row '`postsuper -h`, `-d`' postsuper postsuper
row "\`purge --yes\` of $fifth" purge postsuper
