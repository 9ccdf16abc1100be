# mta.pl MTA - one MTA's figures, for bench/mta.sh: in the overlay and with the
# set-up of t/mta/MTA.t, called as alice, who mails bob.  Prints rows of two
# tables, each after its table's name.
use strict;
use warnings;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Overlay ();

my $mta;
BEGIN {
    $mta = $ARGV[0] // 'postfix';
    open my $t, '<', "$ENV{MO_SRC}/t/mta/$mta.t" or die "$mta.t: $!";
    MO::Overlay->import(split ' ', join '',
        map { /^use MO::Overlay qw\((.*)\);/ } <$t>);
}
use MO::Test;
use MO::Mta;
use MO::Recorder;

my $rounds = $ENV{ROUNDS} || 20;
my $large = 200_000_000;
my $dir = scratch();
my ($ours, $real, $classic) = ('/usr/sbin/sendmail', '/usr/sbin/sendmail.real',
    "$dir/sendmail");
# as in bench/wrapper.sh
spew($classic, <<"SH", 0755);
#!/bin/sh
dir=\$(dirname "\$PWD/x")
{ echo "X-Mail-Origin: \$USER from \$dir, \$(date)"; cat; } | $real "\$@"
SH

my $line = "The quick brown fox jumps over the lazy dog, and then sleeps.\n";
sub message {
    my ($size) = @_;
    return "To: bob\@localhost\nFrom: alice\@localhost\nSubject: bench\n\n"
        . $line x ($size / length $line);
}

# the client's side of a -bs
sub dialogue {
    my $text = "EHLO localhost\nMAIL FROM:<alice\@localhost>\n"
        . "RCPT TO:<bob\@localhost>\nDATA\n" . message(@_) . ".\nQUIT\n";
    return $text =~ s/\n/\r\n/gr;
}

sub median {
    my @v = sort { $a <=> $b } @_;
    return ($v[$#v / 2] + $v[@v / 2]) / 2;
}

mta_start($mta, 0) or die "$mta does not start";
my $recorder = MO::Recorder->new(conf => "budget 0\n");
my ($status, $said, $err) = run($MAILORIGIN, 'wrap');
die "wrap: $err" if $status;
my @alice = (getpwnam 'alice')[2, 3];
my %mode = (
    '-t' => {args => ['-t', '-i'], flags => [], text => \&message,
        programs => {none => $real, classic => $classic, ours => $ours}},
    # (the classic one's line would be the dialogue's first)
    '-bs' => {args => ['-bs'], flags => ['-s'], text => \&dialogue,
        programs => {none => $real, ours => $ours}},
);
my @each = map { my $m = $_; map {[$m, $_]} sort keys %{$mode{$m}{programs}} }
    sort keys %mode;
my ($mails, $stamped, $bytes) = (0, 0, 0);

# One mail by a program of the bench, CMD…: what that printed.
sub mail {
    my ($mode, $who, @cmd) = @_;
    my $m = $mode{$mode};
    my ($status, $said, $err) = run({cwd => '/', env => {USER => 'alice'}},
        @cmd, $m->{programs}{$who}, @{$m->{args}});
    die "$mta $mode $who: $status: $err" if $status || $err ne '';
    wait_for(\&mta_idle, 'an empty queue', 120) or die "$mta $mode $who";
    $mails++;
    $stamped++ if $who eq 'ours';
    return split ' ', $said;
}

my (%wall, %cpu, %faults, %calls, %own, %own_faults, %peak);
spew("$dir/$_.small", $mode{$_}{text}->(2340), 0644) for keys %mode;
for my $round (-1 .. $rounds - 1) { # the first one warms up
    for my $e (@each) {
        my ($mode, $who) = @$e;
        my ($wall, $cpu, $faults) = mail($mode, $who, 'setpriv',
            "--reuid=$alice[0]", "--regid=$alice[1]", '--clear-groups', '--',
            "$ENV{BENCH}/runs", @{$mode{$mode}{flags}}, 1, "$dir/$mode.small");
        next if $round < 0;
        push @{$wall{"$mode $who"}}, $wall;
        push @{$cpu{"$mode $who"}}, $cpu;
        push @{$faults{"$mode $who"}}, $faults;
    }
    push @each, shift @each; # whose turn is first changes
}
for my $e ((@each) x 3) {
    my ($mode, $who) = @$e;
    my ($own, $faults, $peak, $all) = mail($mode, $who, "$ENV{BENCH}/own", '-f',
        '-u', @alice, @{$mode{$mode}{flags}}, "$dir/$mode.small");
    push @{$calls{"$mode $who"}}, $all;
    push @{$own{"$mode $who"}}, $own;
    push @{$own_faults{"$mode $who"}}, $faults;
}
my $came = mailbox('bob');
die "$mta: $mails mails sent, $came arrived" if $came != $mails;
for my $mode (sort keys %mode) {
    unlink '/var/mail/bob';
    spew("$dir/large", $mode{$mode}{text}->($large), 0644);
    $peak{$mode} = (mail($mode, 'ours', "$ENV{BENCH}/own", '-u', @alice,
        @{$mode{$mode}{flags}}, "$dir/large"))[2];
    $came = -s '/var/mail/bob' // 0;
    die "$mta $mode: $large bytes sent, $came arrived" if $came < $large - 100;
}
my $records = grep { $_->{action} eq 'passed' } $recorder->records;
die "$mta: $stamped mails by the wrapper, $records records"
    if $records != $stamped;

# a figure without a wrapper, and what each wrapper adds to it in its round
sub cells {
    my ($of, $mode, $format) = @_;
    my @none = @{$of->{"$mode none"}};
    return (sprintf($format, median(@none)), map {
        my $with = $of->{"$mode $_"};
        $with ? sprintf $format, median(map { $with->[$_] - $none[$_] }
            0 .. $#none) : '-';
    } qw(classic ours));
}
for my $mode ('-t', '-bs') {
    print join(' | ', 'time', "$mta, $mode", cells(\%wall, $mode, '%.1f'),
        cells(\%cpu, $mode, '%.1f')), " |\n";
    print join(' | ', 'calls', "$mta, $mode", cells(\%calls, $mode, '%.0f'),
        median(@{$own{"$mode ours"}}), cells(\%faults, $mode, '%.0f'),
        median(@{$own_faults{"$mode ours"}}),
        sprintf '%.1f', $peak{$mode} / 1024), " |\n";
}
mta_stop();
