# Without the module nothing else here means anything: this fails, and does
# not skip, where httpd has not loaded it.
use strict;
use warnings;
use Test::More;
use MO::Look;

like(get('/plain.txt'), qr{^HTTP/1.1 200 }, 'the server answers');
my $look = look('/look.cgi');
ok($look->{vars}{MAILORIGIN_ID}, 'a script has MAILORIGIN_ID');
my $threads = mpm() eq 'prefork' ? 'no' : 'many';
like(slurp_file(logs() . '/error_log'), qr/\[mpm_@{[mpm()]}:/,
    'the MPM is ' . mpm());
unlike(slurp_file(logs() . '/error_log'), qr/\[mailorigin:crit\]/,
    'the module complains of nothing');
is(() = slurp_file(logs() . '/error_log')
    =~ /\[mailorigin:warn\][^\n]*not started by root/g, 1,
    'what an ordinary user\'s httpd costs is said once');
done_testing;
