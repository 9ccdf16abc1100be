# Backends that httpd does not start: mod_wsgi's daemons, and Gunicorn and Node
# behind mod_proxy_http.  With MailOriginForward the token goes to them as a
# request header, and the lines that README shows pick it up; without it there
# is nothing to see.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use IO::Socket::INET ();
use MO::Test;
use MO::Handlers;
use POSIX ();

my $share = "$PREFIX/share/mailorigin";
my %lines;
my $readme = slurp("$SRC/README.md");
while ($readme =~ /^```(python|js)\n(.*?)^```$/msg) {
    my ($language, $text) = ($1, $2);
    $lines{$language} = $text =~ s{/usr/local/share/mailorigin}{$share}gr;
}
for my $language (qw(python js)) {
    is(scalar(() = ($lines{$language} // '') =~ /\n/g), 2,
        "README has two lines of $language");
}

# ---- the applications
my $on = "environ.get('HTTP_MAILORIGIN_TOKEN', '')";
sub python {
    my ($row, $forward) = @_;
    my $text = $row->python($on);
    $text =~ s{^(?=    if q\['m'\] == 'steal')}
        {    if q['m'] == 'echo':\n        return [($on or '-').encode()]\n}m;
    return $text . ($forward ? $lines{python} : '');
}

# an app.use() like Connect's and Express's
sub node {
    my ($row, $port, $forward) = @_;
    return "const dir = '$row->{dir}', port = $port;\n" . <<'EOT'
const http = require('http'), fs = require('fs');
const { execFile } = require('child_process');
const app = {
  stack: [],
  use(f) { this.stack.push(f); },
  handle(request, response) {
    let i = 0;
    const next = () => this.stack[i++](request, response, next);
    next();
  },
};
EOT
        . ($forward ? $lines{js} : '') . <<'EOT';
app.use((request, response) => {
  const q = Object.fromEntries(new URL(request.url, 'http://x').searchParams);
  const token = request.headers['mailorigin-token'] || '';
  const host = request.headers['x-forwarded-host'].replace(/:.*/, '');
  if (q.m === 'echo') return response.end(token || '-');
  if (q.m === 'steal') {
    fs.writeFileSync(`${dir}/token.${q.to}`, token);
    const wait = () => q.to === 'now' && !fs.existsSync(`${dir}/stop`)
      ? setTimeout(wait, 50) : response.end();
    return wait();
  }
  // many are at work at once
  setTimeout(() => execFile(`${dir}/send`, [q.m, q.n, host],
    (error, out, err) => response.end(error ? `failed ${q.n}: ${out}${err}`
      : `sent ${q.n}`)), Math.random() * 20);
});
http.createServer((a, b) => app.handle(a, b)).listen(port, '127.0.0.1');
EOT
}

my @backends;
my $port = 9301;
sub backend {
    my ($p, @cmd) = @_;
    my $log = scratch() . '/log';
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', $log;
        open STDERR, '>&', \*STDOUT;
        delete $ENV{LD_PRELOAD};
        { no warnings; exec 'setpriv', '--reuid=www-data', '--regid=www-data',
            '--clear-groups', '--', @cmd; }
        POSIX::_exit(127);
    }
    push @backends, $pid;
    wait_for(sub { IO::Socket::INET->new("127.0.0.1:$p") }, "$cmd[0] answers")
        or diag slurp($log);
}

# with and without: /s is forwarded to where forwarding is on, /off is not
for my $kind (['mod_wsgi, daemon', 'wsgi', 70], ['Gunicorn', 'proxy', 72],
    ['Node', 'proxy', 74]) {
    my ($handler, $how, $order) = @$kind;
    for my $forward (1, 0) {
        my $name = $handler eq 'mod_wsgi, daemon' ? $handler
            : "mod_proxy_http to $handler";
        my $what = $handler . ($forward ? ', forwarded' : '');
        my $p = $port++;
        my $conf = $how eq 'wsgi' ? "WSGISocketPrefix /tmp/wsgi-$$-\n" : '';
        my $vhost = $how eq 'wsgi' ? sub {
            my $group = $_[0] =~ s/\W//gr;
            return "WSGIDaemonProcess $group processes=2 threads=4 "
                . "user=www-data group=www-data python-path=$share\n"
                . "WSGIProcessGroup $group\n"
                . "AddHandler wsgi-script .wsgi\n"
                . "AliasMatch ^/(s|off)\$ $_[1]/s.wsgi\n";
        } : sub { "ProxyPass / http://127.0.0.1:$p/\nProxyPreserveHost On\n" };
        my $root = scratch();
        my $row = MO::Handlers->new(handler => $name, mpm => 'event',
            order => $order + !$forward, conf => $conf,
            modules => $how eq 'wsgi' ? ['wsgi'] : ['proxy', 'proxy_http'],
            httpd => {root => $root}, vhost_conf => sub {
                $vhost->($_[0], "$root/vhosts/$_[0]")
                    . ($forward ? "<Location /s>\n  MailOriginForward On\n"
                        . "</Location>\n" : '') });
        if ($handler eq 'Gunicorn') {
            spew("$row->{dir}/app.py", python($row, $forward));
            backend($p, 'env', "PYTHONPATH=$share:$row->{dir}",
                'PYTHONDONTWRITEBYTECODE=1', 'gunicorn', '--chdir',
                $row->{dir}, '-b', "127.0.0.1:$p", '-w', 2, '--threads', 10,
                'app');
        }
        elsif ($handler eq 'Node') {
            spew("$row->{dir}/app.js", node($row, $p, $forward));
            backend($p, 'node', "$row->{dir}/app.js");
        }
        else {
            $row->put('s.wsgi', python($row, $forward));
        }

        # whatever the client sends
        my $echo = sub {
            my ($path, %headers) = @_;
            my $s = $row->h->connect;
            $row->h->send_request($s, 'GET', "$path?n=0&m=echo", headers =>
                {Host => 'a.example', Connection => 'close', %headers});
            return $row->h->read_response($s)->{content};
        };
        my @lies = ({}, {'MailOrigin-Token' => 'forged'},
            {'MAILORIGIN_TOKEN' => 'forged'}, {'mailorigin-token' => 'forged',
            'MailOrigin_Token' => 'forged'},
            {Connection => 'MailOrigin-Token, close'},
            {Connection => 'close, mailorigin-token'});
        for my $lie (@lies) {
            my $with = join ', ', map { "$_: $lie->{$_}" } sort keys %$lie;
            is($echo->('/off', %$lie), '-', "$what: not where it is off; $with");
            like($echo->('/s', %$lie), $forward ? qr/^[\w-]{100,}$/ : qr/^-$/,
                "$what: … and where it is on");
        }

        if ($forward) {
            $row->steal('/s');
            $row->fire('/s',
                modes => [qw(plain clear forge late plain now own)]);
            # A bearer's token is believed to be just that: a claim.  The
            # program that was given it shows it yet where its child lies.
            my @j = $row->verdicts(default => 'claimed');
            $row->visible(@j);
            # but of one that asks by itself, with the stolen token alone
            is(scalar(grep { ($_->{r}{vhost} // '') ne $_->{vhost}
                || $_->{r}{query} !~ /\bn=$_->{n}\b/ }
                grep { $_->{mode} ne 'own' } @j), 0,
                "$what: each is claimed for its own request");
            $row->done('claimed', needs => 'MailOriginForward On and two '
                . 'lines in the application');
        }
        else {
            $row->fire('/s', count => 40, modes => [qw(plain clear forge)]);
            # of mod_wsgi's daemon it can be seen that it is httpd's child
            my $none = $how eq 'wsgi' ? 'hidden' : 'none';
            $row->verdicts(default => $none, forge => 'forged');
            $row->done($none);
        }
        $row->stop;
        for my $pid (splice @backends) {
            kill 'TERM', $pid;
            waitpid $pid, 0;
        }
    }
}

done_testing();
