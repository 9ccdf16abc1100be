# Instructions a request in httpd, by callgrind, on one kept-alive connection
# (prefork, mod_php, httpd -X): the module not loaded, loaded and off, on; and
# beside it what else one would load to find a request again, mod_unique_id and
# mod_log_forensic.  Counts, not times: they hold on a busy machine too.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"

STATIC=${STATIC:-500}
DYNAMIC=${DYNAMIC:-200}
PORT=8080
httpd=$(command -v apache2 || command -v httpd || echo /usr/sbin/apache2)
moddir=$(apxs -q LIBEXECDIR)
php=$(ls "$moddir"/libphp*.so | tail -n 1)
user=www-data
as_user="setpriv --reuid=$user --regid=$user --clear-groups --"
make_keyring
chown -R "$user" "$ETC" "$PREFIX/run" "$tmp"
mkdir "$tmp/htdocs"
head -c 4096 /dev/zero | tr '\0' x >"$tmp/htdocs/file.txt"
echo '<?php echo strlen($_SERVER["REQUEST_URI"]), "\n";' \
	>"$tmp/htdocs/page.php"
chmod 755 "$tmp"

# get PATH TIMES, on one connection
get() {
	perl -MIO::Socket::INET -e '
		my ($port, $path, $n) = @ARGV;
		my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
		    or die "127.0.0.1:$port: $@\n";
		for (1 .. $n) {
			print $s "GET $path HTTP/1.1\r\nHost: www.example.org\r\n",
			    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n";
			$s->flush;
			my ($head, $length) = ("");
			while (my $line = <$s>) {
				last if $line eq "\r\n";
				$head .= $line;
				$length = $1 if $line =~ /^Content-Length: (\d+)/i;
			}
			die "GET $path: $head" if $head !~ m{^HTTP/1.1 200 }
			    || !defined $length;
			read($s, my $body, $length) == $length or die "cut\n";
		}' "$PORT" "$1" "$2"
}

load() {
	for m; do
		[ ! -e "$moddir/mod_$m.so" ] ||
			echo "LoadModule ${m}_module $moddir/mod_$m.so"
	done
}

conf() {
	cat <<-EOT
		ServerRoot $tmp
		ServerName www.example.org
		Listen 127.0.0.1:$PORT
		PidFile $tmp/httpd.pid
		DefaultRuntimeDir $tmp
		Mutex file:$tmp default
		ErrorLog $tmp/error.log
		MaxKeepAliveRequests 0
		KeepAliveTimeout 300
		Timeout 300
		$(load mpm_prefork authn_core authz_core mime dir alias env setenvif unixd)
		LoadModule php_module $php
		$(case $1 in
		off | on) echo "LoadModule mailorigin_module" \
			"$PREFIX/lib/apache2/modules/mod_mailorigin.so" ;;
		forensic) load unique_id log_forensic
			echo "ForensicLog $tmp/forensic.log" ;;
		esac)
		$([ "$1" != on ] || echo "MailOrigin On")
		$([ "$1" != off ] || echo "MailOrigin Off")
		TypesConfig /dev/null
		AddType text/plain .txt
		AddHandler application/x-httpd-php .php
		LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined
		CustomLog $tmp/access.log combined
		DocumentRoot $tmp/htdocs
		<Directory $tmp/htdocs>
		Require all granted
		</Directory>
	EOT
}

dumps() { find "$tmp" -name 'cg.*' | grep -c '\.[0-9]*$' || :; }

# Writes down what was counted since the last time; prints it.
count() {
	before=$(dumps)
	$as_user timeout 60 callgrind_control --dump "$pid" >/dev/null 2>&1
	wait_for more "$before"
	file=$(ls -t "$tmp/cg".* | head -n 1)
	wait_for grep -q '^totals:' "$file"
	awk '/^totals:/ { n = $2 } END { print n }' "$file"
}
more() { [ "$(dumps)" -gt "$1" ]; }

# measure WHAT: "STATIC DYNAMIC" instructions a request
measure() {
	rm -f "$tmp/cg".* "$tmp/httpd.pid"
	conf "$1" >"$tmp/$1.conf"
	# as an ordinary user from the start: callgrind_control does not reach a
	# process that has changed its user
	$as_user valgrind --tool=callgrind --callgrind-out-file="$tmp/cg.$1" \
		"$httpd" -X -f "$tmp/$1.conf" 2>"$tmp/valgrind.log" &
	pid=$!
	if ! wait_for get /file.txt 1; then
		tail -n 5 "$tmp/valgrind.log" "$tmp/error.log" >&2
		kill "$pid"
		return 1
	fi
	# the first of each sort are dearer
	get /page.php 5
	get /file.txt 5
	count >/dev/null
	get /file.txt "$STATIC"
	a=$(count)
	get /page.php "$DYNAMIC"
	b=$(count)
	kill "$pid"
	wait "$pid" 2>/dev/null || :
	echo "$((a / STATIC)) $((b / DYNAMIC))"
}

row() {
	awk -v name="$1" -v a="$2" -v b="$3" -v a0="$a0" -v b0="$b0" 'BEGIN {
		printf "| %s | %d | %+d (%+.2f %%) | %d | %+d (%+.1f %%) |\n", name,
		    a, a - a0, (a / a0 - 1) * 100, b, b - b0, (b / b0 - 1) * 100 }'
}

echo "| instructions a request | static file | more | PHP | more |"
echo "|---|--:|--:|--:|--:|"
# shellcheck disable=SC2046 # two words
set -- $(measure none)
a0=$1 b0=$2
row "without the module" "$a0" "$b0"
for what in off on forensic; do
	# shellcheck disable=SC2046 # two words
	set -- $(measure "$what")
	case $what in
	off) row "MailOrigin Off" "$1" "$2" ;;
	on) row "MailOrigin On" "$1" "$2" ;;
	forensic) row "mod_unique_id and mod_log_forensic" "$1" "$2" ;;
	esac
done
