# MO::Hold - block --hold over a real MTA, with the rule of
# conf.d/mail/holding.txt, inside MO::Overlay.
#   hold_test('postfix', 'exim', or 'sendmail');
package MO::Hold;
use strict;
use warnings;
use Exporter 'import';
use JSON::PP ();
use Test::More;
use MO::Test;
use MO::Recorder;
use MO::Mta;
our @EXPORT = qw(hold_test);

# the indented lines of one MTA's part
sub rule {
    my ($name) = @_;
    my $text = slurp("$ENV{MO_SRC}/conf.d/mail/holding.txt");
    my ($part) = $text =~ /^\Q$name\E\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\z)/ms
        or BAIL_OUT("no $name in holding.txt");
    return join '', map { s/^    //r } grep { /^    \S|^      / } $part =~ /.*\n/g;
}

my %setup = (
    postfix => sub {
        my ($main, $map) = split /(?=^\/)/m, rule('Postfix');
        my ($path) = $main =~ m{regexp:(\S+)};
        spew($path, $map);
        run('postconf', '-e', $main =~ s/\s+\z//r);
        run('postfix', 'reload');
    },
    exim => sub {
        my $t = '/etc/exim4/exim4.conf.template';
        my $conf = slurp($t);
        my $rule = rule('Exim');
        $conf =~ s/^begin acl\n/begin acl\n\nmo_hold:\n$rule\naccept\n\n/m
            or BAIL_OUT('no ACLs in Exim\'s template');
        $conf =~ s/^(\s*)(acl_check_data:\n)/$1$2$rule\n/m
            or BAIL_OUT('no acl_check_data in Exim\'s template');
        spew($t, "acl_not_smtp = mo_hold\n$conf");
        my ($rc, $out, $err) = run('update-exim4.conf');
        $rc == 0 or BAIL_OUT("update-exim4.conf: $out$err");
    },
    sendmail => sub {
        my $cf = '/etc/mail/sendmail.cf';
        my ($h, $r) = rule('Sendmail') =~ /^(HMail.*?\n)(S.*)\z/ms;
        spew($cf, slurp($cf) . $h . $r);
        run('pkill', '-f', 'sendmail: MTA');
        wait_for(sub { (run('/usr/sbin/sendmail.real', '-bd'))[0] == 0 },
            'sendmail to start');
    });

# what check says of it
sub fact {
    my ($line) = (run($MAILORIGIN, 'check', '--json', '--no-relay'))[1]
        =~ /^(.*"check":"hold".*)$/m;
    return $line // '';
}

sub queued {
    my $json = JSON::PP->new->utf8;
    return map { $json->decode($_) }
        split /\n/, (run($MAILORIGIN, 'queue', '--json', @_))[1];
}

sub hold_test {
    my ($mta) = @_;
    mta_start($mta);
    my $r = MO::Recorder->new(conf => "hold header\n");
    is((run($MAILORIGIN, 'wrap'))[0], 0, 'wrap');
    like(fact(), qr/"state":"broken"/, 'check: the MTA has no rule yet');
    $setup{$mta}->();
    like(fact(), qr/"state":"ok"/, 'check: now it has');
    my $send = sub {
        my ($subject, @args) = @_;
        return run({in => "Subject: $subject\nTo: alice\n\nx\n"},
            '/usr/sbin/sendmail', @args);
    };
    is(($send->('before', '-i', 'alice'))[0], 0, 'a mail goes');
    wait_for(sub { mailbox('alice') == 1 }, 'it is delivered', 60);
    my ($rc, $out, $err) = run($MAILORIGIN, 'block', '--uid', $>, '--hold');
    is($rc, 0, 'block --hold') or diag($err);
    is($err, '', 'which is all there is to say');
    is(($send->('one', '-i', 'alice'))[0], 0, 'arguments: accepted');
    is(($send->('two', '-t', '-i'))[0], 0, '-t: accepted');
    ($rc, $out) = run({in => "EHLO localhost\r\nMAIL FROM:<bob\@localhost>\r\n"
            . "RCPT TO:<alice\@localhost>\r\nDATA\r\nSubject: three\r\n\r\nx\r\n"
            . ".\r\nQUIT\r\n"}, '/usr/sbin/sendmail', '-bs');
    like($out, qr/^354.*^250 /ms, '-bs: accepted');
    my @held;
    wait_for(sub { @held = grep { $_->{held} } queued(); @held == 3 },
        'three mails on hold', 60) or diag(explain([queued()]));
    is_deeply([sort map { $_->{subject} } @held], [qw(one three two)],
        '... those three');
    is(scalar(my @box = mailbox('alice')), 1, 'none is delivered');
    is((run($MAILORIGIN, 'unblock', '--uid', $>))[0], 0, 'unblock');
    is(($send->('after', '-i', 'alice'))[0], 0, 'a mail goes');
    wait_for(sub { mailbox('alice') == 2 }, '... and is delivered', 60);
    ($rc, $out, $err)
        = run($MAILORIGIN, 'purge', '--uid', $>, '--release', '--yes');
    is($rc, 0, 'purge --release') or diag($out, $err);
    # a run of the queue leaves out what another one has just locked
    wait_for(sub {
        return 1 if mailbox('alice') == 5;
        run('/usr/sbin/sendmail', '-q');
        return !sleep 1;
    }, 'what is released is delivered', 60)
        or diag(explain([queued()]), slurp('/var/mail/alice'));
    is((run($MAILORIGIN, 'unwrap'))[0], 0, 'unwrap');
}

1;
