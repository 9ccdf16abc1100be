/*
 * LogFormat, compiled into items, and lines matched against them.  A line is
 * hostile: the work on one is bounded, whatever it holds.
 */
#include "log_format.h"
#include "log_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ITEMS 128
#define WORK 4000 /* steps that one line may cost */

struct item {
    enum log_part kind;
    char *text; /* LOG_TEXT: what stands there; LOG_TIME: its format or NULL */
    size_t n;
    int quoted; /* the field is between '"' */
    int is_end; /* LOG_TIME: of the request's end */
};
struct log_format {
    char *source;
    struct item item[ITEMS];
    int n;
    int stop; /* items past this one tell nothing we use */
    int clf; /* index of a plain %t, -1: none */
    int last_time; /* index of the last LOG_TIME, -1: none */
    struct log_clock clock;
};

static const struct {
    const char *name, *text;
} nicknames[] = {
    {"common", "%h %l %u %t \"%r\" %>s %b"},
    {"combined", "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" "
                 "\"%{User-Agent}i\""},
    {"vhost_combined", "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" "
                       "\"%{User-Agent}i\""},
    {"vhost_common", "%v %h %l %u %t \"%r\" %>s %b"},
};
#define NICKNAMES (sizeof(nicknames) / sizeof(nicknames[0]))

/* ---- compiling */

static int add(struct log_format *f, enum log_part kind, const char *text,
               size_t n, char *err, size_t size)
{
    struct item *i;

    if (f->n == ITEMS) {
        snprintf(err, size, "the format has more than %d parts", ITEMS);
        return -1;
    }
    i = &f->item[f->n];
    i->kind = kind;
    if (text && (i->text = strndup(text, n)) == NULL) {
        snprintf(err, size, "out of memory");
        return -1;
    }
    i->n = n;
    f->n++;
    return 0;
}

static enum log_part letter(char c)
{
    switch (c) {
    case 'h':
        return LOG_HOST;
    case 'a':
        return LOG_CLIENT;
    case 'v':
        return LOG_VHOST;
    case 'V':
        return LOG_SERVER;
    case 'r':
        return LOG_REQUEST;
    case 'm':
        return LOG_METHOD;
    case 'U':
        return LOG_URI;
    case 'q':
        return LOG_QUERY;
    case 'H':
        return LOG_PROTOCOL;
    case 's':
        return LOG_STATUS;
    case 'u':
        return LOG_USER;
    case 't':
        return LOG_TIME;
    case 'b':
    case 'B':
    case 'D':
    case 'I':
    case 'k':
    case 'O':
    case 'p':
    case 'P':
    case 'S':
    case 'T':
        return LOG_NUMBER;
    default:
        return LOG_OTHER;
    }
}

/* %{param}X */
static int with_param(struct log_format *f, const char *param, size_t n, char c,
                      char *err, size_t size)
{
    enum log_part kind = letter(c);
    const char *sub;

    if (c == 'e' || c == 'n') {
        kind = n == 13 && memcmp(param, "MAILORIGIN_ID", 13) == 0 ? LOG_ID
               : n == 9 && memcmp(param, "UNIQUE_ID", 9) == 0 ? LOG_UNIQUE_ID
                                                              : LOG_OTHER;
        return add(f, kind, NULL, 0, err, size);
    }
    if (kind == LOG_TIME) {
        int is_end = n >= 3 && strncmp(param, "end", 3) == 0 &&
                     (n == 3 || param[3] == ':');

        sub = param;
        if (is_end) {
            sub += n > 3 ? 4 : 3;
        }
        else if (n >= 5 && strncmp(param, "begin", 5) == 0 &&
                 (n == 5 || param[5] == ':')) {
            sub += n > 5 ? 6 : 5;
        }
        n -= (size_t)(sub - param);
        /* without a format it is written as %t is */
        if (add(f, LOG_TIME, n ? sub : NULL, n, err, size) != 0) {
            return -1;
        }
        f->item[f->n - 1].is_end = is_end;
        return 0;
    }
    if ((c == 'a' || c == 'h') && n == 1 && *param == 'c') {
        kind = LOG_OTHER; /* the peer: a proxy, not the client */
    }
    else if (c == 'T' || c == 'p' || c == 'P') {
        kind = LOG_NUMBER;
    }
    else if (kind != LOG_STATUS) {
        kind = LOG_OTHER; /* %{X}i, %{X}o, %{X}C, %{X}x … */
    }
    return add(f, kind, NULL, 0, err, size);
}

/* One "%…" whose '%' is before p; what is past it, NULL: bad, in err. */
static const char *directive(struct log_format *f, const char *p, char *err,
                             size_t size)
{
    const char *start = p, *param = NULL;
    size_t n = 0;
    int rc;

    while (*p && strchr("!,<>0123456789", *p)) {
        p++; /* status conditions, which request */
    }
    if (*p == '{') {
        param = ++p;
        p = strchr(p, '}');
        if (p == NULL) {
            snprintf(err, size, "'%%%.40s' has no '}'", start);
            return NULL;
        }
        n = (size_t)(p - param);
        p++;
        while (*p && strchr("!,<>", *p)) {
            p++;
        }
    }
    if (*p == '^') { /* %^ti, %^to, %^FU, %^FB */
        if (p[1] == '\0' || p[2] == '\0') {
            snprintf(err, size, "'%%%.40s' ends too early", start);
            return NULL;
        }
        p += 2;
        rc = add(f, LOG_OTHER, NULL, 0, err, size);
    }
    else if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')) {
        rc = param ? with_param(f, param, n, *p, err, size)
                   : add(f, letter(*p), NULL, 0, err, size);
    }
    else {
        snprintf(err, size, "'%%%.40s' is no LogFormat directive", start);
        return NULL;
    }
    return rc == 0 ? p + 1 : NULL;
}

/* What stands between directives; what is past it. */
static const char *literal(struct log_format *f, const char *p, char *err,
                           size_t size)
{
    char *out = malloc(strlen(p) + 1);
    size_t n = 0;
    int rc;

    if (out == NULL) {
        snprintf(err, size, "out of memory");
        return NULL;
    }
    while (*p) {
        if (p[0] == '%') {
            if (p[1] != '%') {
                break;
            }
            p++;
        }
        else if (p[0] == '\\' && p[1]) {
            p++;
            out[n++] = *p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
            p++;
            continue;
        }
        out[n++] = *p++;
    }
    rc = n ? add(f, LOG_TEXT, out, n, err, size) : 0;
    free(out);
    return rc == 0 ? p : NULL;
}

/* Where parsing may stop, what is quoted, where the time is. */
static void finish(struct log_format *f)
{
    int i;

    f->clf = f->last_time = -1;
    for (i = 0; i < f->n; i++) {
        struct item *it = &f->item[i];

        if (it->kind < LOG_PARTS || it->kind == LOG_TIME) {
            f->stop = i + 1;
        }
        if (it->kind == LOG_TIME) {
            f->last_time = i;
            if (it->text == NULL && f->clf < 0 && !it->is_end) {
                f->clf = i;
            }
        }
        it->quoted = i > 0 && i + 1 < f->n && it[-1].kind == LOG_TEXT &&
                     it[-1].text[it[-1].n - 1] == '"' &&
                     it[1].kind == LOG_TEXT && it[1].text[0] == '"';
    }
    /* what follows the last part shows where it ends */
    if (f->stop < f->n && f->item[f->stop].kind == LOG_TEXT) {
        f->stop++;
    }
}

struct log_format *log_format_compile(const char *text, char *err, size_t size)
{
    struct log_format *f = calloc(1, sizeof(*f));
    const char *p;
    size_t i;

    for (i = 0; i < NICKNAMES; i++) {
        if (strcmp(text, nicknames[i].name) == 0) {
            text = nicknames[i].text;
        }
    }
    if (f == NULL || (f->source = strdup(text)) == NULL) {
        snprintf(err, size, "out of memory");
        free(f);
        return NULL;
    }
    if (strchr(text, '%') == NULL) {
        snprintf(err, size,
                 "'%.100s' is no log format; allowed are common, combined, "
                 "vhost_combined, vhost_common or what stands in LogFormat",
                 text);
        log_format_free(f);
        return NULL;
    }
    for (p = f->source; p && *p;) {
        p = *p == '%' && p[1] != '%' ? directive(f, p + 1, err, size)
                                     : literal(f, p, err, size);
    }
    if (p == NULL) {
        log_format_free(f);
        return NULL;
    }
    finish(f);
    return f;
}

void log_format_free(struct log_format *f)
{
    int i;

    if (f == NULL) {
        return;
    }
    for (i = 0; i < f->n; i++) {
        free(f->item[i].text);
    }
    free(f->source);
    free(f);
}

const char *log_format_text(const struct log_format *f)
{
    return f->source;
}

int log_format_has(const struct log_format *f, enum log_part p)
{
    int i;

    for (i = 0; i < f->n; i++) {
        if (f->item[i].kind == p) {
            return 1;
        }
    }
    return 0;
}

int log_format_has_time(const struct log_format *f)
{
    return f->last_time >= 0;
}

int log_format_odd_time(const struct log_format *f)
{
    int i, zone = 0, end = 1;

    for (i = 0; i < f->n; i++) {
        const struct item *it = &f->item[i];

        if (it->kind != LOG_TIME) {
            continue;
        }
        end &= it->is_end;
        zone |= it->text == NULL || strstr(it->text, "sec") ||
                strstr(it->text, "%s") || strstr(it->text, "%z");
    }
    return end || !zone;
}

const char *log_format_after_clf(const struct log_format *f, size_t *n,
                                 int *request_next)
{
    const struct item *it = &f->item[f->clf + 1];

    if (f->clf < 0 || f->last_time != f->clf) {
        return NULL;
    }
    if (f->clf + 1 == f->n || it->kind != LOG_TEXT) {
        *n = 0;
        *request_next = 0;
        return "";
    }
    *n = it->n;
    *request_next = f->clf + 2 < f->n && it[1].kind == LOG_REQUEST;
    return it->text;
}

int log_format_clf(struct log_format *f, const char *p, uint64_t *us)
{
    return log_clf_time(&f->clock, p, us);
}

/* ---- matching */

struct match {
    struct log_format *f;
    const char *line, *end;
    int whole;
    int work;
    struct log_line *out;
    struct log_when when;
    uint64_t clf_us;
    int has_clf;
    int is_end;
};

static int from(struct match *m, int i, const char *p);

/* Is [p, q) what a field of that kind can be? */
static int fits(enum log_part kind, const char *p, const char *q)
{
    if (kind != LOG_NUMBER && kind != LOG_STATUS) {
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
    struct log_when old = m->when;
    const char *q;
    uint64_t us;

    if (it->text == NULL) {
        if (m->end - p < 28 || *p != '[' || p[27] != ']' ||
            log_clf_time(&m->f->clock, p + 1, &us) != 0) {
            return 0;
        }
        if (!m->has_clf || !it->is_end) {
            m->clf_us = us;
            m->is_end = it->is_end;
        }
        m->has_clf = 1;
        return from(m, i + 1, p + 28);
    }
    q = log_when_read(&m->when, it->text, p, m->end);
    if (q == NULL) {
        m->when = old;
        return 0;
    }
    m->is_end = it->is_end;
    if (from(m, i + 1, q)) {
        return 1;
    }
    m->when = old;
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

int log_format_parse(struct log_format *f, const char *line, size_t len,
                     int whole, struct log_line *out)
{
    struct match m = {.f = f, .line = line, .whole = whole, .work = WORK};

    if (len > 0 && line[len - 1] == '\r') {
        len--;
    }
    m.end = line + len;
    m.out = out;
    memset(out, 0, sizeof(*out));
    if (f->last_time > f->clf) {
        log_when_start(&m.when);
    }
    if (!from(&m, 0, line)) {
        memset(out, 0, sizeof(*out));
        return -1;
    }
    if (m.has_clf) {
        out->has_time = 1;
        out->time_us = out->other_us = m.clf_us;
        out->unit = 1000000;
        if (f->last_time > f->clf && m.when.unit < 1000000 &&
            !m.when.has_epoch) { /* %t with %{usec_frac}t */
            out->time_us = out->other_us = m.clf_us + m.when.us;
            out->unit = m.when.unit;
        }
    }
    else if (f->last_time >= 0 &&
             log_when_end(&m.when, &out->time_us, &out->other_us) == 0) {
        out->has_time = 1;
        out->unit = m.when.unit;
    }
    out->is_end = m.is_end;
    return 0;
}

int log_format_time(struct log_format *f, const char *line, size_t len,
                    uint64_t *us)
{
    const char *p = line, *end = line + len;
    const struct item *next;
    struct log_line parsed;

    if (f->clf >= 0 && f->last_time == f->clf) {
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
    if (f->last_time < 0 || log_format_parse(f, line, len, 0, &parsed) != 0 ||
        !parsed.has_time) {
        return -1;
    }
    *us = parsed.time_us;
    return 0;
}
