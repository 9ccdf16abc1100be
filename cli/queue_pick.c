/*
 * Picks queued mails by their stamps.  See queue_pick.h.
 *
 * A stamp holds 254 bytes: a long URI or script is cut in the middle there.
 * Where a filter can't be decided by what is left, or asks for something
 * that only the record holds, the mail log decides, by the mail's id; a mail
 * that neither can decide is not picked.  And a stamp can be copied onto
 * another mail, which is then not of that origin: the record tells that, too.
 */
#include "queue_pick.h"
#include "records.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <sodium.h>
#include <uthash.h>

#include "mo_msg.h"
#include "mo_origin.h"

static void set(struct mo_record *r, enum mo_field f, const char *v)
{
    if (v[0]) {
        r->value[f] = v;
        r->len[f] = strlen(v);
    }
}

/* what an origin holds as numbers and bytes, as text */
struct texts {
    char time[32], request_time[32], uid[24];
    char hash[2 * (MO_KEYID_LEN + MO_HASH_LEN) + 2];
};

static const char *time_text(char out[32], uint64_t us)
{
    out[0] = 0;
    if (us)
        mo_time_format(us, out);
    return out;
}

static const char *hash_text(struct texts *t, const struct mo_origin *o)
{
    char *hash = t->hash + 2 * MO_KEYID_LEN + 1;

    sodium_bin2hex(t->hash, 2 * MO_KEYID_LEN + 1, o->keyid, MO_KEYID_LEN);
    hash[-1] = ':';
    sodium_bin2hex(hash, 2 * MO_HASH_LEN + 1, o->hash, MO_HASH_LEN);
    return t->hash;
}

/* The record that an opened stamp amounts to; it borrows from o, m and t. */
static void origin_record(const struct mo_origin *o, enum pick_stamp kind,
                          const struct queue_mail *m, struct texts *t,
                          struct mo_record *r)
{
    set(r, MO_F_TIME, time_text(t->time, o->when_us ? o->when_us : m->time_us));
    set(r, MO_F_ID, o->mail[0] ? o->mail : m->stamp.id);
    set(r, MO_F_HOST, o->host);
    set(r, MO_F_VERDICT,
        mo_verdict_name(kind == PICK_TOKEN ? MO_V_CLAIMED : o->verdict));
    set(r, MO_F_REQUEST_ID, o->id);
    set(r, MO_F_REQUEST_TIME, time_text(t->request_time, o->time_us));
    if (o->has_hash)
        set(r, MO_F_REQUEST_HASH, hash_text(t, o));
    set(r, MO_F_CLIENT, o->client);
    set(r, MO_F_VHOST, o->vhost);
    set(r, MO_F_METHOD, o->method);
    set(r, MO_F_URI, o->uri);
    set(r, MO_F_QUERY, o->query);
    set(r, MO_F_SCRIPT, o->script);
    set(r, MO_F_HANDLER, o->handler);
    set(r, MO_F_USER, o->user);
    if (o->uid >= 0) {
        snprintf(t->uid, sizeof t->uid, "%" PRId64, (int64_t)o->uid);
        set(r, MO_F_UID, t->uid);
    }
    if (o->cut)
        set(r, MO_F_TRUNCATED, "true");
}

/* what a stamp or the queue file can say at all */
static int field_known(enum mo_field f)
{
    switch (f) {
    case MO_F_ID:
    case MO_F_HOST:
    case MO_F_VERDICT:
    case MO_F_REQUEST_ID:
    case MO_F_REQUEST_TIME:
    case MO_F_REQUEST_HASH:
    case MO_F_CLIENT:
    case MO_F_VHOST:
    case MO_F_METHOD:
    case MO_F_URI:
    case MO_F_SCRIPT:
    case MO_F_UID:
    case MO_F_TRUNCATED:
        return 1;
    default:
        return 0;
    }
}

/* Could v, cut in its middle where "..." stands, be what the filter wants?
 * 1 it is, 0 it isn't, -1: it could be. */
static int match_cut(const char *v, const struct cli_filter *f)
{
    size_t want = strlen(f->value), len = strlen(v);
    const char *dots = v;
    int may = 0;

    while ((dots = strstr(dots, "...")) != NULL) {
        size_t head = (size_t)(dots - v), tail = len - head - 3;

        if (f->is_prefix) {
            if (want <= head)
                return strncmp(v, f->value, want) == 0;
            may |= strncmp(f->value, v, head) == 0;
        }
        else {
            may |= want > head + tail && strncmp(f->value, v, head) == 0 &&
                   strcmp(f->value + want - tail, dots + 3) == 0;
        }
        dots++;
    }
    return may ? -1 : 0;
}

/* 1 it matches, 0 not, -1: the mail log has to say */
static int match(const struct cli *c, const struct mo_record *r)
{
    static struct cli only, one; /* large, and all zero but for this */
    int unsure = 0;
    unsigned i;

    if (c->since || c->until) {
        only.since = c->since;
        only.until = c->until;
        if (!cli_match(&only, r))
            return 0;
    }
    for (i = 0; i < c->nfilters; i++) {
        const struct cli_filter *f = &c->filter[i];
        const char *v = r->value[f->field];

        one.nfilters = 1;
        one.filter[0] = *f;
        if (!field_known(f->field)) {
            unsure = 1;
        }
        else if (r->value[MO_F_TRUNCATED] && v &&
                 (f->field == MO_F_URI || f->field == MO_F_SCRIPT) &&
                 strstr(v, "...")) {
            int m = match_cut(v, f);
            if (!m)
                return 0;
            unsure |= m < 0;
        }
        else if (!cli_match(&one, r)) {
            return 0;
        }
    }
    return unsure ? -1 : 1;
}

static enum pick_stamp open_stamp(struct cli *c, const struct queue_mail *m,
                                  struct mo_origin *o)
{
    unsigned char plain[MO_SEAL_PLAIN_MAX];
    size_t n = 0;
    enum mo_purpose purpose =
        m->stamp.tag == 't' ? MO_SEAL_TOKEN : MO_SEAL_STAMP;

    if (!m->has_stamp)
        return PICK_NO_STAMP;
    switch (mo_unseal(&c->keys, purpose, m->stamp.seal, strlen(m->stamp.seal),
                      plain, sizeof plain, &n)) {
    case MO_OPEN_OK:
        break;
    case MO_OPEN_NO_KEY:
        return PICK_NO_KEY;
    default:
        return PICK_FORGED;
    }
    if (mo_origin_decode(plain, n, o) < 0)
        return PICK_FORGED;
    return m->stamp.tag == 't' ? PICK_TOKEN : PICK_OPEN;
}

int pick_is(struct cli *c, const struct pick *p, const struct queue_mail *m)
{
    struct mo_origin o;

    return m->has_stamp && m->bounce == p->bounce && p->seal &&
           strcmp(m->stamp.seal, p->seal) == 0 &&
           open_stamp(c, m, &o) == p->stamp;
}

/* ---- finding */
struct find {
    struct cli *c;
    const struct pick_options *o;
    struct queue *q;
    struct picks *ps;
    unsigned long seen;
};

static void pick_free(struct pick *p)
{
    free(p->path);
    free(p->replay);
    free(p->why);
    free(p);
}

/* what s holds, moved to *to, which goes past it */
static const char *keep(char **to, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = memcpy(*to, s, n);

    *to += n;
    return p;
}

static struct pick *pick_new(const struct queue_mail *m,
                             const struct mo_record *rec)
{
    const char *seal = m->has_stamp ? m->stamp.seal : "";
    size_t n = strlen(m->sender) + strlen(m->rcpts) + strlen(m->subject) +
               strlen(m->message_id) + strlen(seal) + 5;
    struct pick *p;
    char *to;
    int i;

    for (i = 0; i < MO_F_COUNT; i++)
        if (rec->value[i])
            n += rec->len[i] + 1;
    p = calloc(1, sizeof *p + n);
    if (!p || (p->path = strdup(m->path)) == NULL)
        mo_fatal(CLI_TROUBLE, "out of memory");
    to = p->text;
    p->rec = *rec;
    for (i = 0; i < MO_F_COUNT; i++)
        if (rec->value[i])
            p->rec.value[i] = keep(&to, rec->value[i]);
    p->sender = keep(&to, m->sender);
    p->rcpts = keep(&to, m->rcpts);
    p->subject = keep(&to, m->subject);
    p->message_id = keep(&to, m->message_id);
    p->seal = keep(&to, seal);
    snprintf(p->id, sizeof p->id, "%s", m->id);
    p->queue = m->queue;
    p->time_us = m->time_us;
    p->size = m->size;
    p->was_held = m->held;
    p->half_held = m->half_held;
    p->bounce = m->bounce;
    p->nrcpt = m->nrcpt;
    p->rcpts_cut = m->rcpts_cut;
    return p;
}

void picks_free(struct picks *ps)
{
    size_t i;

    for (i = 0; i < ps->n; i++)
        pick_free(ps->p[i]);
    free(ps->p);
    memset(ps, 0, sizeof *ps);
}

static int id_wanted(const struct pick_options *o, const char *id)
{
    unsigned i;

    for (i = 0; i < o->nids; i++)
        if (strcmp(o->id[i], id) == 0)
            return 1;
    return !o->nids;
}

static void other(struct find *f, const struct queue_mail *m)
{
    f->ps->others++;
    if (f->o->again)
        queue_seen_add(&f->q->known, queue_key(m->mta, m->id, m->path));
}

/* One at a time: what was learned of a mail whose id is wanted. */
static void take(struct find *f, const struct queue_mail *m,
                 enum pick_stamp kind, const struct mo_record *rec)
{
    struct picks *ps = f->ps;
    struct pick *p;
    int fits;

    if (kind == PICK_OPEN || kind == PICK_TOKEN) {
        fits = match(f->c, rec);
    }
    else {
        /* nothing is known of it: only a list of all has it */
        fits = f->o->all && !f->c->nfilters && !f->c->since && !f->c->until;
        if (!fits && kind != PICK_NO_STAMP)
            ps->unknown++;
    }
    if (fits && !f->o->claims &&
        mo_verdict_find(rec->value[MO_F_VERDICT] ? rec->value[MO_F_VERDICT]
                                                 : "") == MO_V_CLAIMED) {
        ps->claims++;
        fits = 0;
    }
    if (!fits) {
        other(f, m);
        return;
    }
    ps->p = cli_grown(ps->p, ps->n, &ps->cap, sizeof *ps->p);
    p = pick_new(m, rec);
    p->stamp = kind;
    p->unsure = fits < 0;
    ps->p[ps->n++] = p;
}

static int add(void *arg, struct queue_mail *m)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of f->ps */
    struct find *f = arg;
    struct mo_record rec;
    struct mo_origin o;
    struct texts texts;
    enum pick_stamp kind = PICK_NO_STAMP;
    int wanted = id_wanted(f->o, m->id);

    memset(&rec, 0, sizeof rec);
    if (wanted)
        kind = open_stamp(f->c, m, &o);
    if (kind == PICK_OPEN || kind == PICK_TOKEN)
        origin_record(&o, kind, m, &texts, &rec);
    pthread_mutex_lock(&lock);
    if (f->c->progress && ++f->seen % 256 == 0)
        cli_progress(f->c, "queue", f->seen, 0);
    if (wanted)
        take(f, m, kind, &rec);
    else
        other(f, m);
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- what the mail log has to say */
struct by_id {
    UT_hash_handle hh;
    struct pick *p; /* several mails may have one id: bounces */
    struct by_id *more;
};

struct ask {
    struct cli *c;
    struct by_id *ids;
};

/* "<x@y>" without what stands around it; its length */
static size_t bare(const char **s)
{
    *s += strspn(*s, " \t\r\n<");
    return strcspn(*s, "> \t\r\n");
}

/* Is it another mail than the recorded one?  Equal Message-IDs say enough;
 * else the sender's local part is compared: MTAs write domains anew
 * ("localhost", masquerading). */
static void compare(struct pick *p, const struct mo_record *r)
{
    const char *was = r->value[MO_F_MESSAGE_ID], *is = p->message_id;
    const char *from = r->value[MO_F_ENVELOPE_FROM];
    size_t n, m;

    if (p->bounce || p->stamp != PICK_OPEN || p->replay ||
        r->value[MO_F_TRUNCATED])
        return;
    if (was && (n = bare(&was)) > 0 && is && (m = bare(&is)) > 0 &&
        m < QUEUE_MESSAGE_ID - 8) { /* (a longer one may be cut) */
        if ((n != m || memcmp(was, is, n) != 0) &&
            asprintf(&p->replay,
                     "its Message-ID is %.*s, the recorded mail's was %.*s",
                     (int)m, is, (int)n, was) < 0)
            mo_fatal(CLI_TROUBLE, "out of memory");
        return;
    }
    if (from && (n = bare(&from)) > 0 && (m = strcspn(from, "@")) < n &&
        (m != strcspn(p->sender, "@") ||
         strncasecmp(from, p->sender, m) != 0) &&
        asprintf(&p->replay,
                 "its sender is <%s>, the recorded mail's was <%.*s>",
                 p->sender, (int)n, from) < 0)
        mo_fatal(CLI_TROUBLE, "out of memory");
}

static int on_record(void *arg, struct mo_record *r)
{
    struct ask *a = arg;
    struct by_id *e;

    if (!r->value[MO_F_ID])
        return 0;
    HASH_FIND(hh, a->ids, r->value[MO_F_ID], r->len[MO_F_ID], e);
    for (; e; e = e->more) {
        if (e->p->unsure && cli_match(a->c, r))
            e->p->unsure = 0;
        compare(e->p, r);
    }
    return 0;
}

/* The records of what was picked: does what was cut match, and is it the
 * mail that was stamped? */
static void ask_log(struct cli *c, const struct pick_options *o,
                    struct picks *ps)
{
    static struct cli all; /* large; without the filters */
    struct ask a = {.c = c};
    struct by_id *ids = NULL, *e, *tmp, *same;
    uint64_t when;
    size_t i, n = 0;
    int unsure = 0;

    all = *c;
    all.nfilters = 0;
    all.until = 0;
    all.since = UINT64_MAX;
    for (i = 0; i < ps->n; i++) {
        struct pick *p = ps->p[i];
        const char *id = p->rec.value[MO_F_ID];

        if (!id)
            continue;
        e = calloc(1, sizeof *e);
        if (!e)
            mo_fatal(CLI_TROUBLE, "out of memory");
        e->p = p;
        HASH_FIND(hh, ids, id, strlen(id), same);
        if (same) {
            e->more = same->more;
            same->more = e;
        }
        else {
            HASH_ADD_KEYPTR(hh, ids, id, strlen(id), e);
        }
        unsure |= p->unsure;
        when = cli_record_time(&p->rec);
        if (when < all.since)
            all.since = when;
        n++;
    }
    if (!unsure)
        all.fields = 1ull << MO_F_ID | 1ull << MO_F_MESSAGE_ID |
                     1ull << MO_F_ENVELOPE_FROM | 1ull << MO_F_TRUNCATED;
    a.ids = ids;
    if (n && (unsure || c->nlogs || access(c->conf.log, F_OK) == 0))
        cli_records(&all, on_record, &a, NULL);
    HASH_ITER(hh, ids, e, tmp)
    {
        HASH_DEL(ids, e);
        while (e) {
            struct by_id *more = e->more;
            free(e);
            e = more;
        }
    }
    for (i = n = 0; i < ps->n; i++) {
        struct pick *p = ps->p[i];

        if (!p->unsure && (!p->replay || o->claims)) {
            ps->p[n++] = p;
            continue;
        }
        if (p->unsure)
            ps->unknown++;
        else
            ps->replays++;
        ps->others++;
        pick_free(p);
    }
    ps->n = n;
}

static int by_time(const void *a, const void *b)
{
    const struct pick *const *x = a, *const *y = b;

    if ((*x)->time_us != (*y)->time_us)
        return (*x)->time_us < (*y)->time_us ? -1 : 1;
    return strcmp((*x)->id, (*y)->id);
}

int picks_find(struct cli *c, const struct pick_options *o, struct queue *q,
               struct picks *ps)
{
    struct find f;
    int rc;

    memset(ps, 0, sizeof *ps);
    f = (struct find){c, o, q, ps, 0};
    rc = queue_scan(q, &ps->st, add, &f);
    cli_progress_end(c);
    if (rc < 0) {
        mo_error("queue %s%s%s: %s (--queue-dir names another)", q->dir[0],
                 q->dir[1][0] ? " and " : "", q->dir[1], strerror(errno));
        return -1;
    }
    ask_log(c, o, ps);
    if (ps->n)
        qsort(ps->p, ps->n, sizeof *ps->p, by_time);
    return 0;
}

void picks_say_trouble(struct cli *c, const struct picks *ps)
{
    const struct queue_stats *st = &ps->st;

    if (st->bad || st->unreadable)
        mo_warn("%lu queue files could not be read; the first: %s",
                st->bad + st->unreadable, st->first_bad);
    if (ps->unknown)
        mo_warn("%lu mails left out: their stamp does not open, or was cut "
                "and has no record in the mail log",
                ps->unknown);
    if (ps->claims)
        mo_info("%lu mails left out that only claim to be of there; --claimed "
                "takes them too",
                ps->claims);
    if (ps->replays)
        mo_warn("%lu mails left out whose stamp may be copied from another "
                "mail; queue says why, --claimed takes them too",
                ps->replays);
    if (c->verbose)
        mo_info("%lu mails seen, %lu of another origin or none, %lu gone "
                "while the queue was read",
                st->seen, ps->others, st->gone);
}
