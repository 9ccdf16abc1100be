# What the wrapper adds to a mail over real mail servers: Postfix, Exim and
# Sendmail as their packages are, each in an overlay of its own (bench/mta.pl),
# for -t and -bs.  ROUNDS rounds, in each of them one mail without a wrapper,
# one through the classic shell wrapper (bench/wrapper.sh; it can't do -bs) and
# one through ours, and a mail's delivery has ended before the next begins.
# Times are the caller's wait and the CPU time of all that it waited for; what
# a wrapper adds is the median of the rounds' differences.  Its own process is
# the wrapper's alone, before it becomes the server's sendmail.  (Exim answers
# a QUIT 200 ms late, for a client on TCP to hang up first.)
. "$SRC/bench/common.sh"

MO_SRC=$SRC MO_BUILD=$W/build MO_PREFIX=$PREFIX
export MO_SRC MO_BUILD MO_PREFIX
for mta in postfix exim sendmail; do
	perl "$SRC/bench/mta.pl" "$mta"
done >"$tmp/rows"

table() {
	awk -v what="$1" '$1 == what { sub(/^[^|]*/, ""); print }' "$tmp/rows"
}
echo "| ms a mail of 2.4 KB | no wrapper | classic adds | ours adds | CPU, no wrapper | classic adds | ours adds |"
echo "|---|--:|--:|--:|--:|--:|--:|"
table time
echo
echo "| a mail | system calls, no wrapper | classic adds | ours adds | ours, its own process | page faults, no wrapper | classic adds | ours adds | ours, its own process | MiB at most, a mail of 200 MB |"
echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
table calls
strip -o "$tmp/stripped" "$WRAPPER"
size "$tmp/stripped" | awk -v file="$(wc -c <"$tmp/stripped")" 'NR == 2 {
	printf "\nThe program, stripped: %d KiB, static; text %d, data %d, " \
	    "bss %d KiB.\n", file / 1024, $1 / 1024, $2 / 1024, $3 / 1024 }'
