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
#include "lines.h"
#include "search.h"
#include "want.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "mo_msg.h"

#define TICK (2 * SECOND) /* file times are coarser than ours */
#define NEAR (10 * SECOND) /* a place of 32 lines is that well ordered … */
#define FAR (WANT_SLOW + 60 * SECOND) /* … or else that well */
#define PIECE (32ull << 20) /* bytes that are worth a thread of their own */

struct plan {
    struct cli *c;
    struct search s;
    struct sources src;
    struct cli_want **by_vhost; /* all wants, by vhost, then time */
    size_t n;
    struct cli_want **list; /* the source's, by time */
    size_t nlist;
    struct cli_want ***lists; /* of all sources */
    uint64_t slack;
    struct source *of; /* the source */
    unsigned threads;
};

void search_note(struct cli_found *f, int trouble, const char *fmt, ...)
{
    struct cli_note *more = realloc(f->note, (f->nnotes + 1) * sizeof(*more));
    va_list ap;

    if (more == NULL) {
        return;
    }
    f->note = more;
    va_start(ap, fmt);
    f->note[f->nnotes].trouble = trouble;
    if (vasprintf(&f->note[f->nnotes].text, fmt, ap) >= 0) {
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
static size_t range(const struct plan *s, const char *vhost, size_t *to)
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
static void mark_homeless(struct plan *s)
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

static void choose(struct plan *s, const struct source *src)
{
    size_t i, v, from, to;

    s->nlist = 0;
    if ((s->list = calloc(2 * s->n + 1, sizeof(*s->list))) == NULL) {
        s->s.rc = -1;
        return;
    }
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

/* ---- files */

static int line_time(void *arg, const char *line, size_t len, uint64_t *us)
{
    return log_format_time(arg, line, len, us);
}

static void add_part(struct plan *p, const struct part *part)
{
    struct search *s = &p->s;

    if (s->nparts == s->part_cap) {
        size_t cap = s->part_cap ? s->part_cap * 2 : 64;
        void *more = realloc(s->part, cap * sizeof(*s->part));

        if (more == NULL) {
            s->rc = -1;
            return;
        }
        s->part = more;
        s->part_cap = cap;
    }
    s->part[s->nparts++] = *part;
    s->total += part->size;
}

/* The first line's time, by which a file that is too young is left out. */
static int first_time(struct plan *p, struct cli_lines *l, uint64_t *us)
{
    size_t len;
    char *line;
    int i;

    for (i = 0; i < 50 && (line = cli_lines_next(l, &len)) != NULL; i++) {
        if (log_format_time(p->of->format, line, len, us) == 0) {
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

/* Back to the start, whatever kind of file it is. */
static struct cli_lines *again(struct cli_lines *l, const char *path)
{
    if (cli_lines_seekable(l) && cli_lines_seek(l, 0) == 0) {
        return l;
    }
    cli_lines_close(l);
    return cli_lines_open(path);
}

/* The stretch of a plain file from at on, in pieces where there are threads
 * for them. */
static void pieces(struct plan *p, struct cli_lines *l, struct part *part)
{
    uint64_t size = cli_lines_size(l), at = cli_lines_at(l), end = size;

    if (p->threads > 1 && size > at + 2 * PIECE &&
        cli_lines_find(l, part->until + SECOND, 0, line_time, p->of->format) ==
            0 &&
        cli_lines_at(l) > at) {
        end = cli_lines_at(l) + PIECE / 2;
    }
    for (;;) {
        part->at = at;
        part->end = p->threads > 1 && end > at + 3 * PIECE / 2 ? at + PIECE
                                                               : UINT64_MAX;
        part->size =
            (part->end == UINT64_MAX ? size > at ? size - at : 0 : PIECE);
        if (part->end == UINT64_MAX && end < size && end > at) {
            part->size = end - at;
        }
        add_part(p, part);
        if (part->end == UINT64_MAX) {
            return;
        }
        at = part->end;
    }
}

/* The stretches of a plain file that can hold list[a .. b). */
static void stretches(struct plan *p, struct cli_lines *l, struct part *part,
                      size_t a, size_t b)
{
    size_t from, to;
    uint64_t until;

    part->plain = 1;
    for (from = a; from < b && p->s.rc == 0; from = to) {
        until = want_until(p->list[from], p->s.slow);
        for (to = from + 1; to < b && p->list[to]->time_us <= until + FAR;
             to++) {
            uint64_t u = want_until(p->list[to], p->s.slow);

            until = u > until ? u : until;
        }
        if (cli_lines_find(l, p->list[from]->time_us / SECOND * SECOND,
                           p->slack, line_time, p->of->format) != 0) {
            search_note(p->s.found, 1, "%s: %s", part->file, strerror(errno));
            return;
        }
        part->from = from;
        part->to = to;
        part->until = until;
        pieces(p, l, part);
    }
}

/* Plans a file: 1: there is something to search, 0: it can't hold any, -1: not
 * readable (noted). */
static int one_file(struct plan *p, struct cli_file *file)
{
    struct part part = {.source = p->of,
                        .file = file->path,
                        .list = p->list,
                        .size = file->size,
                        .end = UINT64_MAX};
    uint64_t start = 0;
    struct cli_lines *l;
    size_t a = 0, b, i;
    int timed, rc = 1, say = p->slack == NEAR;

    /* what was requested after its last write is in a later one */
    b = want_first(p->list, 0, p->nlist, file->mtime_us + TICK);
    if (b == 0) {
        return 0;
    }
    if ((l = cli_lines_open(file->path)) == NULL) {
        if (say) {
            search_note(p->s.found, 1, "%s: %s", file->path, strerror(errno));
        }
        return -1;
    }
    if (p->of->format == NULL) {
        if (guess(p->of, l) != 0) {
            if (say) {
                search_note(p->s.found, 1,
                            "%s: of no format that is known; --log-format "
                            "tells it",
                            file->path);
            }
            cli_lines_close(l);
            return -1;
        }
        if ((l = again(l, file->path)) == NULL) {
            return -1;
        }
    }
    timed = log_format_has_time(p->of->format) &&
            !log_format_odd_time(p->of->format);
    if (timed && first_time(p, l, &start) == 0) {
        while (a < b && want_until(p->list[a], p->s.slow) < start) {
            a++;
        }
    }
    else if (timed && say && file->size > 0) {
        search_note(p->s.found, 1,
                    "%s: its first lines are not of its format, %s", file->path,
                    log_format_text(p->of->format));
    }
    part.from = a;
    part.to = b;
    part.until = timed ? 0 : UINT64_MAX;
    if (a == b) {
        rc = 0;
    }
    else if (timed && cli_lines_seekable(l)) {
        stretches(p, l, &part, a, b);
    }
    else {
        for (i = a; timed && i < b; i++) {
            uint64_t u = want_until(p->list[i], p->s.slow);

            part.until = u > part.until ? u : part.until;
        }
        add_part(p, &part);
    }
    if (cli_lines_error(l) && say) {
        search_note(p->s.found, 1, "%s: %s", file->path, cli_lines_error(l));
    }
    cli_lines_close(l);
    return rc;
}

static void one_source(struct plan *p, struct source *src)
{
    size_t i, passed = 0;
    int rc, say = p->slack == NEAR;

    if (src->note) {
        if (say) {
            search_note(p->s.found, 1, "%s", src->note);
        }
        return;
    }
    p->of = src;
    choose(p, src);
    if (p->s.rc != 0 || p->nlist == 0) {
        return;
    }
    for (i = 0; i < src->files.n && p->s.rc == 0; i++) {
        rc = one_file(p, &src->files.file[i]);
        if (rc > 0 && say) {
            search_note(p->s.found, 0, "%s (%s)", src->files.file[i].path,
                        log_format_text(src->format));
        }
        passed += rc == 0;
    }
    if (say && passed) {
        search_note(p->s.found, 0, "%s: %zu of %zu files are of another time",
                    src->name, passed, src->files.n);
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

static void pass(struct plan *p, uint64_t slack)
{
    size_t i;

    p->slack = slack;
    p->s.slow = slack == NEAR ? WANT_SLOW : WANT_SLOWEST;
    p->s.nparts = 0;
    p->s.total = 0;
    for (i = 0; i < p->src.n && p->s.rc == 0; i++) {
        p->list = NULL;
        one_source(p, &p->src.s[i]);
        p->lists[i] = p->list;
    }
    if (p->s.rc == 0) {
        scan_parts(&p->s, p->threads);
    }
    for (i = 0; i < p->src.n; i++) {
        free(p->lists[i]);
        p->lists[i] = NULL;
    }
}

static unsigned threads(const struct cli *c)
{
    long n = c->threads ? (long)c->threads : sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : c->threads ? c->threads : n > 4 ? 4 : (unsigned)n;
}

int cli_correlate(struct cli *c, struct cli_want *w, size_t n,
                  struct cli_found *found)
{
    struct plan p = {.c = c, .s = {.c = c, .found = found}};
    struct sources *keep = calloc(1, sizeof(*keep));
    size_t i, missed = 0;

    if (keep == NULL || sources_find(c, &p.src) != 0) {
        free(keep);
        return -1;
    }
    *keep = p.src; /* hits name its files */
    found->sources = keep;
    p.threads = threads(c);
    pthread_mutex_init(&p.s.lock, NULL);
    p.by_vhost = calloc(n + 1, sizeof(*p.by_vhost));
    p.lists = calloc(p.src.n + 1, sizeof(*p.lists));
    if (p.by_vhost == NULL || p.lists == NULL) {
        mo_error("out of memory");
        free(p.by_vhost);
        free(p.lists);
        return -1;
    }
    for (i = 0; i < n; i++) {
        if (w[i].time_us) {
            p.by_vhost[p.n++] = &w[i];
        }
    }
    qsort(p.by_vhost, p.n, sizeof(*p.by_vhost), by_vhost);
    mark_homeless(&p);
    if (p.src.n == 0) {
        search_note(found, 1,
                    "no access log is known: no httpd with the module has run "
                    "since the start, and neither --access-log nor access-log "
                    "in the conf names one");
    }
    pass(&p, NEAR);
    for (i = 0; i < n; i++) {
        missed += w[i].time_us && w[i].nhits == 0;
    }
    if (missed && p.s.rc == 0) {
        pass(&p, FAR);
    }
    for (i = 0; i < n; i++) {
        judge(&w[i]);
    }
    cli_progress_end(c);
    if (found->bad) {
        search_note(found, 1,
                    "%lu lines there are not of their log's format (-v shows "
                    "them)",
                    found->bad);
    }
    free(p.by_vhost);
    free(p.lists);
    free(p.s.part);
    pthread_mutex_destroy(&p.s.lock);
    if (p.s.rc != 0) {
        mo_error("out of memory");
    }
    return p.s.rc;
}

void cli_found_free(struct cli_found *f, struct cli_want *w, size_t n)
{
    size_t i;

    for (i = 0; w && i < n; i++) {
        while (w[i].hits) {
            struct cli_hit *h = w[i].hits;

            w[i].hits = h->next;
            free(h);
        }
    }
    for (i = 0; i < f->nnotes; i++) {
        free(f->note[i].text);
    }
    free(f->note);
    if (f->sources) {
        sources_free(f->sources);
        free(f->sources);
    }
    memset(f, 0, sizeof(*f));
}
