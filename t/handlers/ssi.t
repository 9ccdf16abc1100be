# Pages that run programs: SSI's exec and its include of a CGI, and a filter
# of mod_ext_filter.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Handlers;

my $filter = scratch();
for my $mpm (qw(event prefork)) {
    my $row = MO::Handlers->new(order => 65, mpm => $mpm,
        handler => 'SSI (exec, include virtual), mod_ext_filter',
        modules => [$mpm eq 'event' ? 'cgid' : 'cgi', 'include', 'filter',
            'ext_filter'], conf => <<"EOT");
AddType text/html .shtml .flt
AddOutputFilter INCLUDES .shtml
ExtFilterDefine mailer mode=output cmd="$filter/mailer"
AddOutputFilter mailer .flt
EOT
    spew("$filter/mailer", $row->sh =~ s/^(printf 'Content.*)$/cat; $1/mr,
        0755);
    $row->put('s.cgi', $row->sh, 0755);
    spew("$row->{dir}/exec", $row->sh, 0755);
    $row->put('exec.shtml', "<!--#exec cmd=\"$row->{dir}/exec\" -->\n");
    $row->put('virtual.shtml', '<!--#include virtual="s.cgi?$QUERY_STRING" -->');
    $row->put('page.flt', "a page\n");
    $row->steal('/s.cgi');
    $row->fire(['/exec.shtml', '/virtual.shtml', '/page.flt'],
        vhosts => ['a.example', 'b.example', 'b.example', 'a.example'],
        modes => [qw(plain clear plain forge again late own now)]);
    my @j = $row->verdicts(plain => 'verified', clear => 'verified',
        forge => 'verified',
        (map { $_ => 'conflict' } qw(late now again)),
        # under mod_cgid, which of its sockets it shows is its own choice
        own => $mpm eq 'prefork' ? 'conflict' : ['conflict', 'claimed']);
    $row->visible(@j);
    my %uri = map { ($_->{r}{uri} // '') => 1 }
        grep { $_->{r}{verdict} ne 'claimed' } @j;
    is_deeply([sort keys %uri], ['/exec.shtml', '/page.flt',
        '/virtual.shtml'], 'each is named by the page that was asked for');
    $row->done('verified');
    $row->stop;
}

done_testing();
