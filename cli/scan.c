/*
 * Reads parts of access logs and holds their lines against the wants.
 *
 * Most lines are of a second at which nothing is wanted, so with a plain %t
 * lines are not even told apart: the next '[' is looked for, and what stands
 * after it compared with the time seen last.  Only where a second is wanted is
 * the line's begin searched and the line parsed.
 */
#include "files.h"
#include "jump.h"
#include "lines.h"
#include "search.h"
#include "want.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mo_msg.h"

#define CLF 26 /* characters of %t between its brackets */
#define PAST 8 /* lines beyond it end a part: not one of a wrong clock */
#define OLD 2
#define SEEN 64 /* times kept, by their second: lines are a little mixed */

/* one thread's */
struct scan {
    struct search *s;
    struct log_format *f; /* its own: it keeps the day parsed last */
    struct log_format *old[OLD]; /* what a log is mostly of before f */
    struct source *of; /* the source that f is of */
    struct part *p;
    uint64_t order; /* the part's, for hits to stay in order */
    size_t last; /* where in the list the time was that was looked at */
    unsigned long bad;
    int shows; /* progress: only one thread does */
    pthread_t thread;
};

/* ---- hits */

/* A surer hit drops the others; a less sure one is none. */
static void hit(struct scan *n, struct cli_want *w, const char *line,
                size_t len, enum want_is is)
{
    struct cli_hit **at = &w->hits, *h, *drop;
    unsigned kept = 0;

    h = malloc(sizeof(*h) + len + 1);
    if (h == NULL) {
        n->s->rc = -1;
        return;
    }
    memcpy(h->line, line, len);
    h->line[len] = '\0';
    h->file = n->p->file;
    h->source = n->p->source;
    h->order = n->order;
    pthread_mutex_lock(&n->s->lock);
    if ((int)is < w->sure) {
        pthread_mutex_unlock(&n->s->lock);
        free(h);
        return;
    }
    while ((int)is > w->sure && (drop = w->hits) != NULL) {
        w->hits = drop->next;
        free(drop);
        w->nhits = 0;
    }
    w->sure = (int)is;
    w->nhits++;
    for (; *at && (*at)->order <= h->order; at = &(*at)->next) {
        kept++;
    }
    h->next = *at;
    *at = h;
    for (kept++, at = &h->next; *at && kept < CLI_HITS; at = &(*at)->next) {
        kept++;
    }
    if (kept > CLI_HITS) { /* the new one itself is past the last */
        for (at = &w->hits; *at != h; at = &(*at)->next) {
        }
    }
    while ((drop = *at) != NULL) {
        *at = drop->next;
        free(drop);
    }
    pthread_mutex_unlock(&n->s->lock);
}

size_t want_first(struct cli_want *const *list, size_t from, size_t to,
                  uint64_t us)
{
    size_t lo = from, hi = to, mid;

    while (lo < hi) {
        mid = lo + (hi - lo) / 2;
        if (list[mid]->time_us < us) {
            lo = mid + 1;
        }
        else {
            hi = mid;
        }
    }
    return lo;
}

static void compare(struct scan *n, struct want_line *wl, uint64_t from,
                    uint64_t to, const char *line, size_t len)
{
    size_t i = want_first(n->p->list, n->p->from, n->p->to, from);

    for (; i < n->p->to && n->p->list[i]->time_us < to; i++) {
        enum want_is is = want_is(n->p->list[i], wl);

        if (is != WANT_NO) {
            hit(n, n->p->list[i], line, len, is);
            /* an id alone can be set by a script of the same process */
            if (n->p->hunt && is == WANT_EXACT &&
                want_agrees(n->p->list[i], wl) != WANT_NO) {
                n->p->hunt->state[i] |= HUNT_FOUND;
            }
        }
    }
}

/* Of the log's format, or of one it may have had before? */
static int parse(struct scan *n, const char *line, size_t len,
                 struct log_line *l)
{
    static const char *const usual[OLD] = {"vhost_common", "common"};
    char err[256];
    int i;

    if (log_format_parse(n->f, line, len, 0, l) == 0) {
        return 0;
    }
    for (i = 0; i < OLD; i++) {
        if (n->old[i] == NULL) {
            n->old[i] = log_format_compile(usual[i], err, sizeof(err));
        }
        if (n->old[i] && log_format_parse(n->old[i], line, len, 0, l) == 0) {
            return 0;
        }
    }
    return -1;
}

/* A line that may be wanted: parsed, and held against those of its time.
 * whole: it is written to its end. */
static void look(struct scan *n, const char *line, size_t len, int whole)
{
    struct log_line l;
    struct want_line wl = {.l = &l, .keys = &n->s->c->keys};
    uint64_t t;

    if (parse(n, line, len, &l) != 0) {
        if (!whole) {
            return;
        }
        n->bad++;
        if (n->s->c->verbose) {
            mo_warn("%s: not of its format: %.*s", n->p->file,
                    len > 200 ? 200 : (int)len, line);
        }
        return;
    }
    if (!l.has_time) {
        compare(n, &wl, 0, UINT64_MAX, line, len);
        return;
    }
    t = l.time_us / SECOND * SECOND;
    /* where our own zone found nothing, httpd's may be another */
    l.any_zone = n->s->slow == WANT_SLOWEST && !l.is_end && t > ZONES &&
                 log_format_no_zone(n->f);
    if (l.is_end) {
        compare(n, &wl, t > n->s->slow ? t - n->s->slow : 0, t + SECOND, line,
                len);
        return;
    }
    if (l.any_zone) {
        for (t -= ZONES; t <= l.time_us + ZONES; t += ZONE_STEP) {
            compare(n, &wl, t, t + l.unit, line, len);
        }
        return;
    }
    compare(n, &wl, t, l.time_us + l.unit, line, len);
    if (l.other_us / SECOND != l.time_us / SECOND) {
        t = l.other_us / SECOND * SECOND;
        compare(n, &wl, t, l.other_us + l.unit, line, len);
    }
}

/* ---- a part */

struct seen {
    char text[CLF];
    int wanted;
    size_t last; /* where in the list it is */
    uint64_t us;
};

/* Is the time one at which something is wanted? */
static int is_wanted(struct scan *n, uint64_t us)
{
    const struct part *p = n->p;
    size_t i = n->last;
    uint64_t t = us / SECOND * SECOND;

    /* neighbours are of about the same second */
    if (i < p->from || i >= p->to || p->list[i]->time_us < t ||
        (i > p->from && p->list[i - 1]->time_us >= t)) {
        n->last = i = want_first(p->list, p->from, p->to, t);
    }
    return i < p->to && p->list[i]->time_us < t + SECOND;
}

/* Do the wants of that second, list[i] on, rule out that the request line at q
 * is theirs? */
static int is_other(const struct part *p, size_t i, uint64_t us, const char *q,
                    const char *end)
{
    uint64_t t = us / SECOND * SECOND;

    for (; i < p->to && p->list[i]->time_us < t + SECOND; i++) {
        if (!want_is_not(p->list[i], q, end)) {
            return 0;
        }
    }
    return 1;
}

static void advance(struct scan *n, uint64_t bytes, uint64_t *done)
{
    struct search *s = n->s;

    *done += bytes;
    s->done += bytes;
    if (n->shows) {
        cli_progress(s->c, n->p->file, s->done, s->total);
    }
}

static int line_time(struct scan *n, const char *line, size_t len, uint64_t *us)
{
    struct log_line l;

    if (log_format_time(n->f, line, len, us) == 0) {
        return 0;
    }
    if (parse(n, line, len, &l) != 0 || !l.has_time) {
        return -1;
    }
    *us = l.time_us;
    return 0;
}

/* Line by line. */
static void by_line(struct scan *n, struct cli_lines *l, uint64_t *done)
{
    const struct part *p = n->p;
    int timed = p->until != UINT64_MAX;
    uint64_t us, at = cli_lines_pos(l);
    unsigned long k = 0;
    int past = 0;
    size_t len;
    char *line;

    while (n->s->rc == 0 && (!p->plain || cli_lines_at(l) < p->end) &&
           (line = cli_lines_next(l, &len)) != NULL) {
        if ((++k & 0xFFF) == 0) {
            advance(n, cli_lines_pos(l) - at, done);
            at = cli_lines_pos(l);
        }
        if (len == 0) {
            continue;
        }
        if (timed) {
            if (line_time(n, line, len, &us) != 0) {
                n->bad += cli_lines_whole(l) != 0;
                if (n->s->c->verbose) {
                    mo_warn("%s: a line without its time: %.200s", p->file,
                            line);
                }
                continue;
            }
            if (us > p->until && ++past > PAST) {
                break;
            }
            if (!is_wanted(n, us)) {
                continue;
            }
        }
        look(n, line, len, cli_lines_whole(l));
    }
}

/* Is that, at q, the time of its line? */
static int is_line_time(struct scan *n, const char *block, const char *q,
                        const char *end, uint64_t us)
{
    const char *line = memrchr(block, '\n', (size_t)(q - block));
    const char *nl = memchr(q, '\n', (size_t)(end - q));
    struct log_line l;

    line = line ? line + 1 : block;
    return parse(n, line, (size_t)((nl ? nl : end) - line), &l) == 0 &&
           l.time_us / SECOND == us / SECOND;
}

/* Block by block, by the times alone.  after: what stands after %t's ']'. */
static void by_block(struct scan *n, struct cli_lines *l, const char *after,
                     size_t nafter, int request_next, uint64_t *done)
{
    struct part *p = n->p;
    struct seen seen[SEEN] = {{.text = ""}}, *t;
    uint64_t at = cli_lines_pos(l), base;
    struct jump jump;
    int last = 0, past = 0;
    char *block, *end, *q, *line, *nl;
    size_t len;

    jump_start(&jump, p, n->f, l);
    while (!last && n->s->rc == 0 &&
           (base = cli_lines_at(l), block = cli_lines_block(l, &len)) != NULL) {
        if (p->plain && base + len >= p->end) { /* up to the line at its end */
            last = 1;
            if (base >= p->end) {
                break;
            }
            q = memchr(block + (p->end - 1 - base), '\n',
                       len - (size_t)(p->end - 1 - base));
            len = q ? (size_t)(q - block) + 1 : len;
        }
        end = block + len;
        for (q = block; (size_t)(end - q) > CLF + 2 + nafter &&
                        (q = memchr(q, '[', (size_t)(end - q))) != NULL &&
                        (size_t)(end - q) > CLF + 2 + nafter;) {
            /* a hostile user's name can hold a time, but no '"' after it */
            if (q[CLF + 1] != ']' || memcmp(q + CLF + 2, after, nafter) != 0) {
                q++;
                continue;
            }
            t = &seen[(10 * q[19] + q[20]) % SEEN];
            if (memcmp(q + 1, t->text, CLF) != 0) {
                if (log_format_clf(n->f, q + 1, &t->us) != 0) {
                    memset(t->text, 0, CLF);
                    q++;
                    continue;
                }
                if (t->us > p->until) {
                    /* not one that a client wrote into its own line */
                    if (!is_line_time(n, block, q, end, t->us)) {
                        memset(t->text, 0, CLF);
                        q++;
                        continue;
                    }
                    if (++past > PAST) {
                        return;
                    }
                }
                else if (t->us > jump.latest) {
                    jump.latest = t->us;
                }
                memcpy(t->text, q + 1, CLF);
                t->wanted = is_wanted(n, t->us);
                t->last = n->last;
            }
            q += CLF + 2 + nafter;
            if (!t->wanted ||
                (request_next && is_other(p, t->last, t->us, q, end))) {
                continue;
            }
            line = memrchr(block, '\n', (size_t)(q - block));
            line = line ? line + 1 : block;
            nl = memchr(q, '\n', (size_t)(end - q));
            q = nl ? nl : end;
            look(n, line, (size_t)(q - line), nl != NULL);
        }
        if (p->hunt && !last && !jump_on(&jump, l)) {
            break;
        }
        advance(n, cli_lines_pos(l) - at, done);
        at = cli_lines_pos(l);
    }
    if (p->hunt && last) {
        jump_end(&jump);
    }
}

static void say(struct scan *n, const char *what)
{
    pthread_mutex_lock(&n->s->lock);
    search_note(n->s->found, 1, "%s: %s", n->p->file, what);
    pthread_mutex_unlock(&n->s->lock);
}

/* The part's file, also where rotation has given it another name since it was
 * planned; NULL: it is gone, which is said. */
static struct cli_lines *open_part(struct scan *n)
{
    const struct part *p = n->p;
    struct cli_lines *l = cli_lines_open(p->file);
    char *now;

    if (l == NULL || !cli_lines_is(l, p->dev, p->inode)) {
        cli_lines_close(l);
        l = NULL;
        if ((now = cli_files_again(p->file, p->dev, p->inode)) != NULL) {
            l = cli_lines_open(now);
            free(now);
        }
        if (l == NULL || !cli_lines_is(l, p->dev, p->inode)) {
            cli_lines_close(l);
            say(n, "it was rotated away while it was read; ask again");
            return NULL;
        }
    }
    if (cli_lines_size(l) < p->whole) {
        say(n, "it was cut while it was read; ask again");
    }
    return l;
}

static void one_part(struct scan *n)
{
    struct part *p = n->p;
    struct cli_lines *l = open_part(n);
    const char *after;
    uint64_t done = 0;
    size_t len, nafter;
    int request_next;

    n->last = p->from;
    if (l == NULL) {
        return;
    }
    if (p->plain && p->at > 0) {
        /* the line that byte at - 1 is of is the part's before */
        if (cli_lines_seek(l, p->at - 1) != 0 ||
            cli_lines_next(l, &len) == NULL) {
            cli_lines_close(l);
            return;
        }
    }
    if (p->until != UINT64_MAX && !n->s->c->verbose &&
        (after = log_format_after_clf(n->f, &nafter, &request_next)) != NULL) {
        by_block(n, l, after, nafter, request_next, &done);
    }
    else {
        by_line(n, l, &done);
    }
    if (done < p->size) {
        n->s->done += p->size - done;
    }
    if (cli_lines_error(l)) {
        say(n, cli_lines_error(l));
    }
    cli_lines_close(l);
}

static void *work(void *arg)
{
    struct scan *n = arg;
    struct search *s = n->s;
    char err[256];
    size_t i;

    while (s->rc == 0 && (i = s->next++) < s->nparts) {
        n->p = &s->part[i];
        n->order = (uint64_t)n->p->rank << 32 | i;
        if (n->of != n->p->source) {
            log_format_free(n->f);
            n->of = n->p->source;
            n->f = log_format_compile(log_format_text(n->of->format), err,
                                      sizeof(err));
        }
        if (n->f == NULL) {
            s->rc = -1;
            break;
        }
        one_part(n);
    }
    log_format_free(n->f);
    n->f = NULL;
    for (i = 0; i < OLD; i++) {
        log_format_free(n->old[i]);
    }
    pthread_mutex_lock(&s->lock);
    s->found->bad += n->bad;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void scan_parts(struct search *s, unsigned threads)
{
    struct scan n[16] = {{0}};
    unsigned i, started = 1;

    if (threads > 16) {
        threads = 16;
    }
    if (threads > s->nparts) {
        threads = s->nparts ? (unsigned)s->nparts : 1;
    }
    s->next = 0;
    s->done = 0;
    for (i = 0; i < threads; i++) {
        n[i].s = s;
        n[i].shows = i == 0;
    }
    for (i = 1; i < threads; i++, started++) {
        if (pthread_create(&n[i].thread, NULL, work, &n[i]) != 0) {
            break; /* fewer do the same */
        }
    }
    work(&n[0]);
    for (i = 1; i < started; i++) {
        pthread_join(n[i].thread, NULL);
    }
}
