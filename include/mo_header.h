/*
 * The header field that a stamped mail carries, and the header section of a
 * message as sendmail reads it.  libc only.
 *
 *   Mail-Origin: v=1; id=<16 of A-Za-z0-9_->; s=<stamp, folded at 72>
 *
 * s= is a stamp (mo_seal.h, MO_SEAL_STAMP) or, where no recorder answered,
 * t= with the token as it was.  With `disclose` in the conf: vhost=, script=
 * or uri= before s=, percent-encoded outside A-Za-z0-9._~/-.  A mail that the
 * MTA is to hold has hold=1 after id=.
 */
#ifndef MO_HEADER_H
#define MO_HEADER_H

#include <stddef.h>

#define MO_HEADER_NAME "Mail-Origin"
#define MO_HEADER_HOLD "hold=1"
#define MO_HEADER_MAX 8192 /* bytes of a whole field, folds included */

/*
 * Writes the field, folded with "\n\t" so that no line is over 72 characters
 * (but for a long name), "\n" at the end.  extra: "vhost=…; " or NULL.  tag:
 * 's' or 't'; seal NULL: none.  Returns its length, 0 if it does not fit.
 */
size_t mo_header_format(char *out, size_t size, const char *name,
                        const char *id, const char *extra, char tag,
                        const char *seal);

struct mo_header {
    char id[17]; /* "" if there is none */
    char tag; /* 's', 't', or 0: none */
    char seal[6000]; /* without folds and spaces */
};
/*
 * Reads a field body, folds and blanks anywhere in it (a mail client may
 * have mangled them), also "=\n" soft breaks.  Returns 0, or -1 where there is
 * neither id nor seal.
 */
int mo_header_parse(const char *body, size_t len, struct mo_header *h);

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
    MO_FROM_MANY = 0, /* any number, with any '>' before (Postfix; the rest) */
    MO_FROM_ONE = 1, /* one, without '>' (Sendmail): what follows is text */
    MO_FROM_DATED = 2, /* any number, without '>', with a date (Exim) */
    MO_FROM_NONE = 3 /* none (Exim's -bs) */
};

struct mo_head {
    const char *name; /* the field's name, without colon */
    size_t namelen;
    /* set after mo_head_start, if at all */
    enum mo_from from;
    int stuffed; /* as in SMTP: a line's first dot is not part of it */
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
    int keep; /* 1 subject, 2 message-id */
    size_t out; /* bytes put out so far */
    size_t vallen; /* of the value that is kept */
    int bol; /* at the begin of a line whose kind is not known yet */
    int wide; /* longer than pend and still not decided: enum in header.c */
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
