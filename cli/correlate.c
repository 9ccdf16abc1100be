/*
 * From requests to their access_log lines.
 *
 * Each log that can hold one of the requests is read once, from the first
 * place that can be of their time to the last.  The wanted ones are found by
 * the line's second; in logs without a time, or with that of the request's
 * end, all are tried.
 */
#include "correlate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lines.h"
#include "mo_msg.h"
#include "sources.h"
#include "want.h"

#define NOBODY UINT32_MAX
#define SAMPLE 65536 /* bytes that a format is guessed from */
#define PAST 64 /* lines in a row past the last time end a file */

struct search {
    struct cli *c;
    struct cli_want *w;
    size_t n;
    struct cli_found *found;
    uint32_t *bucket; /* by second: the first of a chain by w.next */
    uint32_t mask;
    unsigned *here; /* hits in this source, for each request */
    char *may; /* can this source hold it? */
    uint64_t first, last; /* of those that it can hold */
};

static int note(struct cli_found *f, const char *name, const char *text)
{
    char **more = realloc(f->note, (f->nnotes + 1) * sizeof(*more));

    if (more == NULL) {
        return -1;
    }
    f->note = more;
    if (asprintf(&f->note[f->nnotes], "%s%s%s", name, *text ? ": " : "", text) <
        0) {
        return -1;
    }
    f->nnotes++;
    return 0;
}

/* ---- the requests, by second */

static uint32_t slot_of(const struct search *s, uint64_t us)
{
    return (uint32_t)((us / 1000000) * 2654435761u) & s->mask;
}

static int index_wants(struct search *s)
{
    uint32_t size = 16;
    size_t i;

    while (size < s->n * 2) {
        size *= 2;
    }
    s->mask = size - 1;
    s->bucket = malloc(size * sizeof(*s->bucket));
    s->here = calloc(s->n, sizeof(*s->here));
    s->may = calloc(s->n, 1);
    if (!s->bucket || !s->here || !s->may) {
        return -1;
    }
    memset(s->bucket, 0xFF, size * sizeof(*s->bucket));
    for (i = s->n; i-- > 0;) {
        struct cli_want *w = &s->w[i];

        w->next = NOBODY;
        if (w->time_us) {
            uint32_t *b = &s->bucket[slot_of(s, w->time_us)];

            w->next = *b;
            *b = (uint32_t)i;
        }
    }
    return 0;
}

/* Which requests may be in this source, and from when to when. */
static int choose(struct search *s, const struct source *src)
{
    size_t i, v;
    int any = 0;

    s->first = UINT64_MAX;
    s->last = 0;
    for (i = 0; i < s->n; i++) {
        const struct cli_want *w = &s->w[i];
        int may = src->all || src->nvhosts == 0 || !w->vhost || !*w->vhost;

        s->here[i] = 0;
        for (v = 0; !may && v < src->nvhosts; v++) {
            may = strcasecmp(src->vhost[v], w->vhost) == 0;
        }
        s->may[i] = (char)(may && w->time_us != 0);
        if (s->may[i]) {
            any = 1;
            s->first = w->time_us < s->first ? w->time_us : s->first;
            s->last = want_until(w) > s->last ? want_until(w) : s->last;
        }
    }
    return any;
}

/* ---- one line */

static int hit(struct search *s, uint32_t i, const char *file, const char *line,
               size_t len, int exact)
{
    struct cli_want *w = &s->w[i];
    struct cli_hit *h, **end = &w->hits;
    unsigned kept = 0;

    w->nhits++;
    s->here[i]++;
    for (; *end; end = &(*end)->next) {
        kept++;
    }
    if (exact) {
        w->match = MATCH_EXACT;
    }
    else if (w->match != MATCH_EXACT) {
        w->match = s->here[i] > 1 || w->match == MATCH_AMBIGUOUS
                       ? MATCH_AMBIGUOUS
                       : MATCH_UNIQUE;
    }
    if (kept >= CLI_HITS && !exact) {
        return 0;
    }
    h = calloc(1, sizeof(*h));
    if (h == NULL || (h->line = strndup(line, len)) == NULL) {
        free(h);
        return -1;
    }
    h->file = file;
    h->exact = exact;
    *end = h;
    return 0;
}

static int try_one(struct search *s, uint32_t i, struct want_line *wl,
                   const char *file, const char *line, size_t len)
{
    enum want_is is = s->may[i] ? want_is(&s->w[i], wl) : WANT_NO;

    return is == WANT_NO ? 0 : hit(s, i, file, line, len, is == WANT_EXACT);
}

static int try_second(struct search *s, uint64_t us, struct want_line *wl,
                      const char *file, const char *line, size_t len)
{
    uint32_t i = s->bucket[slot_of(s, us)];

    for (; i != NOBODY; i = s->w[i].next) {
        if (s->w[i].time_us / 1000000 == us / 1000000 &&
            try_one(s, i, wl, file, line, len) != 0) {
            return -1;
        }
    }
    return 0;
}

static int match_line(struct search *s, const struct log_line *l,
                      const char *file, const char *line, size_t len)
{
    struct want_line wl = {.l = l, .keys = &s->c->keys};
    uint32_t i;

    if (l->has_time && !l->is_end) {
        if (try_second(s, l->time_us, &wl, file, line, len) != 0) {
            return -1;
        }
        return l->other_us / 1000000 == l->time_us / 1000000
                   ? 0
                   : try_second(s, l->other_us, &wl, file, line, len);
    }
    for (i = 0; i < s->n; i++) {
        if (try_one(s, i, &wl, file, line, len) != 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- one file */

static int time_of(void *arg, const char *line, size_t len, uint64_t *us)
{
    return log_format_time(arg, line, len, us);
}

/* The format that most of the file's first lines are of. */
static struct log_format *guess(const char *path)
{
    struct cli_lines *l = cli_lines_open(path);
    struct log_format *f;
    char *text = malloc(SAMPLE), *line;
    size_t n = 0, len;

    while (l && text && (line = cli_lines_next(l, &len)) != NULL &&
           n + len + 1 < SAMPLE) {
        memcpy(text + n, line, len);
        n += len;
        text[n++] = '\n';
    }
    f = text ? log_format_guess(text, n) : NULL;
    free(text);
    if (l) {
        cli_lines_close(l);
    }
    return f;
}

static int read_lines(struct search *s, struct log_format *f,
                      struct cli_lines *l, const char *path,
                      unsigned long *lines, unsigned long *bad)
{
    struct log_line out;
    unsigned past = 0;
    size_t len;
    char *line;

    while (past < PAST && (line = cli_lines_next(l, &len)) != NULL) {
        if ((++*lines & 0xFFFF) == 0) {
            cli_progress(s->c, path, cli_lines_pos(l), cli_lines_size(l));
        }
        if (log_format_parse(f, line, len, 0, &out) != 0) {
            ++*bad;
            if (s->c->verbose) {
                mo_warn("%s: not of its format: %.200s", path, line);
            }
            continue;
        }
        past = out.has_time && out.time_us > s->last ? past + 1 : 0;
        if (match_line(s, &out, path, line, len) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_file(struct search *s, struct source *src, const char *path)
{
    unsigned long lines = 0, bad = 0;
    struct cli_lines *l;
    const char *error;
    char text[600];
    int rc;

    if (src->format == NULL && (src->format = guess(path)) == NULL) {
        return note(s->found, path,
                    "its format could not be guessed; --log-format says it");
    }
    l = cli_lines_open(path);
    if (l == NULL) {
        return note(s->found, path, strerror(errno));
    }
    if (cli_lines_seekable(l) && log_format_has_time(src->format)) {
        cli_lines_find(l, s->first, WANT_SLOW, time_of, src->format);
    }
    rc = read_lines(s, src->format, l, path, &lines, &bad);
    error = cli_lines_error(l);
    snprintf(text, sizeof(text), "%lu lines%s%s%s", lines,
             bad ? ", some of another format" : "", error ? ", then " : "",
             error ? error : "");
    cli_lines_close(l);
    cli_progress_end(s->c);
    s->found->lines += lines;
    s->found->bad += bad;
    return rc != 0 ? -1 : note(s->found, path, text);
}

static int read_source(struct search *s, struct source *src)
{
    uint64_t begin = 0; /* no line of this file was written before */
    size_t i;

    for (i = 0; i < src->files.n; i++) {
        const struct cli_file *f = &src->files.file[i];
        int before = f->mtime_us + 2000000 < s->first;
        int after = begin > s->last;

        begin = f->mtime_us;
        if (before || after) {
            if (note(s->found, f->path, "not of that time") != 0) {
                return -1;
            }
            continue;
        }
        if (read_file(s, src, f->path) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Where the id was found, what merely looks the same is no answer. */
static void only_exact(struct cli_want *w)
{
    struct cli_hit **at = &w->hits, *h;

    if (w->match != MATCH_EXACT) {
        return;
    }
    w->nhits = 0;
    while ((h = *at) != NULL) {
        if (h->exact) {
            w->nhits++;
            at = &h->next;
            continue;
        }
        *at = h->next;
        free(h->line);
        free(h);
    }
}

int cli_correlate(struct cli *c, struct cli_want *w, size_t n,
                  struct cli_found *found)
{
    struct search s = {.c = c, .w = w, .n = n, .found = found};
    struct sources *all = calloc(1, sizeof(*all));
    size_t i;
    int rc = -1;

    if (all == NULL || index_wants(&s) != 0) {
        free(all);
        mo_error("out of memory");
        goto out;
    }
    found->sources = all;
    if (sources_find(c, all) != 0) {
        goto out; /* said */
    }
    rc = 0;
    for (i = 0; rc == 0 && i < all->n; i++) {
        struct source *src = &all->s[i];

        if (!choose(&s, src)) {
            continue;
        }
        rc = src->note ? note(found, src->note, "") : read_source(&s, src);
    }
    if (rc == 0 && all->n == 0) {
        rc = note(found, "no access_log is known",
                  "no layout file of httpd, no access-log in the conf; "
                  "--access-log names one");
    }
    if (rc != 0) {
        mo_error("out of memory");
    }
    for (i = 0; i < n; i++) {
        only_exact(&w[i]);
    }
out:
    free(s.bucket);
    free(s.here);
    free(s.may);
    return rc;
}

void cli_found_free(struct cli_found *found, struct cli_want *w, size_t n)
{
    struct cli_hit *h;
    size_t i;

    for (i = 0; w && i < n; i++) {
        while ((h = w[i].hits) != NULL) {
            w[i].hits = h->next;
            free(h->line);
            free(h);
        }
    }
    for (i = 0; i < found->nnotes; i++) {
        free(found->note[i]);
    }
    free(found->note);
    if (found->sources) {
        sources_free(found->sources);
        free(found->sources);
    }
    memset(found, 0, sizeof(*found));
}
