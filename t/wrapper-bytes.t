# Whatever a mail is made of, and however it is given: what arrives is what
# arrives without the wrapper, and the one field, less forged copies of it.
# What that is, is worked out here, a line at a time, from DESIGN's words.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;

my $seed = $ENV{MO_SEED} // 20261124;
srand $seed;
sub any { $_[rand @_] }

# ---- the messages

my @heads = (
    ["To: a\@example.org\n", "Subject: plain\n"],
    [],
    ["Subject: folded\n", "\tonce\n", " twice\n", "X-Empty:\n"],
    ["Subject: \xc3\xa4\xc3\xb6\xe2\x82\xac\n", "X-\xc3\xa4: name\n"],
    ["Subject: =?utf-8?B?w6Q=?=\n", "From: \"\xe4\xf6\" <a\@b>\n"],
    ["X-Long: " . 'x' x 5000 . "\n", "To: b\n"],
    ["To: " . join(",\n ", map { "u$_\@example.org" } 1 .. 300) . "\n"],
    ["Subject : blank before the colon\n", "To\t:x\n"],
    ["From: me\n", ".X-Dot: no\n", "Y: .\n"],
    ["Mail-Originator: not ours\n", "X-Mail-Origin: nor this\n", "Mail-: x\n"],
    ["Subject: nul \0 in it\n", "X\0Y: z\n"],
    [('X-Many: ' . 'y' x 60 . "\n") x 700],
    ['N' x 1300 . ": a long name\n", "Subject: behind it\n"],
    ["Subject:\n", "\t\n", "To: after an empty fold\n"],
);
my @forged = (
    "Mail-Origin: v=1; id=AAAAAAAAAAAAAAAA\n",
    "mail-origin: v=1;\n\tid=BBBBBBBBBBBBBBBB;\n   s=abc\n",
    "MAIL-ORIGIN : x\n",
    "Mail-origin\t \t:\n .\n",
    "Mail-Origin:" . 'z' x 3000 . "\n " . 'w' x 3000 . "\n",
    'Mail-Origin' . ' ' x 1400 . ": far colon\n",
);
my @from = ("From me\@example.org Mon Jan  5 10:00:00 2026\n",
    ">From you\n", ">>From  them\n", "From \n");
my @bodies = (
    '', "one line\n", "no newline at its end", "\n", "\n\n\n", "x",
    ".\n", "..\n.x\nx.\n.", "a\n..b\n...\n....", "From here on\n>From there\n",
    "Mail-Origin: in the body stays\n", "\tbegins with a tab\n",
    "nul \0\0 \n\0", join('', map { chr } 0 .. 255) . "\n",
    "\xe4\xf6\xfc\n" x 40, "\xc3\xa4\n", 'x' x 5000 . "\n" . 'y' x 5000,
    "bare\rreturn\r\n\rx\n", "\r\n", "\r\r\n", "line\n" x 40000,
    join('', map { 'z' x $_ . "\n" } 1 .. 200), '.' x 3000 . "\n", "Subject: x\n",
);
my @starts = ( # before the first field, where there is one
    '', '', '', '', "\n", "\tTab\n", " blank: first\n", "text and no field\n",
    ": no name\n", "\0: nul\n", 'w' x 3000 . "\n", "no colon here",
    "key value\n", "\r", ".\n", "..\n");

sub one_message {
    my $text = '';
    $text .= any(@from) for 1 .. any(0, 0, 0, 0, 1, 1, 2, 3);
    $text .= any(@starts);
    my @head = @{any(@heads)};
    # not into the middle of a fold
    for (1 .. any(0, 0, 1, 1, 2, 3)) {
        my @at = grep { $_ == @head || $head[$_] !~ /^[ \t]/ } 0 .. @head;
        splice @head, any(@at), 0, any(@forged);
    }
    $text .= join '', @head;
    $text .= any("\n", "\n", "\n", "\n", '', "text in the head\n\n");
    $text .= any(@bodies);
    $text .= any(@bodies) if rand() < .4;
    return $text;
}

my @messages = ('', "\n", '.', ".\n", "Mail-Origin: x", "Mail-Origin: x\n",
    "From a\n", "From a", "Mail-Origin: x\nbody", "Mail-Origin: x\n y", 'x',
    "From a\nMail-Origin: x\n\n", "x:", "Mail-Origin", "\0", "From ",
    ("Subject: at an edge\n" . "X-Y: " . 'e' x (131072 - 28) . "\n\nx\n"),
    (map { "A: b\n\n" . 'e' x $_ . "\n.\n.x\n" } 65527 .. 65536));
push @messages, one_message() while @messages < 520;

# real ones
my @real = glob "$SRC/../shared/data/bounces/*.eml";
if ($SAN) {
    @messages = grep { rand() < .12 } @messages;
    @real = grep { rand() < .05 } @real;
}
my $nreal = @real;

sub endings {
    my ($text, $how) = @_;
    return $text if $how eq 'LF';
    if ($how eq 'CRLF') {
        $text =~ s/(?<!\r)\n/\r\n/g;
    }
    else {
        $text =~ s/\n/rand() < .5 ? "\r\n" : "\n"/ge;
    }
    return $text;
}

# ---- the oracle: (before the field, after it, the line ending)

my $name = qr/[^\0-\x20\x7f:]+/;
sub expected {
    my ($text, $bs) = @_;
    my $before = '';
    $before .= $1 while $text =~ /\G(>*From [^\n]*(?:\n|\z))/gc;
    my $at = pos $text // 0;
    my ($nl) = substr($text, $at) =~ /\A[^\n]*?(\r?\n)/;
    ($nl) = reverse($before =~ /(\r?\n)/g) if !defined $nl && !$bs;
    $nl //= $bs ? "\r\n" : "\n";
    my $break = $before ne '' && $before !~ /\n\z/ ? $nl : '';
    my ($fields, $kept, $ours) = (0, '', 0);
    pos($text) = $at;
    my $end;
    while ($text =~ /\G([^\n]*(?:\n|\z))/gc) {
        my $line = $1;
        last if $line eq '';
        if ($line =~ /\A$name[ \t]*:/) {
            $ours = $line =~ /\AMail-Origin[ \t]*:/i;
            $fields++;
        }
        elsif ($line !~ /\A[ \t]/ || !$fields) {
            $end = $line; # an empty line, or text
            last;
        }
        $kept .= $line if !$ours;
        $at = pos $text;
    }
    # text at once after the field would be its fold, or no body
    my $blank = $kept eq '' && defined $end && $end !~ /\A\r?\n/ ? $nl : '';
    return ($before . $break, $blank . $kept . substr($text, $at), $nl);
}

# what a lone dot leaves, for an MTA that is not known: through its line
sub cut_at_dot {
    my ($text) = @_;
    my $crlf = $text =~ /\A[^\n]*\r\n/;
    my $dot = $crlf ? qr/^\.\r?\n/m : qr/^\.\n/m;
    return $text =~ /$dot/ ? substr($text, 0, $+[0]) : $text;
}

# what came against what was to come; '' or what is wrong
sub differs {
    my ($got, $text, $bs) = @_;
    my ($before, $after, $nl) = expected($text, $bs);
    return 'nothing arrived' if !defined $got;
    return 'what stands before the field' if
        substr($got, 0, length $before) ne $before;
    my $e = quotemeta $nl;
    pos($got) = length $before;
    $got =~ /\GMail-Origin:\x20v=1;\x20id=[\w-]{16};(?:\x20|$e\t)
        s=[\w-]+(?:$e\t[\w-]+)*$e/gcx
        or return 'the field: ' . substr($got, length $before, 100);
    return '' if substr($got, pos $got) eq $after;
    my $rest = substr $got, pos $got;
    my $i = 0;
    $i++ while $i < length $rest && $i < length $after
        && substr($rest, $i, 1) eq substr($after, $i, 1);
    return sprintf 'byte %d after the field, of %d and %d', $i, length $rest,
        length $after;
}

# ---- the run

my $r = MO::Recorder->new;
my $sink = $r->sink;
my $dir = scratch();
run('mount', '-t', 'tmpfs', '-o', 'size=2g', 'mo-test', $dir);
END { run("umount", $dir) if $dir }
my $passed = 0;

# the program with a file as its input; what arrived, its status and output
sub deliver {
    my ($program, $file, @args) = @_;
    my $pid = fork // die;
    if (!$pid) {
        open STDIN, '<', $file or die;
        open STDOUT, '>', "$dir/out";
        open STDERR, '>', "$dir/err";
        exec $program, @args;
        die;
    }
    waitpid $pid, 0;
    my $status = $?;
    my @names = $sink->names;
    my $got = @names == 1 ? slurp("$sink->{spool}/$names[0]/data") : undef;
    $passed += @names if $program eq $WRAPPER;
    unlink glob "$sink->{spool}/$_/*" for @names;
    rmdir "$sink->{spool}/$_" for @names;
    my $said = slurp("$dir/err");
    $said .= slurp("$dir/out") if "@args" ne '-bs';
    return ($got, $status, $said);
}

sub session {
    my ($text) = @_;
    $text =~ s/^\./../mg;
    $text .= "\r\n" if $text !~ /\n\z/;
    return $text;
}

my %modes = (
    '-t -i' => ['-t', '-i'],
    '-t' => ['-t'],
    'arguments' => ['-fme', 'a@example.org', 'b@example.org'],
    'arguments, -oi' => ['-oi', '-f', 'me', '--', 'a@example.org'],
    '-bs' => ['-bs'],
);
my %wrong;

sub check {
    my ($mode, $how, $text, $what) = @_;
    my @args = @{$modes{$mode}};
    my ($given, $want) = ($text, $text);
    if ($mode eq '-bs') {
        $want = session($text);
        $given = "EHLO here\r\nMAIL FROM:<a\@b.example>\r\n"
            . "RCPT TO:<c\@d.example>\r\nDATA\r\n$want.\r\nQUIT\r\n";
    }
    elsif ("@args" !~ /-o?i/) {
        $want = cut_at_dot($text);
    }
    spew("$dir/in", $given);
    if ($mode eq '-bs') {
        # without us
        ($want) = deliver($sink->path, "$dir/in", @args);
    }
    my ($got, $status, $said) = deliver($WRAPPER, "$dir/in", @args);
    my $bad = $status ? "status $status"
        : $said ne '' ? "it says $said" : differs($got, $want, $mode eq '-bs');
    return if $bad eq '';
    push @{$wrong{"$mode, $how"}}, "$what: $bad";
    spew("/tmp/mo-wrong.$mode.$how", $given) if $ENV{MO_KEEP};
}

for my $mode (sort keys %modes) {
    for my $how (qw(LF CRLF mixed)) {
        my $n = 0;
        for my $i (0 .. $#messages) {
            # the ways that differ less share the messages
            next if $i >= 28 && ($how eq 'mixed' && $i % 4
                || $mode =~ m{^-t$|,} && $i % 4 != 1);
            check($mode, $how, endings($messages[$i], $how), "message $i");
            $n++;
        }
        my @wrong = @{$wrong{"$mode, $how"} // []};
        ok !@wrong, "$mode, $how: $n messages arrive as they should"
            or diag join "\n", "seed $seed", @wrong[0 .. ($#wrong < 9
                ? $#wrong : 9)];
    }
}

SKIP: {
    skip "no ../shared/data/bounces", 2 if !$nreal;
    for my $mode ("-t -i", "-bs") {
        for my $file (@real) {
            check($mode, 'real', slurp($file), $file =~ s{.*/}{}r);
        }
        my @wrong = @{$wrong{"$mode, real"} // []};
        ok !@wrong, "$mode: $nreal real bounces arrive as they should"
            or diag join "\n", @wrong;
    }
}

# large ones: from a file and through a pipe, in pieces of odd sizes
for my $mb ($SAN ? 20 : (20, 200)) {
    my $piece = join '', map { 'q' x (50 + $_ % 30) . "\n" } 1 .. 1000;
    my $text = "Mail-Origin: forged\nSubject: large\n\n"
        . $piece x (1 + $mb * 1e6 / length $piece);
    for my $mode ('-t -i', 'arguments', '-bs') {
        for my $how (qw(LF CRLF)) {
            next if $mb == 200 && ($how eq "CRLF" || $mode eq "arguments");
            $text =~ s/\n/\r\n/g if $how eq 'CRLF' && $text !~ /\A.*\r\n/;
            $text =~ s/\r\n/\n/g if $how eq 'LF' && $text =~ /\A.*\r\n/;
            check($mode, $how, $text, "$mb MB");
            my @wrong = grep { /$mb MB/ } @{$wrong{"$mode, $how"} // []};
            ok !@wrong, "$mode, $how: $mb MB" or diag @wrong;
        }
    }
    $text =~ s/\r\n/\n/g;
    spew("$dir/in", $text);
    for my $bs (777, 65536) {
        my ($status, $out, $err) = run('sh', '-c',
            'dd if="$1" bs=' . $bs . ' 2>/dev/null | "$2" -t -i', 'sh',
            "$dir/in", $WRAPPER);
        my ($name) = $sink->names;
        is "$status$out$err", '0', "$mb MB by a pipe, $bs at a time";
        is differs(slurp("$sink->{spool}/$name/data"), $text), '',
            '… arrive as they should';
        $sink->clear;
        $passed++;
        last if $mb == 200;
    }
}
is scalar(() = $r->lines), $passed, 'each mail has its one record';
done_testing;
