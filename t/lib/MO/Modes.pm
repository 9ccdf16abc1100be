# MO::Modes - what a real MTA does with its arguments, and what the wrapper
# thinks it does (sendmail/mode.c, by t/tools/mode).
#
#   modes_test($mta, program => PATH, mails => CODE, …)
#       $mta as the conf names it; program: the real one, that the wrapper
#       stands before; mails: the mails that it has taken since the last call,
#       each {from => …, to => […], data => …}
#       cases => [[argument, …], …]   further ones; {as => NAME} in front of
#           them is what the program is called
#       env => {…}                    what it needs
#       sender => CODE                of a mail, where from is not what -f says
#       later => qr/…/                arguments after which it may end a mail at
#           a dot where we do not: all of it is handed over, and it does that
#       text => qr/…/                 names of @heads that it takes for text, of
#           which it makes a mail of its own: nothing may get lost
#       unseen => qr/…/               where it takes our field for text, too
#   smtp_sink()                       a server for it on 127.0.0.1:25, which
#       takes all: returns such a CODE
#
# Each letter is tried as an option, alone, with a value behind it and in it,
# in a bundle, and behind a recipient; -b and -o with each letter; and each
# name that some sendmail minds.  Of each it is asked:
#   - has it taken a mail?  Then it was a submission for us too, of the same
#     kind, sender and recipients, with the same end (the body has lines with
#     a dot alone), from text or from SMTP
#   - has it done something else, and ended well?  Then for us too it was none
# What the MTA refuses we may do with as we like: it says so in either case.
package MO::Modes;
use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET ();
use POSIX ();
use Test::More;
use MO::Test;
use MO::Recorder;
our @EXPORT = qw(modes_test smtp_sink);

my $user = 'alice';
my ($one, $two) = ('one@a.example', 'two@b.example');
# (its last line has no end: sSMTP sleeps a second where it has one)
my $head = "To: head\@h.example\nSubject: modes\n\n";
my $text = "${head}begin\n.\r\nmiddle\n.\nend";
my $text_crlf = "${head}begin\n.\nmiddle\n" =~ s/\n/\r\n/gr . ".\nend";
my $smtp = "EHLO x\r\nMAIL FROM:<smtp\@s.example>\r\n"
    . "RCPT TO:<rcpt\@s.example>\r\nDATA\r\nSubject: smtp\r\n\r\nbegin\r\n.\r\n"
    . "QUIT\r\n";
my $sunk = 0; # mails, in the sink's process
my @names = qw(mailq newaliases hoststat purgestat runq makemap rmail smtpd
    rsmtp bsmtp send-mail mymail);

sub smtp_session {
    my ($s, $dir) = @_;
    my $say = sub { print $s "$_[0]\r\n" };
    my $mail = '';
    $say->('220 sink');
    while (defined(my $line = <$s>)) {
        $line =~ s/\r?\n\z//;
        if ($line =~ /^EHLO/i) {
            $say->("250-sink\r\n250-SIZE 0\r\n250-8BITMIME\r\n250 DSN");
        }
        elsif ($line =~ /^(MAIL FROM|RCPT TO): *<([^>]*)>/i) {
            $mail .= (lc $1 eq 'rcpt to' ? 'to' : 'from') . " $2\n";
            $say->('250 ok');
        }
        elsif ($line =~ /^DATA/i) {
            $say->('354 go on');
            my $data = '';
            while (defined($line = <$s>) && $line !~ /^\.\r?\n/) {
                $line =~ s/^\.//;
                $data .= $line;
            }
            return if !defined $line;
            my $file = sprintf '%s/m%06d', $dir, ++$sunk;
            spew("$file.new", "$mail\n$data");
            rename "$file.new", $file;
            $mail = '';
            $say->('250 taken');
        }
        elsif ($line =~ /^QUIT/i) {
            $say->('221 bye');
            return;
        }
        else {
            $mail = '' if $line =~ /^RSET/i;
            $say->('250 ok');
        }
    }
}

sub smtp_sink {
    my $dir = scratch();
    my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1:25',
        Listen => 20, ReuseAddr => 1) or BAIL_OUT("port 25: $!");
    my $pid = fork // BAIL_OUT("fork: $!");
    if (!$pid) {
        while (my $s = $listen->accept) {
            $s->autoflush(1);
            smtp_session($s, $dir);
        }
        POSIX::_exit(0);
    }
    return sub {
        return map {
            my $all = slurp($_);
            unlink $_;
            my ($env, $data) = split /\n\n/, $all, 2;
            $data =~ s/\r\n/\n/g;
            {from => join(' ', $env =~ /^from (.*)/m), data => $data,
                to => [$env =~ /^to (.*)/mg]}
        } sort grep { /\d$/ } glob "$dir/m*";
    };
}

# as the user: its exit status (128 + N for a signal), and whether it has read
# anything of $in
sub call {
    my ($o, $program, $in, $as, @args) = @_;
    my $file = spew("$o->{dir}/in", $in, 0644);
    open my $fh, '<', $file or die "$file: $!";
    my $pid = fork // BAIL_OUT("fork: $!");
    if (!$pid) {
        my ($uid, $gid, $home) = (getpwnam $user)[2, 3, 7];
        open STDIN, '<&', $fh or POSIX::_exit(99);
        open STDOUT, '>', "$o->{dir}/out" or POSIX::_exit(99);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(99);
        chdir "$o->{dir}/cwd";
        $) = "$gid $gid";
        POSIX::setgid($gid);
        POSIX::setuid($uid);
        %ENV = (PATH => $ENV{PATH}, LC_ALL => 'C', TZ => 'UTC',
            HOME => $home, USER => $user, LOGNAME => $user,
            map({ $_ => $ENV{$_} } grep { /SAN_OPTIONS$/ } keys %ENV),
            %{$o->{env} // {}});
        alarm 60;
        exec {$program} $as, @args or POSIX::_exit(98);
    }
    waitpid $pid, 0;
    my $status = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    return ($status, sysseek($fh, 0, 1) > 0);
}

# what sendmail/mode.c finds in each of the cases
sub ours {
    my ($o, @cases) = @_;
    local %ENV = (%ENV, %{$o->{env} // {}});
    my $in = spew("$o->{dir}/cases", join '', map {"$_\0"}
        map { my @c = named(@$_); (scalar(@c), @c) } @cases);
    my @found;
    open my $p, '-|', 'sh', '-c', 'exec "$0" "$1" <"$2"',
        "$BUILD/t/tools/mode", $o->{mta}, $in or BAIL_OUT("t/tools/mode: $!");
    local $/ = '';
    while (my $text = <$p>) {
        my %m = (rcpt => [$text =~ /^rcpt (.*)/mg],
            $text =~ /^(kind|dots|sender) (.*)/mg);
        push @found, \%m;
    }
    close $p;
    @found == @cases or BAIL_OUT("t/tools/mode: $?");
    return @found;
}

# a case with its first word
sub named {
    my (@words) = @_;
    return ref $words[0] ? ((shift @words)->{as}, @words)
        : ('sendmail', @words);
}

sub words {
    return join ' ', map { /^[-\w.\@=:\/<>]+$/ ? $_ : "'$_'" } @_;
}

# the last of the words in the body that is before the end, by dots
sub last_word {
    my ($dots, $in) = @_;
    my $cr = $dots eq 'both' || ($dots eq 'first' && $in =~ /\A[^\n]*\r\n/);
    my $end = $cr ? qr/^\.\r?\n/m : qr/^\.\n/m;
    $in =~ s/$end.*//s if $dots ne 'text';
    return ($in =~ /\b(begin|middle|end)\b/g)[-1];
}

sub bare {
    my ($address) = @_;
    $address =~ s/\@.*//;
    $address =~ s/^<(.*)>$/$1/;
    return $address;
}

# What of the mail is not as we thought, or ''.
sub differs {
    my ($o, $m, $mail, $in, @args) = @_;
    return 'it is a mail' if $m->{kind} eq 'other';
    my $by_smtp = grep { $_ eq 'rcpt@s.example' } @{$mail->{to}};
    return $by_smtp ? 'it came by SMTP' : 'it came as text'
        if $by_smtp xor $m->{kind} =~ /^b/;
    return '' if $in eq $smtp;
    # (a bare name is given the MTA's own domain)
    my %to = map { s/\@x\.example$//r => 1 } @{$mail->{to}};
    my %ours = map { $_ => 1 } @{$m->{rcpt}};
    if ($m->{kind} eq 't') {
        return 'the head names no recipients' if !$to{'head@h.example'};
        $ours{'head@h.example'} = 1;
        return 'recipients' if grep { !$ours{$_} } keys %to;
    }
    elsif (join(' ', sort keys %to) ne join ' ', sort keys %ours) {
        return 'recipients';
    }
    my $from = $o->{sender} ? $o->{sender}->($mail) : $mail->{from};
    return 'the sender' if bare($from) ne bare($m->{sender} // $user);
    my $last = last_word($m->{dots}, $in);
    my $real = ($mail->{data} =~ /^(begin|middle|end)\b/mg)[-1] // '';
    return '' if $last eq $real
        || ($m->{dots} eq 'text' && $o->{later} && "@args" =~ $o->{later});
    return 'the end';
}

# One case.  True where all is as we thought; counts what came of it.
sub try_one {
    my ($o, $in, $m, @args) = @_;
    my ($status, $read) = call($o, $o->{program}, $in, @args);
    my @mails = $o->{mails}->();
    my $wrong = '';
    if (@mails) {
        $wrong = @mails > 1 ? 'several mails'
            : differs($o, $m, $mails[0], $in, @args);
    }
    elsif ($m->{kind} =~ /^b/) {
        $wrong = 'it takes no SMTP' if $in eq $smtp;
    }
    elsif ($m->{kind} ne 'other' && $status == 0) {
        $wrong = 'it is no mail';
    }
    $o->{count}{@mails ? 'taken' : $status ? 'refused' : 'other'}++;
    return 1 if !$wrong;
    diag(words(@args), ": $wrong; ours: ", words(map {
            my $v = $m->{$_};
            ref $v ? map({ "rcpt=$_" } @$v) : "$_=$v"
        } sort keys %$m), "; status $status, ", $read ? 'read' : 'not read',
        map({ ", from <$_->{from}> to @{$_->{to}}: "
            . words(substr $_->{data}, -80) } @mails),
        "\n", substr(slurp("$o->{dir}/out"), 0, 400));
    return 0;
}

sub try_all {
    my ($o, $name, $in, @cases) = @_;
    my @ours = ours($o, @cases);
    my $wrong = grep { !try_one($o, $in, $ours[$_], named(@{$cases[$_]})) }
        0 .. $#cases;
    is $wrong, 0, "$o->{mta}, $name: as we thought";
}

sub matrix {
    my ($o) = @_;
    my @letters = ('a' .. 'z', 'A' .. 'Z', 4, 6);
    my %cases;
    push @{$cases{options}}, ["-$_", $one, $two], ["-${_}x", $one],
        [$one, "-v$_", $two], ["-${_}t"], ["-$_"] for @letters;
    for my $o (qw(b o)) {
        push @{$cases{"-$o"}}, ["-$o$_", $one], ["-v$o", $_, $one],
            [$one, "-v$o$_", $two], ["-$o$_"] for @letters;
    }
    for my $name (@names) {
        push @{$cases{names}}, map { [{as => $_}], [{as => $_}, $one],
            [{as => $_}, '-t'] } $name, "/usr/bin/$name";
    }
    push @{$cases{recipients}}, [$one], [$one, $two], ['-t'], ['-t', $one],
        [$one, '-t'], [], ['--', $one], ['--', '-t'], [$one, '--', $two],
        ['-', $one], [$one, '-'], ['-t', '-'], ['-ti'], ['-it'], ['-t', '-i'],
        ['-i', '--', $one, '-t'], ['-bm', '-t'], ['-tbm'], ["-t$one"],
        ['-i', $one], [$one, '-i'], ['-oi', $one], ['-oitrue', $one],
        ['-o', 'i', $one], [$one, '-oi'], ['-t', '-oi'];
    push @{$cases{sender}}, map { (["-$_", 'me@m.example', $one],
        ["-${_}me\@m.example", $one], ["-$_", '', $one], ["-$_", '<>', $one],
        ["-i$_", 'me@m.example', $one], ["-$_", '-t', $one],
        ['-t', "-$_", 'me@m.example'], [$one, "-$_", 'me@m.example'],
        ["-$_", 'me@m.example', '-f', 'you@y.example', $one],
        ["-$_", 'me', $one]) } qw(f r);
    push @{$cases{'further ones'}}, @{$o->{cases} // []};
    return \%cases;
}

# how a message may begin
my @heads = (
    ['fields', "$head\nbody\n"],
    ['a From line', "From a\@b.example Mon Jan  5 10:00:00 2026\n${head}body\n"],
    ['two From lines', "From a Mon Jan  5 10:00:00 2026\n"
        . "From b Mon Jan  5 11:00:00 2026\n${head}body\n"],
    ['a quoted From line', ">From a Mon Jan  5 10:00:00 2026\n${head}body\n"],
    ['a From line twice quoted',
        ">>From a Mon Jan  5 10:00:00 2026\n${head}body\n"],
    ['a from line', "from a Mon Jan  5 10:00:00 2026\n${head}body\n"],
    ['a From line, CR LF', "From a Mon Jan  5 10:00:00 2026\n${head}body\n"
        =~ s/\n/\r\n/gr],
    ['a From line, then text', "From a Mon Jan  5 10:00:00 2026\nbody\n"],
    ['a From line alone', "From a Mon Jan  5 10:00:00 2026\n"],
    ['a From line, then an empty one',
        "From a Mon Jan  5 10:00:00 2026\n\nbody\n"],
    ['a From line among the fields',
        "Subject: x\nFrom a Mon Jan  5 10:00:00 2026\nTo: a\@b.example\n\nbody\n"],
    ['text', "no field\n\nbody\n"],
    ['a blank', " no field\n\nbody\n"],
    ['an empty line', "\nbody\n"],
    ['a field of no meaning', "X-Mine: x\n\nbody\n"],
    ['nothing', ''],
);

# what differs from run to run; and our field
sub plain {
    my ($data) = @_;
    my $ours = $data =~ s/^Mail-Origin: v=1;.*\n(?:[ \t].*\n)*//mg;
    $data =~ s/^(?:Received|Date|Message-Id): .*\n(?:[ \t].*\n)*//mig;
    return ($data, $ours);
}

# The same mails through the wrapper, whose field changes nothing else.
sub heads_test {
    my ($o) = @_;
    my $recorder = MO::Recorder->new;
    spew("$ETC/mailorigin.conf", "sendmail $o->{program}\nmta $o->{mta}\n",
        0644);
    for (@heads) {
        my ($name, $in) = @$_;
        my @got = map {
            my ($status) = call($o, $_, $in, 'sendmail', '-i', $one);
            my ($mail) = $o->{mails}->();
            [$status, $mail];
        } $o->{program}, $WRAPPER;
        my ($real, $ours) = map { $_->[1] && "$_->[1]{from} to @{$_->[1]{to}}\n"
            . (plain($_->[1]{data}))[0] } @got;
        if ($o->{text} && $name =~ $o->{text}) {
            ok $ours && $in =~ /(\S.*)\n*\z/ && $ours =~ /^\Q$1\E$/m,
                "$o->{mta}, $name: it is there" or diag($got[1][1]{data});
        }
        else {
            is "$got[1][0] " . ($ours // 'none'),
                "$got[0][0] " . ($real // 'none'),
                "$o->{mta}, $name: as without us" or diag($got[1][1]{data});
        }
        next if !$ours;
        is((plain($got[1][1]{data}))[1], 1, "$o->{mta}, $name: stamped");
        next if $o->{unseen} && $name =~ $o->{unseen};
        like $got[1][1]{data} =~ s/\n\n.*//sr, qr/^Mail-Origin: v=1;/m,
            "$o->{mta}, $name: in its head";
    }
}

sub modes_test {
    my ($mta, %o) = @_;
    my $o = {%o, mta => $mta, dir => scratch()};
    run('useradd', '-m', $user);
    mkdir "$o->{dir}/cwd";
    chmod 0777, "$o->{dir}/cwd";
    $o->{mails}->();
    my $cases = matrix($o);
    try_all($o, $_, $text, @{$cases->{$_}}) for sort keys %$cases;
    try_all($o, 'SMTP on stdin', $smtp, grep { my @words = named(@$_);
        $words[0] =~ /smtp/ || grep { /^-v?b[sS]/ } @words }
        map { @$_ } values %$cases);
    try_all($o, 'lines that end with CR LF', $text_crlf,
        @{$cases->{recipients}});
    $o->{env} = {%{$o->{env} // {}}, POSIXLY_CORRECT => ''};
    try_all($o, 'POSIXLY_CORRECT', $text, @{$cases->{recipients}},
        @{$cases->{sender}});
    delete $o->{env}{POSIXLY_CORRECT};
    heads_test($o);
    note "$mta: ", join ', ', map {"$o->{count}{$_} $_"} sort keys %{$o->{count}};
}

1;
