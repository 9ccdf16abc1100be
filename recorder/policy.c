/*
 * Policy: budgets and limits as token buckets, blocks, and when an alert is
 * due.  Tables are of fixed size: a flood of new keys takes the places of
 * keys that were quiet longest, and never memory.
 */
#include "rec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETS 2048
#define WAYS 8

struct rec_bucket {
    uint64_t hash; /* of the key; 0: empty */
    uint64_t at; /* us: when level was right; of an alert: the period began */
    double level; /* tokens left; of an alert: how many in this period */
    double before; /* of an alert: how many in the one before */
    int wave; /* an alert was given for this one */
};

/* FNV-1a, finished by a mixing step */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *s != '\0'; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
    return h != 0 ? h : 1;
}

/* key's bucket; *fresh: it was not there */
static struct rec_bucket *find(struct rec_rate *rate, const char *key,
                               int *fresh)
{
    uint64_t h = hash(key);
    struct rec_bucket *set;
    struct rec_bucket *oldest;
    int i;

    if (rate->b == NULL)
        rate->b = calloc((size_t)SETS * WAYS, sizeof *rate->b);
    if (rate->b == NULL)
        return NULL;
    set = oldest = rate->b + (h % SETS) * WAYS;
    for (i = 0; i < WAYS; i++) {
        if (set[i].hash == h) {
            *fresh = 0;
            return &set[i];
        }
        if (set[i].at < oldest->at)
            oldest = &set[i];
    }
    memset(oldest, 0, sizeof *oldest);
    oldest->hash = h;
    *fresh = 1;
    return oldest;
}

struct rec_bucket *rec_rate_look(struct rec_rate *rate, unsigned n,
                                 unsigned period, unsigned most,
                                 const char *key, uint64_t now_us)
{
    int fresh;
    struct rec_bucket *b = find(rate, key, &fresh);

    if (b == NULL)
        return NULL;
    if (fresh)
        b->level = most;
    else if (now_us > b->at)
        b->level += (double)(now_us - b->at) * n / (period * 1e6);
    if (b->level > most)
        b->level = most;
    b->at = now_us;
    return b;
}

/*
 * How many there were in the last period is taken from two counts: of the
 * period that runs, and of the one before, as much of it as is still within.
 */
int rec_rate_wave(struct rec_rate *rate, unsigned n, unsigned period,
                  const char *key, uint64_t now_us)
{
    uint64_t whole = (uint64_t)period * 1000000;
    int fresh;
    struct rec_bucket *b = find(rate, key, &fresh);
    double lately;

    if (b == NULL)
        return 0;
    if (fresh || now_us < b->at || now_us - b->at >= 2 * whole) {
        b->before = b->level = 0;
        b->at = now_us;
    }
    else if (now_us - b->at >= whole) {
        b->before = b->level;
        b->level = 0;
        b->at += whole;
    }
    lately =
        b->level + b->before * (1 - (double)(now_us - b->at) / (double)whole);
    if (lately < n / 2.0)
        b->wave = 0; /* it is over; the next one counts anew */
    b->level += 1;
    if (b->wave || lately + 1 < n)
        return 0;
    b->wave = 1;
    return 1;
}

void rec_rate_free(struct rec_rate *rate)
{
    free(rate->b);
    rate->b = NULL;
}

const char *rec_who_key(const struct rec_who *who, enum mo_key_by by,
                        char buf[16])
{
    const char *key = NULL;

    if (by == MO_BY_UID) {
        snprintf(buf, 16, "%u", who->uid);
        return buf;
    }
    if (by == MO_BY_VHOST)
        key = who->vhost;
    else if (by == MO_BY_SCRIPT)
        key = who->script;
    else if (by == MO_BY_CLIENT)
        key = who->client;
    return key != NULL && key[0] != '\0' ? key : NULL;
}

void rec_policy_open(struct rec_policy *p, const char *blocks_path)
{
    char err[512];
    size_t i;

    memset(p, 0, sizeof *p);
    if (mo_blocks_read(&p->blocks, blocks_path, err, sizeof err) != 0)
        rec_trouble("%s; nothing is blocked", err);
    else if (err[0] != '\0')
        rec_trouble("%s; that block is not minded", err);
    p->next_id = 1;
    for (i = 0; i < p->blocks.n; i++)
        if (p->blocks.block[i].id >= p->next_id)
            p->next_id = p->blocks.block[i].id + 1;
}

void rec_policy_reset(struct rec_policy *p, const struct mo_conf *before,
                      const struct mo_conf *after)
{
    unsigned i;

    if (before->budget != after->budget)
        rec_rate_free(&p->budget);
    for (i = 0; i < MO_CONF_RULES; i++) {
        const struct mo_limit *l = &before->limit[i];
        const struct mo_limit *m = &after->limit[i];
        const struct mo_alert *a = &before->alert[i];
        const struct mo_alert *b = &after->alert[i];

        if (i >= after->nlimits || l->n != m->n || l->period != m->period ||
            l->burst != m->burst || l->by != m->by)
            rec_rate_free(&p->limit[i]);
        if (i >= after->nalerts || a->n != b->n || a->period != b->period ||
            a->by != b->by || strcmp(a->program, b->program) != 0)
            rec_rate_free(&p->alert[i]);
    }
}

void rec_policy_close(struct rec_policy *p)
{
    int i;

    rec_rate_free(&p->budget);
    for (i = 0; i < MO_CONF_RULES; i++) {
        rec_rate_free(&p->limit[i]);
        rec_rate_free(&p->alert[i]);
    }
    mo_blocks_free(&p->blocks);
}

static const char *key_name(enum mo_key_by by)
{
    static const char *const name[] = {"", "vhost", "script", "client", "uid"};

    return by >= MO_BY_VHOST && by <= MO_BY_UID ? name[by] : "";
}

/* The block that hits each of them, refusal before hold; NULL: none does. */
static const struct mo_block *blocked(struct rec_policy *p,
                                      const struct mo_subject *subject,
                                      unsigned n, int64_t now)
{
    const struct mo_block *found = NULL;
    unsigned i;

    if (p->blocks.n == 0)
        return NULL;
    for (i = 0; i < n; i++) {
        const struct mo_block *b =
            mo_blocks_match(&p->blocks, &subject[i], now);

        if (b == NULL)
            return NULL;
        if (found == NULL || b->action == MO_HELD)
            found = b; /* the mildest of what all deserve */
    }
    return found;
}

/* What the caller is told is one line of printable ASCII. */
static void set_reason(struct rec_ruling *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void set_reason(struct rec_ruling *out, const char *fmt, ...)
{
    char *s;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out->reason, sizeof out->reason, fmt, ap);
    va_end(ap);
    for (s = out->reason; *s != '\0'; s++)
        if (*s < ' ' || *s > '~')
            *s = '?';
}

/*
 * Budget and limits.  A mail that one of them keeps back takes from none: a
 * site over its own limit must not use up what it shares with others.
 */
static void limit(struct rec_policy *p, const struct mo_conf *conf,
                  const struct rec_who *who, uint64_t now_us,
                  struct rec_ruling *out)
{
    struct rec_bucket *take[MO_CONF_RULES + 1];
    unsigned n = 0;
    unsigned i;
    char buf[16];

    if (conf->budget != 0 && who->uid != 0) {
        snprintf(buf, sizeof buf, "%u", who->uid);
        take[n] = rec_rate_look(&p->budget, conf->budget, 60, conf->budget, buf,
                                now_us);
        if (take[n] != NULL && take[n]->level < 1) {
            out->action = MO_LIMITED;
            set_reason(out, "budget: %u mails a minute by uid", conf->budget);
            return;
        }
        n++;
    }
    for (i = 0; i < conf->nlimits && i < MO_CONF_RULES; i++) {
        const struct mo_limit *l = &conf->limit[i];
        const char *key = rec_who_key(who, l->by, buf);

        if (key == NULL)
            continue;
        take[n] = rec_rate_look(&p->limit[i], l->n, l->period,
                                l->burst != 0 ? l->burst : l->n, key, now_us);
        if (take[n] != NULL && take[n]->level < 1) {
            out->action = MO_LIMITED;
            set_reason(out, "limit %u/%us by %s", l->n, l->period,
                       key_name(l->by));
            return;
        }
        n++;
    }
    /* no memory for a bucket is no reason to keep mail back */
    for (i = 0; i < n; i++)
        if (take[i] != NULL)
            take[i]->level -= 1;
}

void rec_policy_rule(struct rec_policy *p, const struct mo_conf *conf,
                     const struct rec_who *who,
                     const struct mo_subject *subject, unsigned n,
                     uint64_t now_us, struct rec_ruling *out)
{
    const struct mo_block *b;

    out->action = MO_PASSED;
    out->reason[0] = '\0';
    b = blocked(p, subject, n, (int64_t)(now_us / 1000000));
    if (b != NULL) {
        out->action = b->action == MO_HELD && conf->hold == MO_HOLD_DEFER
                          ? MO_LIMITED
                          : b->action;
        set_reason(out, "block %lu: %s%s%s", b->id, mo_block_type_name(b->type),
                   b->reason[0] != '\0' ? ": " : "", b->reason);
        if (out->action != MO_HELD)
            return; /* what is refused does not count */
    }
    limit(p, conf, who, now_us, out);
}
