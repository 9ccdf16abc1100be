# What the parts of the bench share; bench/run sets W (its folder), SRC, PREFIX
# and BENCH (our programs), in namespaces of its own, with an empty etc, run
# and var below PREFIX.
set -eu
: "${W:?run bench/run}" "${SRC:?}" "${PREFIX:?}" "${BENCH:?}"
MAILORIGIN=$PREFIX/bin/mailorigin
RECORDER=$PREFIX/lib/mailorigin/recorder
# shellcheck disable=SC2034 # for the parts
WRAPPER=$PREFIX/lib/mailorigin/sendmail
ETC=$PREFIX/etc/mailorigin
# shellcheck disable=SC2034
LOG=$PREFIX/var/log/mail.log
tmp=$(mktemp -d "$W/tmp.XXXXXX")
recorder=
trap 'stop_recorder; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# of the numbers on standard input, one a line
median() {
	sort -n | awk '{ v[NR] = $1 } END {
		if (!NR) exit 1
		print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# cpu PID: the processor time of its threads until now, us
cpu() {
	cat /proc/"$1"/task/*/schedstat |
		awk '{ n += $1 } END { printf "%.0f\n", n / 1000 }'
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b
		else print "-" }'
}

# Waits for a command to succeed, 30 s.
wait_for() {
	n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		if [ $n -gt 600 ]; then
			echo "bench: in 30 s not: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

make_keyring() {
	[ -e "$ETC/keyring" ] || "$MAILORIGIN" key init 2>"$tmp/err" || {
		cat "$tmp/err" >&2
		return 1
	}
}

# start_recorder SENDMAIL
start_recorder() {
	make_keyring
	printf 'sendmail %s\nbudget 0\n' "$1" >"$ETC/mailorigin.conf"
	"$RECORDER" --foreground 2>"$W/recorder.log" &
	recorder=$!
	wait_for test -S "$PREFIX/run/recorder.sock"
}

stop_recorder() {
	[ -z "$recorder" ] || { kill "$recorder" && wait "$recorder" || :; }
	recorder=
}
