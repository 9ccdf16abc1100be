/*
 * The classic correlation, for a day without a mail log of ours: bursts by
 * local user in Postfix's, Exim's or Sendmail's log, and the dynamic requests
 * that came at the time.  A guess, and said so.
 */
#include "maillog.h"
#include "waves.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mo_msg.h"

#define SHOWN 5

static void add(void *arg, const struct taken *t, uint64_t us)
{
    struct mo_record r;

    if (t->kind != TAKEN_LOCAL)
        return;
    memset(&r, 0, sizeof r);
    r.value[MO_F_USER] = t->user;
    waves_add(arg, t->user, us, &r);
}

int waves_maillog(struct cli *c, const char *const *name, size_t n,
                  struct waves *w)
{
    return maillog_read(c, name, n, add, w);
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

void waves_guess(struct cli *c, struct sources *all, const struct wave *w)
{
    struct guess g = {.w = w};
    uint64_t around =
        w->end - w->start < 30 * MINUTE ? 30 * MINUTE : w->end - w->start;
    struct group *e, *tmp = NULL;
    unsigned n = 0;

    g.from = w->start - MINUTE;
    waves_access(c, all, g.from - around, w->end + around, NULL, count, &g);
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
}
