# The layout file of this server is there, and names its logs.
use strict;
use warnings;
use JSON::PP ();
use Test::More;
use MO::Look;

my ($slot) = @{look('/look.cgi')->{slots}};
my $file = "$ENV{MO_PREFIX}/run/httpd/$slot->{parent}.json";
my $layout = JSON::PP::decode_json(slurp_file($file));
is($layout->{version}, 1, 'version');
is($layout->{pid}, $slot->{parent}, 'pid');
is($layout->{mpm}, mpm(), 'mpm');
my ($main) = grep { $_->{main} } @{$layout->{vhosts}};
is($main->{name}, 'look.example', 'the main server\'s name');
ok($main->{mailorigin}, 'MailOrigin is On there');
my %log = map { ($_->{file} =~ m{([^/]+)$})[0] => $_ } @{$main->{logs}};
is($log{id_log}{format}, '%{MAILORIGIN_ID}e %{UNIQUE_ID}e %>s "%r"',
    'a format in place');
is($log{stock_log}{format}, '%v %h %l %u %t "%r" %>s %b',
    'a format by its nickname');
is($log{access_log}{directive}, 'TransferLog', 'TransferLog');
like($log{access_log}{format}, qr/^%h %l %u %t/, '… has the default format');
my $mode = (stat $file)[2] & 07777;
is($mode, 0640, 'its mode');
done_testing;
