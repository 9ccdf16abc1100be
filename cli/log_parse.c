/*
 * Lines held against a compiled LogFormat.  A line is hostile: the work on one
 * is bounded, whatever it holds.
 */
#include "log_item.h"

#include <stdlib.h>
#include <string.h>

/* steps that one line may cost: each byte may be looked at some times, since
 * hostile clients fill them with what we look for */
#define WORK(len) (4000 + 4 * (int)(len))
/* %D and the end may be read from two clocks' ticks, after a redirect */
#define APART 50000

enum { BEGIN, END };

struct match {
    struct log_format *f;
    const char *line, *end;
    int whole;
    int work;
    struct log_line *out;
    struct log_when when[2];
    uint64_t clf_us[2];
    int has_clf[2];
};

static int from(struct match *m, int i, const char *p);

/* Is [p, q) what a field of that kind can be? */
static int fits(enum log_part kind, const char *p, const char *q)
{
    if (kind == LOG_ID || kind == LOG_UNIQUE_ID) {
        for (; p < q; p++) {
            if (*p <= ' ' || *p == '"') {
                return 0; /* what the log had there before it had ids */
            }
        }
        return 1;
    }
    if (kind != LOG_NUMBER && kind != LOG_STATUS && kind != LOG_DURATION) {
        return 1;
    }
    if (q - p == 1 && *p == '-') {
        return 1;
    }
    if (p < q && *p == '-') {
        p++; /* %D of a clock that was set back */
    }
    if (p == q) {
        return 0;
    }
    for (; p < q; p++) {
        if ((*p < '0' || *p > '9') && *p != '.') {
            return 0;
        }
    }
    return 1;
}

static int field(struct match *m, int i, const char *p, const char *q)
{
    const struct item *it = &m->f->item[i];
    struct log_text old = {NULL, 0};

    if (!fits(it->kind, p, q)) {
        return 0;
    }
    if (it->kind < LOG_PARTS) {
        old = m->out->part[it->kind];
        m->out->part[it->kind].p = p;
        m->out->part[it->kind].n = (size_t)(q - p);
    }
    if (from(m, i + 1, q)) {
        return 1;
    }
    if (it->kind < LOG_PARTS) {
        m->out->part[it->kind] = old;
    }
    return 0;
}

/* How many backslashes end [p, q)? */
static int is_escaped(const char *p, const char *q)
{
    int n = 0;

    while (q > p && q[-1] == '\\') {
        q--;
        n++;
    }
    return n & 1;
}

/* A field that ends where text begins. */
static int until_text(struct match *m, int i, const char *p)
{
    const struct item *it = &m->f->item[i], *text = it + 1;
    const char *q = p;

    while (q < m->end &&
           (q = memchr(q, text->text[0], (size_t)(m->end - q))) != NULL) {
        if (--m->work < 0) {
            return 0;
        }
        if ((size_t)(m->end - q) >= text->n &&
            memcmp(q, text->text, text->n) == 0 &&
            !(it->quoted && is_escaped(p, q)) && field(m, i, p, q)) {
            return 1;
        }
        if (it->quoted && !is_escaped(p, q)) {
            return 0; /* a '"' of its own would have its backslash */
        }
        q++;
    }
    return 0;
}

static int time_item(struct match *m, int i, const char *p)
{
    const struct item *it = &m->f->item[i];
    struct log_when *when = &m->when[it->is_end ? END : BEGIN], old;
    const char *q;
    uint64_t us;

    if (it->text == NULL) {
        if (m->end - p < 28 || *p != '[' || p[27] != ']' ||
            log_clf_time(&m->f->clock, p + 1, &us) != 0) {
            return 0;
        }
        m->clf_us[it->is_end ? END : BEGIN] = us;
        m->has_clf[it->is_end ? END : BEGIN] = 1;
        return from(m, i + 1, p + 28);
    }
    old = *when;
    q = log_when_read(when, it->text, p, m->end);
    if (q != NULL && from(m, i + 1, q)) {
        return 1;
    }
    *when = old;
    return 0;
}

/* A field right before another: of what blanks leave, the longest first; a
 * path before its query ends at '?'. */
static int before_field(struct match *m, int i, const char *p)
{
    const struct item *it = &m->f->item[i];
    const char *q = p, *mark;

    while (q < m->end && *q != ' ' && *q != '"' && *q != '\t') {
        q++;
    }
    if (it[1].kind == LOG_QUERY) {
        mark = memchr(p, '?', (size_t)(q - p));
        return field(m, i, p, mark ? mark : q);
    }
    for (;; q--) {
        if (--m->work < 0) {
            return 0;
        }
        if (field(m, i, p, q)) {
            return 1;
        }
        if (q == p) {
            return 0;
        }
    }
}

/* Do the items from i on match p? */
static int from(struct match *m, int i, const char *p)
{
    const struct item *it = &m->f->item[i];

    if (--m->work < 0) {
        return 0;
    }
    if (i == m->f->n) {
        return p == m->end;
    }
    if (!m->whole && i >= m->f->stop) {
        return 1;
    }
    if (it->kind == LOG_TEXT) {
        return (size_t)(m->end - p) >= it->n &&
               memcmp(p, it->text, it->n) == 0 && from(m, i + 1, p + it->n);
    }
    if (it->kind == LOG_TIME) {
        return time_item(m, i, p);
    }
    if (i + 1 == m->f->n) {
        return field(m, i, p, m->end);
    }
    if (it[1].kind == LOG_TEXT) {
        return until_text(m, i, p);
    }
    return before_field(m, i, p);
}

/* The line's begin or end as its items tell it; 0, or -1: they don't. */
static int told(const struct match *m, int which, struct log_line *out)
{
    const struct log_when *when = &m->when[which];

    out->unit = m->f->in_words ? when->unit : 1000000;
    if (!m->has_clf[which] || when->has_epoch) {
        return m->f->in_words
                   ? log_when_end(when, &out->time_us, &out->other_us)
                   : -1;
    }
    out->time_us = m->clf_us[which];
    if (out->unit < 1000000) { /* %t with %{usec_frac}t */
        out->time_us += when->us;
    }
    out->other_us = out->time_us;
    return 0;
}

/* The begin, where the line has the end and how long it took. */
static void back_to_begin(struct log_line *l)
{
    struct log_text t = l->part[LOG_DURATION];
    uint64_t us = 0;
    size_t i;

    if (t.p == NULL || t.n == 0 || t.n > 15) {
        return;
    }
    for (i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9') {
            return;
        }
        us = us * 10 + (uint64_t)(t.p[i] - '0');
    }
    us += APART;
    if (us > l->time_us || us > l->other_us) {
        return;
    }
    l->time_us -= us;
    l->other_us -= us;
    l->unit += 2 * APART;
    l->is_end = 0;
}

int log_format_parse(struct log_format *f, const char *line, size_t len,
                     int whole, struct log_line *out)
{
    struct match m = {.f = f, .line = line, .whole = whole, .work = WORK(len)};

    if (len > 0 && line[len - 1] == '\r') {
        len--;
    }
    m.end = line + len;
    m.out = out;
    memset(out, 0, sizeof(*out));
    if (f->in_words) {
        log_when_start(&m.when[BEGIN]);
        log_when_start(&m.when[END]);
    }
    if (!from(&m, 0, line)) {
        memset(out, 0, sizeof(*out));
        return -1;
    }
    if (f->has_time && told(&m, BEGIN, out) == 0) {
        out->has_time = 1;
    }
    else if (f->has_time && told(&m, END, out) == 0) {
        out->has_time = out->is_end = 1;
        back_to_begin(out);
    }
    return 0;
}

int log_format_time(struct log_format *f, const char *line, size_t len,
                    uint64_t *us)
{
    const char *p = line, *end = line + len;
    const struct item *next;
    struct log_line parsed;

    if (f->clf >= 0) {
        next = f->clf + 1 < f->n ? &f->item[f->clf + 1] : NULL;
        while (end - p >= 28 &&
               (p = memchr(p, '[', (size_t)(end - p) - 27)) != NULL) {
            /* a hostile user's name can hold a time, but no '"' after it */
            if (p[27] == ']' &&
                (next == NULL || next->kind != LOG_TEXT ||
                 ((size_t)(end - p) - 28 >= next->n &&
                  memcmp(p + 28, next->text, next->n) == 0)) &&
                log_clf_time(&f->clock, p + 1, us) == 0) {
                return 0;
            }
            p++;
        }
        return -1;
    }
    if (!f->has_time || log_format_parse(f, line, len, 0, &parsed) != 0 ||
        !parsed.has_time) {
        return -1;
    }
    *us = parsed.time_us;
    return 0;
}
