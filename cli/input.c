/*
 * Reads mails: one by one, out of an mbox, a Maildir or a folder.
 */
#include "input.h"
#include "cli.h"
#include "lines.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mo_msg.h"

struct mail {
    char *buf;
    size_t len, cap;
    unsigned n; /* of an mbox; 0: a file with one mail */
    const char *path;
    int (*fn)(void *, const char *, const char *, size_t);
    void *arg;
};

static int add(struct mail *m, const char *line, size_t len, int whole)
{
    size_t need = m->len + len + 2;

    if (need > INPUT_MAIL_MAX) {
        return 0;
    }
    if (need > m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 65536;
        char *more;

        while (cap < need) {
            cap *= 2;
        }
        if ((more = realloc(m->buf, cap)) == NULL) {
            mo_error("%s: out of memory", m->path);
            return -1;
        }
        m->buf = more;
        m->cap = cap;
    }
    memcpy(m->buf + m->len, line, len);
    m->len += len;
    if (whole) {
        m->buf[m->len++] = '\n';
    }
    m->buf[m->len] = '\0';
    return 0;
}

static int give(struct mail *m)
{
    char name[4200];

    if (m->len == 0) {
        return 0;
    }
    if (m->n) {
        snprintf(name, sizeof(name), "%s, mail %u", m->path, m->n);
    }
    else {
        snprintf(name, sizeof(name), "%s",
                 strcmp(m->path, "-") ? m->path : "standard input");
    }
    return m->fn(m->arg, name, m->buf, m->len);
}

static int one_file(const char *path,
                    int (*fn)(void *, const char *, const char *, size_t),
                    void *arg)
{
    struct mail m = {.path = path, .fn = fn, .arg = arg};
    struct cli_lines *l = cli_lines_open(path);
    int blank = 1, rc = 0, mbox = 0, first = 1;
    size_t len;
    char *line;

    if (l == NULL) {
        mo_error("%s: %s", path, strerror(errno));
        return -1;
    }
    while (rc == 0 && (line = cli_lines_next(l, &len)) != NULL) {
        int from = len > 5 && memcmp(line, "From ", 5) == 0;

        if (first) {
            mbox = from;
            first = 0;
        }
        if (mbox && from && blank) {
            rc = give(&m);
            m.len = 0;
            m.n++;
        }
        blank = len == 0 || (len == 1 && line[0] == '\r');
        if (rc == 0) {
            rc = add(&m, line, len, cli_lines_whole(l));
        }
    }
    if (rc == 0 && cli_lines_error(l)) {
        mo_error("%s: %s", path, cli_lines_error(l));
        rc = -1;
    }
    if (rc == 0) {
        if (m.n == 1) {
            m.n = 0; /* a saved mail with its From line */
        }
        if (first) {
            mo_warn("%s: it is empty", path);
        }
        rc = give(&m);
    }
    free(m.buf);
    cli_lines_close(l);
    return rc;
}

static int folder(const char *path,
                  int (*fn)(void *, const char *, const char *, size_t),
                  void *arg)
{
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort), i, rc = 0;
    char *full;
    struct stat st;

    if (n < 0) {
        mo_error("%s: %s", path, strerror(errno));
        return -1;
    }
    for (i = 0; i < n; i++) {
        if (rc == 0 && list[i]->d_name[0] != '.' &&
            asprintf(&full, "%s/%s", path, list[i]->d_name) > 0) {
            if (stat(full, &st) == 0 && S_ISREG(st.st_mode)) {
                rc = one_file(full, fn, arg);
            }
            free(full);
        }
        free(list[i]);
    }
    free(list);
    return rc;
}

int input_mails(const char *path,
                int (*fn)(void *arg, const char *name, const char *mail,
                          size_t len),
                void *arg)
{
    static const char *const sub[] = {"cur", "new"};
    int maildir = 0, rc = 0, i;
    struct stat st;
    char *full;

    if (strcmp(path, "-") == 0 || stat(path, &st) != 0 ||
        !S_ISDIR(st.st_mode)) {
        return one_file(path, fn, arg);
    }
    for (i = 0; i < 2 && rc == 0; i++) {
        if (asprintf(&full, "%s/%s", path, sub[i]) < 0) {
            return -1;
        }
        if (stat(full, &st) == 0 && S_ISDIR(st.st_mode)) {
            maildir = 1;
            rc = folder(full, fn, arg);
        }
        free(full);
    }
    return maildir ? rc : folder(path, fn, arg);
}
