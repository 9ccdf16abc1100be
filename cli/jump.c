/*
 * From one request's place in a log to the next one's.  See jump.h.
 */
#include "jump.h"
#include "want.h"

#include <string.h>
#include <unistd.h>

#define PROBE 4096 /* bytes looked at to tell a place's time */
#define WORTH (24 * 1024) /* bytes that are read faster than jumped over */
#define SMALL (8 * 1024) /* read at a time after a jump */
#define LARGE (128 * 1024) /* and where there are none */
#define PATIENCE (60 * SECOND) /* a line that is later stops no jumps */
#define NEAR (10 * SECOND)
#define MISSED 16 /* so many may be, before one in MISSED_OF ends the jumps */
#define MISSED_OF 32

/* The latest time of the lines at that place, and where the first one
 * begins; 0, or -1: no line there has a time. */
static int look_at(const struct jump *j, const struct cli_lines *l, uint64_t at,
                   uint64_t *begin, uint64_t *latest)
{
    char buf[PROBE];
    ssize_t got = pread(cli_lines_fileno(l), buf, sizeof(buf), (off_t)at);
    const char *p, *nl, *end = buf + (got > 0 ? got : 0);
    uint64_t us;

    *latest = 0;
    if ((p = memchr(buf, '\n', (size_t)(end - buf))) == NULL) {
        return -1;
    }
    p++;
    *begin = at + (uint64_t)(p - buf);
    while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (log_format_time(j->f, p, (size_t)(nl - p), &us) == 0 &&
            us > *latest) {
            *latest = us;
        }
        p = nl + 1;
    }
    return *latest ? 0 : -1;
}

void jump_start(struct jump *j, struct part *p, struct log_format *f,
                struct cli_lines *l)
{
    uint64_t begin, latest;

    *j = (struct jump){.p = p, .f = f, .open = p->from, .begun = p->from};
    j->on = p->hunt && p->hunt->jumps && p->plain;
    j->chunk = LARGE;
    if (p->hunt && !p->first &&
        look_at(j, l, p->at - 1, &begin, &latest) == 0) {
        /* what was requested before is the parts' before */
        j->open = j->begun =
            want_first(p->list, p->from, p->to, latest / SECOND * SECOND);
    }
}

static void raise(struct jump *j)
{
    const struct part *p = j->p;
    struct hunt *h = p->hunt;
    const struct cli_want *w;

    while (j->begun < p->to &&
           p->list[j->begun]->time_us < j->latest + SECOND) {
        j->begun++;
        h->begun++;
    }
    for (; j->open < j->begun; j->open++) {
        w = p->list[j->open];
        if (h->state[j->open] & HUNT_FOUND) {
            continue;
        }
        if (j->latest <= want_until(w, p->slow)) {
            if (!j->on || j->latest <= want_until(w, PATIENCE)) {
                break;
            }
            h->state[j->open] |= HUNT_LEFT;
            h->missed++;
        }
    }
    if (h->missed > MISSED && h->missed > h->begun / MISSED_OF) {
        j->on = 0; /* they have no lines here, or none with their ids */
    }
}

/* Tries to go to where that second is about to be reached; 1: it did. */
static int go(struct jump *j, struct cli_lines *l, uint64_t second)
{
    uint64_t lo = cli_lines_at(l), lo_us = j->latest, rate = 0;
    uint64_t hi = j->p->end, size = cli_lines_size(l), begin, us, to;
    int tries;

    if (hi > size) {
        hi = size;
    }
    if (j->us[0] && j->latest > j->us[0] && lo > j->at[0]) {
        rate = (lo - j->at[0]) / ((j->latest - j->us[0]) / SECOND);
    }
    if (j->latest >= j->us[1] + 32 * SECOND) {
        j->at[0] = j->at[1] ? j->at[1] : lo;
        j->us[0] = j->us[1] ? j->us[1] : j->latest;
        j->at[1] = lo;
        j->us[1] = j->latest;
    }
    for (tries = 0; rate && tries < 4; tries++) {
        /* half of the second that lo is in is over, on the average */
        to = lo + rate * ((second - lo_us - 5 * SECOND / 4) / 10000) / 100;
        if (to >= hi) {
            to = lo + (hi - lo) / 2;
        }
        if (to < lo + WORTH || hi < lo + WORTH) {
            break;
        }
        if (look_at(j, l, to, &begin, &us) != 0) {
            break;
        }
        if (us / SECOND < second / SECOND) {
            if (cli_lines_seek(l, begin) != 0) {
                return 0;
            }
            j->latest = us > j->latest ? us : j->latest;
            j->p->jumped = 1;
            return 1;
        }
        hi = to;
        rate = us > lo_us ? (to - lo) / ((us - lo_us) / SECOND) : 0;
        rate -= rate / 4;
    }
    return 0;
}

int jump_on(struct jump *j, struct cli_lines *l)
{
    const struct part *p = j->p;
    uint64_t second;

    raise(j);
    if (j->open < j->begun) {
        second = 0;
    }
    else if (j->begun == p->to) {
        return 0;
    }
    else {
        second = p->list[j->begun]->time_us / SECOND * SECOND;
    }
    if (j->on && j->latest && second > j->latest + 2 * SECOND &&
        go(j, l, second)) {
        j->chunk = SMALL;
        j->near = cli_lines_at(l) + 4 * SMALL;
    }
    else if (j->chunk < LARGE && cli_lines_at(l) > j->near) {
        j->chunk *= 2;
    }
    cli_lines_chunk(l, j->chunk);
    return 1;
}

void jump_end(struct jump *j)
{
    j->p->left = j->open;
    j->p->left_to = want_first(j->p->list, j->open, j->p->to, j->latest + NEAR);
}
