# What the wrapper adds to a mail: the bare sink, the classic shell wrapper
# (date, dirname, cat), ours with the recorder and without it; 2.4 KB and
# 20 MB; and, as the unit, the start of a static no-op.  ROUNDS rounds side by
# side, the median of all runs.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-8}
sink=$W/drain
${CC:-cc} -O2 -static -o "$sink" "$SRC/bench/drain.c"
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

start_recorder "$sink"
for _ in $(seq "$ROUNDS"); do
	runs noop 40 /dev/null "$sink"
	for size in small large; do
		[ $size = small ] && n=40 || n=5
		runs bare.$size $n "$tmp/$size" "$sink" -t -i
		runs classic.$size $n "$tmp/$size" "$tmp/classic" -t -i
		runs ours.$size $n "$tmp/$size" "$WRAPPER" -t -i
	done
done
records=$(grep -c '"action":"passed"' "$LOG" || :)
want=$((ROUNDS * 45))
if [ "$records" != "$want" ]; then
	echo "bench: $want mails, $records records in $LOG" >&2
	exit 1
fi
m() { cat "$tmp/m.$1"; }
noop=$(median <"$tmp/t.noop")
echo "| wrapper, ms | 2.4 KB | added | 20 MB | added |"
echo "|---|--:|--:|--:|--:|"
for what in bare classic ours; do
	for size in small large; do
		median <"$tmp/t.$what.$size" >"$tmp/m.$what.$size"
	done
	awk -v name=$what -v s="$(m $what.small)" -v l="$(m $what.large)" \
		-v s0="$(m bare.small)" -v l0="$(m bare.large)" 'BEGIN { printf \
		"| %s | %.2f | %.2f | %.1f | %.1f |\n", name, s, s - s0, l, l - l0 }'
done
awk -v noop="$noop" -v b="$(m bare.small)" -v c="$(m classic.small)" \
	-v o="$(m ours.small)" -v B="$(m bare.large)" -v C="$(m classic.large)" \
	-v O="$(m ours.large)" 'BEGIN {
	printf "\nA static no-op, forked and executed: %.2f ms. Ours adds %.1f of " \
	    "them to 2.4 KB; the classic one adds %.1f times what ours adds " \
	    "(20 MB: %.1f times).\n",
	    noop, (o - b) / noop, (c - b) / (o - b), (C - B) / (O - B) }'
