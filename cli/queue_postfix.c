/*
 * Postfix queue files: records of a type byte, a length (7 bits a byte, low
 * ones first, the high bit: more) and that many bytes.
 *
 *   C  "%15ld …": size of the message, where it begins, recipients, …
 *   T  arrival: seconds, microseconds    S  envelope sender
 *   R  recipient   D  recipient that is done   A  name=value
 *   M  the message begins; N a line, L a piece of a line
 *   X  envelope again, with the recipients that -t took from the head
 *   p  a pointer: go on at that offset (0: go on here)
 *   E  end
 * A maildrop file has no C.  A file that is complete has its owner's x bit.
 */
#include "queue.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "mo_msg.h"

#define RECORD_MAX 65536
#define JUMPS_MAX 4096

struct rec {
    int type;
    size_t len;
    const char *data; /* at most what the window holds: have bytes */
    size_t have;
    uint64_t next;
};

static int next_rec(struct queue_src *s, uint64_t pos, struct rec *r)
{
    size_t avail, need = 8, i;
    uint64_t len = 0;
    const unsigned char *p = queue_src_at(s, pos, need, &avail);

    if (!p)
        return -1;
    r->type = p[0];
    for (i = 1;; i++) {
        if (i >= avail || i > 5)
            return -1;
        len |= (uint64_t)(p[i] & 0x7f) << (7 * (i - 1));
        if (!(p[i] & 0x80))
            break;
    }
    i++;
    if (len > s->size - pos || i + len > s->size - pos)
        return -1;
    r->len = (size_t)len;
    r->next = pos + i + len;
    need = i + (len < 4096 ? (size_t)len : 4096);
    if (avail < need) {
        p = queue_src_at(s, pos, need, &avail);
        if (!p || avail < need)
            return -1;
    }
    r->data = (const char *)p + i;
    r->have = avail - i < len ? avail - i : (size_t)len;
    return 0;
}

/* numbers in a record, as C and T have them */
static int numbers(const struct rec *r, uint64_t *v, int max)
{
    size_t i = 0;
    int n = 0;

    while (n < max) {
        while (i < r->have && r->data[i] == ' ')
            i++;
        if (i >= r->have || !isdigit((unsigned char)r->data[i]))
            break;
        for (v[n] = 0; i < r->have && isdigit((unsigned char)r->data[i]); i++)
            v[n] = v[n] * 10 + (uint64_t)(r->data[i] - '0');
        n++;
    }
    return n;
}

static void keep(char *out, size_t size, const struct rec *r)
{
    size_t n = r->have < size - 1 ? r->have : size - 1;

    memcpy(out, r->data, n);
    out[n] = 0;
}

int queue_postfix_parse(struct queue_src *s, const struct queue_want *want,
                        struct queue_mail *m)
{
    static __thread struct queue_fields f;
    enum { ENVELOPE, HEAD, BODY, EXTRACTED } part = ENVELOPE;
    uint64_t pos = 0, walked = 0, v[3], data = 0, size = 0;
    unsigned jumps = 0;
    int complete = 0, message = 0;
    struct rec r;

    queue_fields_start(&f, want, m);
    m->size = s->size;
    while (walked <= s->size + RECORD_MAX && next_rec(s, pos, &r) == 0) {
        walked += r.next - pos;
        pos = r.next;
        if (r.type == 'E') {
            complete = 1;
            break;
        }
        switch (r.type) {
        case 'C':
            if (part == ENVELOPE && numbers(&r, v, 2) == 2) {
                m->size = size = v[0];
                data = v[1];
            }
            break;
        case 'T':
            if (part == ENVELOPE) {
                int n = numbers(&r, v, 2);
                if (n)
                    m->time_us = v[0] * 1000000 + (n > 1 ? v[1] % 1000000 : 0);
            }
            break;
        case 'S':
            if (part == ENVELOPE || part == EXTRACTED) {
                keep(m->sender, sizeof m->sender, &r);
                m->has_sender = 1;
            }
            break;
        case 'R':
            if (part == ENVELOPE || part == EXTRACTED)
                queue_mail_rcpt(m, r.data, r.have);
            break;
        case 'p':
            if (numbers(&r, v, 1) == 1 && v[0] && v[0] < s->size) {
                if (++jumps > JUMPS_MAX)
                    return -1;
                pos = v[0];
            }
            break;
        case 'M':
            if (part == ENVELOPE) {
                part = HEAD;
                message = 1;
            }
            break;
        case 'X':
            part = EXTRACTED;
            break;
        case 'N':
        case 'L':
            if (part == HEAD && r.type == 'N' && !r.len && f.fresh) {
                part = BODY;
                if (queue_fields_body(&f))
                    break;
                f.done = 1;
            }
            else if (part == HEAD || (part == BODY && !f.done)) {
                queue_fields_put(&f, r.data, r.have);
                if (r.type == 'N')
                    queue_fields_eol(&f);
                if (part == BODY && walked > QUEUE_BODY_MAX)
                    f.done = 1;
            }
            /* over the rest of the message, where it is said how long */
            if (part == BODY && f.done && data && size < s->size &&
                data < s->size && data + size > pos && data + size < s->size) {
                struct rec x;
                if (next_rec(s, data + size, &x) == 0 && x.type == 'X')
                    pos = data + size;
            }
            break;
        default:
            break;
        }
    }
    queue_fields_end(&f);
    if (!message || !m->has_sender || !complete)
        return -1;
    return 0;
}

/* ---- folders: hashed by the first characters of the id, to any depth */
struct walk {
    struct queue *q;
    struct queue_stats *st;
    queue_fn *fn;
    void *arg;
    struct queue_seen *seen;
    const char *queue;
    int opened;
};

/* The files of a folder, which threads take one by one. */
#define THREADS 2
#define WORTH 100 /* files, for a second thread */
struct batch {
    struct walk *w;
    const char *path;
    struct entry {
        char id[QUEUE_ID_MAX];
        int gone;
    } * entry;
    size_t n;
    _Atomic size_t next;
    _Atomic int stop;
};

static void *visit(void *arg)
{
    struct batch *b = arg;
    struct walk *w = b->w;
    int held = strcmp(w->queue, "hold") == 0, rc;
    char path[1024];
    size_t i;

    while (!b->stop && (i = b->next++) < b->n) {
        struct entry *e = &b->entry[i];

        if (snprintf(path, sizeof path, "%s/%s", b->path, e->id) >=
            (int)sizeof path)
            continue;
        rc = queue_visit(w->q, w->st, path, w->queue, e->id, held, w->fn,
                         w->arg);
        e->gone = rc == QUEUE_GONE;
        if (rc > 0)
            b->stop = 1;
    }
    return NULL;
}

static int visit_all(struct batch *b)
{
    pthread_t thread[THREADS];
    int n = 0;
    size_t i;

    while (n < THREADS - 1 && b->n >= WORTH &&
           sysconf(_SC_NPROCESSORS_ONLN) > 1 &&
           pthread_create(&thread[n], NULL, visit, b) == 0)
        n++;
    visit(b);
    while (n > 0)
        pthread_join(thread[--n], NULL);
    /* one that went on into another queue meanwhile is looked for there */
    for (i = 0; i < b->n; i++)
        if (!b->entry[i].gone)
            queue_seen_add(&b->w->seen, b->entry[i].id);
    free(b->entry);
    return b->stop;
}

static int add(struct batch *b, const char *id)
{
    size_t n;

    if ((b->n & (b->n - 1)) == 0) { /* 0, 1, 2, 4 …: it is full */
        size_t cap = b->n ? 2 * b->n : 1;
        void *more = realloc(b->entry, cap * sizeof *b->entry);

        if (!more)
            return -1;
        b->entry = more;
    }
    /* queue_id_ok() minded its length */
    n = strnlen(id, QUEUE_ID_MAX - 1);
    memcpy(b->entry[b->n].id, id, n);
    b->entry[b->n].id[n] = 0;
    b->entry[b->n++].gone = 0;
    return 0;
}

static int folder(struct walk *w, const char *path, int depth)
{
    struct batch b = {.w = w, .path = path};
    DIR *d = opendir(path);
    struct dirent *e;
    int rc = 0;

    if (!d)
        return 0;
    w->opened++;
    while (rc == 0 && (e = readdir(d)) != NULL) {
        char sub[1024];
        size_t n = strlen(e->d_name);
        struct stat st;

        if (e->d_name[0] == '.' || snprintf(sub, sizeof sub, "%s/%s", path,
                                            e->d_name) >= (int)sizeof sub)
            continue;
        if (n == 1 && depth < 8) {
            rc = folder(w, sub, depth + 1);
            continue;
        }
        if (!queue_id_ok(MO_MTA_POSTFIX, e->d_name) ||
            queue_seen_has(w->seen, e->d_name))
            continue;
        /* being written: it isn't in the queue yet */
        if (strcmp(w->queue, "incoming") == 0 ||
            strcmp(w->queue, "maildrop") == 0) {
            if (lstat(sub, &st) < 0 || !(st.st_mode & S_IXUSR))
                continue;
        }
        if (add(&b, e->d_name) < 0)
            mo_fatal(CLI_TROUBLE, "out of memory");
    }
    closedir(d);
    return visit_all(&b) || rc;
}

int queue_postfix_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                       void *arg)
{
    /* in the order in which a mail goes; and once more, for those that went
     * the other way meanwhile: only new names are opened */
    static const char *const queues[] = {"maildrop", "incoming", "active",
                                         "deferred", "hold",     "incoming",
                                         "active",   "deferred", "hold"};
    struct walk w = {q, st, fn, arg, NULL, NULL, 0};
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < sizeof queues / sizeof *queues; i++) {
        char path[600];

        w.queue = queues[i];
        snprintf(path, sizeof path, "%s/%s", q->dir[0], queues[i]);
        rc = folder(&w, path, 0);
    }
    queue_seen_free(&w.seen);
    if (!w.opened) {
        errno = ENOENT;
        return -1;
    }
    return 0;
}
