# mod_perl's Registry: Perl in httpd's own process.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my $row = MO::Handlers->new(order => 60, handler => 'mod_perl (Registry)',
    mpm => 'prefork', modules => ['perl'], conf => <<'EOT');
PerlModule ModPerl::Registry
<FilesMatch "\.pl$">
  SetHandler perl-script
  PerlResponseHandler ModPerl::Registry
  PerlOptions +ParseHeaders
</FilesMatch>
EOT
$row->put('s.pl', $row->perl, 0755);
$row->steal('/s.pl');
$row->fire('/s.pl', modes => [qw(plain clear plain forge plain late plain now
    own nofd)]);
my @j = $row->verdicts(plain => 'verified', clear => 'verified',
    forge => 'verified', late => 'conflict', now => 'conflict', own => 'conflict',
    nofd => 'verified');
$row->visible(@j);
$row->done('verified');

done_testing();
