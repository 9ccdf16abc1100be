/*
 * The search as its halves see it: correlate.c and plan.c plan which part of
 * which file can hold which requests' lines, scan.c reads those parts.
 */
#ifndef MO_CLI_SEARCH_H
#define MO_CLI_SEARCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "correlate.h"
#include "sources.h"

#define SECOND 1000000ull

/* What is known of the wants of a source in whose lines the ids stand. */
enum { HUNT_FOUND = 1, HUNT_LEFT = 2 };
struct hunt {
    _Atomic unsigned char *state; /* of each in the list */
    int jumps;
    _Atomic size_t begun, missed; /* wants: whose place was reached, whose line
                                     is not near it */
};

/* Some bytes of a file, and the wants whose lines can be there. */
struct part {
    struct source *source;
    const char *file;
    uint64_t dev, inode,
        whole; /* the file's, and its size, as it was planned */
    struct cli_want **list; /* by time */
    size_t from, to; /* in the list */
    uint64_t until; /* a line past it ends the part */
    uint64_t at, end; /* bytes; lines that begin there.  Of a plain file only:
                         else all of it */
    uint64_t size; /* bytes that there are to read, for progress */
    int plain;
    uint64_t slow; /* the search's */
    size_t rank; /* the source's place among all */
    struct hunt *hunt; /* NULL: lines there have no id */
    int first; /* of its stretch */
    /* once it is read: */
    int jumped;
    size_t left, left_to; /* wants that a later part may hold */
};

struct search {
    struct cli *c;
    struct cli_found *found;
    struct part *part;
    size_t nparts, part_cap;
    uint64_t slow; /* how long a request may last beyond its mail */
    uint64_t total; /* bytes of all parts */
    /* while the parts are read: */
    _Atomic size_t next;
    _Atomic uint64_t done;
    _Atomic int rc; /* -1: out of memory */
    pthread_mutex_t lock; /* over the wants' hits and found */
};

#define PLAN_NEAR (10 * SECOND) /* a place of 32 lines is that well ordered … */
#define PLAN_FAR (600 * SECOND + 60 * SECOND) /* … or else that well */

/* all wants; those that a jump may have passed over; those without a line */
enum round { FIRST, AGAIN, WIDE };

struct plan {
    struct cli *c;
    struct search s;
    struct sources src;
    struct cli_want **by_vhost; /* all wants, by vhost, then time */
    size_t n;
    struct cli_want **list; /* the source's, by time */
    size_t nlist;
    struct cli_want ***lists; /* of all sources */
    struct hunt *hunts;
    struct cli_want ***left; /* of all sources: to be looked for again */
    size_t *nlists, *nleft;
    enum round round;
    uint64_t slack; /* PLAN_NEAR or PLAN_FAR */
    struct source *of; /* the source that is planned */
    unsigned threads;
};

/* Plans a file: 1: there is something to search, 0: it can't hold any, -1: not
 * readable (noted). */
int plan_file(struct plan *p, struct cli_file *file);

/* trouble: it says what could not be searched */
void search_note(struct cli_found *f, int trouble, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Reads all parts, with so many threads at most. */
void scan_parts(struct search *s, unsigned threads);

/* The first of list[from..to), which is by time, that is not before us; to:
 * there is none. */
size_t want_first(struct cli_want *const *list, size_t from, size_t to,
                  uint64_t us);

#endif
