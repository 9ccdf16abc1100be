# Requests a second through PHP-FPM: hello world over a unix socket, event, by
# ab; without the module, and with it On, in turn, each httpd beside the other.
# What counts is the ratio of a pair, taken in the same seconds; and the
# processor time of httpd's child, which holds on a busy machine too.
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-15}
REQUESTS=${REQUESTS:-2000}
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
	pm.max_children = 20
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
		$([ "$1" != on ] || echo "LoadModule mailorigin_module" \
			"$PREFIX/lib/apache2/modules/mod_mailorigin.so
			MailOrigin On")
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

# cpu NAME: what its child has used, in ticks
cpu() {
	parent=$(cat "$tmp/$1/httpd.pid")
	read -r child rest <"/proc/$parent/task/$parent/children" || :
	awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$child/stat"
}

echo "| PHP-FPM, hello world: requests a second | without | with it On | ratio | pairs | httpd's CPU a request, us | with it |"
echo "|---|--:|--:|--:|--:|--:|--:|"
port=8090
for reuse in no yes; do
	rm -rf "$tmp/off" "$tmp/on"
	start off $port $reuse
	start on $((port + 1)) $reuse
	rate $port >/dev/null
	rate $((port + 1)) >/dev/null
	off=$(cpu off) on=$(cpu on)
	: >"$tmp/off.r"; : >"$tmp/on.r"; : >"$tmp/ratio"
	i=0
	while [ $i -lt "$ROUNDS" ]; do
		# whose turn is first changes
		if [ $((i % 2)) = 0 ]; then
			a=$(rate $port) b=$(rate $((port + 1)))
		else
			b=$(rate $((port + 1))) a=$(rate $port)
		fi
		echo "$a" >>"$tmp/off.r"
		echo "$b" >>"$tmp/on.r"
		awk -v a="$a" -v b="$b" 'BEGIN { print b / a }' >>"$tmp/ratio"
		i=$((i + 1))
	done
	us=$((1000000 / $(getconf CLK_TCK)))
	off=$((($(cpu off) - off) * us / (ROUNDS * REQUESTS)))
	on=$((($(cpu on) - on) * us / (ROUNDS * REQUESTS)))
	printf '| %s | %.0f | %.0f | %.1f %% | %d | %d | %d |\n' \
		"$([ $reuse = no ] && echo 'a connection a request' ||
			echo 'connections kept')" \
		"$(median <"$tmp/off.r")" "$(median <"$tmp/on.r")" \
		"$(median <"$tmp/ratio" | awk '{ print $1 * 100 }')" "$ROUNDS" "$off" "$on"
	# shellcheck disable=SC2086
	kill $httpds
	for p in $httpds; do wait "$p" 2>/dev/null || :; done
	httpds=
	port=$((port + 2))
done
