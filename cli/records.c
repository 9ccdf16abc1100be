/*
 * Records out of the mail logs, in order of time.  Files that ended before
 * --since are not opened; plain ones are entered by bisection.
 */
#include "records.h"
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_msg.h"

/* a clock that was set back, at most, for records to be found out of order */
#define SLACK (60 * 1000000ull)

int cli_records_files(struct cli *c, struct cli_files *f)
{
    unsigned i;
    int n;

    memset(f, 0, sizeof(*f));
    for (i = 0; i < c->nlogs; i++) {
        if (cli_files_one(f, c->log[i], NULL) < 0 &&
            cli_files_glob(f, c->log[i], NULL) < 0) {
            mo_error("mail log %s: %s", c->log[i], strerror(errno));
            cli_files_free(f);
            return -1;
        }
    }
    if (c->nlogs == 0) {
        n = cli_files_rotated(f, c->conf.log, NULL);
        if (n <= 0) {
            mo_error("mail log %s: %s (is the recorder running? --log FILE "
                     "reads another)",
                     c->conf.log, strerror(n < 0 ? errno : ENOENT));
            cli_files_free(f);
            return -1;
        }
    }
    cli_files_sort(f);
    return 0;
}

static int is_number_equal(const char *a, const char *b)
{
    while (*a == '0' && a[1]) {
        a++;
    }
    while (*b == '0' && b[1]) {
        b++;
    }
    return strcmp(a, b) == 0;
}

static int filters_match(const struct cli *c, const struct mo_record *r)
{
    unsigned i;

    for (i = 0; i < c->nfilters; i++) {
        const struct cli_filter *f = &c->filter[i];
        const char *v = r->value[f->field] ? r->value[f->field] : "";

        if (f->is_prefix ? strncmp(v, f->value, strlen(f->value)) != 0
            : mo_field_is_number(f->field) ? !is_number_equal(v, f->value)
                                           : strcmp(v, f->value) != 0) {
            return 0;
        }
    }
    return 1;
}

uint64_t cli_record_time(const struct mo_record *r)
{
    uint64_t us;

    if (r->value[MO_F_TIME] == NULL ||
        mo_time_parse(r->value[MO_F_TIME], &us) != 0) {
        return 0;
    }
    return us;
}

int cli_match(const struct cli *c, const struct mo_record *r)
{
    if (c->since || c->until) {
        uint64_t us = cli_record_time(r);

        if (us == 0 || us < c->since || (c->until && us > c->until)) {
            return 0;
        }
    }
    return filters_match(c, r);
}

/* A record's time is its first member: no need to parse the whole line. */
static int line_time(void *arg, const char *line, size_t len, uint64_t *us)
{
    static const char head[] = "{\"time\":\"";
    const char *end;
    char text[64];
    size_t n;

    (void)arg;
    if (len < sizeof(head) || memcmp(line, head, sizeof(head) - 1) != 0) {
        return -1;
    }
    line += sizeof(head) - 1;
    end = memchr(line, '"', len - (sizeof(head) - 1));
    if (end == NULL || (n = (size_t)(end - line)) >= sizeof(text)) {
        return -1;
    }
    memcpy(text, line, n);
    text[n] = '\0';
    return mo_time_parse(text, us);
}

/* The members that matter: the verb's and the filters'. */
static uint64_t wanted(const struct cli *c)
{
    uint64_t bits = c->fields;
    unsigned i;

    for (i = 0; bits && i < c->nfilters; i++) {
        bits |= 1ull << c->filter[i].field;
    }
    return bits ? bits | 1ull << MO_F_TIME : ~0ull;
}

struct walk {
    struct cli *c;
    int (*fn)(void *arg, struct mo_record *r);
    void *arg;
    unsigned long bad;
    uint64_t done, total;
};

/* 0: to the end, 1: fn stopped, 2: past --until, -1: trouble, said */
static int one_file(struct walk *w, const struct cli_file *file)
{
    struct cli_lines *l = cli_lines_open(file->path);
    struct mo_record r;
    unsigned n = 0;
    uint64_t us, bits = wanted(w->c);
    size_t len;
    char *line;
    int rc = 0;

    if (l == NULL) {
        mo_error("mail log %s: %s", file->path, strerror(errno));
        return -1;
    }
    if (w->c->since && cli_lines_seekable(l) &&
        cli_lines_find(l, w->c->since, SLACK, line_time, NULL) != 0) {
        mo_error("mail log %s: %s", file->path, strerror(errno));
        cli_lines_close(l);
        return -1;
    }
    while (rc == 0 && (line = cli_lines_next(l, &len)) != NULL) {
        if ((++n & 4095) == 0) {
            cli_progress(w->c, "mail log", w->done + cli_lines_pos(l),
                         w->total);
        }
        if (len == 0) {
            continue;
        }
        if ((w->c->since || w->c->until) &&
            line_time(NULL, line, len, &us) == 0) {
            if (us < w->c->since) {
                continue;
            }
            if (w->c->until && us > w->c->until) {
                if (us > w->c->until + SLACK) {
                    rc = 2;
                }
                continue;
            }
        }
        if (mo_record_parse_some(line, len, bits, &r) != 0) {
            /* the last line may be in the middle of its write */
            w->bad += cli_lines_whole(l) != 0;
            continue;
        }
        if (cli_match(w->c, &r)) {
            rc = w->fn(w->arg, &r) != 0;
        }
    }
    if (rc == 0 && cli_lines_error(l)) {
        mo_warn("mail log %s: %s; going on", file->path, cli_lines_error(l));
    }
    w->done += file->size;
    cli_lines_close(l);
    return rc;
}

int cli_records(struct cli *c, int (*fn)(void *arg, struct mo_record *r),
                void *arg, unsigned long *bad)
{
    struct walk w = {.c = c, .fn = fn, .arg = arg};
    struct cli_files f;
    size_t i, read = 0, failed = 0;
    int rc = 0;

    if (c->nlogs == 1 && strcmp(c->log[0], "-") == 0) {
        static char dash[] = "-";
        struct cli_file in = {.path = dash};

        rc = one_file(&w, &in);
        cli_progress_end(c);
        if (bad) {
            *bad = w.bad;
        }
        return rc < 0 ? -1 : 0;
    }
    if (cli_records_files(c, &f) != 0) {
        return -1;
    }
    for (i = 0; i < f.n; i++) {
        w.total += f.file[i].size;
    }
    for (i = 0; i < f.n && rc <= 0; i++) {
        if (c->since && f.file[i].mtime_us + SLACK < c->since) {
            w.done += f.file[i].size;
            read++;
            continue;
        }
        rc = one_file(&w, &f.file[i]);
        if (rc < 0) {
            failed++;
        }
        else {
            read++;
        }
    }
    cli_progress_end(c);
    cli_files_free(&f);
    if (bad) {
        *bad = w.bad;
    }
    return failed > 0 && read == 0 ? -1 : 0;
}

/* ---- following */

/* Is the name now another file that is written to, or the file shorter than
 * what was read?  A new one that is empty still waits for the recorder to
 * reopen its log: until then it goes on with the old one. */
static int was_rotated(const char *path, const struct cli_lines *l)
{
    struct stat now, ours;

    if (stat(path, &now) != 0 || fstat(cli_lines_fileno(l), &ours) != 0) {
        return 0; /* between rename and reopen: wait for the new one */
    }
    if (now.st_ino != ours.st_ino || now.st_dev != ours.st_dev) {
        return now.st_size > 0;
    }
    return (uint64_t)ours.st_size < cli_lines_at(l);
}

/* Gives all whole lines that are there; 1: fn stopped. */
static int drain(struct cli *c, struct cli_lines *l,
                 int (*fn)(void *arg, struct mo_record *r), void *arg)
{
    struct mo_record r;
    uint64_t at;
    size_t len;
    char *line;

    for (;;) {
        at = cli_lines_at(l);
        cli_lines_again(l);
        if ((line = cli_lines_next(l, &len)) == NULL) {
            return 0;
        }
        if (!cli_lines_whole(l) && len < MO_RECORD_LINE) {
            cli_lines_seek(l, at); /* its end is still to come */
            return 0;
        }
        if (mo_record_parse(line, len, &r) == 0 && cli_match(c, &r) &&
            fn(arg, &r) != 0) {
            return 1;
        }
    }
}

/* The records of all files but the one that is followed, which is open: it
 * may be renamed meanwhile, and another may stand under its name. */
static int older(struct cli *c, const char *path, const struct cli_lines *l,
                 int (*fn)(void *arg, struct mo_record *r), void *arg)
{
    struct walk w = {.c = c, .fn = fn, .arg = arg};
    struct cli_files f;
    struct stat st;
    size_t i;
    int rc = 0;

    if (fstat(cli_lines_fileno(l), &st) != 0 || cli_records_files(c, &f) != 0) {
        return -1;
    }
    for (i = 0; i < f.n && rc <= 0; i++) {
        if ((f.file[i].inode == st.st_ino && f.file[i].dev == st.st_dev) ||
            strcmp(f.file[i].path, path) == 0 ||
            f.file[i].mtime_us + SLACK < c->since) {
            continue;
        }
        rc = one_file(&w, &f.file[i]);
    }
    cli_files_free(&f);
    return rc == 1; /* 2: it is past --until, others may not be */
}

int cli_records_follow(struct cli *c, int (*fn)(void *arg, struct mo_record *r),
                       void *arg, int (*stop)(void))
{
    const char *path = c->nlogs ? c->log[c->nlogs - 1] : c->conf.log;
    struct cli_lines *l = cli_lines_open(path);
    struct pollfd p = {.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
                       .events = POLLIN};
    char events[4096];
    int rc = 0;

    if (l == NULL || !cli_lines_seekable(l)) {
        mo_error("mail log %s: %s", path,
                 l ? "only a plain file can be followed" : strerror(errno));
        cli_lines_close(l);
        if (p.fd >= 0) {
            close(p.fd);
        }
        return -1;
    }
    if (c->since == 0) {
        cli_lines_seek(l, cli_lines_size(l));
    }
    else if ((rc = older(c, path, l, fn, arg)) == 0 &&
             cli_lines_find(l, c->since, SLACK, line_time, NULL) != 0) {
        mo_error("mail log %s: %s", path, strerror(errno));
        rc = -1;
    }
    while (!stop() && rc == 0) {
        if (p.fd >= 0) {
            inotify_add_watch(p.fd, path, IN_MODIFY | IN_MOVE_SELF);
        }
        rc = drain(c, l, fn, arg);
        fflush(stdout);
        if (rc == 0 && was_rotated(path, l)) {
            struct cli_lines *next;

            rc = drain(c, l, fn, arg); /* what came before the reopen */
            if (rc == 0 && (next = cli_lines_open(path)) != NULL) {
                cli_lines_close(l);
                l = next;
            }
            continue;
        }
        if (rc == 0) {
            /* the time-out finds a new file under the old name */
            poll(&p, p.fd >= 0, 1000);
            while (p.fd >= 0 && read(p.fd, events, sizeof(events)) > 0) {
            }
        }
    }
    fflush(stdout);
    cli_lines_close(l);
    if (p.fd >= 0) {
        close(p.fd);
    }
    return rc < 0 ? -1 : 0;
}
