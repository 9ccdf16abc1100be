/*
 * An MTA's logs: their files, lines and times.  See maillog.h.
 */
#include "maillog.h"
#include "files.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "mo_msg.h"

int maillog_time(const char *line, size_t len, uint64_t now, uint64_t *us)
{
    char text[40];
    struct tm tm;
    time_t t;
    size_t n = len < sizeof text - 1 ? len : sizeof text - 1;
    const char *end;

    memcpy(text, line, n);
    text[n] = 0;
    if (n > 19 && isdigit((unsigned char)text[0]) && text[10] == 'T') {
        text[strcspn(text, " ")] = 0;
        return mo_time_parse(text, us);
    }
    memset(&tm, 0, sizeof tm);
    tm.tm_isdst = -1;
    if (isdigit((unsigned char)text[0])) {
        end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
        if (!end)
            return -1;
        t = mktime(&tm);
    }
    else {
        time_t today = (time_t)(now / 1000000);
        struct tm year;

        end = strptime(text, "%b %d %H:%M:%S", &tm);
        if (!end || !localtime_r(&today, &year))
            return -1;
        /* the log has no year: the last one that is not in the future */
        tm.tm_year = year.tm_year;
        t = mktime(&tm);
        if (t > today + 86400) {
            tm.tm_year--;
            tm.tm_isdst = -1;
            t = mktime(&tm);
        }
    }
    if (t == (time_t)-1)
        return -1;
    *us = (uint64_t)t * 1000000;
    return 0;
}

static int read_log(struct cli *c, const struct cli_file *file, uint64_t done,
                    uint64_t total, maillog_fn *fn, void *arg)
{
    struct cli_lines *l = cli_lines_open(file->path);
    uint64_t now = (uint64_t)time(NULL) * 1000000, us;
    unsigned long n = 0;
    struct taken t;
    size_t len;
    char *line;

    if (l == NULL) {
        mo_error("%s: %s", file->path, strerror(errno));
        return -1;
    }
    while ((line = cli_lines_next(l, &len)) != NULL) {
        if ((++n & 4095) == 0)
            cli_progress(c, file->path, done + cli_lines_pos(l), total);
        us = 0;
        if (taken_line(line, len, &t) &&
            (t.kind == TAKEN_MORE || maillog_time(line, len, now, &us) == 0))
            fn(arg, &t, us);
    }
    if (cli_lines_error(l))
        mo_warn("%s: %s; going on", file->path, cli_lines_error(l));
    cli_lines_close(l);
    return 0;
}

/* Adds the files of a name; what is no file (a pipe) is read at once.  -1:
 * said. */
static int one_name(struct cli *c, struct cli_files *f, const char *name,
                    maillog_fn *fn, void *arg)
{
    struct cli_file pipe = {.path = (char *)name};
    struct stat st;

    if (strcmp(name, "-") == 0 ||
        (stat(name, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return read_log(c, &pipe, 0, 0, fn, arg);
    if (cli_files_rotated(f, name, NULL) > 0 ||
        cli_files_glob(f, name, NULL) >= 0)
        return 0;
    mo_error("%s: %s", name, strerror(errno));
    return -1;
}

int maillog_read(struct cli *c, const char *const *name, size_t n,
                 maillog_fn *fn, void *arg)
{
    static const char *const usual[] = {"/var/log/mail.log", "/var/log/maillog",
                                        "/var/log/exim4/mainlog",
                                        "/var/log/exim/main.log"};
    struct cli_files files = {0};
    uint64_t done = 0, total = 0;
    size_t i;
    int rv = 0;

    for (i = 0; i < n && rv == 0; i++)
        rv = one_name(c, &files, name[i], fn, arg);
    for (i = 0; n == 0 && i < sizeof usual / sizeof *usual; i++)
        cli_files_rotated(&files, usual[i], NULL);
    if (n == 0 && files.n == 0) {
        mo_error("there is no log of an MTA in /var/log (looked for mail.log, "
                 "maillog, exim4/mainlog and exim/main.log): name it");
        rv = -1;
    }
    cli_files_sort(&files);
    for (i = 0; i < files.n; i++)
        total += files.file[i].size;
    for (i = 0; i < files.n && rv == 0; i++) {
        rv = read_log(c, &files.file[i], done, total, fn, arg);
        done += files.file[i].size;
    }
    cli_progress_end(c);
    cli_files_free(&files);
    return rv;
}
