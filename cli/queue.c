/*
 * What all queue readers share: windows over files, header fields out of
 * lines, the set of ids seen.  See queue.h.
 */
#include "queue.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uthash.h>

void queue_src_mem(struct queue_src *s, const void *data, size_t len)
{
    memset(s, 0, sizeof *s);
    s->fd = -1;
    s->data = data;
    s->len = len;
    s->size = len;
}

/* an open file, of which window holds the first len bytes already */
static int src_fd(struct queue_src *s, int fd, unsigned char *window,
                  size_t len)
{
    struct stat st;

    memset(s, 0, sizeof *s);
    if (fstat(fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    s->fd = fd;
    s->window = window;
    s->data = window;
    s->len = len;
    s->size = (uint64_t)st.st_size;
    return 0;
}

/* The first read is short: most mails end, or have all that is wanted, in
 * it; later ones fill the window. */
#define FIRST_READ 8192

/* An open file whose begin is wanted.  A read that is short had all of it
 * (what is no regular file can't be read at an offset, or goes on). */
static int src_begin(struct queue_src *s, int fd, unsigned char *window)
{
    ssize_t n;

    do
        n = pread(fd, window, FIRST_READ, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EISDIR || errno == ESPIPE)
            errno = EINVAL;
        return -1;
    }
    if (n == FIRST_READ)
        return src_fd(s, fd, window, FIRST_READ);
    queue_src_mem(s, window, (size_t)n);
    return 0;
}

static void load(struct queue_src *s, uint64_t off)
{
    size_t have = 0;

    while (have < QUEUE_WINDOW) {
        ssize_t n = pread(s->fd, s->window + have, QUEUE_WINDOW - have,
                          (off_t)(off + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
        if (off + have >= s->size)
            break;
    }
    s->base = off;
    s->len = have;
}

const unsigned char *queue_src_at(struct queue_src *s, uint64_t off,
                                  size_t want, size_t *avail)
{
    *avail = 0;
    if (off >= s->size)
        return NULL;
    if (s->fd >= 0 &&
        (off < s->base || off >= s->base + s->len ||
         (s->base + s->len - off < want && s->base + s->len < s->size)))
        load(s, off);
    if (off < s->base || off >= s->base + s->len)
        return NULL;
    *avail = (size_t)(s->base + s->len - off);
    return s->data + (off - s->base);
}

const char *queue_src_line(struct queue_src *s, uint64_t *off, size_t *len,
                           int *whole)
{
    size_t avail, want = 1;
    const unsigned char *p, *nl;

    for (;;) {
        p = queue_src_at(s, *off, want, &avail);
        if (!p)
            return NULL;
        nl = memchr(p, '\n', avail);
        if (nl || avail >= QUEUE_WINDOW || *off + avail >= s->size ||
            want == QUEUE_WINDOW)
            break;
        want = QUEUE_WINDOW;
    }
    *len = nl ? (size_t)(nl - p) : avail;
    *whole = nl || *off + avail >= s->size;
    *off += *len + (nl ? 1 : 0);
    return (const char *)p;
}

void queue_mail_init(struct queue_mail *m, enum mo_mta mta)
{
    m->mta = mta;
    m->id[0] = m->path[0] = m->sender[0] = m->rcpts[0] = 0;
    m->subject[0] = m->message_id[0] = 0;
    m->queue = "";
    m->time_us = m->size = 0;
    m->rcpts_cut = m->held = m->half_held = m->bounce = m->has_stamp =
        m->has_sender = 0;
    m->nrcpt = 0;
    m->stamp.id[0] = m->stamp.seal[0] = m->stamp.tag = 0;
}

void queue_mail_rcpt(struct queue_mail *m, const char *addr, size_t len)
{
    size_t have = strlen(m->rcpts), sep = have ? 2 : 0;

    m->nrcpt++;
    /* only whole addresses, and none after the first that did not fit */
    if (m->rcpts_cut || have + sep + len >= sizeof m->rcpts) {
        m->rcpts_cut = 1;
        return;
    }
    if (sep)
        memcpy(m->rcpts + have, ", ", 2);
    memcpy(m->rcpts + have + sep, addr, len);
    m->rcpts[have + sep + len] = 0;
}

/* ---- fields */
void queue_fields_start(struct queue_fields *f, const struct queue_want *want,
                        struct queue_mail *m)
{
    f->want = want;
    f->m = m;
    f->body = f->active = f->skip = f->done = 0;
    f->fresh = 1;
    f->len = 0;
}

/* a field's body without folds, blanks trimmed */
static void keep(char *out, size_t size, const char *p, size_t len)
{
    size_t n = 0;

    while (len && isspace((unsigned char)*p))
        p++, len--;
    while (len && isspace((unsigned char)p[len - 1]))
        len--;
    for (; len && n + 1 < size; p++, len--)
        if (*p != '\n' && *p != '\r')
            out[n++] = *p ? *p : '?';
    out[n] = 0;
}

static int is_name(const char *p, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(p, name, len) == 0;
}

/* takes the field that buf holds */
static void field(struct queue_fields *f)
{
    struct queue_mail *m = f->m;
    char *colon;
    size_t n, rest;

    if (!f->active)
        return;
    f->active = 0;
    colon = memchr(f->buf, ':', f->len);
    if (!colon)
        return;
    n = (size_t)(colon - f->buf);
    while (n && (f->buf[n - 1] == ' ' || f->buf[n - 1] == '\t'))
        n--;
    rest = f->len - (size_t)(colon + 1 - f->buf);
    if (is_name(f->buf, n, f->want->header)) {
        /* the first one counts: it is the one that our wrapper put there */
        if (!m->has_stamp && mo_header_parse(colon + 1, rest, &m->stamp) == 0) {
            m->has_stamp = 1;
            m->bounce = f->body;
            if (f->body)
                f->done = 1;
        }
    }
    else if (f->body) {
        return;
    }
    else if (is_name(f->buf, n, "subject")) {
        keep(m->subject, sizeof m->subject, colon + 1, rest);
    }
    else if (is_name(f->buf, n, "message-id") && !m->message_id[0]) {
        keep(m->message_id, sizeof m->message_id, colon + 1, rest);
    }
}

void queue_fields_put(struct queue_fields *f, const char *p, size_t len)
{
    if (f->done || !len)
        return;
    if (f->fresh) {
        int fold = *p == ' ' || *p == '\t';

        f->fresh = 0;
        f->skip = 0;
        if (f->body) {
            /* a bounce may quote */
            size_t q = 0;
            while (q < len && (p[q] == '>' || p[q] == ' '))
                q++;
            if (q && memchr(p, '>', q)) {
                p += q;
                len -= q;
                if (!len)
                    return;
                fold = *p == '\t';
            }
        }
        if (!fold) {
            size_t n = strlen(f->want->header);

            field(f);
            f->len = 0;
            f->active = 1;
            if (f->body && (len < n || strncasecmp(p, f->want->header, n))) {
                f->active = 0;
                f->skip = 1;
            }
        }
        else if (!f->active) {
            f->skip = 1;
        }
        else if (f->len < sizeof f->buf) {
            f->buf[f->len++] = '\n';
        }
    }
    if (f->skip || !f->active)
        return;
    if (len > sizeof f->buf - f->len)
        len = sizeof f->buf - f->len;
    memcpy(f->buf + f->len, p, len);
    f->len += len;
}

void queue_fields_eol(struct queue_fields *f)
{
    if (f->fresh) /* an empty line ends a field */
        field(f);
    f->fresh = 1;
}

int queue_fields_body(struct queue_fields *f)
{
    field(f);
    if (f->m->has_stamp || !f->want->bounces || !f->m->has_sender ||
        f->m->sender[0])
        return 0;
    f->body = 1;
    f->fresh = 1;
    return 1;
}

void queue_fields_end(struct queue_fields *f)
{
    field(f);
}

/* ---- ids seen */
struct queue_seen {
    UT_hash_handle hh;
    char id[];
};

int queue_seen_add(struct queue_seen **set, const char *id)
{
    struct queue_seen *e, *head = *set;
    size_t n = strlen(id);

    HASH_FIND(hh, head, id, n, e);
    if (e)
        return 0;
    e = malloc(sizeof *e + n + 1);
    if (!e)
        return 1; /* seen twice is better than not at all */
    memset(&e->hh, 0, sizeof e->hh);
    memcpy(e->id, id, n + 1);
    HASH_ADD_KEYPTR(hh, head, e->id, n, e);
    *set = head;
    return 1;
}

int queue_seen_has(struct queue_seen *set, const char *id)
{
    struct queue_seen *e;

    HASH_FIND_STR(set, id, e);
    return e != NULL;
}

void queue_seen_free(struct queue_seen **set)
{
    struct queue_seen *head = *set, *e, *tmp = NULL;

    HASH_ITER(hh, head, e, tmp)
    {
        HASH_DEL(head, e);
        free(e);
    }
    *set = NULL;
}

const char *queue_key(enum mo_mta mta, const char *id, const char *path)
{
    return mta == MO_MTA_SENDMAIL ? path : id;
}

/* ---- whole files */
int queue_id_ok(enum mo_mta mta, const char *id)
{
    size_t n = strlen(id), i, dashes = 0;

    for (i = 0; i < n; i++) {
        if (id[i] == '-' && mta == MO_MTA_EXIM)
            dashes++;
        else if (!isalnum((unsigned char)id[i]))
            return 0;
    }
    switch (mta) {
    case MO_MTA_POSTFIX: /* short: hex, 6 up; long: base 52 with a 'z' */
        return n >= 6 && n <= 40;
    case MO_MTA_EXIM: /* 6-6-2; 6-11-4 since 4.97 */
        return dashes == 2 && ((n == 16 && id[6] == '-' && id[13] == '-') ||
                               (n == 23 && id[6] == '-' && id[18] == '-'));
    case MO_MTA_SENDMAIL:
        return n >= 6 && n <= 20;
    default:
        return 0;
    }
}

/* name.../ID-H to ID-D, or .../qfID to .../dfID, or .../qf/qfID to
 * .../df/dfID */
int queue_data_path(enum mo_mta mta, const char *path, char *out, size_t size)
{
    size_t n = strlen(path);
    char *slash, *p;

    if (n + 1 > size)
        return -1;
    memcpy(out, path, n + 1);
    if (mta == MO_MTA_EXIM) {
        out[n - 1] = 'D';
        return 0;
    }
    slash = strrchr(out, '/');
    p = slash ? slash + 1 : out;
    *p = 'd';
    if (slash && slash - out >= 3 && memcmp(slash - 3, "/qf", 3) == 0)
        slash[-2] = 'd';
    return 0;
}

/* dir and name: where path is opened */
static int read_at(struct queue *q, int dir, const char *name, const char *path,
                   const char *queue, struct queue_mail *m)
{
    static __thread unsigned char window[2][QUEUE_WINDOW];
    struct queue_src src, data, *d = NULL;
    char dpath[sizeof m->path];
    int fd, dfd = -1, rc = -1, saved;
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    size_t n = strlen(path);

    if (n >= sizeof m->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = openat(dir, name, flags);
    if (fd < 0)
        return -1;
    memcpy(m->path, path, n + 1);
    m->queue = queue;
    if (src_begin(&src, fd, window[0]) < 0)
        goto out;
    if (q->mta != MO_MTA_POSTFIX &&
        queue_data_path(q->mta, path, dpath, sizeof dpath) == 0 &&
        (dfd = open(dpath, flags)) >= 0 &&
        src_fd(&data, dfd, window[1], 0) == 0)
        d = &data;
    switch (q->mta) {
    case MO_MTA_POSTFIX:
        rc = queue_postfix_parse(&src, &q->want, m);
        break;
    case MO_MTA_EXIM:
        rc = queue_exim_parse(&src, d, &q->want, m);
        break;
    case MO_MTA_SENDMAIL:
        rc = queue_sendmail_parse(&src, d, &q->want, m);
        break;
    default:
        break;
    }
    if (rc < 0)
        errno = EINVAL;
out:
    saved = errno;
    if (dfd >= 0)
        close(dfd);
    close(fd);
    errno = saved;
    return rc < 0 ? -1 : 0;
}

int queue_read(struct queue *q, const char *path, const char *queue,
               struct queue_mail *m)
{
    return read_at(q, AT_FDCWD, path, path, queue, m);
}

int queue_visit(struct queue *q, struct queue_stats *st,
                const struct queue_file *file, queue_fn *fn, void *arg)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of st */
    static __thread struct queue_mail m;
    int e, rc = 0;

    queue_mail_init(&m, q->mta);
    snprintf(m.id, sizeof m.id, "%s", file->id);
    e = read_at(q, file->dir, file->name, file->path, file->queue, &m) < 0
            ? errno
            : 0;
    pthread_mutex_lock(&lock);
    if (!e) {
        m.half_held = q->mta == MO_MTA_SENDMAIL && m.held && !file->held;
        m.held |= file->held;
        st->seen++;
    }
    else if (e == ENOENT) {
        st->gone++;
        rc = QUEUE_GONE;
    }
    else {
        if (e == EINVAL)
            st->bad++;
        else
            st->unreadable++;
        if (!st->first_bad[0])
            snprintf(
                st->first_bad, sizeof st->first_bad, "%.180s: %s", file->path,
                e == EINVAL ? "not understood as a queue file" : strerror(e));
    }
    pthread_mutex_unlock(&lock);
    return e ? rc : fn(arg, &m);
}

int queue_scan(struct queue *q, struct queue_stats *st, queue_fn *fn, void *arg)
{
    memset(st, 0, sizeof *st);
    switch (q->mta) {
    case MO_MTA_POSTFIX:
        return queue_postfix_scan(q, st, fn, arg);
    case MO_MTA_EXIM:
        return queue_exim_scan(q, st, fn, arg);
    case MO_MTA_SENDMAIL:
        return queue_sendmail_scan(q, st, fn, arg);
    default:
        errno = ENOSYS;
        return -1;
    }
}
