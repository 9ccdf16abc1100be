/*
 * The search of an access log: the input is a programme that writes one, as
 * httpd would, and asks for some of its requests.  Whatever lies between
 * them, however late a line was written and whatever was jumped over, each is
 * found, and nothing else.
 *
 * Two bytes a step: what, and how much.  The first byte of all is the format.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../cli/correlate.h"

#define LOG_MAX (6u << 20)
#define WANTS 64
#define T0 1577836800u /* before any clock of ours: a log's mtime is now */
#define LATEST (6 * 3600 - 120) /* s that a request may outlast its mail */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a request that is asked for, and its line that is still to be written */
struct asked {
    uint32_t begin, sent, written, again; /* s; again: of its second line */
    int lines; /* 2: an equal one, by no id, that ended later */
    int due;
    int has_id, in_log;
    char id[24], uri[32], begin_text[32], sent_text[32];
    struct mo_record record;
};

struct log {
    FILE *f;
    long size;
    uint32_t now;
    int with_id, wrong_clocks;
    struct asked *a;
    unsigned n;
};

static void line(struct log *g, uint32_t at, const char *uri, const char *id,
                 size_t pad)
{
    time_t t = (time_t)at;
    struct tm tm;
    char when[40];

    if (g->size > (long)LOG_MAX)
        return;
    gmtime_r(&t, &tm);
    strftime(when, sizeof when, "%d/%b/%Y:%H:%M:%S +0000", &tm);
    g->size +=
        fprintf(g->f, "192.0.2.1 - - [%s] \"GET %s%s%0*d HTTP/1.1\" 200 5",
                when, uri, pad ? "?" : "", (int)pad, 0);
    if (g->with_id)
        g->size += fprintf(g->f, " %s", id);
    fputc('\n', g->f);
    g->size++;
}

/* Up to that second: what was under way ends, and others come and go. */
static void advance(struct log *g, uint32_t to)
{
    struct asked *a, *next;
    unsigned i;

    for (;;) {
        next = NULL;
        for (i = 0; i < g->n; i++) {
            a = &g->a[i];
            if (a->due > 0 && a->written <= to &&
                (!next || a->written < next->written))
                next = a;
        }
        if (!next || g->size > (long)LOG_MAX)
            break;
        g->now = next->written > g->now ? next->written : g->now;
        line(g, next->begin, next->uri, next->has_id ? next->id : "-", 1);
        line(g, g->now, "/other", "-", 0);
        next->in_log++;
        next->due--;
        next->written = next->again;
    }
    g->now = to > g->now ? to : g->now;
    line(g, g->now, "/other", "-", 0);
}

static void ask(struct log *g, unsigned what, unsigned much)
{
    static const uint32_t late[] = {0, 1, 11, 61, 130, 590, 3600, LATEST};
    struct asked *a = &g->a[g->n];
    unsigned i;

    if (g->n == WANTS || g->size > (long)LOG_MAX)
        return;
    memset(a, 0, sizeof *a);
    a->begin = g->now;
    a->sent = g->now + much % 8;
    a->has_id = g->with_id && what % 4 != 2;
    a->lines = a->has_id || what & 1 ? 1 : 1 + (much % 2 == 0);
    a->written = a->sent + late[a->lines > 1 ? much % 6 : much / 8 % 8];
    a->again = a->written + late[much / 32 % 6] / 2;
    if (a->lines > 1 && a->again > a->sent + 590)
        a->again = a->written;
    a->due = much == 255 ? 0 : a->lines; /* else it is in no log */
    snprintf(a->id, sizeof a->id, "AAAAAAAAAAAAAA%02u", g->n);
    snprintf(a->uri, sizeof a->uri, "/asked/%02u", g->n);
    mo_time_format(a->begin * 1000000ull + 999 * much, a->begin_text);
    mo_time_format(a->sent * 1000000ull + 500000, a->sent_text);
    a->record.value[MO_F_REQUEST_ID] = a->id;
    a->record.value[MO_F_CLIENT] = "192.0.2.1";
    a->record.value[MO_F_METHOD] = "GET";
    a->record.value[MO_F_URI] = a->uri;
    a->record.value[MO_F_REQUEST_TIME] = a->begin_text;
    a->record.value[MO_F_TIME] = a->sent_text;
    g->n++;
    /* so that its second begins no later than where the log is */
    for (i = 0; i < 2; i++)
        line(g, g->now, "/other", "-", 0);
}

static void write_log(struct log *g, const uint8_t *data, size_t size)
{
    size_t i;
    unsigned k;

    line(g, g->now, "/other", "-", 0);
    for (i = 0; i + 1 < size; i += 2) {
        unsigned what = data[i] & 7, much = data[i + 1];

        switch (what) {
        case 0:
        case 1:
        case 2:
        case 3:
            ask(g, what, much);
            break;
        case 4: /* much traffic in a second */
            for (k = 0; k < 16; k++)
                line(g, g->now, "/page", "BBBBBBBBBBBBBBBB", 8u * much);
            break;
        case 5: /* a quiet time */
            advance(g, g->now + much * much);
            break;
        case 6: /* steady traffic */
            for (k = 0; k < 64; k++) {
                advance(g, g->now + (much & 3) + 1);
                line(g, g->now, "/page", "CCCCCCCCCCCCCCCC", 4u * much);
            }
            break;
        default: /* a line of a clock that was wrong */
            if (++g->wrong_clocks <= 4)
                line(g, g->now + 86400, "/page", "-", 0);
            advance(g, g->now + 1);
        }
    }
    advance(g, g->now + 7 * 3600);
}

static void check(const struct asked *a, const struct cli_want *w)
{
    enum cli_match right = a->in_log == 0  ? MATCH_NONE
                           : a->has_id     ? MATCH_EXACT
                           : a->in_log > 1 ? MATCH_AMBIGUOUS
                                           : MATCH_UNIQUE;
    const struct cli_hit *h;

    if (w->match != right || w->nhits != (unsigned)a->in_log) {
        fprintf(stderr, "%s of %u, sent %u, written %u: %s, %u lines\n", a->uri,
                a->begin, a->sent, a->written, cli_match_name(w->match),
                w->nhits);
        abort();
    }
    for (h = w->hits; h; h = h->next)
        if (!strstr(h->line, a->uri))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {
        "%h %l %u %t \"%r\" %>s %b",
        "%h %l %u %t \"%r\" %>s %b %{MAILORIGIN_ID}e"};
    static struct asked asked[WANTS];
    static struct cli_want want[WANTS];
    static struct cli c;
    struct cli_found found;
    struct log g = {.now = T0, .a = asked};
    char path[64];
    unsigned i;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (size < 1 || fd < 0 || (g.f = fdopen(fd, "w")) == NULL) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    g.with_id = data[0] & 1;
    write_log(&g, data + 1, size - 1);
    if (fflush(g.f) != 0)
        abort();
    memset(&c, 0, sizeof c);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    c.access_log[0] = path;
    c.naccess_logs = 1;
    c.log_format = formats[g.with_id];
    c.threads = 1 + (data[0] >> 1 & 1);
    for (i = 0; i < g.n; i++)
        cli_want_set(&want[i], &asked[i].record);
    memset(&found, 0, sizeof found);
    if (g.n && cli_correlate(&c, want, g.n, &found) != 0)
        abort();
    if (found.bad)
        abort();
    for (i = 0; i < g.n; i++)
        check(&asked[i], &want[i]);
    cli_found_free(&found, want, g.n);
    fclose(g.f);
    return 0;
}
