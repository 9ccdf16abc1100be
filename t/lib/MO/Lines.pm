# MO::Lines - a private httpd that logs each request in many formats at once,
# and what the command finds in each of those logs.
#   my $l = MO::Lines->new(mpm => …, modules => […], conf => …,
#       formats => [NAME, …])     all of them by default; the rest is
#                                 MO::Chain's
#   $l->chain, httpd, recorder
#   $l->say(CASE, LINE [, HEADERS => {…}, peer => [HOST, PORT]])
#       a request line as it stands, with headers; a socket to read from
#   $l->ask(CASE, LINE, …)        the same, and all that comes back
#   $l->mail(CASE [, N])          waits for its record (the N-th)
#   $l->line(NAME, CASE)          its lines in the log of that format, by what
#       httpd wrote beside them: %{X-Case}i
#   $l->settle                    until each log has the line of each mail
#   $l->check(WHAT [, twins => {CASE => [CASES]}, doubt => {NAME => [CASE]}])
#       each mail's line by `log --access`, in each format; twins are equal
#       requests of one second; what a line shows too little of may be
#       ambiguous, with others or without
# A script that is asked for sends its mail by $l->script: its subject is the
# request's X-Case.
package MO::Lines;
use strict;
use warnings;
use IO::Socket::IP ();
use JSON::PP ();
use MO::Chain;
use MO::Test;
use Test::More ();

my $common = '%h %l %u %t "%r" %>s %O';
my $combined = "$common \"%{Referer}i\" \"%{User-Agent}i\"";
# how well it tells requests apart: by id, by second, finer, or as it happens
our %format = (
    common => [$common, 'second'],
    combined => [$combined, 'second'],
    vhost_combined => ["%v:%p $combined", 'second'],
    vhost_common => ["%v $common", 'second'],
    address => ["%{c}a %a %l %u %t \"%r\" %>s %b", 'second'],
    duration => ["$combined %D", 'second'],
    iso => ['%{%Y-%m-%dT%H:%M:%S%z}t %a "%r" %>s', 'second'],
    local => ['%a - - [%{%d/%b/%Y:%H:%M:%S}t] "%r" %>s %b', 'second'],
    epoch => ['%{%s}t %h "%r" %>s', 'second'],
    milli => ['%{msec}t %h "%r" %>s %D', 'fine'],
    frac => ['%t.%{usec_frac}t %h "%r" %>s', 'fine'],
    frac_first => ['%{msec_frac}t %t %h "%r" %>s', 'fine'],
    iso_frac => ['%{%Y-%m-%d %H:%M:%S}t.%{msec_frac}t %{%z}t %h "%r" %>s', 'fine'],
    both_ends => ['%{begin:usec}t %{end:usec}t %h "%r" %>s', 'fine'],
    begin_end => ['%h %l %u %t "%r" %>s %{end:%H:%M:%S}t.%{end:usec_frac}t', 'second'],
    end_first => ['[%{end:%d/%b/%Y:%T %z}t] [%{begin:%d/%b/%Y:%T %z}t] %h "%r" %>s',
        'second'],
    end_micro => ['%{end:usec}t %D %h "%r" %>s', 'near'],
    end_clf => ['%h %l %u %{end}t "%r" %>s %b %D', 'near'],
    json => ['{"time":"%{%Y-%m-%dT%H:%M:%S%z}t","remote_addr":"%a",'
        . '"request":"%r","status":%>s,"referer":"%{Referer}i",'
        . '"agent":"%{User-Agent}i"}', 'second'],
    json_parts => ['{"ts":"%{%Y-%m-%dT%H:%M:%S}t.%{msec_frac}t%{%z}t","client":"%a",'
        . '"vhost":"%v","method":"%m","path":"%U","query":"%q","protocol":"%H",'
        . '"status":%>s,"ms":%{ms}T,"agent":"%{User-Agent}i"}', 'fine'],
    with_id => ["$combined %{MAILORIGIN_ID}e", 'exact'],
    id_first => ["%{MAILORIGIN_ID}e $combined", 'exact'],
    json_id => ['{"time":"%{%Y-%m-%dT%H:%M:%S%z}t","request":"%r",'
        . '"agent":"%{User-Agent}i","request_id":"%{MAILORIGIN_ID}e"}', 'exact'],
);

sub new {
    my ($class, %o) = @_;
    my @name = @{delete $o{formats} // [sort keys %format]};
    my $self = bless {names => \@name, cases => {}}, $class;
    my $root = scratch();
    mkdir "$root/who";
    my $conf = "MailOriginRecord Subject\n" . ($o{conf} // '');
    for my $name (@name) {
        my $format = $format{$name}[0];
        $conf .= "CustomLog $root/$name.log " . MO::Httpd::quote($format) . "\n"
            . "CustomLog $root/who/$name.log "
            . MO::Httpd::quote("%{X-Case}i $format") . "\n";
    }
    $self->{logs} = $root;
    $self->{chain} = MO::Chain->new(%o, conf => $conf);
    return $self;
}

sub chain { $_[0]{chain} }
sub httpd { $_[0]{chain}->httpd }
sub recorder { $_[0]{chain}->recorder }
sub log_file { "$_[0]{logs}/$_[1].log" }

# a CGI script; what it says before and after its mail is shell
sub script {
    my ($self, $before, $after) = @_;
    return "#!/bin/sh\n" . ($before // '')
        . "printf 'To: a\@b.example\\nSubject: %s\\n\\nx\\n' \"\${HTTP_X_CASE:-none}\""
        . " | $WRAPPER -t -i\n"
        . ($after // "printf 'Content-Type: text/plain\\n\\nsent\\n'\n");
}

sub say {
    my ($self, $case, $line, %o) = @_;
    my ($host, $port) = @{$o{peer} // ['127.0.0.1', $self->httpd->port]};
    my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port,
        Timeout => 30) // die "connect: $@";
    my %h = (Host => 'localhost', Connection => 'close', 'X-Case' => $case,
        %{$o{headers} // {}});
    local $SIG{PIPE} = 'IGNORE';
    print $s "$line\r\n", (map {defined $h{$_} ? "$_: $h{$_}\r\n" : ()} sort keys %h),
        "\r\n", $o{body} // '';
    $s->flush;
    $self->{cases}{$case} = 1;
    return $s;
}

sub ask {
    my ($self, @say) = @_;
    my $s = $self->say(@say);
    local $/;
    return scalar(<$s>) // '';
}

sub mail {
    my ($self, $case, $n) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @r;
    wait_for(sub {
        @r = grep {($_->{subject} // '') eq $case} $self->recorder->records;
        return @r >= ($n // 1);
    }, "the mail of $case") or Test::More::diag($self->httpd->error_log);
    return $r[($n // 1) - 1];
}

sub line {
    my ($self, $name, $case) = @_;
    return map {s/\n\z//r} map {/^\Q$case\E (.*)/s ? $1 : ()} split /^/,
        slurp("$self->{logs}/who/$name.log") // '';
}

# the cases of records; what had no header has none
sub names {
    my ($self, @r) = @_;
    return grep {defined && $_ ne 'none'} map {$_->{subject}} @r;
}

sub settle {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %need;
    $need{$_} = 1 for $self->names($self->recorder->records);
    for my $name (@{$self->{names}}) {
        for my $case (sort keys %need) {
            wait_for(sub {$self->line($name, $case)}, "a $name line of $case");
        }
    }
    # (each is written to both logs by one child, the one after the other)
    for my $name (@{$self->{names}}) {
        wait_for(sub {
            (slurp("$self->{logs}/$name.log") // '') =~ tr/\n//
                == (slurp("$self->{logs}/who/$name.log") // '') =~ tr/\n//
        }, "all lines of $name");
    }
}

sub found {
    my ($self, @arg) = @_;
    my ($status, $out, $err) = run($MAILORIGIN, qw(log --access --json), @arg);
    Test::More::diag("log --access @arg: $status $err") if $status > 1;
    $self->{said} = $err;
    return map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
}

sub traced {
    my ($self, @arg) = @_;
    my ($status, $out, $err) = run($MAILORIGIN, qw(trace --json), @arg);
    Test::More::diag("trace @arg: $status $err") if $status > 1;
    return map {JSON::PP->new->utf8->decode($_)} split /\n/, $out;
}

# the end, so that another can begin
sub done {
    my ($self) = @_;
    $self->httpd->stop;
    $self->recorder->stop;
    unlink "$LOG/mail.log";
}

# what each record of this list should have, in that format
sub is_right {
    my ($self, $name, $what, $o, @o) = @_;
    my $class = $format{$name}[1];
    my $n = 0;
    for my $r (grep {$self->names($_)} @o) {
        my $case = $r->{subject};
        my @line = map {$self->line($name, $_)} $case,
            $class eq 'second' ? @{$o->{twins}{$case} // []} : ();
        my $match = $class eq 'exact' ? 'exact'
            : @line > 1 ? 'ambiguous' : 'unique';
        if ((grep {$_ eq $case} @{$o->{doubt}{$name} // []})
            && $r->{access_match} eq 'ambiguous') {
            my %right = map {$_ => 1} @line;
            $match = 'ambiguous';
            @line = @{$r->{access_lines}} if grep {$right{$_}} @{$r->{access_lines}};
        }
        $n++;
        if ($class eq 'near' && $r->{access_match} eq 'ambiguous') {
            ($match, @line) = ('ambiguous', @line,
                map {$self->line($name, $_)} @{$o->{twins}{$case} // []});
        }
        next if $r->{access_match} eq $match
            and join("\n", sort @line) eq join "\n", sort @{$r->{access_lines}};
        $self->{wrong}{"$what, $name: $case"} = "want $match\n  " . join("\n  ", @line)
            . "\ngot $r->{access_match}\n  " . join("\n  ", @{$r->{access_lines}});
    }
    return $n;
}

sub check {
    my ($self, $what, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->{wrong} = {};
    my $n = 0;
    for my $name (@{$self->{names}}) {
        for my $how (['given', '--log-format', $format{$name}[0]], ['as httpd says']) {
            my ($said, @arg) = @$how;
            $n += $self->is_right($name, "$what, $said", \%o,
                $self->found('--access-log', $self->log_file($name), @arg));
            $self->{wrong}{"$what, $name, $said: on stderr"} = $self->{said}
                if $self->{said} ne '';
        }
    }
    Test::More::cmp_ok($n, '>=', 2 * @{$self->{names}}, "$what: mails in "
        . @{$self->{names}} . ' formats');
    my @wrong = sort keys %{$self->{wrong}};
    Test::More::is(scalar @wrong, 0, "$what: each has its line in each")
        or Test::More::diag(map {"$_: $self->{wrong}{$_}\n"} @wrong);
}

1;
