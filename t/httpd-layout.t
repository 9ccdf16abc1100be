# The layout file names each log of each vhost, as httpd itself writes them:
# what it says is compared with the files that httpd then made.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::LookHttpd;

keyring();
my $dir = scratch();
spew("$dir/included.conf", <<'EOT');
<VirtualHost *:*>
  ServerName included.example
  ServerAlias www.included.example *.included.example
  CustomLog ${LOGS}/included.log vhost_combined env=!quiet
  CustomLog ${LOGS}/expr.log common "expr=%{REQUEST_STATUS} >= 400"
  LogFormat "own %h %t \"%r\"" common
  MailOrigin Off
</VirtualHost>
EOT
my $h = look_httpd(mpm => 'event', modules => ['macro', 'env'], start => 0,
    log_format => 'combined', conf => <<"EOT");
Define LOGS $dir
Define SEEN
GlobalLog $dir/global.log "%v %t global"
<Macro VH \$name \$log>
  <VirtualHost *:*>
    ServerName \$name
    CustomLog $dir/\$log "%t \$name \\"%r\\""
  </VirtualHost>
</Macro>
Use VH one.example one.log
Use VH two.example two.log
<IfDefine SEEN>
  Include $dir/included.conf
</IfDefine>
<IfDefine NOT_SEEN>
  CustomLog $dir/never.log common
</IfDefine>
<VirtualHost *:*>
  ServerName bare.example
  <Directory $dir>
    <Files "a b.php">
      SetEnv PHP_ADMIN_VALUE "sendmail_path=/bin/x -t"
    </Files>
    SetEnv PHP_VALUE "mysqli.default_pw=secret1"
  </Directory>
  SetEnv NOTHING "sendmail_path=/bin/x secret2"
</VirtualHost>
<VirtualHost *:*>
  ServerName transfer.example
  LogFormat "T %h \\"%r\\""
  TransferLog $dir/transfer.log
  TransferLog "|/bin/cat >>$dir/piped.log"
  CustomLog "|\$/bin/cat >>\\"$dir/shell.log\\"" combined
</VirtualHost>
<VirtualHost *:*>
  ServerName "strange.example"
  CustomLog "$dir/str\xc3\xa4nge \\"1\\".log" "%h \\\\ \x01 %r"
</VirtualHost>
EOT
$h->start;
my $file = "$RUN/httpd/" . $h->pid . '.json';
my $text = slurp($file);
my $layout = eval { JSON::PP::decode_json($text) };
ok($layout, 'it is JSON') or diag("$@$text");
unlike($text, qr/[^\x20-\x7e\n]/, '… of printable ASCII');
is($layout->{pid}, $h->pid, 'pid');
is($layout->{mpm}, 'event', 'mpm');
is($layout->{server_root}, $h->root, 'server_root');
my ($stat) = slurp('/proc/' . $h->pid . '/stat') =~ /.*\) (.*)/s;
is($layout->{start}, (split ' ', $stat)[19], 'start, in ticks');

my %vhost = map { $_->{name} => $_ } grep { !$_->{main} }
    @{$layout->{vhosts}};
my ($main) = grep { $_->{main} } @{$layout->{vhosts}};
is($main->{name}, 'localhost', 'the main server');
ok($main->{mailorigin}, '… MailOrigin On');
my $access = $h->root . '/logs/access.log';
is_deeply([map { $_->{file} } @{$main->{logs}}], [$access], '… its log');

sub logs {
    my ($name) = @_;
    return [map { join ' ', $_->{directive}, $_->{file} // "|$_->{pipe}",
        $_->{format}, $_->{condition} // () } @{$vhost{$name}{logs}}];
}
my $combined = '%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"';
is_deeply(logs('one.example'),
    [qq{CustomLog $dir/one.log %t one.example "%r"}], 'a macro, first use');
is_deeply(logs('two.example'),
    [qq{CustomLog $dir/two.log %t two.example "%r"}], 'a macro, second use');
is_deeply(logs('included.example'), [
    qq{CustomLog $dir/included.log %v:%p $combined env=!quiet},
    qq{CustomLog $dir/expr.log own %h %t "%r" expr=%{REQUEST_STATUS} >= 400},
], 'an included file, a define, conditions, a nickname of its own');
is_deeply($vhost{'included.example'}{aliases},
    ['www.included.example', '*.included.example'], '… aliases');
ok(!$vhost{'included.example'}{mailorigin}, '… MailOrigin Off');
ok($vhost{'one.example'}{mailorigin}, 'MailOrigin On, inherited');
is($vhost{'included.example'}{defined}, "$dir/included.conf:1",
    '… where it stands');
is_deeply(logs('bare.example'), ["CustomLog $access $combined"],
    'without a log of its own: the main server\'s');
is_deeply(logs('transfer.example'), [
    qq{TransferLog $dir/transfer.log T %h "%r"},
    qq{TransferLog |/bin/cat >>$dir/piped.log T %h "%r"},
    qq{CustomLog |\$/bin/cat >>"$dir/shell.log" $combined},
], 'TransferLog and pipes');
is($vhost{'strange.example'}{logs}[0]{file}, "$dir/str\xe4nge \"1\".log",
    'a strange name');
is($vhost{'strange.example'}{logs}[0]{format}, "%h \\ \x01 %r",
    '… and format');
is_deeply([map { $_->{file} . ' ' . $_->{format} }
    @{$layout->{global_logs}}], ["$dir/global.log %v %t global"], 'GlobalLog');
is_deeply($vhost{'one.example'}{addresses}, ['*:*'], 'addresses');

# what it tells PHP of sendmail, and nothing else that PHP is told
is_deeply([map { [@$_{qw(directive value section)}] } map { @{$_->{php}} }
    @{$layout->{vhosts}}], [['SetEnv', 'sendmail_path=/bin/x -t',
    qq{<Directory $dir> <Files "a b.php">}]], 'PHP_ADMIN_VALUE with its section');
is($vhost{'bare.example'}{php}[0]{defined} =~ s/\d+$//r, $h->root
    . '/conf/httpd.conf:', '… where it stands');
unlike($text, qr/secret/, 'of others nothing');

# httpd made just those files
my %said = map { $_->{file} => 1 } grep { $_->{file} }
    @{$layout->{global_logs}}, map { @{$_->{logs}} } @{$layout->{vhosts}};
my @made = grep { $_ !~ m{/(?:piped|shell|error)\.log$|/included\.conf$} }
    glob("$dir/*"), glob($h->root . '/logs/*.log');
utf8::encode(my $said = join "\n", sort keys %said);
is($said, join("\n", sort @made), 'these are the logs that httpd opened');

# and the lines are where it says
for my $name (qw(one.example two.example transfer.example bare.example)) {
    $h->get("/find-$name", headers => {Host => $name});
    my $where = $vhost{$name}{logs}[0]{file};
    ok(wait_for(sub { (slurp($where) // '') =~ m{/find-$name } }, $where),
        "$name logs there");
}

# a reload writes it anew
$h->conf("CustomLog $dir/later.log common\n");
$h->graceful;
ok(wait_for(sub { slurp($file) =~ m{/later\.log} }, 'the new layout'),
    'after a reload it is the new one');
is(join(' ', glob "$RUN/httpd/*"), $file, '… and the only file');
$h->stop;
ok(!-e $file, 'the parent removes it at its end');
done_testing;
