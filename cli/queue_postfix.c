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
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
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

/* The files of a queue, which threads take one by one. */
#define THREADS 2
#define WORTH 100 /* files, for a second thread */
struct batch {
    struct walk *w;
    const char *path; /* the queue's folder */
    int dir;
    struct entry {
        size_t id; /* where it begins in name */
        int gone;
        char name[]; /* as it stands there, "3/3A20A3" */
    } * *entry;
    size_t n, cap;
    _Atomic size_t next;
    _Atomic int stop;
};

static void *visit(void *arg)
{
    struct batch *b = arg;
    struct walk *w = b->w;
    char path[1024];
    struct queue_file file = {.path = path, .dir = b->dir, .queue = w->queue};
    size_t i, n = strlen(b->path);
    int rc;

    file.held = strcmp(w->queue, "hold") == 0;
    memcpy(path, b->path, n);
    path[n++] = '/';
    while (!b->stop && (i = b->next++) < b->n) {
        struct entry *e = b->entry[i];

        memcpy(path + n, e->name, strlen(e->name) + 1);
        file.name = e->name;
        file.id = e->name + e->id;
        rc = queue_visit(w->q, w->st, &file, w->fn, w->arg);
        e->gone = rc == QUEUE_GONE;
        if (rc > 0)
            b->stop = 1;
    }
    return NULL;
}

static void visit_all(struct batch *b)
{
    pthread_t thread[THREADS];
    int n = 0;

    mallopt(M_ARENA_MAX, 1); /* they rarely allocate at once */
    while (n < THREADS - 1 && b->n >= WORTH &&
           sysconf(_SC_NPROCESSORS_ONLN) > 1 &&
           pthread_create(&thread[n], NULL, visit, b) == 0)
        n++;
    visit(b);
    while (n > 0)
        pthread_join(thread[--n], NULL);
}

static struct entry *entry_new(const char *name, size_t id)
{
    size_t n = strlen(name) + 1;
    struct entry *e = malloc(sizeof *e + n);

    if (!e)
        mo_fatal(CLI_TROUBLE, "out of memory");
    e->id = id;
    e->gone = 0;
    memcpy(e->name, name, n);
    return e;
}

/* The names in the folder sub of b's, "": itself, and in those below it. */
static void list(struct batch *b, const char *sub, int depth)
{
    /* being written: it isn't in the queue yet */
    int half = strcmp(b->w->queue, "incoming") == 0 ||
               strcmp(b->w->queue, "maildrop") == 0;
    int fd =
        openat(b->dir, *sub ? sub : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(d)) != NULL) {
        char name[NAME_MAX + 32];
        struct stat st;
        size_t n = strlen(sub);

        if (e->d_name[0] == '.')
            continue;
        memcpy(name, sub, n);
        memcpy(name + n, e->d_name, strlen(e->d_name) + 1);
        if (!e->d_name[1]) {
            if (depth < 8) {
                strcat(name, "/");
                list(b, name, depth + 1);
            }
            continue;
        }
        if (!queue_id_ok(MO_MTA_POSTFIX, e->d_name) ||
            queue_seen_has(b->w->seen, e->d_name) ||
            queue_seen_has(b->w->q->known, e->d_name))
            continue;
        if (half && (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                     !(st.st_mode & S_IXUSR)))
            continue;
        b->entry = cli_grown(b->entry, b->n, &b->cap, sizeof *b->entry);
        b->entry[b->n++] = entry_new(name, n);
    }
    closedir(d);
}

static int folder(struct walk *w, const char *path)
{
    struct batch b = {.w = w, .path = path};
    size_t i;

    b.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b.dir < 0)
        return 0;
    w->opened++;
    list(&b, "", 0);
    visit_all(&b);
    close(b.dir);
    for (i = 0; i < b.n; i++) {
        /* one that went on into another queue meanwhile is looked for there */
        if (!b.entry[i]->gone)
            queue_seen_add(&w->seen, b.entry[i]->name + b.entry[i]->id);
        free(b.entry[i]);
    }
    free(b.entry);
    return b.stop;
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
        rc = folder(&w, path);
    }
    queue_seen_free(&w.seen);
    if (!w.opened) {
        errno = ENOENT;
        return -1;
    }
    return 0;
}
