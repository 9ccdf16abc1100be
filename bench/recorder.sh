# How long the recorder takes to answer, and how many it answers: 1 client and
# 64, each answer with a verified request, a token, a record and a stamp.
# keep: one connection a client; new: a connection a query, as a wrapper makes
# one; fork: a process a query too, whose own cost is in the queries a second.
# ROUNDS rounds side by side; each figure is the median of its rounds'.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"

ROUNDS=${ROUNDS:-5}
QUERIES=${QUERIES:-4000}
start_recorder /bin/true
for _ in $(seq "$ROUNDS"); do
	for clients in 1 64; do
		for mode in keep new fork; do
			"$BENCH/recorder_load" "$mode" "$clients" \
				$((QUERIES / clients)) >>"$tmp/$mode.$clients"
		done
	done
done
# what was asked is what was answered, each time in full
asked=$(cat "$tmp"/*.1 "$tmp"/*.64 | awk '{ n += $3 } END { print n }')
got=$(grep -c '"verdict":"verified"' "$LOG" || :)
if [ "$asked" != "$got" ]; then
	echo "bench: $asked queries, $got verified records in $LOG" >&2
	exit 1
fi
echo "| recorder | clients | p50 µs | p99 µs | queries a second |"
echo "|---|--:|--:|--:|--:|"
for mode in keep new fork; do
	for clients in 1 64; do
		f=$tmp/$mode.$clients
		echo "| $mode | $clients |" \
			"$(awk '{ print $5 }' "$f" | median) |" \
			"$(awk '{ print $6 }' "$f" | median) |" \
			"$(awk '{ print $4 }' "$f" | median) |"
	done
done
