# MO::Chain - the whole chain: recorder, sink, wrapper and a private httpd.
#   my $c = MO::Chain->new(mpm => …, modules => […], conf => …, …);
#       as MO::Httpd->new, and recorder_conf => "lines\n", passed => 1 (as
#       MO::Recorder's)
#   $c->httpd, recorder, sink
#   $c->one('/a.php', headers => …)
#       sends the request and waits for its one mail and record:
#       {record, mail, response, line}, line being its access_log line
#   $c->mail_line(...)  a shell command that sends one mail by the wrapper
#   $c->open_stamp(MAIL)  the stamp's fields in a delivered mail
#   $c->field(MAIL)     our header field of a delivered mail, unfolded
#   $c->balance         as many records as mails, each id once: '' or what not
package MO::Chain;
use strict;
use warnings;
use MO::Httpd;
use MO::Recorder;
use MO::Test;

sub new {
    my ($class, %o) = @_;
    my $self = bless {}, $class;
    $self->{recorder} = MO::Recorder->new(conf => delete $o{recorder_conf},
        passed => delete $o{passed});
    my %has = map { $_ => 1 } @{$o{modules} // []};
    my $conf = $has{php} ? "php_admin_value sendmail_path \"$WRAPPER -t -i\"\n"
        : '';
    $self->{httpd} = MO::Httpd->new(%o, conf => $conf . ($o{conf} // ''));
    return $self;
}

sub httpd { $_[0]{httpd} }
sub recorder { $_[0]{recorder} }
sub sink { $_[0]{recorder}->sink }

sub one {
    my ($self, $path, %o) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $lines = $self->httpd->access_lines;
    my %before = map { $_ => 1 } $self->sink->names;
    my $n = $self->recorder->records;
    my $response = $self->httpd->get($path, %o);
    my @records = $self->recorder->wait_records($n + 1);
    my @mails = wait_for(sub {
        my @new = grep { !$before{$_} } $self->sink->names;
        return @new > 0;
    }, "the mail of $path") ? grep { !$before{$_->{name}} } $self->sink->mails
        : ();
    my @line = $self->httpd->wait_access($lines + 1);
    return {record => $records[-1], mail => $mails[-1], line => $line[-1],
        response => $response, mails => scalar @mails,
        records => @records - $n};
}

sub mail_line {
    my ($self, $subject) = @_;
    $subject //= 'test';
    return "printf 'To: you\@example.org\\nSubject: $subject\\n\\nbody\\n' | "
        . "$WRAPPER -t -i";
}

sub field {
    my ($self, $mail) = @_;
    my ($head) = $mail->{data} =~ /\A(.*?\r?\n)\r?\n/s;
    my @f = ($head // $mail->{data}) =~ /^Mail-Origin:(.*\n(?:[ \t].*\n)*)/mg;
    return '' if @f != 1;
    $f[0] =~ s/\s+/ /g;
    return $f[0];
}

sub balance {
    my ($self) = @_;
    my (%mail, %record);
    for my $mail ($self->sink->mails) {
        my ($id) = $self->field($mail) =~ /\bid=([\w-]{16});/;
        return "a mail without a stamp: $mail->{name}" if !$id;
        return "mail $id twice" if $mail{$id}++;
    }
    for my $r ($self->recorder->records) {
        return "record $r->{id} twice" if $record{$r->{id}}++;
    }
    for (keys %mail) {
        return "mail $_ has no record" if !$record{$_};
    }
    for (keys %record) {
        return "record $_ has no mail" if !$mail{$_};
    }
    return '';
}

1;
