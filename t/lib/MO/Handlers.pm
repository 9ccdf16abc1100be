# MO::Handlers - a row of the handlers' table: two customers' vhosts whose
# scripts send mail, many at once, and try to be taken for each other.
#
#   my $row = MO::Handlers->new(handler => 'mod_cgi', mpm => 'prefork',
#       order => 10, needs => 'nothing', modules => ['cgi'],
#       conf => "…", vhost_conf => sub { "…" }, httpd => {…});
# starts a recorder and an httpd with the vhosts a.example and b.example.
#   $row->h, $row->recorder, $row->dir (0755), $row->send (a program)
#   $row->php / sh / perl / lua / python    a script's text, that mails and answers "sent"
#   $row->put('s.php', TEXT [, MODE])   into both vhosts
#   $row->steal('/s.php')    lays down the tokens that the scripts lie with:
#                            of a request that is over, and one in progress
#   $row->fire('/s.php', count => 200, at_once => 16, modes => [...])
#   $row->verdicts(plain => 'verified', stolen => 'conflict', …)
#                            every mail's record, by the way it was sent
#   $row->done('verified')   all well: the row's line into $MO_RESULTS
#   customers()              users that are there for this test only, in
#                            passwd and group: cust1 5001, cust2 5002, cust3
#
# A script is asked for /s.php?n=N&m=MODE and sends the mail
# <N.MODE@VHOST>, so that the record shows who was named and who it was.
# MODEs: plain; clear: an empty environment; forge: a made-up token; late,
# now: the token of another customer's request, ended or in progress; again:
# the script has started itself anew with the token of now (shell); nofd:
# every descriptor closed; captured: its output is read; direct: through the
# language's own mail function; put: so too, with the token of now in the
# environment (PHP); own: a conversation with the recorder by itself, with the
# token of now and sockets that it made up, to httpd and to $row->{addresses}.
# With bearer => 1 a script that shows the token of a request of its own site
# is taken for that one: only the site must be right then.
package MO::Handlers;
use strict;
use warnings;
use MO::Httpd;
use MO::Recorder;
use MO::Test;
use POSIX ();
use Test::More;
use Time::HiRes ();

our @VHOSTS = qw(a.example b.example);

sub new {
    my ($class, %o) = @_;
    my $self = bless {order => 0, needs => 'nothing', %o, sent => 0}, $class;
    $self->{dir} = scratch();
    $self->{recorder} = $o{recorder} // MO::Recorder->new;
    spew("$self->{dir}/send", $self->send_text, 0755);
    # an earlier row's records stay in the log
    $self->{base} = () = $self->{recorder}->lines;
    my $vhost = $o{vhost_conf} // sub { '' };
    $self->{h} = $o{h} // MO::Httpd->new(mpm => $o{mpm},
        modules => $o{modules} // [],
        conf => "MailOriginRecord Query\n" . ($o{conf} // ''),
        vhosts => [map { {name => $_, conf => $vhost->($_)} } @VHOSTS],
        %{$o{httpd} // {}});
    return $self;
}

# Mounted over the system's files in this test's namespace.
sub customers {
    my $dir = scratch();
    for my $file (qw(passwd group)) {
        my $text = slurp("/etc/$file");
        for my $i (1 .. 3) {
            my $id = 5000 + $i;
            $text .= $file eq 'passwd'
                ? "cust$i:x:$id:${id}::/nonexistent:/usr/sbin/nologin\n"
                : "cust$i:x:$id:\n";
        }
        spew("$dir/$file", $text, 0644);
        my ($status, $out, $err) = run('mount', '--bind', "$dir/$file",
            "/etc/$file");
        die "mount: $err" if $status;
    }
}

# suexec as Debian's apache2-suexec-custom configures it: documents in $root
sub suexec {
    my ($root) = @_;
    my $dir = scratch();
    spew("$dir/www-data", "$root\npublic_html\n", 0644);
    my ($status, $out, $err) = run('mount', '--bind', "$dir/www-data",
        '/etc/apache2/suexec/www-data');
    die "mount: $err" if $status;
    # its own log, in a folder that is the package's to make
    ($status, $out, $err) = run(qw(mount -t tmpfs -o mode=755 mo-test
        /var/log));
    die "mount: $err" if $status;
    mkdir '/var/log/apache2' or die "/var/log/apache2: $!";
    # the alternatives' choice is the host's; ours is the custom one
    my ($bin) = grep { -e } '/usr/lib/apache2/suexec-custom'
        or die 'no suexec-custom';
    my $real = '/usr/lib/apache2/suexec';
    return if (readlink("/etc/alternatives/suexec") // '') eq $bin
        || (readlink($real) // '') eq $bin;
    ($status, $out, $err) = run('mount', '--bind', $bin, $real);
    die "mount: $err" if $status;
}

sub h { $_[0]{h} }
sub recorder { $_[0]{recorder} }
sub dir { $_[0]{dir} }
sub send { "$_[0]{dir}/send" }

# send MODE N HOST: the mail, and the lie
sub send_text {
    my ($self) = @_;
    return <<"EOT" . <<'EOT';
#!/bin/sh
wrapper=$WRAPPER
dir=$self->{dir}
liar=$BUILD/t/tools/liar
EOT
mode=$1 n=$2 host=$3
mail() {
    printf '%s\n' "From: <$n@$host>" 'To: <victim@example.net>' \
        "Message-ID: <$n.$mode@$host>" 'Subject: win' '' 'body' | "$@"
}
lie() {
    mail env "MAILORIGIN_TOKEN=$1" "SSL_MAILORIGIN_TOKEN=$1" \
        "MAILORIGIN_URI=/index.html" "MAILORIGIN_VHOST=www.example.org" \
        "$wrapper" -i -t
}
case $mode in
plain | again | direct | captured) mail "$wrapper" -i -t ;;
clear) mail env -i "$wrapper" -i -t ;;
forge) lie AWFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6MDEyMzQ1Njc4OWFiY2RlZmdoaWo ;;
late | now) lie "$(cat "$dir/token.$mode")" ;;
own) [ $((n % 2)) = 0 ] && have=own || have=none
    "$liar" "$(cat "$dir/token.now")" "<$n.$mode@$host>" $have \
        $(cat "$dir/addresses") ;;
nofd)
    exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&- >/dev/null 2>&1
    mail "$wrapper" -i -t ;;
*) exit 64 ;;
esac
EOT
}

# ---- the scripts

sub php {
    my ($self) = @_;
    return "<?php \$dir = '$self->{dir}';\n" . <<'EOT';
header('Content-Type: text/plain');
$n = (int)($_GET['n'] ?? 0);
$m = $_GET['m'] ?? '';
$host = preg_replace('/[^a-z.]/', '', $_SERVER['HTTP_HOST']);
if ($m === 'steal') {
    file_put_contents("$dir/token." . ($_GET['to'] === 'now' ? 'now' : 'late'),
        $_SERVER['MAILORIGIN_TOKEN'] ?? '');
    while ($_GET['to'] === 'now' && !file_exists("$dir/stop")) {
        usleep(50000);
    }
    exit;
}
usleep(random_int(0, 20000));
if ($m === 'put') {
    putenv('MAILORIGIN_TOKEN=' . file_get_contents("$dir/token.now"));
    putenv('SSL_MAILORIGIN_TOKEN');
}
if ($m === 'direct' || $m === 'put') {
    $ok = mail('victim@example.net', 'win', 'body',
        "From: <$n@$host>\r\nMessage-ID: <$n.$m@$host>");
} else {
    $p = popen("$dir/send " . escapeshellarg($m) . " $n $host 2>&1", 'r');
    $said = stream_get_contents($p);
    $ok = pclose($p) === 0;
}
echo $ok ? "sent $n" : "failed $n: $said";
EOT
}

sub sh {
    my ($self) = @_;
    return "#!/bin/sh\ndir=$self->{dir}\n" . <<'EOT';
IFS='&='
set -f
set -- $QUERY_STRING
unset IFS
n=$2 m=$4
printf 'Content-Type: text/plain\n\n'
if [ "$m" = steal ]; then
    # a file that is there, so that others' scripts may write it too
    printf %s "${MAILORIGIN_TOKEN:-$SSL_MAILORIGIN_TOKEN}" > "$dir/token.$6"
    while [ "$6" = now ] && [ ! -e "$dir/stop" ]; do sleep 0.05; done
    exit
fi
if [ "$m" = again ] && [ -z "${AGAIN:-}" ]; then
    case $0 in /*) self=$0 ;; *) self=$SCRIPT_FILENAME ;; esac
    t=$(cat "$dir/token.now")
    exec env AGAIN=1 MAILORIGIN_TOKEN="$t" SSL_MAILORIGIN_TOKEN="$t" "$self"
fi
# what it runs has its stdout, but where it captures what that says
if [ "$m" = captured ]; then
    said=$("$dir/send" "$m" "$n" "${HTTP_HOST%%:*}" 2>&1)
else
    said=; "$dir/send" "$m" "$n" "${HTTP_HOST%%:*}" 2>&1
fi && echo "sent $n" || echo "failed $n: $said"
EOT
}

# CGI, and mod_perl's Registry
sub perl {
    my ($self) = @_;
    return "#!/usr/bin/perl\nmy \$dir = '$self->{dir}';\n" . <<'EOT';
my %q = map { split /=/ } split /&/, $ENV{QUERY_STRING};
my ($host) = $ENV{HTTP_HOST} =~ /^([a-z.]+)/;
print "Content-Type: text/plain\n\n";
if ($q{m} eq 'steal') {
    open my $fh, '>', "$dir/token.$q{to}";
    print $fh $ENV{MAILORIGIN_TOKEN};
    close $fh;
    while ($q{to} eq 'now' && !-e "$dir/stop") {
        select undef, undef, undef, 0.05;
    }
    return 1;
}
my $said = `$dir/send $q{m} $q{n} $host 2>&1`;
print $? == 0 ? "sent $q{n}" : "failed $q{n}: $said";
EOT
}

sub lua {
    my ($self) = @_;
    return "local dir = '$self->{dir}'\n" . <<'EOT';
function handle(r)
    r.content_type = 'text/plain'
    local q = {}
    for k, v in string.gmatch(r.args or '', '(%w+)=(%w+)') do q[k] = v end
    if q.m == 'steal' then
        local f = io.open(dir .. '/token.' .. q.to, 'w')
        f:write(r.subprocess_env['MAILORIGIN_TOKEN'] or '')
        f:close()
        while q.to == 'now' and not r:stat(dir .. '/stop') do
            r.usleep(50000)
        end
        return apache2.OK
    end
    local p = io.popen(dir .. '/send ' .. q.m .. ' ' .. q.n .. ' '
        .. string.match(r.hostname, '^[a-z.]+') .. ' 2>&1; echo "=$?"')
    local said = p:read('*a')
    p:close()
    if string.find(said, '=0\n$') then
        r:puts('sent ' .. q.n)
    else
        r:puts('failed ' .. q.n .. ': ' .. said)
    end
    return apache2.OK
end
EOT
}

# WSGI; $from says where the token of a request is
sub python {
    my ($self, $from) = @_;
    $from //= "environ.get('MAILORIGIN_TOKEN', '')";
    return "dir = '$self->{dir}'\n" . <<'EOT' =~ s/TOKEN/$from/r;
import os, re, subprocess, time

def application(environ, start_response):
    q = dict(p.split('=') for p in environ['QUERY_STRING'].split('&'))
    host = re.match('[a-z.]+', environ['HTTP_HOST']).group(0)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    if q['m'] == 'steal':
        with open(dir + '/token.' + q['to'], 'w') as f:
            f.write(TOKEN)
        while q['to'] == 'now' and not os.path.exists(dir + '/stop'):
            time.sleep(0.05)
        return [b'']
    p = subprocess.run([dir + '/send', q['m'], q['n'], host],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if p.returncode == 0:
        return [b'sent ' + q['n'].encode()]
    return [b'failed ' + q['n'].encode() + b': ' + p.stdout]
EOT
}

sub put {
    my ($self, $file, $text, $mode) = @_;
    $self->{h}->put("$_:$file", $text, $mode) for @VHOSTS;
}

# ---- requests

sub get {
    my ($self, $vhost, $path, %o) = @_;
    return $self->{h}->get($path, headers => {Host => $vhost}, %o);
}

sub steal {
    my ($self, $path) = @_;
    for my $to (qw(late now)) {
        spew("$self->{dir}/token.$to", '', 0666);
    }
    spew("$self->{dir}/addresses", join ' ', $self->{h}->port,
        @{$self->{addresses} // []});
    $self->get('b.example', "$path?n=0&m=steal&to=late");
    $self->{stealer} = fork // die "fork: $!";
    if (!$self->{stealer}) {
        $self->get('b.example', "$path?n=0&m=steal&to=now");
        POSIX::_exit(0);
    }
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub {
        2 == grep { (slurp("$self->{dir}/token.$_") // '') =~ /^[\w-]{100,}$/ }
            qw(late now)
    }, 'the tokens to lie with');
}

# Asks for path, count times, alternating between vhosts and modes, from
# at_once clients.  Returns the answers that were not "sent N".
sub fire {
    my ($self, $path, %o) = @_;
    my $count = $o{count} // 200;
    my $at_once = $o{at_once} // 16;
    my @modes = @{$o{modes} // [qw(plain clear plain forge plain late plain
        now)]};
    my $paths = ref $path ? $path : [$path];
    my $vhosts = $o{vhosts} // \@VHOSTS;
    my $first = $self->{sent} + 1;
    $self->{sent} += $count;
    my $out = "$self->{dir}/answers.$first";
    mkdir $out;
    my @pids;
    for my $c (0 .. $at_once - 1) {
        my $pid = fork // die "fork: $!";
        if ($pid) {
            push @pids, $pid;
            next;
        }
        open my $fh, '>', "$out/$c" or POSIX::_exit(1);
        for (my $i = $c; $i < $count; $i += $at_once) {
            my $n = $first + $i;
            my $vhost = $vhosts->[$i % @$vhosts];
            my $mode = $modes[int($i / @$vhosts) % @modes];
            my $p = $paths->[$i % @$paths];
            my $r = eval { $self->get($vhost, "$p?n=$n&m=$mode",
                %{$o{get} // {}}) } // {status => 0, content => $@};
            if ($r->{status} != 200 || $r->{content} !~ /\bsent $n\b/) {
                print $fh "$vhost$p $n $mode: $r->{status} "
                    . substr($r->{content}, 0, 500) =~ s/\n/ /gr . "\n";
            }
        }
        close $fh;
        POSIX::_exit(0);
    }
    waitpid $_, 0 for @pids;
    if ($self->{stealer}) {
        spew("$self->{dir}/stop", '');
        waitpid delete $self->{stealer}, 0;
        unlink "$self->{dir}/stop";
    }
    my @bad = map { split /\n/, slurp("$out/$_") // 'no answers' }
        0 .. $at_once - 1;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(scalar @bad, 0, "$count requests to $paths->[0], $at_once at once");
    diag("answered: $_") for @bad[0 .. ($#bad > 4 ? 4 : $#bad)];
    return @bad;
}

# Who was named, and who it was; a bearer's claim by a stolen token is no
# naming, and says so.  Records as a list of {n, mode, vhost: the
# truth; r: the record; named: '', 'right', 'wrong'; listed: is the right one
# among the candidates}.
sub judged {
    my ($self) = @_;
    my @out;
    my @r = $self->{recorder}->records;
    for my $r (@r[$self->{base} .. $#r]) {
        my ($n, $mode, $vhost) =
            ($r->{message_id} // '') =~ /^<?(\d+)\.(\w+)@([a-z.]+)>?$/ or next;
        my $claim = $r->{verdict} eq 'claimed'
            && $mode =~ /^(?:late|now|again|put|own)$/;
        my $named = $claim || !defined $r->{vhost} || $r->{vhost} eq '' ? ''
            : $r->{vhost} eq $vhost && (($r->{query} // '') =~ /\bn=$n\b/
                || $self->{bearer} && $mode =~ /^(?:put|own)$/)
            ? 'right' : 'wrong';
        my $listed = ($r->{candidates} // '') =~ /\b\Q$vhost\E\b/ ? 1 : 0;
        push @out, {n => $n, mode => $mode, vhost => $vhost, r => $r,
            named => $named, listed => $listed};
    }
    return @out;
}

# verdicts(MODE => 'verdict' or [several], …, default => …): all that was
# fired is on record, nothing is named wrongly, each has the verdict it must.
sub verdicts {
    my ($self, %want) = @_;
    my $count = delete $want{count} // $self->{sent};
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @j;
    wait_for(sub { @j = $self->judged; @j >= $count }, "$count records");
    is(scalar @j, $count, "$count mails, $count records");
    my (%seen, @wrong, @unlike);
    for my $j (@j) {
        my $verdict = $j->{r}{verdict};
        $seen{$j->{mode}}{$verdict}++;
        push @wrong, $j if $j->{named} eq 'wrong';
        my $w = $want{$j->{mode}} // $want{default} // next;
        push @unlike, $j if !grep { $_ eq $verdict } ref $w ? @$w : $w;
        # what is verified is named
        push @unlike, $j if $verdict eq 'verified' && $j->{named} eq '';
    }
    my $show = sub {
        my ($j) = @_;
        my %r = %{$j->{r}};
        diag("mail $j->{n} $j->{mode} of $j->{vhost}: "
            . join ' ', map { defined $r{$_} ? "$_=$r{$_}" : () }
            qw(verdict evidence state reason vhost uri query script candidates
                claimed_vhost claimed_uri claimed_id uid pid exe parents));
    };
    is(scalar @wrong, 0, 'no mail is named for another request');
    $show->($_) for @wrong[0 .. ($#wrong > 3 ? 3 : $#wrong)];
    is(scalar @unlike, 0, 'every verdict is as it must be: ' . join '; ',
        map { my $m = $_; "$m: " . join ', ', map { "$seen{$m}{$_} $_" }
            sort keys %{$seen{$m}} } sort keys %seen);
    $show->($_) for @unlike[0 .. ($#unlike > 3 ? 3 : $#unlike)];
    $self->{seen} = \%seen;
    return @j;
}

# A lie is visible in each record: as a reason, or as what was claimed.
sub visible {
    my ($self, @j) = @_;
    my @hidden = grep {
        my $r = $_->{r};
        $_->{mode} eq 'forge' ? ($r->{reason} // '') !~ /does not authenticate/
            : $_->{mode} =~ /^(?:late|now|again|own)$/
            # with no more than a stolen token there is nothing else to say
            && ($_->{mode} ne 'own' || $r->{verdict} ne 'claimed') && ($r->{verdict} eq 'conflict'
                ? ($r->{claimed_vhost} // '') ne 'b.example'
                    || ($r->{claimed_id} // '') eq ($r->{request_id} // '')
                : ($r->{reason} // '') !~ /tokens of several requests/);
    } @j;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is(scalar @hidden, 0, 'every lie is visible in its record');
    diag(join ' ', map { "$_=" . ($hidden[0]{r}{$_} // '') } 'message_id',
        qw(verdict reason claimed_vhost claimed_id request_id)) if @hidden;
}

# The row's line, where all its tests went well.
sub done {
    my ($self, $verdict, %o) = @_;
    my $test = Test::More->builder;
    return if !$test->is_passing || !$ENV{MO_RESULTS} || $SAN;
    my %row = (%$self, %o);
    open my $fh, '>>', $ENV{MO_RESULTS} or die "$ENV{MO_RESULTS}: $!";
    syswrite $fh, join("\t", @row{qw(order handler mpm)}, $verdict,
        $row{needs}) . "\n";
    close $fh;
}

sub stop {
    my ($self) = @_;
    $self->{h}->stop;
    $self->{recorder}->stop;
}

1;
