/*
 * The recipients that a message's fields name, for `sendmail -t`: To, Cc and
 * Bcc, or, where there is one of these, Resent-To, Resent-Cc and Resent-Bcc
 * instead (RFC 5322, 3.4 and 3.6.6, also the obsolete routes).  What they are
 * read for is a record and a count, not delivery: nothing fails here, and of
 * what is no address list, what stands between the commas is taken.
 * libc only, no allocation.
 */
#ifndef MO_RCPTS_H
#define MO_RCPTS_H

#include <stddef.h>

struct mo_rcpts {
    unsigned n; /* addresses, the same one twice where it stands twice */
    size_t used; /* of text: the first ones whole, each with its NUL */
    char text[4096];
    /* private */
    int resent; /* only Resent- fields count */
    int comment; /* how deep */
    int quoted, literal, escaped;
    int angle; /* enum in rcpts.c */
    int blank; /* one was there since the last character */
    int full; /* this one does not fit */
    size_t len; /* of this address, at text + used */
};

/* All zero is empty.  line[0..n) begins with a field's name and the colon
 * behind it, with blanks between or not.  1: it names recipients. */
int mo_rcpts_field(struct mo_rcpts *r, const char *line, size_t n);
/* After 1: the field's body in pieces of any size, folds and all. */
void mo_rcpts_value(struct mo_rcpts *r, const char *p, size_t n);
/* The field is over. */
void mo_rcpts_end(struct mo_rcpts *r);

#endif
