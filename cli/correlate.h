/*
 * From requests to their access_log lines, any number of them in one pass
 * over each file that can hold one.
 *
 * A line that carries the request's id is exact.  Else second of %t, client
 * (where the line shows an address) and the keyed hash of the request line
 * must agree; one such line is unique, several are ambiguous.  Where no line
 * shows the request line as the client sent it, its parts must agree as far as
 * httpd left them.
 */
#ifndef MO_CLI_CORRELATE_H
#define MO_CLI_CORRELATE_H

#include "cli.h"

enum cli_match { MATCH_NONE, MATCH_AMBIGUOUS, MATCH_UNIQUE, MATCH_EXACT };
const char *cli_match_name(enum cli_match m);

#define CLI_HITS 32 /* lines kept for a request; all are counted */

struct cli_hit {
    struct cli_hit *next;
    const char *file; /* lives as long as the struct cli_found */
    const void *source; /* the log that the file is of */
    uint64_t order; /* of files, and of places in them */
    char line[];
};

/* What a record says of its request; pointers are the caller's. */
struct cli_want {
    const char *id, *client, *vhost, *method, *uri, *script, *hash;
    uint64_t time_us; /* of the request; 0: there is none to look for */
    uint64_t sent_us; /* the mail's: the request lasted until then */
    /* results */
    enum cli_match match;
    unsigned nhits;
    struct cli_hit *hits; /* in the order of the files */
    /* private */
    int sure; /* what the hits are, all of them: the surest that there are */
    unsigned char keyid[4], mac[16];
    int has_hash;
    int cut; /* the uri was cut in its middle */
    unsigned nmethod, nuri; /* lengths, where nothing in them is escaped */
    int homeless; /* no log is of its vhost: it is looked for in all */
};
void cli_want_set(struct cli_want *w, const struct mo_record *r);

struct cli_found {
    struct cli_note {
        char *text; /* what was searched, a line each */
        int trouble; /* or what could not be */
    } * note;
    size_t nnotes;
    void *sources;
    unsigned long bad; /* lines looked at that are of another format */
};

/*
 * Fills in the results of w[0..n).  Returns 0, or -1 after saying what was
 * wrong (--log-format, no memory); a log that is not there is a note.
 */
int cli_correlate(struct cli *c, struct cli_want *w, size_t n,
                  struct cli_found *found);
/* its notes on stderr: trouble, with -v the rest too */
void cli_found_say(const struct cli *c, const struct cli_found *found);
void cli_found_free(struct cli_found *found, struct cli_want *w, size_t n);

#endif
