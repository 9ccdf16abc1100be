# How long the recorder takes to answer, and how many it answers: 1 client and
# 64, each answer with a verified request, a token, a record and a stamp.
# ancestry: below a mod_php worker each; connection: below a PHP-FPM worker
# each, whose socket is passed, and httpd's child has 64 requests on the board.
# keep: one connection to the recorder a client; new: a connection a query, as
# a wrapper makes one; fork: a process a query too, whose own cost is in the
# queries a second.
# ROUNDS rounds side by side; each figure is the median of its rounds'.  The
# recorder's own CPU time for a query says what it takes where others are busy.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-5}
QUERIES=${QUERIES:-4000}
start_recorder /bin/true

for _ in $(seq "$ROUNDS"); do
	for clients in 1 64; do
		for evidence in ancestry connection; do
			for mode in keep new fork; do
				before=$(cpu "$recorder")
				"$BENCH/recorder_load" $evidence $mode $clients \
					$((QUERIES / clients)) >"$tmp/out"
				echo "$(cat "$tmp/out") $before $(cpu "$recorder")" \
					>>"$tmp/$evidence.$mode.$clients"
			done
		done
	done
done
# what was asked is what was answered, each time in full
for evidence in ancestry connection; do
	asked=$(cat "$tmp/$evidence".* | awk '{ n += $4 } END { print n }')
	got=$(grep -c '"verdict":"verified","evidence":"'$evidence'"' "$LOG" || :)
	if [ "$asked" != "$got" ]; then
		echo "bench: $asked queries by $evidence, $got verified records so" \
			"in $LOG" >&2
		exit 1
	fi
done
echo "| evidence | recorder | clients | p50 µs | p99 µs | queries a second |" \
	"recorder's CPU µs |"
echo "|---|---|--:|--:|--:|--:|--:|"
for evidence in ancestry connection; do
	for mode in keep new fork; do
		for clients in 1 64; do
			f=$tmp/$evidence.$mode.$clients
			echo "| $evidence | $mode | $clients |" \
				"$(awk '{ print $6 }' "$f" | median) |" \
				"$(awk '{ print $7 }' "$f" | median) |" \
				"$(awk '{ print $5 }' "$f" | median) |" \
				"$(awk '{ printf "%.1f\n", ($9 - $8) / $4 }' "$f" | median) |"
		done
	done
done
