/*
 * The access_log lines of a span of time.  See waves.h.
 */
#include "waves.h"
#include "lines.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "mo_msg.h"

/* lines are written at a request's end: out of order by this, at most */
#define SLOW (10 * MINUTE)

static int line_time(void *arg, const char *line, size_t len, uint64_t *us)
{
    return log_format_time(arg, line, len, us);
}

/* once a file, however many waves ask for it */
static void tell(struct cli_file *file, const char *what)
{
    if (!file->user)
        mo_warn("%s: %s", file->path, what);
    file->user = file;
}

static void one_file(struct cli *c, struct cli_file *file, struct log_format *f,
                     uint64_t from, uint64_t to, const char *vhost,
                     access_fn *fn, void *arg)
{
    struct cli_lines *l = cli_lines_open(file->path);
    struct log_line parsed;
    unsigned n = 0;
    uint64_t us;
    size_t len;
    char *line;

    if (!l) {
        tell(file, strerror(errno));
        return;
    }
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
    if (cli_lines_error(l))
        tell(file, cli_lines_error(l));
    cli_lines_close(l);
}

static int is_of(const struct source *s, const char *vhost)
{
    size_t i;

    for (i = 0; i < s->nvhosts; i++)
        if (strcasecmp(s->vhost[i], vhost) == 0)
            return 1;
    return 0;
}

void waves_access(struct cli *c, struct sources *all, uint64_t from,
                  uint64_t to, const char *vhost, access_fn *fn, void *arg)
{
    int known = 0; /* a log is of that vhost; else it may be in any */
    size_t i, j;

    for (i = 0; vhost && i < all->n; i++)
        known |= is_of(&all->s[i], vhost);
    for (i = 0; i < all->n; i++) {
        struct source *s = &all->s[i];

        if (s->note || (known && !s->all && !is_of(s, vhost)))
            continue;
        for (j = 0; j < s->files.n; j++) {
            struct cli_file *file = &s->files.file[j];

            if (file->mtime_us + MINUTE < from)
                continue;
            if (s->format || source_guess(s, file->path) == 0)
                one_file(c, file, s->format, from, to, vhost, fn, arg);
            else
                tell(file, "of no format that is known; --log-format tells it");
        }
    }
    cli_progress_end(c);
}
