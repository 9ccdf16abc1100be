/*
 * The search: for each log, the wants that it can hold, in order of time;
 * for each file of it that can hold one, one pass over just the parts that
 * can.
 *
 * A line's time is when its request began, but it is written when that
 * ended, so a log is out of order by up to the longest request.  A request's
 * line stands between the place where its second is reached and the place
 * where a line is WANT_SLOW later than its mail; what is not found there is
 * looked for again in a wider stretch.
 */
#include "correlate.h"
#include "lines.h"
#include "sources.h"
#include "want.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mo_msg.h"

#define SECOND 1000000ull
#define TICK (2 * SECOND) /* file times are coarser than ours */
#define NEAR (10 * SECOND) /* a place of 32 lines is that well ordered … */
#define FAR (WANT_SLOW + 60 * SECOND) /* … or else that well */

struct search {
    struct cli *c;
    struct cli_want *w;
    struct cli_found *found;
    struct sources src;
    struct cli_want **by_vhost; /* all wants, by vhost, then time */
    size_t n;
    struct cli_want **list; /* this source's, by time */
    size_t nlist;
    uint64_t slack, slow;
    uint64_t done, total; /* bytes, for progress */
    struct source *s; /* being searched */
    int rc;
};

static void note(struct cli_found *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void note(struct cli_found *f, const char *fmt, ...)
{
    char **more = realloc(f->note, (f->nnotes + 1) * sizeof(*more));
    va_list ap;

    if (more == NULL) {
        return;
    }
    f->note = more;
    va_start(ap, fmt);
    if (vasprintf(&f->note[f->nnotes], fmt, ap) >= 0) {
        f->nnotes++;
    }
    va_end(ap);
}

/* ---- which wants */

static const char *vhost_of(const struct cli_want *w)
{
    return w->vhost ? w->vhost : "";
}

static int by_vhost(const void *a, const void *b)
{
    const struct cli_want *x = *(struct cli_want *const *)a;
    const struct cli_want *y = *(struct cli_want *const *)b;
    int d = strcasecmp(vhost_of(x), vhost_of(y));

    return d ? d : x->time_us < y->time_us ? -1 : x->time_us > y->time_us;
}

static int by_time(const void *a, const void *b)
{
    const struct cli_want *x = *(struct cli_want *const *)a;
    const struct cli_want *y = *(struct cli_want *const *)b;

    return x->time_us < y->time_us ? -1 : x->time_us > y->time_us;
}

/* The wants of that vhost: the first one's index, and past the last. */
static size_t range(const struct search *s, const char *vhost, size_t *to)
{
    size_t lo = 0, hi = s->n, mid;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        if (strcasecmp(vhost_of(s->by_vhost[mid]), vhost) < 0) {
            lo = mid + 1;
        }
        else {
            hi = mid;
        }
    }
    for (*to = lo;
         *to < s->n && strcasecmp(vhost_of(s->by_vhost[*to]), vhost) == 0;
         ++*to) {
    }
    return lo;
}

/* Wants whose vhost no log is of are looked for in all of them. */
static void mark_homeless(struct search *s)
{
    size_t i, k, v, from, to;

    for (i = 0; i < s->n; i++) {
        s->by_vhost[i]->homeless = 1;
    }
    for (i = 0; i < s->src.n; i++) {
        for (v = 0; v < s->src.s[i].nvhosts; v++) {
            from = range(s, s->src.s[i].vhost[v], &to);
            for (k = from; k < to; k++) {
                s->by_vhost[k]->homeless = 0;
            }
        }
    }
}

static void choose(struct search *s, const struct source *src)
{
    size_t i, v, from, to;

    s->nlist = 0;
    for (i = 0; i < s->n; i++) {
        if (src->all || s->by_vhost[i]->homeless) {
            s->list[s->nlist++] = s->by_vhost[i];
        }
    }
    for (v = 0; !src->all && v < src->nvhosts; v++) {
        from = range(s, src->vhost[v], &to);
        for (i = from; i < to; i++) {
            s->list[s->nlist++] = s->by_vhost[i];
        }
    }
    qsort(s->list, s->nlist, sizeof(*s->list), by_time);
    if (s->slack == FAR) { /* the second time only what was not found */
        for (i = v = 0; i < s->nlist; i++) {
            if (s->list[i]->nhits == 0) {
                s->list[v++] = s->list[i];
            }
        }
        s->nlist = v;
    }
}

/* ---- hits */

static void hit(struct search *s, struct cli_want *w, const char *file,
                const char *line, size_t len, int exact)
{
    struct cli_hit **end = &w->hits, *h;

    w->nhits++;
    if (w->nhits > CLI_HITS) {
        return;
    }
    h = calloc(1, sizeof(*h));
    if (h == NULL || (h->line = strndup(line, len)) == NULL) {
        free(h);
        s->rc = -1;
        return;
    }
    h->file = file;
    h->source = s->s;
    h->exact = exact;
    while (*end) {
        end = &(*end)->next;
    }
    *end = h;
}

/* The first want that is not before us. */
static size_t first_from(const struct search *s, uint64_t us)
{
    size_t lo = 0, hi = s->nlist, mid;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        if (s->list[mid]->time_us < us) {
            lo = mid + 1;
        }
        else {
            hi = mid;
        }
    }
    return lo;
}

static void compare(struct search *s, struct want_line *wl, size_t from,
                    size_t to, const char *file, const char *line, size_t len)
{
    for (; from < to; from++) {
        enum want_is is = want_is(s->list[from], wl);

        if (is != WANT_NO) {
            hit(s, s->list[from], file, line, len, is == WANT_EXACT);
        }
    }
}

/* A line that may be wanted: parsed, and held against those of its time. */
static void look(struct search *s, const char *file, const char *line,
                 size_t len)
{
    struct log_line l;
    struct want_line wl = {.l = &l, .keys = &s->c->keys};
    uint64_t t;

    if (log_format_parse(s->s->format, line, len, 0, &l) != 0) {
        s->found->bad++;
        if (s->c->verbose) {
            mo_warn("%s: not of its format: %.200s", file, line);
        }
        return;
    }
    if (!l.has_time) {
        compare(s, &wl, 0, s->nlist, file, line, len);
        return;
    }
    t = l.time_us / SECOND * SECOND;
    if (l.is_end) {
        compare(s, &wl, first_from(s, t > s->slow ? t - s->slow : 0),
                first_from(s, t + SECOND), file, line, len);
        return;
    }
    compare(s, &wl, first_from(s, t), first_from(s, t + SECOND), file, line,
            len);
    if (l.other_us / SECOND != l.time_us / SECOND) {
        t = l.other_us / SECOND * SECOND;
        compare(s, &wl, first_from(s, t), first_from(s, t + SECOND), file, line,
                len);
    }
}

/* ---- files */

static int line_time(void *arg, const char *line, size_t len, uint64_t *us)
{
    return log_format_time(arg, line, len, us);
}

/* Is the time one at which something is wanted?  Most lines end here. */
static int is_wanted(const struct search *s, uint64_t us, size_t from,
                     size_t to, size_t *last)
{
    size_t i = *last, lo, hi, mid;
    uint64_t t = us / SECOND * SECOND;

    /* neighbours are of about the same second */
    if (i >= from && i < to && s->list[i]->time_us >= t &&
        (i == from || s->list[i - 1]->time_us < t)) {
        return s->list[i]->time_us < t + SECOND;
    }
    for (lo = from, hi = to; lo < hi;) {
        mid = lo + (hi - lo) / 2;
        if (s->list[mid]->time_us < t) {
            lo = mid + 1;
        }
        else {
            hi = mid;
        }
    }
    *last = lo;
    return lo < to && s->list[lo]->time_us < t + SECOND;
}

/* The part of a file that can hold wants[from .. to): until a line is of
 * after until. */
static void scan(struct search *s, struct cli_lines *l, const char *file,
                 size_t from, size_t to, uint64_t until)
{
    struct log_format *f = s->s->format;
    int simple = log_format_has_time(f) && !log_format_odd_time(f);
    uint64_t us, n = 0;
    size_t len, last = from;
    char *line;

    while (s->rc == 0 && (line = cli_lines_next(l, &len)) != NULL) {
        if ((++n & 0x3FFF) == 0) {
            cli_progress(s->c, file, s->done + cli_lines_pos(l), s->total);
        }
        if (len == 0) {
            continue;
        }
        if (!simple) {
            look(s, file, line, len);
            continue;
        }
        if (log_format_time(f, line, len, &us) != 0) {
            s->found->bad++;
            if (s->c->verbose) {
                mo_warn("%s: a line without its time: %.200s", file, line);
            }
            continue;
        }
        if (us > until) {
            break;
        }
        if (is_wanted(s, us, from, to, &last)) {
            look(s, file, line, len);
        }
    }
    s->found->lines += n;
}

/* The first line's time, by which a file that is too young is left out. */
static int first_time(struct search *s, struct cli_lines *l, uint64_t *us)
{
    size_t len;
    char *line;
    int i;

    for (i = 0; i < 20 && (line = cli_lines_next(l, &len)) != NULL; i++) {
        if (log_format_time(s->s->format, line, len, us) == 0) {
            return 0;
        }
    }
    return -1;
}

static int guess(struct source *src, struct cli_lines *l)
{
    char text[32768];
    size_t n = 0, len;
    char *line;

    while ((line = cli_lines_next(l, &len)) != NULL &&
           n + len + 1 < sizeof(text)) {
        memcpy(text + n, line, len);
        n += len;
        text[n++] = '\n';
    }
    src->format = log_format_guess(text, n);
    return src->format ? 0 : -1;
}

/* Opens at the start; NULL: a note says why. */
static struct cli_lines *open_log(struct search *s, const char *path)
{
    struct cli_lines *l = cli_lines_open(path);

    if (l == NULL && s->slack == NEAR) {
        note(s->found, "%s: %s", path, strerror(errno));
    }
    return l;
}

/* Back to the start, whatever kind of file it is. */
static struct cli_lines *again(struct search *s, struct cli_lines *l,
                               const char *path)
{
    if (cli_lines_seekable(l) && cli_lines_seek(l, 0) == 0) {
        return l;
    }
    cli_lines_close(l);
    return open_log(s, path);
}

/* Passes over the stretches of a plain file that can hold list[a .. b). */
static void stretches(struct search *s, struct cli_lines *l, const char *file,
                      size_t a, size_t b)
{
    struct log_format *f = s->s->format;
    size_t from, to;
    uint64_t until;

    for (from = a; from < b && s->rc == 0; from = to) {
        until = want_until(s->list[from], s->slow);
        for (to = from + 1; to < b && s->list[to]->time_us <= until + FAR;
             to++) {
            uint64_t u = want_until(s->list[to], s->slow);

            until = u > until ? u : until;
        }
        if (cli_lines_find(l, s->list[from]->time_us / SECOND * SECOND,
                           s->slack, line_time, f) != 0) {
            note(s->found, "%s: %s", file, strerror(errno));
            return;
        }
        scan(s, l, file, from, to, until);
    }
}

/* 1: searched, 0: it can't hold any, -1: not readable (noted) */
static int one_file(struct search *s, struct cli_file *file)
{
    uint64_t start = 0, until = 0;
    struct cli_lines *l;
    size_t a = 0, b, i;
    int timed, rc = 1;

    /* what was requested after its last write is in a later one */
    b = first_from(s, file->mtime_us + TICK);
    if (b == 0) {
        return 0;
    }
    if ((l = open_log(s, file->path)) == NULL) {
        return -1;
    }
    if (s->s->format == NULL) {
        if (guess(s->s, l) != 0) {
            if (s->slack == NEAR) {
                note(s->found,
                     "%s: of no format that is known; --log-format tells it",
                     file->path);
            }
            cli_lines_close(l);
            return -1;
        }
        if ((l = again(s, l, file->path)) == NULL) {
            return -1;
        }
    }
    timed =
        log_format_has_time(s->s->format) && !log_format_odd_time(s->s->format);
    if (timed && first_time(s, l, &start) == 0) {
        while (a < b && want_until(s->list[a], s->slow) < start) {
            a++;
        }
    }
    if (a == b) {
        rc = 0;
    }
    else if ((l = again(s, l, file->path)) == NULL) {
        return -1;
    }
    else if (timed && cli_lines_seekable(l)) {
        stretches(s, l, file->path, a, b);
    }
    else {
        for (i = a; i < b; i++) {
            uint64_t u = want_until(s->list[i], s->slow);

            until = u > until ? u : until;
        }
        scan(s, l, file->path, a, b, timed ? until : UINT64_MAX);
    }
    if (cli_lines_error(l)) {
        note(s->found, "%s: %s", file->path, cli_lines_error(l));
    }
    cli_lines_close(l);
    return rc;
}

static void one_source(struct search *s, struct source *src)
{
    size_t i, searched = 0, passed = 0;
    int rc, say = s->slack == NEAR;

    if (src->note) {
        if (say) {
            note(s->found, "%s", src->note);
        }
        return;
    }
    s->s = src;
    choose(s, src);
    if (s->nlist == 0) {
        return;
    }
    for (i = 0; i < src->files.n && s->rc == 0; i++) {
        rc = one_file(s, &src->files.file[i]);
        if (rc > 0 && say) {
            note(s->found, "%s (%s)", src->files.file[i].path,
                 log_format_text(src->format));
        }
        searched += rc > 0;
        passed += rc == 0;
        s->done += src->files.file[i].size;
    }
    if (say && passed) {
        note(s->found, "%s: %zu of %zu files are of another time", src->name,
             passed, src->files.n);
    }
}

/* Equal lines in one log are ambiguous; the same request may well stand in
 * two logs. */
static void judge(struct cli_want *w)
{
    struct cli_hit *h, *o, **p;
    int exact = 0, twice = 0;

    for (h = w->hits; h; h = h->next) {
        exact |= h->exact;
    }
    for (p = &w->hits; exact && *p;) {
        if ((*p)->exact) {
            p = &(*p)->next;
            continue;
        }
        h = *p;
        *p = h->next;
        free(h->line);
        free(h);
        w->nhits--;
    }
    for (h = w->hits; h; h = h->next) {
        for (o = h->next; o; o = o->next) {
            twice |= o->source == h->source;
        }
    }
    w->match = exact                          ? MATCH_EXACT
               : w->nhits == 0                ? MATCH_NONE
               : twice || w->nhits > CLI_HITS ? MATCH_AMBIGUOUS
                                              : MATCH_UNIQUE;
}

static void pass(struct search *s, uint64_t slack)
{
    size_t i;

    s->slack = slack;
    s->slow = slack == NEAR ? WANT_SLOW : WANT_SLOWEST;
    s->done = 0;
    for (i = 0; i < s->src.n && s->rc == 0; i++) {
        one_source(s, &s->src.s[i]);
    }
}

int cli_correlate(struct cli *c, struct cli_want *w, size_t n,
                  struct cli_found *found)
{
    struct search s = {.c = c, .w = w, .found = found};
    struct sources *keep = calloc(1, sizeof(*keep));
    size_t i, k, missed = 0;

    if (keep == NULL || sources_find(c, &s.src) != 0) {
        free(keep);
        return -1;
    }
    *keep = s.src; /* hits name its files */
    found->sources = keep;
    s.by_vhost = calloc(n + 1, sizeof(*s.by_vhost));
    s.list = calloc(2 * n + 1, sizeof(*s.list));
    if (s.by_vhost == NULL || s.list == NULL) {
        mo_error("out of memory");
        free(s.by_vhost);
        free(s.list);
        return -1;
    }
    for (i = 0; i < n; i++) {
        if (w[i].time_us) {
            s.by_vhost[s.n++] = &w[i];
        }
    }
    qsort(s.by_vhost, s.n, sizeof(*s.by_vhost), by_vhost);
    for (i = 0; i < s.src.n; i++) {
        for (k = 0; k < s.src.s[i].files.n; k++) {
            s.total += s.src.s[i].files.file[k].size;
        }
    }
    mark_homeless(&s);
    if (s.src.n == 0) {
        note(found, "no access log is known: no httpd with the module has run "
                    "since the start, and neither --access-log nor access-log "
                    "in the conf names one");
    }
    pass(&s, NEAR);
    for (i = 0; i < n; i++) {
        missed += w[i].time_us && w[i].nhits == 0;
    }
    if (missed && s.rc == 0) {
        pass(&s, FAR);
    }
    for (i = 0; i < n; i++) {
        judge(&w[i]);
    }
    cli_progress_end(c);
    if (found->bad) {
        note(found,
             "%lu lines there are not of their log's format (-v shows "
             "them)",
             found->bad);
    }
    *keep = s.src;
    free(s.by_vhost);
    free(s.list);
    if (s.rc != 0) {
        mo_error("out of memory");
    }
    return s.rc;
}

void cli_found_free(struct cli_found *f, struct cli_want *w, size_t n)
{
    size_t i;

    for (i = 0; w && i < n; i++) {
        while (w[i].hits) {
            struct cli_hit *h = w[i].hits;

            w[i].hits = h->next;
            free(h->line);
            free(h);
        }
    }
    for (i = 0; i < f->nnotes; i++) {
        free(f->note[i]);
    }
    free(f->note);
    if (f->sources) {
        sources_free(f->sources);
        free(f->sources);
    }
    memset(f, 0, sizeof(*f));
}
