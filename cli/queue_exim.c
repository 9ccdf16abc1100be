/*
 * Exim's spool: ID-H with envelope and header fields, ID-D with the body, in
 * input/ or, with split_spool_directory, input/X/.
 *
 *   ID-H
 *   user uid gid
 *   <sender>
 *   seconds warnings
 *   -name value …       options; "--" before a tainted one; -acl? ones are
 *                       followed by as many bytes as they say
 *   XX, or a tree of the recipients that are done ("YN addr", …)
 *   count
 *   recipient           one a line, perhaps with parameters and "#n" behind
 *   (empty)
 *   NNNc text           a header field of NNN bytes; c says which, '*': one
 *                       that was replaced
 */
#include "queue.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RCPTS_MAX 1000000

static int number(const char **p, const char *end, uint64_t *n)
{
    int any = 0;

    *n = 0;
    for (; *p < end && isdigit((unsigned char)**p); (*p)++, any = 1) {
        if (*n > UINT64_MAX / 20)
            return -1;
        *n = *n * 10 + (uint64_t)(**p - '0');
    }
    return any ? 0 : -1;
}

/* "aclm name 12", after one or two '-': how many bytes follow, 0: none */
static uint64_t acl_bytes(const char *p, size_t len)
{
    const char *end = p + len, *sp;
    uint64_t n = 0;

    if (len < 5 || memcmp(p, "acl", 3) != 0)
        return 0;
    sp = memrchr(p, ' ', len);
    if (!sp)
        return 0;
    sp++;
    if (number(&sp, end, &n) < 0)
        return 0;
    return n + 1; /* its "\n" */
}

static int option(struct queue_mail *m, const char *p, size_t len,
                  uint64_t *follow)
{
    static const char frozen[] = "frozen";
    static const char usec[] = "received_time_usec .";

    *follow = 0;
    p++, len--;
    if (len && *p == '-')
        p++, len--;
    if (len && *p == '(') { /* how a tainted value is quoted */
        const char *c = memchr(p, ')', len);
        if (c) {
            len -= (size_t)(c + 1 - p);
            p = c + 1;
        }
    }
    if (len >= sizeof frozen - 1 && memcmp(p, frozen, sizeof frozen - 1) == 0)
        m->held = 1;
    if (len > sizeof usec - 1 && memcmp(p, usec, sizeof usec - 1) == 0) {
        const char *d = p + sizeof usec - 1;
        uint64_t n;
        if (number(&d, p + len, &n) == 0 && n < 1000000)
            m->time_us += n;
    }
    *follow = acl_bytes(p, len);
    return 0;
}

/* the address on a recipient's line: all, unless "#n" at its end says that
 * parameters follow the address */
static size_t address(const char *p, size_t len)
{
    size_t i = len, quoted = 0;

    while (i && isdigit((unsigned char)p[i - 1]))
        i--;
    if (i == len || !i || p[i - 1] != '#') {
        /* an older form: "address parent-number" is not told apart */
        return len;
    }
    for (i = 0; i < len; i++) {
        if (p[i] == '\\' && quoted && i + 1 < len)
            i++;
        else if (p[i] == '"')
            quoted = !quoted;
        else if (p[i] == ' ' && !quoted)
            return i;
    }
    return len;
}

/* the tree of recipients that are done: one line a node, the two letters
 * saying whether it has a left and a right branch */
static int skip_tree(struct queue_src *s, uint64_t *off, const char *p,
                     size_t len)
{
    uint64_t open = 1, nodes = 0;
    int whole;

    if (len == 2 && memcmp(p, "XX", 2) == 0)
        return 0;
    for (;;) {
        if (len < 3 || (p[0] != 'Y' && p[0] != 'N') ||
            (p[1] != 'Y' && p[1] != 'N') || ++nodes > RCPTS_MAX)
            return -1;
        open += (uint64_t)(p[0] == 'Y') + (uint64_t)(p[1] == 'Y') - 1;
        if (!open)
            return 0;
        p = queue_src_line(s, off, &len, &whole);
        if (!p || !whole)
            return -1;
    }
}

static int head(struct queue_src *s, uint64_t off, struct queue_fields *f)
{
    for (;;) {
        size_t avail, n;
        const char *p = (const char *)queue_src_at(s, off, 16, &avail), *q;
        const char *end;
        uint64_t len, done = 0;
        char type;

        if (!p)
            return 0;
        q = p;
        end = p + avail;
        /* Exim pads with blanks ("nnnc " or "  c ") */
        if (number(&q, end, &len) < 0 || q - p < 3 || q + 2 > end)
            return -1;
        type = *q++;
        if (*q++ != ' ' && !isspace((unsigned char)q[-1]))
            return -1;
        off += (uint64_t)(q - p);
        if (len > s->size - off)
            return -1;
        while (done < len && type != '*') {
            const char *nl;

            p = (const char *)queue_src_at(s, off + done, 1, &avail);
            if (!p)
                return -1;
            n = len - done < avail ? (size_t)(len - done) : avail;
            nl = memchr(p, '\n', n);
            if (nl)
                n = (size_t)(nl - p);
            queue_fields_put(f, p, n);
            done += n;
            if (nl) {
                queue_fields_eol(f);
                done++;
            }
        }
        off += len;
    }
}

static void body(struct queue_src *d, struct queue_fields *f)
{
    uint64_t off = 0;
    size_t len;
    int whole;
    const char *p = queue_src_line(d, &off, &len, &whole); /* "ID-D" */

    if (!p || !whole)
        return;
    while (!f->done && off < QUEUE_BODY_MAX &&
           (p = queue_src_line(d, &off, &len, &whole)) != NULL) {
        queue_fields_put(f, p, len);
        if (whole)
            queue_fields_eol(f);
    }
}

int queue_exim_parse(struct queue_src *s, struct queue_src *data,
                     const struct queue_want *want, struct queue_mail *m)
{
    static __thread struct queue_fields f;
    uint64_t off = 0, n, i, follow;
    const char *p, *q;
    size_t len, id;
    int whole;

    queue_fields_start(&f, want, m);
    /* ID-H */
    p = queue_src_line(s, &off, &len, &whole);
    if (!p || !whole || len < 3 || len > QUEUE_ID_MAX ||
        memcmp(p + len - 2, "-H", 2) != 0)
        return -1;
    id = len - 2;
    if (m->id[0] && (strlen(m->id) != id || memcmp(p, m->id, id) != 0))
        return -1; /* a file under another's name */
    /* user uid gid */
    if (!(p = queue_src_line(s, &off, &len, &whole)) || !whole)
        return -1;
    /* <sender> */
    p = queue_src_line(s, &off, &len, &whole);
    if (!p || !whole || len < 2 || p[0] != '<' || p[len - 1] != '>')
        return -1;
    n = len - 2 < sizeof m->sender - 1 ? len - 2 : sizeof m->sender - 1;
    memcpy(m->sender, p + 1, n);
    m->sender[n] = 0;
    m->has_sender = 1;
    /* seconds warnings */
    p = queue_src_line(s, &off, &len, &whole);
    if (!p || !whole)
        return -1;
    q = p;
    if (number(&q, p + len, &n) < 0 || n > UINT32_MAX * 16ULL)
        return -1;
    m->time_us = n * 1000000;
    /* options */
    for (;;) {
        p = queue_src_line(s, &off, &len, &whole);
        if (!p || !whole)
            return -1;
        if (!len || *p != '-')
            break;
        option(m, p, len, &follow);
        if (follow > s->size - off)
            return -1;
        off += follow;
    }
    if (skip_tree(s, &off, p, len) < 0)
        return -1;
    p = queue_src_line(s, &off, &len, &whole);
    if (!p || !whole)
        return -1;
    q = p;
    if (number(&q, p + len, &n) < 0 || n > RCPTS_MAX)
        return -1;
    for (i = 0; i < n; i++) {
        p = queue_src_line(s, &off, &len, &whole);
        if (!p || !whole)
            return -1;
        queue_mail_rcpt(m, p, address(p, len));
    }
    p = queue_src_line(s, &off, &len, &whole);
    if (!p || len)
        return -1;
    m->size =
        s->size - off + (data && data->size > id + 3 ? data->size - id - 3 : 0);
    if (head(s, off, &f) < 0)
        return -1;
    if (queue_fields_body(&f) && data)
        body(data, &f);
    queue_fields_end(&f);
    return 0;
}

static int folder(struct queue *q, struct queue_stats *st,
                  struct queue_seen **seen, const char *path, int depth,
                  queue_fn *fn, void *arg)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int rc = 0;

    if (!d)
        return -1;
    while (rc <= 0 && (e = readdir(d)) != NULL) {
        char sub[1024], id[QUEUE_ID_MAX];
        size_t n = strlen(e->d_name);

        if (e->d_name[0] == '.' || snprintf(sub, sizeof sub, "%s/%s", path,
                                            e->d_name) >= (int)sizeof sub)
            continue;
        if (n == 1 && !depth) {
            rc = folder(q, st, seen, sub, 1, fn, arg);
            continue;
        }
        if (n < 3 || n - 2 >= sizeof id || strcmp(e->d_name + n - 2, "-H"))
            continue;
        memcpy(id, e->d_name, n - 2);
        id[n - 2] = 0;
        if (queue_id_ok(MO_MTA_EXIM, id) && queue_seen_add(seen, id) &&
            !queue_seen_has(q->known, id)) {
            const struct queue_file file = {sub,     dirfd(d), e->d_name,
                                            "input", id,       0};
            rc = queue_visit(q, st, &file, fn, arg);
        }
    }
    closedir(d);
    return rc > 0;
}

int queue_exim_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                    void *arg)
{
    struct queue_seen *seen = NULL;
    char path[600];
    int rc;

    snprintf(path, sizeof path, "%s/input", q->dir[0]);
    rc = folder(q, st, &seen, path, 0, fn, arg);
    queue_seen_free(&seen);
    return rc < 0 ? -1 : 0;
}
