# The command over big logs, beside what an admin has without it.
#
#   BENCH_SCALE (1)  of the sizes: 10 GB with 100,000 mails, 1.65 GB with 10,000
#                    mails, 30 rotated .gz of 1 GB, 10,000,000 records; that
#                    takes 25 GB of disk and, with BENCH_RUNS=1, ten minutes of
#                    an idle machine.  0.05 shows the shape in half a minute.
#   BENCH_RUNS (5)   peer and we in turns, so often; medians
#
# The page cache is warm; CPU is user and system time of the command and what it
# starts, which a busy machine disturbs less than the clock.
# shellcheck source=bench/common.sh
. "$SRC/bench/common.sh"
scale=${BENCH_SCALE:-1}
runs=${BENCH_RUNS:-5}
of() { awk -v n="$1" -v s="$scale" 'BEGIN { print n * s }'; }
gb=$(of 10)
join_gb=$(of 1.65)
rotated_gb=$(of 1)
records=$(of 10000000)
mails=$(of 10000)
many=$(of 100000)
make_keyring
format='%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{MAILORIGIN_ID}e'

# cost FILE COMMAND… - appends "wall cpu maxrss" (s, s, MB) to FILE; the
# command's output goes to $tmp/out
cost() {
	to=$1
	shift
	# (grep and rg that find nothing have failed, says runs)
	"$BENCH/runs" 1 /dev/null /bin/sh -c 'exec "$@" >"$0"' "$tmp/out" "$@" |
		awk '{ print $1 / 1e3, $2 / 1e3, $4 / 1024 }' >>"$to"
}
col() { awk -v c="$2" '{ print $c }' "$1" | median; }
row() { # NAME FILE BYTES [BASE]
	awk -v name="$1" -v w="$(col "$2" 1)" -v c="$(col "$2" 2)" \
		-v m="$(col "$2" 3)" -v b="$3" -v base="${4:-0}" 'BEGIN {
		printf("| %s | %.3f | %.3f | %.2f | %.0f | %s |\n", name, w, c,
			c ? b / c / 1e9 : 0, m,
			base + 0 ? sprintf("%.1f", c / base) : "1")
	}'
}
head_line() {
	echo "| $1 | wall s | CPU s | GB/s of CPU | MB | times our CPU |"
	echo "|---|---|---|---|---|---|"
}
size() { stat -c %s "$1"; }
warm() { cat "$@" >/dev/null; }

make_logs() { # GB MAILS
	"$BENCH/logs" "$tmp" "$1" "$2"
	# it ended with its day
	touch -d '2026-11-25 00:00 UTC' "$tmp/access.log"
	warm "$tmp/access.log"
}

echo "### $mails mails, $join_gb GB of access_log"
make_logs "$join_gb" "$mails"
b=$(size "$tmp/access.log")
sed 's/.*"request_id":"\([^"]*\)".*/\1/' "$tmp/mail.log" >"$tmp/ids"
cat >"$tmp/join.awk" <<'END'
NR == FNR { want[$0] = 1; next }
$NF in want { print }
END
join() {
	cost "$1" "$MAILORIGIN" log --access --json --threads "$2" \
		--log "$tmp/mail.log" --access-log "$3" --log-format "$format"
}
for _ in $(seq "$runs"); do
	join "$tmp/ours" 1 "$tmp/access.log"
	cost "$tmp/mawk" mawk -f "$tmp/join.awk" "$tmp/ids" "$tmp/access.log"
	cost "$tmp/grep" env LC_ALL=C grep -F -f "$tmp/ids" "$tmp/access.log"
	cost "$tmp/rg" rg --no-mmap -j1 -F -f "$tmp/ids" "$tmp/access.log"
done
join "$tmp/x" 1 "$tmp/access.log"
echo "matched $(grep -c '"exact"' "$tmp/out") of $mails"
o=$(col "$tmp/ours" 2)
head_line join
row 'mailorigin log --access' "$tmp/ours" "$b"
for p in mawk grep rg; do row "$p" "$tmp/$p" "$b" "$o"; done

echo
echo "### The same from .gz"
gzip -6 -k "$tmp/access.log"
touch -r "$tmp/access.log" "$tmp/access.log.gz"
rm "$tmp/ours" "$tmp/access.log"
warm "$tmp/access.log.gz"
for _ in $(seq "$runs"); do
	join "$tmp/ours" 1 "$tmp/access.log.gz"
	cost "$tmp/zcat" sh -c "zcat $tmp/access.log.gz |
		mawk -f $tmp/join.awk $tmp/ids -"
	cost "$tmp/zcat0" sh -c "zcat $tmp/access.log.gz >/dev/null"
done
o=$(col "$tmp/ours" 2)
head_line join
row 'mailorigin log --access' "$tmp/ours" "$b"
row 'zcat, mawk' "$tmp/zcat" "$b" "$o"
row 'zcat alone' "$tmp/zcat0" "$b" "$o"
rm -f "$tmp/access.log.gz" "$tmp/ours"

echo
echo "### One mail among 30 rotated .gz of $rotated_gb GB"
# Only the file that holds it has its own day all through.  Of the others, that
# begins each; what follows is never to be read.
mkdir "$tmp/rot"
in_day() { # DAY FILE
	# the first lines are of requests of the day before
	perl -pe 'BEGIN { $n = shift; $d = sprintf "%02d/Nov", $n;
		$y = $n > 1 ? sprintf "%02d/Nov", $n - 1 : "31/Oct" }
		s{\[24/Nov}{[$d} or s{\[23/Nov}{[$y}' "$@"
}
"$BENCH/logs" "$tmp/rot" "$rotated_gb" 1
in_day 15 "$tmp/rot/access.log" | gzip -1 >"$tmp/rot/body.gz"
head -n 1000 "$tmp/rot/access.log" >"$tmp/rot/head"
for day in $(seq 1 30); do
	gz=$tmp/rot/access.log.$((31 - day)).gz
	if [ "$day" = 15 ]; then
		cp "$tmp/rot/body.gz" "$gz"
	else
		in_day "$day" "$tmp/rot/head" | gzip -1 >"$gz"
		cat "$tmp/rot/body.gz" >>"$gz"
	fi
	touch -d "2026-11-$day 23:59:59 UTC" "$gz"
done
rm "$tmp/rot/access.log" "$tmp/rot/head" "$tmp/rot/body.gz"
sed 's/2026-11-24/2026-11-15/g' "$tmp/rot/mail.log" >"$tmp/one.log"
id=$(sed 's/.*"id":"//;s/".*//' "$tmp/one.log")
one_mail() {
	"$@" "$MAILORIGIN" trace --json --id "$id" --log "$tmp/one.log" \
		--access-log "$tmp/rot/access.log" --log-format "$format"
}
warm "$tmp/rot/access.log.16.gz"
for _ in $(seq "$runs"); do
	one_mail cost "$tmp/rotated"
	grep -q '"exact"' "$tmp/out" || echo "not found"
	cost "$tmp/zcat1" zcat "$tmp/rot/access.log.16.gz"
done
b=$(zcat "$tmp/rot/access.log.16.gz" | wc -c)
head_line 'one mail'
row 'mailorigin trace' "$tmp/rotated" "$b"
row 'zcat of that file' "$tmp/zcat1" "$b" "$(col "$tmp/rotated" 2)"
one_mail strace -f -e trace=read,pread64,openat -o "$tmp/strace" >"$tmp/out"
awk '/openat.*access.log.*gz/ { split($0, a, "\""); name = a[2]; fd = $NF }
	/read(64)?\(/ && $NF > 0 { split($0, a, /[(,]/); if (a[2] == fd) sum[name] += $NF }
	END { for (n in sum) { all++; if (sum[n] > 300000) big++ }
	printf "%d files were opened, of %d more than 300 kB were read\n", all, big }' \
	"$tmp/strace"
rm -rf "$tmp/rot"

echo
echo "### One mail in $gb GB of access_log; $many mails in it"
make_logs "$gb" "$many"
b=$(size "$tmp/access.log")
line=$(sed -n "$(of 70000)p" "$tmp/mail.log")
printf '%s\n' "$line" >"$tmp/one.log"
mid=$(printf '%s\n' "$line" | sed 's/.*"id":"\([0-9a-f]*\)","host.*/\1/')
rid=$(printf '%s\n' "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
for _ in $(seq "$runs"); do
	cost "$tmp/one" "$MAILORIGIN" trace --json --id "$mid" --log "$tmp/one.log" \
		--access-log "$tmp/access.log" --log-format "$format"
	grep -q '"exact"' "$tmp/out" || echo "not found"
	cost "$tmp/rg1" rg --no-mmap -F "$rid" "$tmp/access.log"
done
head_line 'one mail'
row 'mailorigin trace' "$tmp/one" "$b"
row 'rg --no-mmap -F' "$tmp/rg1" "$b" "$(col "$tmp/one" 2)"
echo "rg needs $(ratio "$(col "$tmp/rg1" 1)" "$(col "$tmp/one" 1)") times our wall time"
echo
for _ in $(seq "$runs"); do
	join "$tmp/t1" 1 "$tmp/access.log"
	join "$tmp/t2" 2 "$tmp/access.log"
done
echo "matched $(grep -c '"exact"' "$tmp/out") of $many"
head_line "$many mails"
row 'one thread' "$tmp/t1" "$b"
row 'two threads' "$tmp/t2" "$b" "$(col "$tmp/t1" 2)"
echo "two threads are $(ratio "$(col "$tmp/t1" 1)" "$(col "$tmp/t2" 1)") times as fast by the clock"
rm -f "$tmp/access.log" "$tmp/mail.log"

echo
echo "### top over $records records"
"$BENCH/logs" --records "$records" >"$tmp/mail.log"
b=$(size "$tmp/mail.log")
warm "$tmp/mail.log"
for _ in $(seq "$runs"); do
	cost "$tmp/top" "$MAILORIGIN" top --by script --log "$tmp/mail.log"
	cost "$tmp/mawk2" mawk -F '"script":"' \
		'{ split($2, a, "\""); n[a[1]]++ } END { for (k in n) print n[k], k }' \
		"$tmp/mail.log"
done
head -n "$((records / 20))" "$tmp/mail.log" >"$tmp/part.log"
cost "$tmp/toppart" "$MAILORIGIN" top --by script --log "$tmp/part.log"
cost "$tmp/jq" jq -n 'reduce (inputs | .script) as $s ({}; .[$s] += 1)' \
	"$tmp/part.log"
cost "$tmp/mlr" mlr --ijsonl --ojson count-distinct -f script "$tmp/part.log"
head_line top
row 'mailorigin top --by script' "$tmp/top" "$b"
row mawk "$tmp/mawk2" "$b" "$(col "$tmp/top" 2)"
p=$(size "$tmp/part.log")
row 'a 20th of it: mailorigin' "$tmp/toppart" "$p"
row jq "$tmp/jq" "$p" "$(col "$tmp/toppart" 2)"
row mlr "$tmp/mlr" "$p" "$(col "$tmp/toppart" 2)"
