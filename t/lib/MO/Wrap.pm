# MO::Wrap - wrap and unwrap on a real MTA.
#
#   wrap_test($mta, $binary)   $mta as the conf names it; $binary: a part of
#                              the path that the real one leads to
package MO::Wrap;
use strict;
use warnings;
use Cwd ();
use Exporter 'import';
use Test::More;
use MO::Test;
our @EXPORT = qw(wrap_test);

# what the file system holds where wrap could touch it
sub listing {
    my @find = (qw(find /usr/sbin /usr/lib/sendmail /etc
        /var/lib/dpkg/diversions -xdev -not -path /etc/hosts),
        qw{( -type d -printf}, '%p %y %m %U:%G\n',
        qw{-o -printf}, '%p %y %m %U:%G %s %l\n', ')');
    my ($status, $out) = run(@find);
    my ($s2, $div) = run(qw(dpkg-divert --list));
    return join "\n", sort(split /\n/, $out), $div,
        slurp("$ETC/mailorigin.conf") // 'no conf';
}

# a link to it or, under alternatives, a copy
sub is_wrapper {
    my ($path) = @_;
    return slurp($path) eq slurp($WRAPPER) && -x $path;
}

sub same {
    my ($before, $after, $name) = @_;
    return if ok $after eq $before, $name;
    spew('/tmp/before', $before);
    spew('/tmp/after', $after);
    diag((run(qw(diff /tmp/before /tmp/after)))[1]);
}

sub wrap_test {
    my ($mta, $binary) = @_;
    my ($status, $out, $err);

    spew("$ETC/mailorigin.conf",
        "# a comment\n\nsendmail /opt/old\n  timeout 3s\n");
    my $before = listing();

    ($status, $out, $err) = run($MAILORIGIN, 'wrap', '--status');
    is $status, 1, 'not wrapped: status 1';
    like $out, qr{^/usr/sbin/sendmail: plain: .*\(\Q$mta\E\)$}m,
        "status knows $mta";

    ($status, $out, $err) = run($MAILORIGIN, 'wrap');
    is $status, 0, 'wrap' or diag($out, $err);
    is $err, '', 'nothing on stderr';
    ok is_wrapper('/usr/sbin/sendmail'), 'the wrapper is in its place';
    like slurp("$ETC/mailorigin.conf"),
        qr{^sendmail /usr/sbin/sendmail\.real\n.*^mta \Q$mta\E\n}ms,
        'the conf names the real one and its MTA';
    like Cwd::abs_path('/usr/sbin/sendmail.real'), qr/\Q$binary\E/,
        'the real one is the MTA\'s';
    for my $p (grep { -e } '/usr/lib/sendmail') {
        ok is_wrapper($p), "$p leads there too";
    }
    my $wrapped = listing();
    ($status, $out) = run($MAILORIGIN, 'wrap');
    is $status, 0, 'wrap twice';
    same($wrapped, listing(), 'the second changes nothing');
    ($status, $out) = run($MAILORIGIN, 'wrap', '--status', '--json');
    is $status, 0, 'status 0';
    like $out, qr/"path":"\/usr\/sbin\/sendmail","state":"wrapped"/, '--json';

    ($status, $out, $err) = run($MAILORIGIN, 'unwrap');
    is $status, 0, 'unwrap' or diag($out, $err);
    same($before, listing(), 'all is as it was');
    ok !-e "$STATE/wrap", 'no state is left';
    is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap twice');

    is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap again');
    ($status, $out, $err) = run('sh', '-c',
        'DEBIAN_FRONTEND=noninteractive dpkg -i --force-confold /mo-debs/*.deb');
    is $status, 0, 'the package is installed anew' or diag($out, $err);
    ok is_wrapper('/usr/sbin/sendmail'), 'the wrapper is still there';
    like Cwd::abs_path('/usr/sbin/sendmail.real'), qr/\Q$binary\E/,
        'and the real one';
    ($status, $out, $err) = run($MAILORIGIN, 'unwrap');
    is $status, 0, 'unwrap after that' or diag($out, $err);
    ok !-e '/usr/sbin/sendmail.real' && !-l '/usr/sbin/sendmail.real',
        'no second name is left';
    my $real = $binary =~ /\.real$/ ? '/usr/sbin/sendmail' : $binary;
    like Cwd::abs_path('/usr/sbin/sendmail'), qr/\Q$real\E/,
        'the real one is back';
}

1;
