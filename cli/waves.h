/*
 * Waves: bursts of mail of one origin, well above that origin's own past.
 *
 * Mails are counted by the minute.  A minute is hot when it has more than
 * four times what the origin's other minutes had on average, hot ones of
 * which don't count; hot minutes with no gap over five minutes are one burst.
 * An origin with no past is all hot, but what goes on for a day is its past.
 * A burst is usual where others of about its size, at least two at the same
 * time of the week or six at the same time of the day, make a habit of it:
 * the newsletter of every Monday, its first one too.  Until then it is shown,
 * with what there is of a past to judge it by.
 */
#ifndef MO_CLI_WAVES_H
#define MO_CLI_WAVES_H

#include "cli.h"
#include "log_format.h"
#include "sources.h"

#include <uthash.h>

#define WAVE_HISTORY 128 /* bursts on each side that can make a habit */
#define MINUTE (60 * 1000000ull)

enum wave_past {
    WAVE_NO_PAST, /* the log begins less than a day before it */
    WAVE_NEW, /* the log is older, but the origin is not */
    WAVE_ABOVE, /* well above what the origin sent before */
    WAVE_SIMILAR, /* one other was like it: too few for a habit */
    WAVE_USUAL
};
struct wave {
    uint64_t start, end; /* us: the first and last mail */
    unsigned long count, peak; /* peak: of one minute */
    unsigned long origin; /* its number */
    uint64_t known; /* us: the origin's first mail ever */
    enum wave_past past;
    uint64_t like; /* us: the start of one that it is like, 0: none */
    struct mo_record first; /* of its own strings */
};
struct wave_origin {
    UT_hash_handle hh;
    unsigned long number;
    uint64_t seen; /* the first mail ever, us */
    uint64_t minute; /* that is being counted */
    unsigned long n; /* in it */
    uint64_t cold_mails;
    uint64_t hot_minutes;
    int open; /* wave is going on */
    struct wave wave;
    struct mo_record first; /* of the minute */
    uint64_t minute_start, minute_end;
    char key[];
};
struct waves {
    struct wave_origin *origins;
    unsigned long min; /* mails that make a wave */
    unsigned long norigins;
    uint64_t begin; /* us: the log's first mail */
    struct wave *w;
    size_t n, cap;
};
/* One mail of origin key at us; r: its record, may be NULL.  Mails come about
 * in the order of their times. */
void waves_add(struct waves *w, const char *key, uint64_t us,
               const struct mo_record *r);
/* Ends what is open and compares; w->w is in order of start. */
void waves_end(struct waves *w);
void waves_free(struct waves *w);

/* ---- access logs in a span of time (waves_access.c) */
typedef void access_fn(void *arg, const struct log_line *l, const char *line,
                       size_t len);
/* All lines of requests from..to in the logs that can hold vhost's (NULL:
 * any). */
void waves_access(struct cli *c, struct sources *all, uint64_t from,
                  uint64_t to, const char *vhost, access_fn *fn, void *arg);

/* ---- without a mail log of ours (waves_maillog.c) */
/* the mails that local users sent, out of these logs (see maillog_read) */
int waves_maillog(struct cli *c, const char *const *name, size_t n,
                  struct waves *w);
/* the dynamic requests that fit a wave in time, ranked; printed */
void waves_guess(struct cli *c, struct sources *all, const struct wave *w);

#endif
