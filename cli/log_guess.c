/*
 * Which of the common formats is a log of?  Apache's own, with a request's id
 * in front or behind or a duration behind; or JSON, whose members' names and
 * values tell what they are.
 */
#include "log_format.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LINES 40 /* looked at */
#define ENOUGH 8 /* of them, where not one fits */
#define FORMAT 4096

/* Our ids and mod_unique_id's: 16 characters and more, none of which occurs
 * in an address or a domain's name. */
static int is_id(struct log_text t)
{
    size_t i;

    if (t.n == 1 && *t.p == '-') {
        return 1;
    }
    for (i = 0; i < t.n; i++) {
        if (!isalnum((unsigned char)t.p[i]) && strchr("_@-", t.p[i]) == NULL) {
            return 0;
        }
    }
    return t.n >= 16;
}

/* Are a third of the lines or more of it?  A log may hold garbage, but no
 * other format fits so many. */
static int fits(struct log_format *f, const char *text, size_t len, int whole)
{
    const char *p, *nl, *end = text + len;
    unsigned good = 0, all = 0;
    struct log_line line;

    for (p = text; p < end && all < LINES; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        if (nl == NULL) {
            break;
        }
        all++;
        if (log_format_parse(f, p, (size_t)(nl - p), whole, &line) == 0 &&
            (line.part[LOG_ID].p == NULL || is_id(line.part[LOG_ID]))) {
            good++;
        }
        if (good == 0 && all == ENOUGH) {
            return 0;
        }
    }
    return good > 0 && good * 3 >= all;
}

/* ---- JSON */

static const struct {
    const char *directive;
    const char *names; /* in lower case, without '_', '-', '.' and '@' */
} members[] = {
    {"%m", " method requestmethod httpmethod verb httprequestmethod "},
    {"%U", " uri url path requesturi requestpath requesturl urlpath "},
    {"%q", " query querystring urlquery args "},
    {"%H", " protocol httpversion requestprotocol proto "},
    {"%a", " client clientip clientaddr remoteaddr remoteip ip addr "
           "clientaddress sourceip srcip "},
    {"%h", " remotehost remote host "},
    {"%v", " vhost virtualhost servername domain site server httphost "},
    {"%u", " user remoteuser username httpuser "},
    {"%>s", " status code statuscode httpstatus response responsecode "},
    {"%{MAILORIGIN_ID}e", " mailoriginid mailorigin "},
    {"%{UNIQUE_ID}e", " uniqueid requestid reqid id traceid "},
};

static void name_of(const char *p, size_t n, char *out, size_t size)
{
    size_t i, k = 0;

    out[k++] = ' ';
    for (i = 0; i < n && k + 2 < size; i++) {
        if (isalnum((unsigned char)p[i])) {
            out[k++] = (char)tolower((unsigned char)p[i]);
        }
    }
    out[k++] = ' ';
    out[k] = '\0';
}

static size_t digits(const char *p, size_t n)
{
    size_t i = 0;

    while (i < n && isdigit((unsigned char)p[i])) {
        i++;
    }
    return i;
}

/* A time's format into out; 0: the value is none. */
static int time_of(const char *name, const char *v, size_t n, char *out,
                   size_t size)
{
    const char *frac = "", *zone = "";
    size_t k;

    if (n == 28 && v[0] == '[' && v[3] == '/' && v[27] == ']') {
        snprintf(out, size, "%%t");
        return 1;
    }
    if (n == 26 && v[2] == '/' && v[6] == '/' && v[11] == ':') {
        snprintf(out, size, "%%{%%d/%%b/%%Y:%%H:%%M:%%S %%z}t");
        return 1;
    }
    if (n >= 19 && digits(v, 4) == 4 && v[4] == '-' && v[7] == '-' &&
        (v[10] == 'T' || v[10] == ' ') && v[13] == ':' && v[16] == ':') {
        k = 19;
        if (n > 20 && (v[19] == '.' || v[19] == ',')) {
            k = 20 + digits(v + 20, n - 20);
            frac = k == 23 ? "%{msec_frac}t" : k == 26 ? "%{usec_frac}t" : NULL;
        }
        if (k < n) {
            zone = "%{%z}t";
        }
        if (frac == NULL) {
            return 0;
        }
        snprintf(out, size, "%%{%%Y-%%m-%%d%c%%H:%%M:%%S}t%.*s%s%s", v[10],
                 *frac ? 1 : 0, v + 19, frac, zone);
        return 1;
    }
    if (digits(v, n) == n && (n == 10 || n == 13 || n == 16) &&
        (strstr(name, "time") || strstr(name, "date") || strstr(name, "ts ") ||
         strstr(name, "epoch"))) {
        snprintf(out, size, "%%{%s}t",
                 n == 10   ? "sec"
                 : n == 13 ? "msec"
                           : "usec");
        return 1;
    }
    return 0;
}

static int is_address(const char *v, size_t n)
{
    size_t i, marks = 0;

    for (i = 0; i < n; i++) {
        if (v[i] == '.' || v[i] == ':') {
            marks++;
        }
        else if (!isxdigit((unsigned char)v[i])) {
            return 0;
        }
    }
    return marks >= 2;
}

/* Has that member a '?' in any line, or is there a member of its own for the
 * query? */
static int query_in(const char *text, size_t len, const char *key, size_t n)
{
    const char *p = text, *end = text + len, *q;

    if (memmem(text, len, "query", 5) != NULL) {
        return 0;
    }
    while ((p = memmem(p, (size_t)(end - p), key, n)) != NULL) {
        p += n;
        q = memchr(p, ',', (size_t)(end - p));
        if (memchr(p, '?', (size_t)((q ? q : end) - p)) != NULL) {
            return 1;
        }
    }
    return 0;
}

struct build {
    char out[FORMAT];
    size_t n;
    int has_time, has_request;
};

static void put(struct build *b, const char *s, size_t n)
{
    if (b->n + n < sizeof(b->out)) {
        memcpy(b->out + b->n, s, n);
        b->n += n;
        b->out[b->n] = '\0';
    }
}

static void put_literal(struct build *b, const char *s, size_t n)
{
    for (; n > 0; s++, n--) {
        put(b,
            *s == '%'    ? "%"
            : *s == '\\' ? "\\"
                         : "",
            *s == '%' || *s == '\\');
        put(b, s, 1);
    }
}

/* The directive for a member; key with its quotes. */
static void put_member(struct build *b, const char *text, size_t len,
                       const char *key, size_t keylen, const char *v, size_t n)
{
    char name[64], when[128];
    const char *space = memchr(v, ' ', n);
    size_t i;

    name_of(key, keylen, name, sizeof(name));
    if (!b->has_time && time_of(name, v, n, when, sizeof(when))) {
        b->has_time = 1;
        put(b, when, strlen(when));
        return;
    }
    if (!b->has_request && n > 12 && space &&
        memmem(v, n, " HTTP/", 6) != NULL) {
        b->has_request = 1;
        put(b, "%r", 2);
        return;
    }
    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const char *d = members[i].directive;

        if (strstr(members[i].names, name) == NULL ||
            strstr(b->out, d) != NULL) {
            continue;
        }
        if (strcmp(d, "%h") == 0 && !is_address(v, n)) {
            d = "%v"; /* "host": the client's, or the site's? */
        }
        if (strcmp(d, "%U") == 0) {
            b->has_request = 1;
            d = query_in(text, len, key, keylen) ? "%U%q" : d;
        }
        put(b, d, strlen(d));
        return;
    }
    put(b, "%{-}i", 5);
}

/* The format that one line's shape gives; 0, or -1: it is no JSON. */
static int from_json(struct build *b, const char *text, size_t len,
                     const char *p, const char *end)
{
    const char *key = NULL, *start;
    size_t keylen = 0;

    while (p < end && b->n + 256 < sizeof(b->out)) {
        start = p;
        if (*p == '"') {
            for (p++; p < end && *p != '"'; p++) {
                p += *p == '\\' && p + 1 < end;
            }
            if (p >= end) {
                return -1;
            }
            p++;
            while (p < end && (*p == ' ' || *p == ':') && p[-1] != ':') {
                p++;
            }
            if (p[-1] == ':') {
                key = start;
                keylen = (size_t)((const char *)memchr(start + 1, '"',
                                                       (size_t)(p - start)) -
                                  start) +
                         1;
                put_literal(b, start, (size_t)(p - start));
                continue;
            }
            while (p[-1] != '"') {
                p--;
            }
            if (key == NULL) {
                return -1;
            }
            put(b, "\"", 1);
            put_member(b, text, len, key, keylen, start + 1,
                       (size_t)(p - start) - 2);
            put(b, "\"", 1);
            key = NULL;
        }
        else if (key && (isalnum((unsigned char)*p) || *p == '-')) {
            while (p < end && strchr(",}] \t", *p) == NULL) {
                p++;
            }
            put_member(b, text, len, key, keylen, start, (size_t)(p - start));
            key = NULL;
        }
        else {
            put_literal(b, p++, 1);
        }
    }
    return p == end && b->has_time ? 0 : -1;
}

static struct log_format *guess_json(const char *text, size_t len)
{
    const char *p = text, *nl;
    char err[256];
    unsigned n;

    for (n = 0; n < LINES && p < text + len; n++, p = nl + 1) {
        struct build b = {.n = 0};
        struct log_format *f;

        nl = memchr(p, '\n', (size_t)(text + len - p));
        if (nl == NULL) {
            break;
        }
        if (*p != '{' || from_json(&b, text, len, p, nl) != 0) {
            continue;
        }
        f = log_format_compile(b.out, err, sizeof(err));
        if (f && fits(f, text, len, 0)) {
            return f;
        }
        log_format_free(f);
    }
    return NULL;
}

/* ---- Apache's */

struct log_format *log_format_guess(const char *text, size_t len)
{
    static const char *const base[] = {"vhost_combined", "combined",
                                       "vhost_common", "common"};
    /* with an id first: without it the line might fit by another reading */
    static const struct {
        const char *before, *after;
    } around[] = {
        {"%{MAILORIGIN_ID}e ", ""},
        {"", " \"%{MAILORIGIN_ID}e\""},
        {"", " %D \"%{MAILORIGIN_ID}e\""},
        {"", " \"%{MAILORIGIN_ID}e\" %D"},
        {"", " %{MAILORIGIN_ID}e"},
        {"", " %D %{MAILORIGIN_ID}e"},
        {"", " %{MAILORIGIN_ID}e %D"},
        {"", ""},
        {"", " %D"},
        {"", " %T/%D"},
    };
    char format[512], err[256];
    unsigned b, s;

    for (s = 0; s < sizeof(around) / sizeof(around[0]); s++) {
        for (b = 0; b < sizeof(base) / sizeof(base[0]); b++) {
            struct log_format *f = log_format_compile(base[b], err, 256);

            if (f == NULL) {
                return NULL;
            }
            snprintf(format, sizeof(format), "%s%s%s", around[s].before,
                     log_format_text(f), around[s].after);
            log_format_free(f);
            f = log_format_compile(format, err, sizeof(err));
            if (f && fits(f, text, len, 1)) {
                return f;
            }
            log_format_free(f);
        }
    }
    return guess_json(text, len);
}
