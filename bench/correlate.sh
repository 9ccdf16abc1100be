# The command over big logs, beside what an admin has without it. Sizes can be
# made smaller: BENCH_GB (10), BENCH_JOIN_GB (1.5), BENCH_RECORDS (10000000).
# Page cache warm; CPU is user and system time; the median of BENCH_RUNS (5)
# runs, peer and we in turns.
. "$SRC/bench/common.sh"
gb=${BENCH_GB:-10}
join_gb=${BENCH_JOIN_GB:-1.5}
records=${BENCH_RECORDS:-10000000}
runs=${BENCH_RUNS:-5}
make_keyring
format='%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i" %{MAILORIGIN_ID}e'

# cost FILE COMMAND… - appends "wall cpu maxrss" (s, s, MB) to FILE; the
# command's output goes to $tmp/out
cost() {
	to=$1
	shift
	perl -MTime::HiRes=time -e '
		my $t = time;
		my $pid = fork // die;
		if (!$pid) {
			open STDOUT, ">", shift or die;
			shift;
			exec @ARGV or die "$ARGV[0]: $!\n";
		}
		shift; shift;
		waitpid $pid, 0;
		die "$ARGV[0]: status $?\n" if $? >> 8 > 1 || $? & 127;
		# getrusage(RUSAGE_CHILDREN): two timevals, then ru_maxrss in kB
		my $ru = "\0" x 144;
		syscall(98, -1, $ru) == 0 or die; # x86_64
		my @ru = unpack "q18", $ru;
		printf "%.4f %.4f %.1f\n", time - $t,
			$ru[0] + $ru[2] + ($ru[1] + $ru[3]) / 1e6, $ru[4] / 1024;
	' "$tmp/out" -- "$@" >>"$to"
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

echo "### 10,000 mails, $join_gb GB of access_log"
make_logs "$join_gb" 10000
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
echo "matched $(grep -c '"exact"' "$tmp/out") of 10000"
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
echo "### One mail among 30 rotated .gz"
mkdir "$tmp/rot"
for day in $(seq 1 30); do
	"$BENCH/logs" "$tmp/rot" 0.02 1 "$day"
	mv "$tmp/rot/access.log" "$tmp/rot/a"
	perl -pe 'BEGIN { $d = sprintf "%02d", shift } s{\[24/Nov}{[$d/Nov}' \
		"$day" "$tmp/rot/a" | gzip -1 >"$tmp/rot/access.log.$((31 - day)).gz"
	touch -d "2026-11-$day 23:59:59 UTC" "$tmp/rot/access.log.$((31 - day)).gz"
	rm "$tmp/rot/a"
done
tail -n 1 "$tmp/rot/mail.log" | sed 's/2026-11-24/2026-11-15/g' >"$tmp/one.log"
id=$(sed 's/.*"id":"\([^"]*\)".*/\1/;s/.*"id":"//;s/".*//' "$tmp/one.log" | head -n 1)
strace -f -e trace=read,openat -o "$tmp/strace" "$MAILORIGIN" trace --json \
	--id "$id" --log "$tmp/one.log" --access-log "$tmp/rot/access.log" \
	--log-format "$format" >"$tmp/out"
awk '/openat.*access.log.*gz/ { split($0, a, "\""); name = a[2]; fd = $NF }
	/read\(/ && $NF > 0 { split($0, a, /[(,]/); if (a[2] == fd) sum[name] += $NF }
	END { for (n in sum) { all++; if (sum[n] > 300000) big++ }
	printf "%d files were opened, of %d more than 256 kB were read\n", all, big }' \
	"$tmp/strace"
rm -rf "$tmp/rot"

echo
echo "### One mail in $gb GB of access_log; 100,000 mails in it"
make_logs "$gb" 100000
b=$(size "$tmp/access.log")
line=$(sed -n 70000p "$tmp/mail.log")
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
for _ in $(seq 3); do
	join "$tmp/t1" 1 "$tmp/access.log"
	join "$tmp/t2" 2 "$tmp/access.log"
done
echo "matched $(grep -c '"exact"' "$tmp/out") of 100000"
head_line '100,000 mails'
row 'one thread' "$tmp/t1" "$b"
row 'two threads' "$tmp/t2" "$b" "$(col "$tmp/t1" 2)"
echo "two threads are $(ratio "$(col "$tmp/t1" 1)" "$(col "$tmp/t2" 1)") times as fast by the clock"
rm -f "$tmp/access.log" "$tmp/mail.log"

echo
echo "### top over $records records"
"$BENCH/logs" --records "$records" >"$tmp/mail.log"
b=$(size "$tmp/mail.log")
warm "$tmp/mail.log"
for _ in $(seq 3); do
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
