/*
 * Which parts of a file can hold the lines of which wants: by the file's
 * times, and in a plain one by bisection.
 */
#include "lines.h"
#include "search.h"
#include "want.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK (2 * SECOND) /* file times are coarser than ours */
#define PIECE (32ull << 20) /* bytes that are worth a thread of their own */

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

/* The stretch of a plain file from at on, in pieces where there are threads
 * for them. */
static void pieces(struct plan *p, struct cli_lines *l, struct part *part)
{
    uint64_t size = cli_lines_size(l), start = cli_lines_at(l);
    uint64_t at = start, end = size;

    if (p->threads > 1 && size > at + 2 * PIECE &&
        cli_lines_find(l, part->until + SECOND, 0, line_time, p->of->format) ==
            0 &&
        cli_lines_at(l) > at) {
        end = cli_lines_at(l) + PIECE / 2;
    }
    for (;;) {
        part->at = at;
        part->first = at == start;
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
        for (to = from + 1; to < b && p->list[to]->time_us <= until + PLAN_FAR;
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

/* Of the source, where the ids stand in its lines; NULL: they don't, or all is
 * to be read. */
static struct hunt *hunt(struct plan *p)
{
    struct hunt *h = &p->hunts[p->of - p->src.s];

    if (p->round == WIDE || !(log_format_has(p->of->format, LOG_ID) ||
                              log_format_has(p->of->format, LOG_UNIQUE_ID))) {
        return NULL;
    }
    if (h->state == NULL) {
        h->state = calloc(p->nlist, sizeof(*h->state));
        h->jumps = p->round == FIRST;
    }
    return h->state ? h : NULL;
}

int plan_file(struct plan *p, struct cli_file *file)
{
    struct part part = {.source = p->of,
                        .file = file->path,
                        .dev = file->dev,
                        .inode = file->inode,
                        .whole = file->size,
                        .list = p->list,
                        .size = file->size,
                        .slow = p->s.slow,
                        .rank = (size_t)(p->of - p->src.s),
                        .first = 1,
                        .end = UINT64_MAX};
    uint64_t start = 0;
    struct cli_lines *l;
    size_t a = 0, b, i;
    int timed, rc = 1, say = p->round == FIRST;

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
        if (source_guess(p->of, file->path) != 0) {
            if (say) {
                search_note(p->s.found, 1,
                            "%s: of no format that is known; --log-format "
                            "tells it",
                            file->path);
            }
            cli_lines_close(l);
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
    part.hunt = hunt(p);
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
