/*
 * The access_log lines of a span of time.  See waves.h.
 */
#include "waves.h"
#include "lines.h"
#include "sources.h"

#include <string.h>
#include <strings.h>

#include "mo_msg.h"

/* lines are written at a request's end: out of order by this, at most */
#define SLOW (10 * MINUTE)
#define GUESS_BYTES 65536

static int line_time(void *arg, const char *line, size_t len, uint64_t *us)
{
    return log_format_time(arg, line, len, us);
}

static struct log_format *guess(const char *path)
{
    static char text[GUESS_BYTES];
    struct cli_lines *l = cli_lines_open(path);
    size_t n = 0, len;
    char *line;

    if (!l)
        return NULL;
    while ((line = cli_lines_next(l, &len)) != NULL &&
           n + len + 1 < sizeof text) {
        memcpy(text + n, line, len);
        n += len;
        text[n++] = '\n';
    }
    cli_lines_close(l);
    return log_format_guess(text, n);
}

static void one_file(struct cli *c, const struct cli_file *file,
                     struct log_format *f, uint64_t from, uint64_t to,
                     const char *vhost, access_fn *fn, void *arg)
{
    struct cli_lines *l = cli_lines_open(file->path);
    struct log_line parsed;
    unsigned n = 0;
    uint64_t us;
    size_t len;
    char *line;

    if (!l)
        return;
    if (cli_lines_seekable(l))
        cli_lines_find(l, from, SLOW, line_time, f);
    while ((line = cli_lines_next(l, &len)) != NULL) {
        if ((++n & 4095) == 0)
            cli_progress(c, "access_log", cli_lines_pos(l), file->size);
        if (log_format_time(f, line, len, &us) < 0)
            continue;
        if (us > to + SLOW)
            break;
        if (us + 1000000 <= from || us > to ||
            log_format_parse(f, line, len, 0, &parsed) < 0)
            continue;
        if (vhost && parsed.part[LOG_VHOST].p &&
            (parsed.part[LOG_VHOST].n != strlen(vhost) ||
             strncasecmp(parsed.part[LOG_VHOST].p, vhost,
                         parsed.part[LOG_VHOST].n) != 0))
            continue;
        fn(arg, &parsed, line, len);
    }
    cli_lines_close(l);
}

static int may_hold(const struct source *s, const char *vhost)
{
    size_t i;

    if (!vhost || s->all)
        return 1;
    for (i = 0; i < s->nvhosts; i++)
        if (strcasecmp(s->vhost[i], vhost) == 0)
            return 1;
    return 0;
}

int waves_access(struct cli *c, uint64_t from, uint64_t to, const char *vhost,
                 access_fn *fn, void *arg)
{
    struct sources all;
    size_t i, j;

    if (sources_find(c, &all) < 0)
        return -1;
    for (i = 0; i < all.n; i++) {
        struct source *s = &all.s[i];

        if (s->note || !may_hold(s, vhost))
            continue;
        for (j = 0; j < s->files.n; j++) {
            const struct cli_file *file = &s->files.file[j];
            struct log_format *f = s->format;

            if (file->mtime_us + MINUTE < from)
                continue;
            if (!f)
                f = guess(file->path);
            if (!f) {
                mo_warn("%s: its format is not known (--log-format says it)",
                        file->path);
                continue;
            }
            one_file(c, file, f, from, to, vhost, fn, arg);
            if (f != s->format)
                log_format_free(f);
        }
    }
    cli_progress_end(c);
    sources_free(&all);
    return 0;
}
