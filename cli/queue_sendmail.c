/*
 * Sendmail's queues, mqueue and mqueue-client: qfID holds envelope and
 * header fields, dfID the body; hfID is a quarantined qfID, tfID, xfID are
 * Sendmail's own notes.  A queue may have folders under it (queue groups),
 * and qf/ df/ xf/ in each.
 *
 * Lines by their first letter: V version, T time of arrival, S sender,
 * R[flags:]recipient, H[?flags?]field with folds behind, q reason of a
 * quarantine, '.' end.
 */
#include "queue.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void body(struct queue_src *d, struct queue_fields *f)
{
    uint64_t off = 0;
    size_t len;
    int whole;
    const char *p;

    while (!f->done && off < QUEUE_BODY_MAX &&
           (p = queue_src_line(d, &off, &len, &whole)) != NULL) {
        queue_fields_put(f, p, len);
        if (whole)
            queue_fields_eol(f);
    }
}

static void strip(const char **p, size_t *len)
{
    if (*len >= 2 && **p == '<' && (*p)[*len - 1] == '>') {
        (*p)++;
        *len -= 2;
    }
}

/* the recipient on an R line: flags end at the first ':' */
static void recipient(struct queue_mail *m, const char *p, size_t len)
{
    size_t i = 0;

    while (i < len && isupper((unsigned char)p[i]))
        i++;
    if (i < len && p[i] == ':') {
        p += i + 1;
        len -= i + 1;
    }
    strip(&p, &len);
    queue_mail_rcpt(m, p, len);
}

int queue_sendmail_parse(struct queue_src *s, struct queue_src *data,
                         const struct queue_want *want, struct queue_mail *m)
{
    static __thread struct queue_fields f;
    uint64_t off = 0, headbytes = 0;
    const char *p;
    size_t len, n;
    int whole, start = 1, in_head = 0, version = 0, end = 0;

    queue_fields_start(&f, want, m);
    while (!end && (p = queue_src_line(s, &off, &len, &whole)) != NULL) {
        int first = start;

        start = whole;
        if (!first || (len && (*p == ' ' || *p == '\t'))) {
            /* a fold, or the rest of a very long line */
            if (in_head) {
                queue_fields_put(&f, p, len);
                if (whole)
                    queue_fields_eol(&f);
                headbytes += len + 1;
            }
            continue;
        }
        in_head = 0;
        if (!len)
            continue;
        p++, len--;
        switch (p[-1]) {
        case 'V':
            version = len && isdigit((unsigned char)*p);
            break;
        case 'T':
            for (n = 0, m->time_us = 0;
                 n < len && n < 12 && isdigit((unsigned char)p[n]); n++)
                m->time_us = m->time_us * 10 + (uint64_t)(p[n] - '0');
            m->time_us *= 1000000;
            break;
        case 'S':
            strip(&p, &len);
            n = len < sizeof m->sender - 1 ? len : sizeof m->sender - 1;
            memcpy(m->sender, p, n);
            m->sender[n] = 0;
            m->has_sender = 1;
            break;
        case 'R':
            recipient(m, p, len);
            break;
        case 'q':
            m->held = 1;
            break;
        case 'H':
            in_head = 1;
            if (len && *p == '?') {
                const char *e = memchr(p + 1, '?', len - 1);
                if (e) {
                    len -= (size_t)(e + 1 - p);
                    p = e + 1;
                }
            }
            queue_fields_put(&f, p, len);
            if (whole)
                queue_fields_eol(&f);
            headbytes += len + 1;
            break;
        case '.':
            if (!len)
                end = 1;
            break;
        default:
            break;
        }
    }
    m->size = headbytes + (data ? data->size : 0);
    if (!version || !end || !m->has_sender) {
        queue_fields_end(&f);
        return -1;
    }
    if (queue_fields_body(&f) && data)
        body(data, &f);
    queue_fields_end(&f);
    return 0;
}

struct walk {
    struct queue *q;
    struct queue_stats *st;
    queue_fn *fn;
    void *arg;
    struct queue_seen *seen;
    const char *queue;
};

static int folder(struct walk *w, const char *path, int depth)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int rc = 0;

    if (!d)
        return depth ? 0 : -1;
    while (rc <= 0 && (e = readdir(d)) != NULL) {
        char sub[1024];
        const char *name = e->d_name;
        int held = name[0] == 'h';

        if (name[0] == '.' ||
            snprintf(sub, sizeof sub, "%s/%s", path, name) >= (int)sizeof sub)
            continue;
        if ((e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) && depth < 2 &&
            strcmp(name, "df") != 0 && strcmp(name, "xf") != 0) {
            DIR *is = opendir(sub);
            if (is) {
                closedir(is);
                rc = folder(w, sub, depth + 1);
                continue;
            }
        }
        if ((name[0] != 'q' && !held) || name[1] != 'f' ||
            !queue_id_ok(MO_MTA_SENDMAIL, name + 2))
            continue;
        if (queue_seen_add(&w->seen, sub) &&
            !queue_seen_has(w->q->known, sub)) {
            const struct queue_file file = {sub,      dirfd(d), name,
                                            w->queue, name + 2, held};
            rc = queue_visit(w->q, w->st, &file, w->fn, w->arg);
        }
    }
    closedir(d);
    return rc > 0;
}

int queue_sendmail_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                        void *arg)
{
    struct walk w = {q, st, fn, arg, NULL, NULL};
    int i, rc = 0, opened = 0, err = ENOENT;

    for (i = 0; rc <= 0 && i < 2; i++) {
        const char *slash;

        if (!q->dir[i][0])
            continue;
        slash = strrchr(q->dir[i], '/');
        w.queue = slash && slash[1] ? slash + 1 : q->dir[i];
        rc = folder(&w, q->dir[i], 0);
        if (rc < 0)
            err = errno;
        else
            opened = 1;
    }
    queue_seen_free(&w.seen);
    if (!opened) {
        errno = err;
        return -1;
    }
    return 0;
}
