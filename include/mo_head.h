/*
 * The header section of a message as sendmail reads it.  libc only.
 */
#ifndef MO_HEAD_H
#define MO_HEAD_H

#include <stddef.h>

#include "mo_rcpts.h"

/*
 * A filter over the head of a message: takes it in pieces of any size, drops
 * fields of our own name with their folds (any case, blanks before the
 * colon), finds where our field belongs, and keeps what the record wants.
 */
enum mo_head_state {
    MO_HEAD_MORE = 0, /* give more, or call mo_head_end */
    MO_HEAD_DONE = 1 /* the header section is over; the rest is body */
};

/* Which "From " lines of a mailbox an MTA passes over before the fields. */
enum mo_from {
    MO_FROM_MANY = 0, /* any number, with any '>' before (Postfix; msmtp and
                         sSMTP leave that to the server) */
    MO_FROM_ONE = 1, /* one, without '>' (Sendmail): what follows is text */
    MO_FROM_DATED = 2, /* any number, without '>', with a date (Exim) */
    MO_FROM_NONE = 3, /* none (Exim's -bs) */
    MO_FROM_QUOTED = 4, /* any number, with a '>' before or none (nullmailer) */
    MO_FROM_QUOTED_ANY_CASE = 5, /* the same, also "from " (dma) */
    MO_FROM_ANY_CASE = 6 /* any number, also "from ", no '>' (OpenSMTPD) */
};

struct mo_head {
    const char *name; /* the field's name, without colon */
    size_t namelen;
    /* set after mo_head_start, if at all */
    enum mo_from from;
    int stuffed; /* as in SMTP: a line's first dot is not part of it */
    struct mo_rcpts *rcpts; /* NULL: they are not minded */
    /* results */
    size_t insert; /* our field goes before this byte of the output */
    int crlf; /* the message's first line ends with CR LF */
    int blank_after; /* after our field an empty line must follow */
    int break_before; /* a "From " line has no end: before our field, one */
    unsigned dropped; /* fields of our name that were removed */
    char subject[1000];
    char message_id[1000];
    /* private */
    int state;
    int seen_line; /* a first line was there */
    int seen_field; /* so a line that begins with a blank is its fold */
    int know_crlf;
    char last; /* byte of the input */
    int in_from; /* still in leading "From " lines */
    int skip; /* this field is being dropped */
    int keep; /* of this field: enum in head.c */
    size_t out; /* bytes put out so far */
    size_t vallen; /* of the value that is kept */
    int bol; /* at the begin of a line whose kind is not known yet */
    int wide; /* longer than pend and still not decided: enum in head.c */
    int wide_first; /* it is the first line that may follow our field */
    size_t pendlen;
    char pend[1200]; /* begin of a line not yet decided */
};

void mo_head_start(struct mo_head *h, const char *name);
/*
 * Takes in[0..len); calls put(arg, bytes, n) for what stays.  *used is how
 * much of in was taken: less than len only with MO_HEAD_DONE.
 * put returns 0, or -1, which ends the call with -1.
 */
int mo_head_feed(struct mo_head *h, const char *in, size_t len, size_t *used,
                 int (*put)(void *arg, const char *p, size_t n), void *arg);
/* Are insert, crlf and blank_after known already, before the section's end? */
int mo_head_settled(const struct mo_head *h);
/* The input is over before the header section was. 0, or -1 from put. */
int mo_head_end(struct mo_head *h,
                int (*put)(void *arg, const char *p, size_t n), void *arg);

#endif
