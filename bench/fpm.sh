# Requests a second through PHP-FPM: hello world over a unix socket, event, by
# ab; the module not loaded (twice: how far the figures can be trusted), Off
# and On, in turn, each httpd beside the others.  What counts is the ratio to
# the one that was measured in the same second; and the processor time of
# httpd's child and of PHP-FPM.
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-60}
REQUESTS=${REQUESTS:-500}
CLIENTS=${CLIENTS:-8}
httpd=$(command -v apache2 || command -v httpd || echo /usr/sbin/apache2)
moddir=$(apxs -q LIBEXECDIR)
fpm=$(ls /usr/sbin/php-fpm* | tail -n 1)
make_keyring
start_recorder /bin/true
mkdir "$tmp/htdocs"
echo '<?php echo "Hello, world\n";' >"$tmp/htdocs/hello.php"
chmod 755 "$tmp" "$tmp/htdocs"
cat >"$tmp/fpm.conf" <<-EOT
	[global]
	error_log = $tmp/fpm.log
	daemonize = no
	[www]
	user = www-data
	group = www-data
	listen = $tmp/fpm.sock
	listen.mode = 0666
	pm = static
	pm.max_children = 40
EOT
"$fpm" -n -F -y "$tmp/fpm.conf" 2>"$tmp/fpm.err" &
fpm_pid=$!
httpds=
trap 'for p in $httpds $fpm_pid; do kill "$p" 2>/dev/null || :; done
	stop_recorder; rm -rf "$tmp"' EXIT
wait_for test -S "$tmp/fpm.sock"

# start NAME PORT REUSE
start() {
	mkdir "$tmp/$1"
	cat >"$tmp/$1.conf" <<-EOT
		ServerRoot $tmp
		ServerName www.example.org
		Listen 127.0.0.1:$2
		PidFile $tmp/$1/httpd.pid
		DefaultRuntimeDir $tmp/$1
		Mutex file:$tmp/$1 default
		ErrorLog $tmp/$1/error.log
		$(for m in mpm_event authn_core authz_core mime dir alias env \
			setenvif unixd proxy proxy_fcgi; do
			[ ! -e "$moddir/mod_$m.so" ] ||
				echo "LoadModule ${m}_module $moddir/mod_$m.so"
		done)
		$(case $1 in Off | On)
			echo "LoadModule mailorigin_module" \
				"$PREFIX/lib/apache2/modules/mod_mailorigin.so"
			echo "MailOrigin $1" ;;
		esac)
		User www-data
		Group www-data
		StartServers 1
		ServerLimit 1
		ThreadsPerChild 25
		MaxRequestWorkers 25
		MinSpareThreads 1
		MaxSpareThreads 25
		MaxKeepAliveRequests 0
		TypesConfig /dev/null
		CustomLog $tmp/$1/access.log "%h %l %u %t \\"%r\\" %>s %O"
		DocumentRoot $tmp/htdocs
		<Directory $tmp/htdocs>
		Require all granted
		</Directory>
		$([ "$3" = no ] || echo "<Proxy \"unix:$tmp/fpm.sock|fcgi://localhost\">
			ProxySet enablereuse=on max=8
			</Proxy>")
		<FilesMatch "\\.php\$">
		SetHandler "proxy:unix:$tmp/fpm.sock|fcgi://localhost"
		</FilesMatch>
	EOT
	setsid "$httpd" -DFOREGROUND -f "$tmp/$1.conf" &
	httpds="$httpds $!"
	wait_for ab -q -n 1 "http://127.0.0.1:$2/hello.php"
}

# rate PORT: requests a second; all must be well
rate() {
	ab -q -k -n "$REQUESTS" -c "$CLIENTS" "http://127.0.0.1:$1/hello.php" \
		>"$tmp/ab"
	awk '/^(Failed requests|Non-2xx responses):/ && $NF > 0 { bad = 1 }
		/^Requests per second:/ { r = $4 }
		END { if (bad || !r) exit 1; print r }' "$tmp/ab" || {
		cat "$tmp/ab" >&2
		return 1
	}
}

# child NAME: its child's pid
child() {
	parent=$(cat "$tmp/$1/httpd.pid")
	read -r pid _ <"/proc/$parent/task/$parent/children" || :
	echo "$pid"
}
fpm_cpu() {
	for pid in $(cat "/proc/$fpm_pid/task/$fpm_pid/children"); do
		cpu "$pid"
	done | awk '{ s += $1 } END { print s }'
}

# turn NAME PORT: one round of one httpd, into $tmp/NAME.*
turn() {
	pid=$(child "$1")
	h=$(cpu "$pid") f=$(fpm_cpu)
	rate "$2" >"$tmp/$1.last"
	cat "$tmp/$1.last" >>"$tmp/$1.rate"
	echo "$h $(cpu "$pid") $REQUESTS" |
		awk '{ print ($2 - $1) / $3 }' >>"$tmp/$1.httpd"
	echo "$f $(fpm_cpu) $REQUESTS" |
		awk '{ print ($2 - $1) / $3 }' >>"$tmp/$1.fpm"
}

names="none again Off On"
port=8090
for reuse in no yes; do
	echo "| PHP-FPM, hello world, $([ $reuse = no ] &&
		echo 'a connection a request' ||
		echo 'connections kept') | requests a second | of not loaded |" \
		"of Off | httpd's CPU a request, us | PHP-FPM's |"
	echo "|---|--:|--:|--:|--:|--:|"
	first=$port
	for name in $names; do
		rm -rf "${tmp:?}/$name" "${tmp:?}/$name".*
		start "$name" $port $reuse
		rate $port >/dev/null
		port=$((port + 1))
	done
	i=0
	while [ $i -lt "$ROUNDS" ]; do
		# in any order: who follows whom matters
		p=$first
		order=$(for name in $names; do
			echo "$name:$p"
			p=$((p + 1))
		done | shuf)
		for name in $order; do
			turn "${name%:*}" "${name#*:}"
		done
		for name in $names; do
			for to in none Off; do
				echo "$(cat "$tmp/$name.last") $(cat "$tmp/$to.last")" |
					awk '{ print 100 * $1 / $2 }' >>"$tmp/$name.$to"
			done
		done
		i=$((i + 1))
	done
	for name in $names; do
		case $name in
		none) what="not loaded" ;;
		again) what="not loaded, once more" ;;
		*) what="MailOrigin $name" ;;
		esac
		printf '| %s | %.0f | %.1f %% | %.1f %% | %.0f | %.0f |\n' "$what" \
			"$(median <"$tmp/$name.rate")" "$(median <"$tmp/$name.none")" \
			"$(median <"$tmp/$name.Off")" "$(median <"$tmp/$name.httpd")" \
			"$(median <"$tmp/$name.fpm")"
	done
	# shellcheck disable=SC2086
	kill $httpds
	for p in $httpds; do wait "$p" 2>/dev/null || :; done
	httpds=
	[ $reuse = yes ] || echo
done
