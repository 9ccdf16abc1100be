/*
 * The classic correlation, for a day without a mail log of ours: bursts by
 * local user in Postfix's, Exim's or Sendmail's log, and the dynamic requests
 * that came at the time.  A guess, and said so.
 */
#include "waves.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "mo_msg.h"

#define SHOWN 5

int maillog_time(const char *p, size_t len, uint64_t now, uint64_t *us)
{
    char text[40];
    struct tm tm;
    time_t t;
    size_t n = len < sizeof text - 1 ? len : sizeof text - 1;
    const char *end;

    memcpy(text, p, n);
    text[n] = 0;
    if (n > 19 && isdigit((unsigned char)text[0]) && text[10] == 'T') {
        text[strcspn(text, " ")] = 0;
        return mo_time_parse(text, us);
    }
    memset(&tm, 0, sizeof tm);
    tm.tm_isdst = -1;
    if (isdigit((unsigned char)text[0])) {
        end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
        if (!end)
            return -1;
        t = mktime(&tm);
    }
    else {
        time_t today = (time_t)(now / 1000000);
        struct tm year;

        end = strptime(text, "%b %d %H:%M:%S", &tm);
        if (!end || !localtime_r(&today, &year))
            return -1;
        /* the log has no year: the last one that is not in the future */
        tm.tm_year = year.tm_year;
        t = mktime(&tm);
        if (t > today + 86400) {
            tm.tm_year--;
            tm.tm_isdst = -1;
            t = mktime(&tm);
        }
    }
    if (t == (time_t)-1)
        return -1;
    *us = (uint64_t)t * 1000000;
    return 0;
}

/*
 * A line is read word by word from its begin: a sender, a Message-ID or a
 * Subject that a line goes on with can hold anything, another user too.
 */
struct words {
    const char *p, *end;
};

static int next(struct words *w, const char **word, size_t *n)
{
    while (w->p < w->end && *w->p == ' ')
        w->p++;
    *word = w->p;
    while (w->p < w->end && *w->p != ' ')
        w->p++;
    *n = (size_t)(w->p - *word);
    return *n ? 0 : -1;
}

static int begins(const char *word, size_t n, const char *with)
{
    size_t len = strlen(with);

    return n >= len && memcmp(word, with, len) == 0;
}

static int keep_user(const char *p, size_t n, char *user, size_t size)
{
    if (!n || n >= size)
        return -1;
    memcpy(user, p, n);
    user[n] = 0;
    return 0;
}

/* "A1F: uid=33 from=<sender>", of pickup */
static int postfix(struct words *w, char *user, size_t size)
{
    const char *p;
    size_t n;

    if (next(w, &p, &n) < 0 || p[n - 1] != ':' || next(w, &p, &n) < 0 ||
        !begins(p, n, "uid="))
        return -1;
    return keep_user(p + 4, n - 4, user, size);
}

/* "ID <= sender H=… U=user P=local S=797 id=…"; all past S= is the mail's */
static int exim(struct words *w, char *user, size_t size)
{
    const char *p;
    size_t n;
    int i, local = 0, named = 0;

    for (i = 0; i < 8; i++) /* date, time, zone, pid, id */
        if (next(w, &p, &n) < 0 || (n == 2 && memcmp(p, "<=", 2) == 0))
            break;
    if (i == 8 || !n || next(w, &p, &n) < 0)
        return -1;
    if (*p == '"') { /* "a b"@example.org */
        for (w->p = p + 1; w->p < w->end && *w->p != '"'; w->p++)
            if (*w->p == '\\' && w->p + 1 < w->end)
                w->p++;
        while (w->p < w->end && *w->p != ' ')
            w->p++;
    }
    while (next(w, &p, &n) == 0 && !begins(p, n, "S=")) {
        if (begins(p, n, "U="))
            named = keep_user(p + 2, n - 2, user, size) == 0;
        else if (begins(p, n, "P="))
            local = begins(p, n, "P=local");
    }
    return named && local ? 0 : -1;
}

/* "ID: from=x, size=3, …, msgid=…, relay=user@localhost" */
static int sendmail(struct words *w, char *user, size_t size)
{
    static const char relay[] = ", relay=", host[] = "@localhost";
    const char *p, *r = NULL, *at;
    size_t n;

    if (next(w, &p, &n) < 0 || p[n - 1] != ':' || next(w, &p, &n) < 0 ||
        !begins(p, n, "from="))
        return -1;
    /* the last one is Sendmail's */
    while ((p = memmem(p, (size_t)(w->end - p), relay, sizeof relay - 1)) !=
           NULL) {
        p += sizeof relay - 1;
        r = p;
    }
    if (!r || !(at = memchr(r, '@', (size_t)(w->end - r))) ||
        (size_t)(w->end - at) < sizeof host - 1 ||
        memcmp(at, host, sizeof host - 1) != 0 ||
        memchr(r, ' ', (size_t)(at - r)))
        return -1;
    at += sizeof host - 1;
    if (at < w->end && *at != ',' && *at != ' ')
        return -1;
    return keep_user(r, (size_t)(at - r) - (sizeof host - 1), user, size);
}

int maillog_line(const char *line, size_t len, uint64_t now, uint64_t *us,
                 char *user, size_t size)
{
    struct words w = {line, line + len};
    const char *p, *slash, *bracket;
    size_t n;
    int rc;

    if (next(&w, &p, &n) < 0)
        return -1;
    if (isdigit((unsigned char)*line) && n == 10) { /* Exim's own log */
        rc = exim(&w, user, size);
    }
    else {
        /* "Nov  4 08:52:55" or one word of RFC 3339; host; tag[pid]: */
        if (!isdigit((unsigned char)*line) &&
            (next(&w, &p, &n) < 0 || next(&w, &p, &n) < 0))
            return -1;
        if (next(&w, &p, &n) < 0 || next(&w, &p, &n) < 0 || p[n - 1] != ':')
            return -1;
        bracket = memchr(p, '[', n);
        n = bracket ? (size_t)(bracket - p) : n - 1;
        slash = memrchr(p, '/', n);
        if (slash && begins(slash, n - (size_t)(slash - p), "/pickup"))
            rc = postfix(&w, user, size);
        else if (begins(p, n, "exim"))
            rc = exim(&w, user, size);
        else if (begins(p, n, "sendmail") || begins(p, n, "sm-"))
            rc = sendmail(&w, user, size);
        else
            rc = -1;
    }
    return rc < 0 ? -1 : maillog_time(line, len, now, us);
}

int waves_maillog(struct cli *c, const char *path, struct waves *w)
{
    struct cli_lines *l = cli_lines_open(path);
    uint64_t now = (uint64_t)time(NULL) * 1000000, us;
    unsigned long n = 0;
    char user[64], *line;
    size_t len;

    if (!l) {
        mo_error("%s: %s", path, strerror(errno));
        return -1;
    }
    while ((line = cli_lines_next(l, &len)) != NULL) {
        struct mo_record r;

        if ((++n & 4095) == 0)
            cli_progress(c, path, cli_lines_pos(l), 0);
        if (maillog_line(line, len, now, &us, user, sizeof user) < 0)
            continue;
        memset(&r, 0, sizeof r);
        r.value[MO_F_USER] = user;
        waves_add(w, user, us, &r);
    }
    cli_progress_end(c);
    if (cli_lines_error(l))
        mo_warn("%s: %s; going on", path, cli_lines_error(l));
    cli_lines_close(l);
    return 0;
}

/* ---- requests that fit */
struct group {
    UT_hash_handle hh;
    unsigned long in, out, post;
    uint64_t first; /* of those in the wave */
    char *line;
    double score;
    char key[];
};
struct guess {
    struct group *groups;
    const struct wave *w;
    uint64_t from; /* a request may begin a minute before its mails */
    uint64_t first, last; /* of the lines looked at */
};

/* the path of the request, and is it one that may run a program? */
static int path_of(const struct log_line *l, const char **path, size_t *n,
                   int *post)
{
    const struct log_text *r = &l->part[LOG_REQUEST];
    const struct log_text *u = &l->part[LOG_URI];
    const char *p, *end, *dot = NULL;
    static const char *const plain[] = {
        ".css", ".js",   ".png",  ".jpg",  ".jpeg", ".gif",   ".ico", ".svg",
        ".txt", ".woff", ".webp", ".html", ".htm",  ".woff2", ".map", ".xml"};
    size_t i;

    if (u->p && l->part[LOG_METHOD].p) {
        *post = l->part[LOG_METHOD].n == 4 &&
                !memcmp(l->part[LOG_METHOD].p, "POST", 4);
        p = u->p;
        end = p + u->n;
    }
    else if (r->p) {
        *post = r->n > 5 && !memcmp(r->p, "POST ", 5);
        p = memchr(r->p, ' ', r->n);
        if (!p)
            return 0;
        p++;
        end = memchr(p, ' ', (size_t)(r->p + r->n - p));
        if (!end)
            end = r->p + r->n;
    }
    else {
        return 0;
    }
    *path = p;
    while (p < end && *p != '?') {
        dot = *p == '.' ? p : *p == '/' ? NULL : dot;
        p++;
    }
    *n = (size_t)(p - *path);
    for (i = 0; !*post && dot && i < sizeof plain / sizeof *plain; i++)
        if ((size_t)(p - dot) == strlen(plain[i]) &&
            strncasecmp(dot, plain[i], (size_t)(p - dot)) == 0)
            return 0;
    return 1;
}

static void count(void *arg, const struct log_line *l, const char *line,
                  size_t len)
{
    struct guess *g = arg;
    char key[1024];
    const char *path;
    struct group *e;
    size_t n, klen;
    int post;

    if (!g->first || l->time_us < g->first)
        g->first = l->time_us;
    if (l->time_us > g->last)
        g->last = l->time_us;
    if (!path_of(l, &path, &n, &post))
        return;
    klen = (size_t)snprintf(key, sizeof key, "%.*s %.*s",
                            (int)l->part[LOG_VHOST].n,
                            l->part[LOG_VHOST].p ? l->part[LOG_VHOST].p : "",
                            n > 700 ? 700 : (int)n, path);
    if (klen >= sizeof key)
        klen = sizeof key - 1;
    HASH_FIND(hh, g->groups, key, klen, e);
    if (!e) {
        e = calloc(1, sizeof *e + klen + 1);
        if (!e)
            mo_fatal(CLI_TROUBLE, "out of memory");
        memcpy(e->key, key, klen);
        HASH_ADD_KEYPTR(hh, g->groups, e->key, klen, e);
    }
    if (l->time_us < g->from || l->time_us > g->w->end) {
        e->out++;
        return;
    }
    e->in++;
    e->post += (unsigned long)post;
    if (!e->line || l->time_us < e->first) {
        e->first = l->time_us;
        free(e->line);
        e->line = strndup(line, len);
    }
}

static int by_score(const struct group *a, const struct group *b)
{
    return a->score < b->score   ? 1
           : a->score > b->score ? -1
                                 : strcmp(a->key, b->key);
}

/* How far above its usual rate a path was asked for: the square of that in
 * about standard deviations; two of them are chance.  A POST weighs twice. */
static double score(const struct guess *g, const struct group *e)
{
    double during = (double)(g->w->end + 1000000 - g->from);
    double around = (double)(g->from > g->first ? g->from - g->first : 0) +
                    (double)(g->last > g->w->end ? g->last - g->w->end : 0);
    double weight = 1 + (double)e->post / (double)e->in;
    double chance = around > 0 ? (double)e->out * during / around : 0;
    double excess;

    excess = (double)e->in - chance;
    if (excess <= 0 || excess * excess <= 4 * chance)
        return 0;
    return weight * weight * excess * excess / (chance + 1);
}

int waves_guess(struct cli *c, const struct wave *w)
{
    struct guess g = {.w = w};
    uint64_t around =
        w->end - w->start < 30 * MINUTE ? 30 * MINUTE : w->end - w->start;
    struct group *e, *tmp = NULL;
    unsigned n = 0;
    int rc;

    g.from = w->start - MINUTE;
    rc = waves_access(c, g.from - around, w->end + around, NULL, count, &g);
    HASH_ITER(hh, g.groups, e, tmp)
    {
        e->score = e->in ? score(&g, e) : -1;
    }
    HASH_SORT(g.groups, by_score);
    HASH_ITER(hh, g.groups, e, tmp)
    {
        if (e->score > 0 && n++ < SHOWN) {
            if (c->json) {
                int first = 1;

                printf("%s{", n == 1 ? "" : ",");
                cli_json_str(stdout, &first, "request",
                             *e->key == ' ' ? e->key + 1 : e->key);
                cli_json_num(stdout, &first, "in", e->in);
                cli_json_num(stdout, &first, "around", e->out);
                cli_json_str(stdout, &first, "line", e->line);
                putchar('}');
            }
            else {
                fputs("  a guess: ", stdout);
                cli_print_safe(stdout, *e->key == ' ' ? e->key + 1 : e->key,
                               strlen(e->key) - (*e->key == ' '));
                printf("  %lu requests then, %lu around\n    ", e->in, e->out);
                cli_print_safe(stdout, e->line, strlen(e->line));
                putchar('\n');
            }
        }
        HASH_DEL(g.groups, e);
        free(e->line);
        free(e);
    }
    return rc;
}
