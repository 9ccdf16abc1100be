/*
 * Policy: budgets and limits as token buckets, blocks, and when an alert is
 * due.  Tables are of fixed size: a flood of new keys takes the places of
 * keys that were quiet longest, and never memory.
 */
#include "rec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETS 2048
#define WAYS 8

struct rec_bucket {
    uint64_t hash; /* of the key; 0: empty */
    uint64_t at; /* us: when level was right */
    double level; /* tokens left; of an alert: how many lately */
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

int rec_rate_take(struct rec_rate *rate, unsigned n, unsigned period,
                  unsigned burst, const char *key, uint64_t now_us)
{
    double most = burst != 0 ? burst : n;
    int fresh;
    struct rec_bucket *b = find(rate, key, &fresh);

    if (b == NULL)
        return 1; /* no memory is no reason to keep mail back */
    if (fresh)
        b->level = most;
    else if (now_us > b->at)
        b->level += (double)(now_us - b->at) * n / (period * 1e6);
    if (b->level > most)
        b->level = most;
    b->at = now_us;
    if (b->level < 1)
        return 0;
    b->level -= 1;
    return 1;
}

int rec_rate_wave(struct rec_rate *rate, unsigned n, unsigned period,
                  const char *key, uint64_t now_us)
{
    int fresh;
    struct rec_bucket *b = find(rate, key, &fresh);

    if (b == NULL)
        return 0;
    /* leaks n a period: fills only where they come faster than that */
    if (!fresh && now_us > b->at) {
        b->level -= (double)(now_us - b->at) * n / (period * 1e6);
        if (b->level <= 0) {
            b->level = 0;
            b->wave = 0; /* it is over; the next one counts anew */
        }
    }
    b->at = now_us;
    if (b->level < 2.0 * n)
        b->level += 1;
    if (b->wave || b->level < n)
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
    if (!who->counts)
        return NULL;
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

void rec_policy_reset(struct rec_policy *p)
{
    int i;

    rec_rate_free(&p->budget);
    for (i = 0; i < MO_CONF_RULES; i++) {
        rec_rate_free(&p->limit[i]);
        rec_rate_free(&p->alert[i]);
    }
}

void rec_policy_close(struct rec_policy *p)
{
    rec_policy_reset(p);
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

void rec_policy_rule(struct rec_policy *p, const struct mo_conf *conf,
                     const struct rec_who *who,
                     const struct mo_subject *subject, unsigned n,
                     uint64_t now_us, struct rec_ruling *out)
{
    const struct mo_block *b;
    char buf[16];
    unsigned i;

    out->action = MO_PASSED;
    out->reason[0] = '\0';
    b = blocked(p, subject, n, (int64_t)(now_us / 1000000));
    if (b != NULL) {
        out->action = b->action;
        snprintf(out->reason, sizeof out->reason, "block %lu: %s%s", b->id,
                 mo_block_type_name(b->type), b->reason[0] != '\0' ? ": " : "");
        strncat(out->reason, b->reason,
                sizeof out->reason - strlen(out->reason) - 1);
        if (b->action == MO_HELD && conf->hold == MO_HOLD_DEFER)
            out->action = MO_LIMITED;
        if (out->action != MO_HELD)
            return; /* what is refused does not count */
    }
    if (conf->budget != 0 && who->uid != 0) {
        snprintf(buf, sizeof buf, "%u", who->uid);
        if (!rec_rate_take(&p->budget, conf->budget, 60, 0, buf, now_us)) {
            out->action = MO_LIMITED;
            snprintf(out->reason, sizeof out->reason,
                     "budget: %u mails a minute by uid", conf->budget);
            return;
        }
    }
    for (i = 0; i < conf->nlimits && i < MO_CONF_RULES; i++) {
        const struct mo_limit *l = &conf->limit[i];
        const char *key = rec_who_key(who, l->by, buf);

        if (key == NULL ||
            rec_rate_take(&p->limit[i], l->n, l->period, l->burst, key, now_us))
            continue;
        out->action = MO_LIMITED;
        snprintf(out->reason, sizeof out->reason, "limit %u/%us by %s", l->n,
                 l->period, key_name(l->by));
        return;
    }
}
