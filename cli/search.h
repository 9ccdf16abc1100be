/*
 * The search as its two halves see it: correlate.c plans which part of which
 * file can hold which requests' lines, scan.c reads those parts.
 */
#ifndef MO_CLI_SEARCH_H
#define MO_CLI_SEARCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "correlate.h"
#include "sources.h"

#define SECOND 1000000ull

/* Some bytes of a file, and the wants whose lines can be there. */
struct part {
    struct source *source;
    const char *file;
    struct cli_want **list; /* by time */
    size_t from, to; /* in the list */
    uint64_t until; /* a line past it ends the part */
    uint64_t at, end; /* bytes; lines that begin there.  Of a plain file only:
                         else all of it */
    uint64_t size; /* bytes that there are to read, for progress */
    int plain;
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
