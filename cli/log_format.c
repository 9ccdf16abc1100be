/*
 * LogFormat, compiled into items.
 */
#include "log_item.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    case 'D':
        return LOG_DURATION;
    case 'b':
    case 'B':
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
        kind = c == 'T' && n == 2 && memcmp(param, "us", 2) == 0 ? LOG_DURATION
                                                                 : LOG_NUMBER;
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
    int i, plain = 0;

    f->clf = -1;
    f->end_only = 1;
    for (i = 0; i < f->n; i++) {
        struct item *it = &f->item[i];

        if (it->kind == LOG_TIME) {
            f->has_time = 1;
            f->end_only &= it->is_end;
            f->in_words |= it->text != NULL;
            if (it->text == NULL) {
                plain++;
                f->clf = f->clf < 0 && !it->is_end ? i : f->clf;
            }
        }
        it->quoted = i > 0 && i + 1 < f->n && it[-1].kind == LOG_TEXT &&
                     it[-1].text[it[-1].n - 1] == '"' &&
                     it[1].kind == LOG_TEXT && it[1].text[0] == '"';
    }
    if (plain > 1) {
        f->clf = -1; /* which is which shows only the whole line */
    }
    for (i = 0; i < f->n; i++) {
        enum log_part kind = f->item[i].kind;

        if (kind < LOG_DURATION || kind == LOG_TIME ||
            (kind == LOG_DURATION && f->end_only && f->has_time)) {
            f->stop = i + 1;
        }
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
    return f->has_time;
}

int log_format_odd_time(const struct log_format *f)
{
    return f->end_only || log_format_no_zone(f);
}

int log_format_no_zone(const struct log_format *f)
{
    int i, zone = !f->has_time;

    for (i = 0; i < f->n; i++) {
        const struct item *it = &f->item[i];

        if (it->kind == LOG_TIME && (!it->is_end || f->end_only)) {
            zone |= it->text == NULL || strcmp(it->text, "sec") == 0 ||
                    strcmp(it->text, "msec") == 0 ||
                    strcmp(it->text, "usec") == 0 || strstr(it->text, "%s") ||
                    strstr(it->text, "%z");
        }
    }
    return !zone;
}

const char *log_format_after_clf(const struct log_format *f, size_t *n,
                                 int *request_next)
{
    const struct item *it = &f->item[f->clf + 1];

    if (f->clf < 0) {
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
