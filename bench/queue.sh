# queue and purge in a Postfix queue of MAILS mails (10,000), every fifth of a
# hacked site: what `queue` takes beside `grep -rlaF` over the same files,
# which is what one does without stamps, and what `purge --yes` takes for that
# fifth.  ROUNDS rounds side by side, medians; the queue is warm in the cache.
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
postfix -c "$tmp/etc" check
echo "mta postfix" >"$ETC/mailorigin.conf"
now=$(date +%s)
for i in $(seq 20); do
	"$stamp" "$ETC/keyring" mail="$(printf 'Hack%012d' "$i")" when="$now" \
		time="$now" vhost=hacked.example script=/srv/hacked/wp-content/x.php \
		uri=/wp-content/x.php client=198.51.100.9 uid=1001 >"$tmp/spam.$i"
	"$stamp" "$ETC/keyring" mail="$(printf 'Good%012d' "$i")" when="$now" \
		time="$now" vhost="site$i.example" script="/srv/site$i/index.php" \
		uri=/contact client=192.0.2.7 uid=1002 >"$tmp/good.$i"
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
	"$BENCH/runs" 1 /dev/null /bin/sh -c '"$@" >"$0"' "$tmp/out" "$@" >>"$tmp/t.$name" ||
		:
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
fifth=$((MAILS / 5))
for _ in $(seq "$ROUNDS"); do
	fill
	sync
	LC_ALL=C
	export LC_ALL
	grep -rlaF nothing "$spool" >/dev/null || :
	once grep $fifth grep -rlaF 'From: web@hacked.example' "$spool"
	want=$fifth
	cli queue --vhost hacked.example
	want=$((fifth + 1)) # and the sum
	cli purge --vhost hacked.example --yes
	grep -q "^deleted $fifth of $fifth mails" "$tmp/out" || {
		tail -n 1 "$tmp/out" >&2
		exit 1
	}
done
for what in grep queue purge; do
	median <"$tmp/t.$what" >"$tmp/m.$what"
done
echo "| $MAILS queued mails | ms | of grep |"
echo "|---|--:|--:|"
for what in grep queue purge; do
	case $what in
	grep) name='`grep -rlaF`' ;;
	queue) name='`queue --vhost`' ;;
	*) name="\`purge --yes\` of $fifth" ;;
	esac
	printf '| %s | %.0f | %s |\n' "$name" "$(cat "$tmp/m.$what")" \
		"$(ratio "$(cat "$tmp/m.$what")" "$(cat "$tmp/m.grep")")"
done
