/*
 * Is this line that request's?
 */
#ifndef MO_CLI_WANT_H
#define MO_CLI_WANT_H

#include "correlate.h"
#include "log_format.h"

/* How long a request lasts beyond its mail, mostly; and at most, for its line
 * to be found. */
#define WANT_SLOW (600 * 1000000ull)
#define WANT_SLOWEST (6 * 3600 * 1000000ull)

/* How far two zones are apart at most, and of what that is a multiple. */
#define ZONES (26 * 3600 * 1000000ull)
#define ZONE_STEP (900 * 1000000ull)

/* A line with what is worked out of it at most once. */
struct want_line {
    const struct log_line *l;
    const struct mo_keyring *keys;
    int hashed; /* 1 + the key's index whose hash is in mac, 0: none */
    unsigned char mac[16];
};

/* The less sure first.  LIKE is a line that shows too little for SAME, MAYBE one
 * that shows something else, which a redirect within httpd may have put there. */
enum want_is { WANT_NO, WANT_MAYBE, WANT_LIKE, WANT_SAME, WANT_EXACT };
/* All but the id. */
enum want_is want_agrees(const struct cli_want *w, struct want_line *line);
enum want_is want_is(const struct cli_want *w, struct want_line *line);
/* Does the request line that begins at p certainly differ?  0: it may be. */
int want_is_not(const struct cli_want *w, const char *p, const char *end);
/* when the request's line was written at the latest, if it lasted slow us
 * beyond its mail */
uint64_t want_until(const struct cli_want *w, uint64_t slow);

#endif
