# What the wrapper adds to a mail: the bare sink, the classic shell wrapper
# (date, dirname, cat), ours with the recorder; 2.4 KB and 20 MB; as the unit,
# the start of a static no-op; and as the floor of the large mail, a program
# that does nothing but keep it whole before it goes, which the classic one
# does not: it sends what came until it was killed.  ROUNDS rounds side by side.  The median
# is of all runs; CPU time, its children's too, is an average, since the clock
# of it is coarse, and is what another load on the machine changes least.
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-8}
sink=$W/drain
${CC:-cc} -O2 -static -o "$sink" "$SRC/bench/drain.c"
${CC:-cc} -O2 -static -D_GNU_SOURCE -o "$W/keep" "$SRC/bench/keep.c"
cat >"$tmp/classic" <<EOT
#!/bin/sh
dir=\$(dirname "\$PWD/x")
{ echo "X-Mail-Origin: \$USER from \$dir, \$(date)"; cat; } | $sink "\$@"
EOT
chmod 755 "$tmp/classic"
mail() {
	printf 'To: a@example.org\nFrom: b@example.org\nSubject: bench\n\n'
	yes 'The quick brown fox jumps over the lazy dog, and then sleeps.' |
		head -c "$1"
}
mail 2340 >"$tmp/small"
mail 20000000 >"$tmp/large"

# runs NAME RUNS INPUT COMMAND…
runs() {
	name=$1 n=$2 in=$3
	shift 3
	"$BENCH/runs" "$n" "$in" "$@" >>"$tmp/t.$name"
}

# wall NAME: ms; cpu NAME: ms; faults NAME
wall() { cut -d ' ' -f 1 "$tmp/t.$1" | median; }
cpu() { awk '{ s += $2 } END { printf "%.3f", s / NR }' "$tmp/t.$1"; }
faults() { cut -d ' ' -f 3 "$tmp/t.$1" | median; }

start_recorder "$sink"
for _ in $(seq "$ROUNDS"); do
	runs noop 40 /dev/null "$sink"
	for size in small large; do
		[ $size = small ] && n=40 || n=5
		runs bare.$size $n "$tmp/$size" "$sink" -t -i
		runs classic.$size $n "$tmp/$size" "$tmp/classic" -t -i
		runs ours.$size $n "$tmp/$size" "$WRAPPER" -t -i
		runs floor.$size $n "$tmp/$size" "$W/keep" "$sink" -t -i
	done
done
records=$(grep -c '"action":"passed"' "$LOG" || :)
want=$((ROUNDS * 45))
if [ "$records" != "$want" ]; then
	echo "bench: $want mails, $records records in $LOG" >&2
	exit 1
fi

echo "| wrapper, ms | 2.4 KB | added | CPU added | page faults | 20 MB | added | CPU added |"
echo "|---|--:|--:|--:|--:|--:|--:|--:|"
for what in bare classic ours floor; do
	echo "$what $(wall $what.small) $(wall bare.small) $(cpu $what.small)" \
		"$(cpu bare.small) $(faults $what.small) $(wall $what.large)" \
		"$(wall bare.large) $(cpu $what.large) $(cpu bare.large)"
done >"$tmp/table"
awk '{ printf "| %s | %.2f | %.2f | %.2f | %d | %.1f | %.1f | %.1f |\n",
	$1, $2, $2 - $3, $4 - $5, $6, $7, $7 - $8, $9 - $10 }' "$tmp/table"
awk -v noop="$(wall noop)" '
	{ small[$1] = $2 - $3; cpu[$1] = $4 - $5; large[$1] = $7 - $8
	  largecpu[$1] = $9 - $10 }
	END { printf "\nA static no-op, forked and executed: %.2f ms. Ours adds " \
	    "%.1f of them to 2.4 KB; the classic one adds %.1f times what ours " \
	    "adds (CPU: %.1f; 20 MB: %.1f, CPU: %.1f). To keep 20 MB whole " \
	    "until they may go is %.0f %% of the time ours adds to them " \
	    "(CPU: %.0f %%).\n", noop,
	    small["ours"] / noop, small["classic"] / small["ours"],
	    cpu["classic"] / cpu["ours"], large["classic"] / large["ours"],
	    largecpu["classic"] / largecpu["ours"],
	    100 * large["floor"] / large["ours"],
	    100 * largecpu["floor"] / largecpu["ours"] }' "$tmp/table"
calls() {
	strace -c -o "$tmp/calls" "$@" && awk '$NF == "total" { print $4 }' \
		"$tmp/calls"
}
if command -v strace >/dev/null; then
	strip -o "$tmp/stripped" "$WRAPPER"
	echo "System calls: the sink $(calls "$sink" <"$tmp/small"), with the" \
		"wrapper $(calls "$WRAPPER" -t -i <"$tmp/small"). The program:" \
		"$(($(wc -c <"$tmp/stripped") / 1024)) KiB, static."
fi
