#!/usr/bin/perl
# Three in the morning, over Postfix; MO_REHEARSAL_SPAM=2000 for all of it.
# no sanitizers: each part has tests under them; here it is the sum that counts
use strict;
use warnings;
use Test::More;
use lib "$ENV{MO_SRC}/t/lib";
use MO::Test;
use MO::Postfix;
use MO::Rehearsal;

package Postfix {
    use MO::Test;
    our @ISA = ('MO::Postfix');

    # a program, as the wrapper wants it
    sub sendmail {
        my ($self) = @_;
        return spew("$self->{dir}/sendmail", "#!/bin/sh\n"
                . "exec /usr/sbin/sendmail -C $self->{etc} \"\$@\"\n", 0755);
    }
    sub pid {
        return (slurp("$_[0]{spool}/pid/master.pid") // '') =~ /(\d+)/ ? $1 : 0;
    }
    sub spool { map {"$_[0]{spool}/$_"} qw(maildrop incoming active deferred hold) }
    sub args { ['--mta', 'postfix', '--mta-config', $_[0]{etc}] }
    sub flush { main::run('postqueue', '-c', $_[0]{etc}, '-f') }
}

rehearse(Postfix->new({main => "default_transport = smtp:[127.0.0.1]:2526\n"}),
    spam => 600, match => qr/^exact$/,
    log_format => '%v:%p %h %l %u %t "%r" %>s %O %{MAILORIGIN_ID}e');
done_testing;
