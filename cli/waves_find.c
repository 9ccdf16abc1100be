/*
 * Finds waves among mails as they come.  See waves.h.
 */
#include "waves.h"

#include <stdlib.h>
#include <string.h>

#include "mo_msg.h"

#define GAP (5 * MINUTE)
#define DAY (24 * 60 * MINUTE)
#define HOT 4
#define SAME_TIME (90 * MINUTE)

static void record_copy(struct mo_record *to, const struct mo_record *from)
{
    int i;

    memset(to, 0, sizeof *to);
    if (!from)
        return;
    for (i = 0; i < MO_F_COUNT; i++) {
        if (!from->value[i] || !from->value[i][0])
            continue;
        to->value[i] = strdup(from->value[i]);
        if (!to->value[i])
            mo_fatal(CLI_TROUBLE, "out of memory");
        to->len[i] = strlen(to->value[i]);
    }
}

static void record_free(struct mo_record *r)
{
    int i;

    for (i = 0; i < MO_F_COUNT; i++)
        free((char *)r->value[i]);
    memset(r, 0, sizeof *r);
}

/* how far apart two moments are in a cycle */
static uint64_t apart(uint64_t a, uint64_t b, uint64_t cycle)
{
    uint64_t d = (a > b ? a - b : b - a) % cycle;

    return d < cycle - d ? d : cycle - d;
}

/* What there is of a past to judge wave i by; w[0..n) are of one origin, in
 * order of start.  Those after it count for a habit too: a series' first is
 * known for one when the others are there. */
static void judge(struct waves *all, struct wave *w, size_t n, size_t i)
{
    size_t j = i > WAVE_HISTORY ? i - WAVE_HISTORY : 0;
    size_t to = n - i > WAVE_HISTORY ? i + WAVE_HISTORY : n;
    unsigned week = 0, day = 0;

    for (; j < to; j++) {
        uint64_t far = w[i].start > w[j].start ? w[i].start - w[j].start
                                               : w[j].start - w[i].start;
        int same_week, same_day;

        /* of the same burst's day, or of another size: says nothing */
        if (far < DAY / 2 || w[j].count < w[i].count / 2)
            continue;
        same_week = apart(w[j].start, w[i].start, 7 * DAY) < SAME_TIME;
        same_day = apart(w[j].start, w[i].start, DAY) < SAME_TIME;
        week += (unsigned)same_week;
        day += (unsigned)same_day;
        if (j < i && (same_week || same_day))
            w[i].like = w[j].start;
    }
    if (week >= 2 || day >= 6)
        w[i].past = WAVE_USUAL;
    else if (w[i].like)
        w[i].past = WAVE_SIMILAR;
    else if (w[i].start - all->begin < DAY)
        w[i].past = WAVE_NO_PAST;
    else if (w[i].start - w[i].known < DAY)
        w[i].past = WAVE_NEW;
    else
        w[i].past = WAVE_ABOVE;
}

static void close_wave(struct waves *w, struct wave_origin *o)
{
    if (!o->open)
        return;
    o->open = 0;
    if (o->wave.count < w->min) {
        o->cold_mails += o->wave.count; /* nothing much: a part of its past */
        record_free(&o->wave.first);
        return;
    }
    o->wave.origin = o->number;
    o->wave.known = o->seen;
    w->w = cli_grown(w->w, w->n, &w->cap, sizeof *w->w);
    w->w[w->n++] = o->wave;
    memset(&o->wave, 0, sizeof o->wave);
}

static void close_minute(struct waves *w, struct wave_origin *o)
{
    uint64_t past;

    if (!o->n)
        return;
    past = (o->minute - o->seen / MINUTE) > o->hot_minutes
               ? o->minute - o->seen / MINUTE - o->hot_minutes
               : 0;
    /* n > HOT * cold_mails / past; without a past of an hour: hot */
    if (past >= 60 && o->n * past <= HOT * o->cold_mails) {
        o->cold_mails += o->n;
    }
    else {
        if (o->open && (o->minute_start - o->wave.end > GAP ||
                        o->minute_end - o->wave.start > DAY)) {
            if (o->minute_end - o->wave.start > DAY) {
                /* it is how this origin always is */
                o->cold_mails += o->wave.count;
                o->hot_minutes = 0;
            }
            close_wave(w, o);
        }
        if (!o->open) {
            o->open = 1;
            o->wave.start = o->minute_start;
            o->wave.count = o->wave.peak = 0;
            o->wave.first = o->first;
            memset(&o->first, 0, sizeof o->first);
        }
        o->wave.end = o->minute_end;
        o->wave.count += o->n;
        if (o->n > o->wave.peak)
            o->wave.peak = o->n;
        o->hot_minutes++;
    }
    record_free(&o->first);
    o->n = 0;
}

void waves_add(struct waves *w, const char *key, uint64_t us,
               const struct mo_record *r)
{
    struct wave_origin *o;
    size_t n = strlen(key);

    if (!w->begin || us < w->begin)
        w->begin = us;
    HASH_FIND(hh, w->origins, key, n, o);
    if (!o) {
        o = calloc(1, sizeof *o + n + 1);
        if (!o)
            mo_fatal(CLI_TROUBLE, "out of memory");
        memcpy(o->key, key, n + 1);
        o->seen = us;
        o->number = w->norigins++;
        HASH_ADD_KEYPTR(hh, w->origins, o->key, n, o);
    }
    /* one a little late counts where we are */
    if (us / MINUTE > o->minute || !o->n) {
        close_minute(w, o);
        if (us / MINUTE > o->minute)
            o->minute = us / MINUTE;
        o->minute_start = o->minute_end = us;
        record_copy(&o->first, r);
    }
    if (us > o->minute_end)
        o->minute_end = us;
    o->n++;
}

static int by_start(const void *a, const void *b)
{
    const struct wave *x = a, *y = b;

    return x->start < y->start ? -1 : x->start > y->start;
}

static int by_origin(const void *a, const void *b)
{
    const struct wave *x = a, *y = b;

    if (x->origin != y->origin)
        return x->origin < y->origin ? -1 : 1;
    return by_start(a, b);
}

void waves_end(struct waves *w)
{
    struct wave_origin *o, *tmp = NULL;
    size_t i, from;

    HASH_ITER(hh, w->origins, o, tmp)
    {
        close_minute(w, o);
        close_wave(w, o);
        HASH_DEL(w->origins, o);
        free(o);
    }
    if (!w->n)
        return;
    qsort(w->w, w->n, sizeof *w->w, by_origin);
    for (from = 0; from < w->n; from = i) {
        size_t n = 1;

        while (from + n < w->n && w->w[from + n].origin == w->w[from].origin)
            n++;
        for (i = from; i < from + n; i++)
            judge(w, w->w + from, n, i - from);
    }
    qsort(w->w, w->n, sizeof *w->w, by_start);
}

void waves_free(struct waves *w)
{
    size_t i;

    for (i = 0; i < w->n; i++)
        record_free(&w->w[i].first);
    free(w->w);
    memset(w, 0, sizeof *w);
}
