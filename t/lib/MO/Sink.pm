# MO::Sink - what stands for the real sendmail: t/tools/sink.c, copied to a
# folder of its own.
#   my $sink = MO::Sink->new;     or new(dir => DIR, name => 'sendmail')
#   $sink->path                   the program
#   $sink->spool                  its spool folder
#   $sink->mails                  what arrived, oldest first: for each
#       {argv => [...], env => {...}, data => '...', uid, gid, pid, ppid, cwd}
#   $sink->wait_mails(N [, SECONDS])  the same, once there are N
#   $sink->clear
#   $sink->exit(STATUS)           the status it ends with from now on
#   $sink->set(NAME, TEXT)        its files: exit stdout stderr noread
package MO::Sink;
use strict;
use warnings;
use File::Copy ();
use File::Path ();
use MO::Test;

sub new {
    my ($class, %o) = @_;
    my $dir = $o{dir} // scratch();
    my $name = $o{name} // 'sendmail';
    my $self = bless {path => "$dir/$name", spool => "$dir/$name.d"}, $class;
    my $from = "$BUILD/t/tools/sink";
    File::Copy::copy($from, $self->{path}) or die "$from: $!";
    chmod 0755, $self->{path};
    mkdir $self->{spool} or die "$self->{spool}: $!";
    chmod 01777, $self->{spool};
    return $self;
}

sub path { $_[0]{path} }
sub spool { $_[0]{spool} }

sub names {
    my ($self) = @_;
    opendir my $d, $self->{spool} or die "$self->{spool}: $!";
    return sort grep { /^\d/ } readdir $d;
}

sub count { scalar(my @n = $_[0]->names) }

sub mails {
    my ($self) = @_;
    my @mails;
    for my $name ($self->names) {
        my $dir = "$self->{spool}/$name";
        my %mail = (name => $name, dir => $dir,
            data => slurp("$dir/data"),
            argv => [split /\0/, slurp("$dir/argv"), -1]);
        pop @{$mail{argv}};
        for (split /\0/, slurp("$dir/env")) {
            my ($k, $v) = split /=/, $_, 2;
            $mail{env}{$k} //= $v;
        }
        $mail{env} //= {};
        %mail = (%mail, slurp("$dir/info") =~ /^(\w+) (.*)$/mg);
        push @mails, \%mail;
    }
    return @mails;
}

sub wait_mails {
    my ($self, $n, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    wait_for(sub { $self->count >= $n }, "$n mails in the sink", $seconds);
    return $self->mails;
}

sub clear {
    my ($self) = @_;
    File::Path::remove_tree("$self->{spool}/$_") for $self->names;
}

sub exit {
    my ($self, $status) = @_;
    return $self->set(exit => $status);
}

sub set {
    my ($self, $name, $text) = @_;
    if (defined $text) {
        spew("$self->{spool}/$name", $text, 0644);
    }
    else {
        unlink "$self->{spool}/$name";
    }
}

1;
