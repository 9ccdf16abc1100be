/*
 * From mails to cases, and from cases to their records.
 */
#include "cases.h"
#include "input.h"
#include "mime.h"
#include "records.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "mo_msg.h"

struct cli_case *cases_add(struct cli_cases *cs, const char *source)
{
    struct cli_case *k;

    if (cs->n == cs->cap) {
        size_t cap = cs->cap ? cs->cap * 2 : 8;

        k = realloc(cs->c, cap * sizeof(*k));
        if (k == NULL) {
            mo_error("out of memory");
            return NULL;
        }
        cs->c = k;
        cs->cap = cap;
    }
    k = &cs->c[cs->n];
    memset(k, 0, sizeof(*k));
    k->stamp.origin.uid = -1;
    if ((k->source = strdup(source)) == NULL) {
        mo_error("out of memory");
        return NULL;
    }
    cs->n++;
    return k;
}

/* "<a@b>" or " a@b (comment)": the address or id alone; NULL: empty. */
static char *bare(const char *s)
{
    const char *open = strrchr(s, '<'), *end;

    if (open && (end = strchr(open, '>')) != NULL) {
        s = open + 1;
        return end > s ? strndup(s, (size_t)(end - s)) : NULL;
    }
    s += strspn(s, " \t");
    end = s + strcspn(s, " \t");
    return end > s ? strndup(s, (size_t)(end - s)) : NULL;
}

struct gather {
    struct cli *c;
    struct cli_cases *cs;
    const char *name;
    size_t first; /* this mail's first case */
    struct mime_msg last; /* the innermost message without our field */
    int has_last;
};

/* How much a field says: an authentic one most, an id alone least. */
static int worth(enum stamp_state s)
{
    return s == STAMP_OPEN                          ? 5
           : s == STAMP_TOKEN                       ? 4
           : s == STAMP_NO_KEY || s == STAMP_FORGED ? 3
           : s == STAMP_MALFORMED                   ? 2
                                                    : 1;
}

/* The same field again, as a text part, cut, or read further past folds that
 * lost their blanks: the best reading is kept. */
static int is_known(const struct gather *g, const struct stamp *s)
{
    size_t i;

    for (i = g->first; i < g->cs->n; i++) {
        struct cli_case *k = &g->cs->c[i];

        if (!k->has_stamp ||
            (strcmp(k->stamp.id, s->id) != 0 &&
             !(k->stamp.state == STAMP_NONE && s->id[0] == '\0'))) {
            continue;
        }
        if (worth(s->state) > worth(k->stamp.state)) {
            k->stamp = *s;
            memcpy(k->stamp.id, k->id, sizeof(k->stamp.id));
        }
        return 1;
    }
    return 0;
}

static int describe(struct cli_case *k, const struct mime_msg *m)
{
    k->where = m->where;
    k->message_id = bare(m->message_id);
    k->return_path = bare(m->return_path);
    k->date = m->date[0] ? strdup(m->date) : NULL;
    return 0;
}

static int on_field(void *arg, const struct mime_msg *m, const char *body,
                    size_t n)
{
    struct gather *g = arg;
    struct cli_case *k;
    struct stamp s;

    if (body == NULL) {
        if (!g->has_last || m->depth >= g->last.depth) {
            g->last = *m;
            g->has_last = 1;
        }
        return 0;
    }
    if (stamp_read(&g->c->keys, body, n, &s) != 0 || is_known(g, &s)) {
        return 0;
    }
    if ((k = cases_add(g->cs, g->name)) == NULL) {
        return -1;
    }
    k->has_stamp = 1;
    k->stamp = s;
    memcpy(k->id, s.id, sizeof(k->id));
    return describe(k, m);
}

static int on_mail(void *arg, const char *name, const char *mail, size_t len)
{
    struct gather *g = arg;
    const char *names[3] = {g->c->conf.header, MO_HEADER_NAME, NULL};
    struct cli_case *k;

    if (strcasecmp(g->c->conf.header, MO_HEADER_NAME) == 0 ||
        g->c->conf.header[0] == '\0') {
        names[0] = MO_HEADER_NAME;
        names[1] = NULL;
    }
    g->name = name;
    g->first = g->cs->n;
    g->has_last = 0;
    if (mime_scan(mail, len, names, on_field, g) != 0) {
        return -1;
    }
    if (g->cs->n == g->first) {
        /* the field was taken out on the way: the Message-ID may be known */
        if ((k = cases_add(g->cs, name)) == NULL) {
            return -1;
        }
        if (g->has_last) {
            describe(k, &g->last);
        }
    }
    return 0;
}

int cases_mails(struct cli *c, struct cli_cases *cs, const char *path)
{
    struct gather *g = calloc(1, sizeof(*g));
    int rc;

    if (g == NULL) {
        mo_error("out of memory");
        return -1;
    }
    g->c = c;
    g->cs = cs;
    rc = input_mails(path, on_mail, g);
    free(g);
    return rc;
}

/* ---- records */

struct key {
    const char *text;
    struct cli_case *k;
};
struct find {
    struct key *id, *mid;
    size_t nid, nmid, left;
    int any_request;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->text, ((const struct key *)b)->text);
}

static void take(struct find *f, struct cli_case *k, const struct mo_record *r)
{
    char *line;
    size_t n;

    k->nrecords++;
    if (k->has_record || (line = malloc(MO_RECORD_LINE)) == NULL) {
        return;
    }
    /* written and read once more: the record's bytes become ours */
    n = mo_record_format(r, line, MO_RECORD_LINE);
    if (n == 0 || mo_record_parse(line, n, &k->record) != 0) {
        free(line);
        return;
    }
    k->line = line;
    k->has_record = 1;
    /* a request may have sent more mails, but a mail's id is its own */
    if (k->request_id == NULL ||
        strcmp(k->request_id, r->value[MO_F_ID] ? r->value[MO_F_ID] : "") ==
            0) {
        f->left--;
    }
}

static void match_keys(struct find *f, const struct key *keys, size_t n,
                       const char *text, const struct mo_record *r)
{
    struct key want = {text, NULL};
    const struct key *hit = bsearch(&want, keys, n, sizeof(*keys), by_text);

    if (hit == NULL) {
        return;
    }
    while (hit > keys && strcmp(hit[-1].text, text) == 0) {
        hit--;
    }
    for (; hit < keys + n && strcmp(hit->text, text) == 0; hit++) {
        take(f, hit->k, r);
    }
}

static int on_record(void *arg, struct mo_record *r)
{
    struct find *f = arg;

    if (f->nid && r->value[MO_F_ID]) {
        match_keys(f, f->id, f->nid, r->value[MO_F_ID], r);
    }
    if (f->any_request && r->value[MO_F_REQUEST_ID]) {
        match_keys(f, f->id, f->nid, r->value[MO_F_REQUEST_ID], r);
    }
    if (f->nmid && r->value[MO_F_MESSAGE_ID]) {
        char *mid = bare(r->value[MO_F_MESSAGE_ID]);

        if (mid) {
            match_keys(f, f->mid, f->nmid, mid, r);
        }
        free(mid);
    }
    return f->left == 0;
}

/* Records are looked for about when the stamps say; all, where one case
 * tells no time. */
static void narrow(struct cli *c, const struct cli_cases *cs)
{
    uint64_t from = UINT64_MAX, to = 0, slack = 300 * 1000000ull;
    size_t i;

    for (i = 0; i < cs->n; i++) {
        uint64_t when = cs->c[i].stamp.origin.when_us;

        if (when == 0) {
            return;
        }
        from = when < from ? when : from;
        to = when > to ? when : to;
    }
    if (c->since == 0) {
        c->since = from > slack ? from - slack : 1;
    }
    if (c->until == 0) {
        c->until = to + slack;
    }
}

static void fill(struct cli_case *k)
{
    int i;

    stamp_record(&k->stamp, &k->shown, k->text, sizeof(k->text));
    if (k->id[0]) {
        k->shown.value[MO_F_ID] = k->id;
    }
    if (!k->has_record) {
        return;
    }
    for (i = 0; i < MO_F_COUNT; i++) {
        /* a stamp is cut sooner than a record */
        if (k->record.value[i] || i == MO_F_TRUNCATED) {
            k->shown.value[i] = k->record.value[i];
        }
    }
}

int cases_records(struct cli *c, struct cli_cases *cs)
{
    struct find f = {.left = cs->n};
    uint64_t since = c->since, until = c->until;
    size_t i;
    int rc = 0;

    f.id = calloc(cs->n + 1, sizeof(*f.id));
    f.mid = calloc(cs->n + 1, sizeof(*f.mid));
    if (f.id == NULL || f.mid == NULL) {
        mo_error("out of memory");
        rc = -1;
    }
    for (i = 0; rc == 0 && i < cs->n; i++) {
        struct cli_case *k = &cs->c[i];

        if (k->id[0]) {
            f.id[f.nid++] = (struct key){k->id, k};
        }
        else if (k->request_id) {
            f.id[f.nid++] = (struct key){k->request_id, k};
            f.any_request = 1;
        }
        else if (k->message_id) {
            f.mid[f.nmid++] = (struct key){k->message_id, k};
        }
        else {
            f.left--;
        }
    }
    if (rc == 0 && f.left > 0) {
        qsort(f.id, f.nid, sizeof(*f.id), by_text);
        qsort(f.mid, f.nmid, sizeof(*f.mid), by_text);
        narrow(c, cs);
        rc = cli_records(c, on_record, &f, NULL);
        c->since = since;
        c->until = until;
    }
    for (i = 0; i < cs->n; i++) {
        fill(&cs->c[i]);
    }
    free(f.id);
    free(f.mid);
    return rc;
}

/* ---- replay */

/* "Tue, 24 Nov 2026 08:00:00 +0100" */
static int mail_date(const char *s, uint64_t *us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char mon[4], sign = '+';
    unsigned d, y, h, m, sec = 0, zone = 0;
    const char *comma = strchr(s, ','), *at;
    struct tm tm = {0};
    time_t t;
    int n = 0;

    s = comma ? comma + 1 : s;
    if (sscanf(s, " %2u %3[A-Za-z] %4u %2u:%2u%n", &d, mon, &y, &h, &m, &n) <
            5 ||
        strlen(mon) != 3) {
        return -1;
    }
    s += n;
    if (*s == ':') {
        sec = (unsigned)strtoul(s + 1, (char **)&s, 10);
    }
    s += strspn(s, " ");
    if (*s == '+' || *s == '-') {
        sign = *s;
        zone = (unsigned)strtoul(s + 1, NULL, 10);
    }
    if ((at = strcasestr(months, mon)) == NULL || (at - months) % 3 || d > 31 ||
        h > 24 || m > 60 || sec > 61 || zone > 2400 || y > 9999) {
        return -1;
    }
    tm.tm_year = (int)(y < 50 ? y + 100 : y < 100 ? y : y - 1900);
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_mday = (int)d;
    tm.tm_hour = (int)h;
    tm.tm_min = (int)m;
    tm.tm_sec = (int)sec;
    t = timegm(&tm);
    t += (sign == '+' ? -1 : 1) * (int)((zone / 100 * 60 + zone % 100) * 60);
    if (t < 0) {
        return -1;
    }
    *us = (uint64_t)t * 1000000;
    return 0;
}

int cases_replay(const struct cli_case *k, char *out, size_t size)
{
    static const uint64_t day = 86400 * 1000000ull;
    const char *sender = k->shown.value[MO_F_ENVELOPE_FROM];
    char *mid = NULL, *from;
    uint64_t dated, sent;
    int same = 0;
    size_t n = 0;

    out[0] = '\0';
    if (!k->has_stamp || k->where == NULL) {
        return 0;
    }
    if (k->has_record && k->record.value[MO_F_MESSAGE_ID]) {
        mid = bare(k->record.value[MO_F_MESSAGE_ID]);
    }
    if (mid && k->message_id) {
        same = strcmp(mid, k->message_id) == 0;
        if (!same) {
            n += (size_t)snprintf(out + n, size - n,
                                  "its Message-ID is %.200s, the recorded "
                                  "mail's was %.200s",
                                  k->message_id, mid);
        }
    }
    /* senders are rewritten on the way; an equal Message-ID says enough */
    if (!same && sender && *sender && k->return_path && n < size) {
        from = bare(sender);
        if (from && strcasecmp(from, k->return_path) != 0) {
            n += (size_t)snprintf(out + n, size - n,
                                  "%sits sender is %.200s, the recorded "
                                  "mail's was %.200s",
                                  n ? "; " : "", k->return_path, from);
        }
        free(from);
    }
    sent = cli_record_time(&k->shown);
    if (sent && k->date && mail_date(k->date, &dated) == 0 && n < size &&
        (dated > sent + day || dated + day < sent)) {
        n +=
            (size_t)snprintf(out + n, size - n,
                             "%sit is dated %.60s, the recorded mail was sent "
                             "at %.40s",
                             n ? "; " : "", k->date, k->shown.value[MO_F_TIME]);
    }
    free(mid);
    return n > 0;
}

void cases_free(struct cli_cases *cs)
{
    size_t i;

    for (i = 0; i < cs->n; i++) {
        struct cli_case *k = &cs->c[i];

        free(k->source);
        free(k->request_id);
        free(k->message_id);
        free(k->return_path);
        free(k->date);
        free(k->line);
    }
    free(cs->c);
    memset(cs, 0, sizeof(*cs));
}
