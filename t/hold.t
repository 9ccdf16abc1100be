#!/usr/bin/perl
# block --hold: refused for now, or, with `hold header`, accepted and put on
# Postfix's hold queue by the rule of conf.d/mail/holding.txt; none else is.
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Recorder;
use MO::Postfix;

my ($rule) = slurp("$ENV{MO_SRC}/conf.d/mail/holding.txt")
    =~ m{^\s+(/\^Mail-Origin:.*)}m or BAIL_OUT('no rule in holding.txt');
my $dir = scratch();
spew("$dir/hold", "$rule\n");
my $p = MO::Postfix->new({main => "header_checks = regexp:$dir/hold\n"});
spew("$dir/sendmail", "#!/bin/sh\nexec @{[$p->sendmail]} \"\$@\"\n", 0755);
chmod 0755, $dir;

package Target {
    sub new {bless {path => $_[1]}, $_[0]}
    sub path {$_[0]{path}}
}
my $r = MO::Recorder->new(sink => Target->new("$dir/sendmail"));
sub cli {return run($MAILORIGIN, @_)}
sub mail {
    my ($to, %o) = @_;
    return run({in => "Mail-Origin: v=1; id=x; hold=1\nSubject: $to\n"
            . "To: $to\n\nhello\n"}, $WRAPPER, @{$o{with} // ['-i', $to]});
}
sub smtp {
    my ($to) = @_;
    return run({in => "EHLO x\r\nMAIL FROM:<a\@b.example>\r\nRCPT TO:<$to>\r\n"
            . "DATA\r\nSubject: bs\r\n\r\nhello\r\n.\r\nQUIT\r\n"}, $WRAPPER,
        '-bs');
}
$p->start;

my ($rc, $out, $err) = cli('block', '--uid', $>, '--hold', '--reason', 'look');
is($rc, 0, 'block --hold') or diag($err);
like($err, qr/refused for now .*hold header/, 'it says what that means yet');
($rc, $out, $err) = mail('a@far.example');
is($rc, 75, 'without `hold header` a mail is refused for now');
like($err, qr/^mailorigin-sendmail: block 1: uid: look\n\z/, 'in one line');
like((smtp('a@far.example'))[1], qr/^451 4\.7\.1 block 1/m, '-bs: likewise');
is_deeply([map {$_->{action}} $r->wait_records(2)], ['limited', 'limited'],
    'that is what the records say');

$r->conf("hold header\n");
$r->hup;
wait_for(sub {(mail('b@far.example'))[0] == 0}, 'the conf to be read');
is((mail('t@far.example', with => ['-t', '-i']))[0], 0, '-t: accepted');
like((smtp('s@far.example'))[1], qr/^250 2\.0\.0/m, '-bs: accepted');
($rc, $out, $err) = cli('block', '--uid', $>, '--hold');
is($err, '', 'block has nothing more to say');
is((cli('unblock', '--uid', $>))[0], 0, 'unblock');
is((mail('free@far.example'))[0], 0, 'a mail goes');
$p->settled(4);
is(scalar(my @h = $p->ids('hold')), 3, 'those are on hold, the last is not');
is(scalar(my @d = $p->ids('deferred')), 1, '... but on its way');
is(scalar(grep {$_->{action} eq 'held'} $r->records), 3, '"held" in the records');

my @json = split /\n/, (cli('queue', '--mta', 'postfix', '--mta-config',
    $p->{etc}, '--json'))[1];
is(scalar(grep {/"stamp":"open"/} @json), 4, 'their stamps open')
    or diag(@json);
($rc, $out, $err) = cli('purge', '--mta', 'postfix', '--mta-config',
    $p->{etc}, '--uid', $>, '--release', '--yes');
is($rc, 0, 'purge --release') or diag($out, $err);
$p->settled(4);
is(scalar(@h = $p->ids('hold')), 0, 'nothing is on hold now');
$p->stop;
done_testing;
