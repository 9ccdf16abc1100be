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
#include "search.h"
#include "want.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "mo_msg.h"

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

/* What a jump may have passed over has no hits yet in that log. */
static void unhit(struct cli_want *w, const void *source)
{
    struct cli_hit **p = &w->hits, *h;

    w->nhits = 0;
    while ((h = *p) != NULL) {
        if (h->source == source) {
            *p = h->next;
            free(h);
            continue;
        }
        w->nhits++;
        p = &h->next;
    }
    if (w->nhits == 0) {
        w->sure = WANT_NO;
    }
}

static void choose(struct plan *s, const struct source *src)
{
    size_t i, v, from, to, which = (size_t)(src - s->src.s);

    s->nlist = 0;
    if (s->round == AGAIN) {
        s->list = s->left[which];
        s->left[which] = NULL;
        s->nlist = s->list ? s->nleft[which] : 0;
        for (i = 0; i < s->nlist; i++) {
            unhit(s->list[i], src);
        }
        return;
    }
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
    if (s->round == WIDE) { /* only what was not found */
        for (i = v = 0; i < s->nlist; i++) {
            if (s->list[i]->nhits == 0) {
                s->list[v++] = s->list[i];
            }
        }
        s->nlist = v;
    }
}

/* ---- rounds */

static void one_source(struct plan *p, struct source *src)
{
    size_t i, passed = 0;
    int rc, say = p->round == FIRST;

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
        rc = plan_file(p, &src->files.file[i]);
        if (rc > 0 && say) {
            search_note(p->s.found, 0, "%s (%s)", src->files.file[i].path,
                        log_format_text(src->format));
        }
        passed += rc == 0;
    }
    if (say && src->files.nunread &&
        p->list[0]->time_us <= src->files.unread_us) {
        search_note(p->s.found, 1,
                    "%s%s compressed in a way that is not read (.gz and .zst "
                    "are): unpack what is of that time",
                    src->files.unread,
                    src->files.nunread > 1 ? " and older ones are" : " is");
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
    const struct cli_hit *h, *o;
    int twice = w->nhits > CLI_HITS || w->sure == WANT_MAYBE;

    for (h = w->hits; h; h = h->next) {
        for (o = h->next; o; o = o->next) {
            twice |= o->source == h->source;
        }
    }
    w->match = w->sure == WANT_EXACT ? MATCH_EXACT
               : w->nhits == 0       ? MATCH_NONE
               : twice               ? MATCH_AMBIGUOUS
                                     : MATCH_UNIQUE;
}

/* The wants that a jump may have passed over, by source; are there any? */
static int leave(struct plan *p)
{
    struct search *s = &p->s;
    size_t i, k, any = 0;
    struct part *part;
    struct hunt *h;
    int jumped = 0;

    for (k = s->nparts; k-- > 0;) {
        part = &s->part[k];
        if (part->hunt == NULL) {
            continue;
        }
        for (i = part->left; jumped && i < part->left_to; i++) {
            part->hunt->state[i] |= HUNT_LEFT;
        }
        jumped = part->first ? 0 : jumped | part->jumped;
    }
    for (i = 0; i < p->src.n; i++) {
        h = &p->hunts[i];
        if (h->state == NULL) {
            continue;
        }
        p->nleft[i] = 0;
        for (k = 0; k < p->nlists[i]; k++) {
            if (h->state[k] == HUNT_LEFT) {
                p->lists[i][p->nleft[i]++] = p->lists[i][k];
            }
        }
        if (p->nleft[i] > 0) {
            p->left[i] = p->lists[i];
            p->lists[i] = NULL;
            any = 1;
        }
        free(h->state);
        memset(h, 0, sizeof(*h));
    }
    return any != 0;
}

/* 1: there is something to look for AGAIN */
static int pass(struct plan *p, enum round round)
{
    size_t i;
    int left;

    p->round = round;
    p->slack = round == WIDE ? PLAN_FAR : PLAN_NEAR;
    p->s.slow = round == WIDE ? WANT_SLOWEST : WANT_SLOW;
    p->s.nparts = 0;
    p->s.total = 0;
    for (i = 0; i < p->src.n && p->s.rc == 0; i++) {
        p->list = NULL;
        one_source(p, &p->src.s[i]);
        p->lists[i] = p->list;
        p->nlists[i] = p->nlist;
    }
    if (p->s.rc == 0) {
        scan_parts(&p->s, p->threads);
    }
    left = leave(p);
    for (i = 0; i < p->src.n; i++) {
        free(p->lists[i]);
        p->lists[i] = NULL;
    }
    return left;
}

static int by_source(struct plan *p)
{
    size_t n = p->src.n + 1;

    p->lists = calloc(n, sizeof(*p->lists));
    p->left = calloc(n, sizeof(*p->left));
    p->hunts = calloc(n, sizeof(*p->hunts));
    p->nlists = calloc(n, sizeof(*p->nlists));
    p->nleft = calloc(n, sizeof(*p->nleft));
    return p->lists && p->left && p->hunts && p->nlists && p->nleft ? 0 : -1;
}

static void free_by_source(struct plan *p)
{
    size_t i;

    for (i = 0; p->left && i < p->src.n; i++) {
        free(p->left[i]); /* where there was no memory for a second round */
    }
    free(p->lists);
    free(p->left);
    free(p->hunts);
    free(p->nlists);
    free(p->nleft);
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
    if (p.by_vhost == NULL || by_source(&p) != 0) {
        mo_error("out of memory");
        free(p.by_vhost);
        free_by_source(&p);
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
    if (pass(&p, FIRST) && p.s.rc == 0) {
        pass(&p, AGAIN);
    }
    for (i = 0; i < n; i++) {
        missed += w[i].time_us && w[i].nhits == 0;
    }
    if (missed && p.s.rc == 0) {
        pass(&p, WIDE);
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
    free_by_source(&p);
    free(p.s.part);
    pthread_mutex_destroy(&p.s.lock);
    if (p.s.rc != 0) {
        mo_error("out of memory");
    }
    return p.s.rc;
}

void cli_found_say(const struct cli *c, const struct cli_found *f)
{
    size_t i;

    for (i = 0; i < f->nnotes; i++) {
        if (f->note[i].trouble) {
            mo_warn("%s", f->note[i].text);
        }
        else if (c->verbose) {
            mo_info("%s", f->note[i].text);
        }
    }
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
