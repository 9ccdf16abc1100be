/*
 * The caller and its ancestors, from /proc.  A parent that began after its
 * child is another process under a recycled pid: the chain ends there, and
 * counts as broken.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KNOWN_NS 25000000ull

int rec_proc_open(struct rec_proc *p)
{
    int i;

    for (i = 0; i < REC_CACHE; i++)
        p->cache[i].fd = -1;
    p->fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return p->fd < 0 ? -1 : 0;
}

void rec_proc_close(struct rec_proc *p)
{
    int i;

    for (i = 0; i < REC_CACHE; i++) {
        if (p->cache[i].fd >= 0)
            close(p->cache[i].fd);
        p->cache[i].fd = -1;
    }
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* An open descriptor of PID/stat or of a thread's children file, *fresh: it
 * has just been opened; -1: none. */
static int cached(struct rec_proc *p, int32_t pid, int32_t tid, int *fresh)
{
    /* A server's processes and threads are numbered in a row: so each has a
     * place of its own, while a hash would put two into one. */
    uint32_t h = tid == 0 ? (uint32_t)pid : (uint32_t)tid + REC_CACHE / 2;
    unsigned i = h % REC_CACHE;
    char path[64];

    *fresh = 0;
    if (p->cache[i].fd >= 0) {
        if (p->cache[i].pid == pid && p->cache[i].tid == tid)
            return p->cache[i].fd;
        close(p->cache[i].fd);
    }
    if (tid == 0)
        snprintf(path, sizeof path, "%d/stat", (int)pid);
    else
        snprintf(path, sizeof path, "%d/task/%d/children", (int)pid, (int)tid);
    p->cache[i].fd = openat(p->fd, path, O_RDONLY | O_CLOEXEC);
    p->cache[i].pid = pid;
    p->cache[i].tid = tid;
    *fresh = 1;
    return p->cache[i].fd;
}

static void forget(struct rec_proc *p, int fd)
{
    int i;

    for (i = 0; i < REC_CACHE; i++) {
        if (p->cache[i].fd == fd) {
            close(fd);
            p->cache[i].fd = -1;
            return;
        }
    }
}

/*
 * What was read a moment ago still holds: the pid that leads here has been
 * read, so its process lived then, and a pid comes back only after all others
 * were used, which takes many times as long.
 */
static int read_cached(struct rec_proc *p, int32_t pid, int anew,
                       struct mo_proc *out)
{
    struct mo_proc *known = &p->known[(uint32_t)pid % REC_CACHE];
    uint64_t *when = &p->when[(uint32_t)pid % REC_CACHE];
    uint64_t now = mo_boottime(); /* after the one that leads here was read */
    int tries;

    if (known->pid == pid && !anew && now - *when < KNOWN_NS) {
        *out = *known;
        return 0;
    }
    for (tries = 0; tries < 2; tries++) {
        int fresh;
        int fd = cached(p, pid, 0, &fresh);

        if (fd < 0)
            return -1;
        if (mo_proc_read_fd(fd, out) == 0) {
            *known = *out;
            *when = now;
            return 0;
        }
        forget(p, fd); /* it is dead; the pid may be another's now */
        if (fresh)
            return -1;
    }
    return -1;
}

void rec_chain_read(struct rec_proc *p, struct rec_chain *c, int32_t pid,
                    int anew)
{
    c->n = 0;
    c->gone = 0;
    while (pid > 0 && c->n < REC_CHAIN) {
        struct mo_proc *m = &c->p[c->n];
        /* the first comes and goes with each mail */
        int rc = c->n < 1 ? mo_proc_read(p->fd, pid, m)
                          : read_cached(p, pid, anew, m);

        if (rc != 0 || m->pid != pid || m->state == 'Z' || m->state == 'X' ||
            (c->n > 0 && m->start > c->p[c->n - 1].start)) {
            c->gone = 1;
            return;
        }
        c->n++;
        pid = m->ppid;
    }
}

int rec_proc_forked(struct rec_proc *p, int32_t pid, int32_t tid, int32_t child)
{
    static char buf[65536];
    int tries;

    for (tries = 0; tries < 2; tries++) {
        int fresh;
        int fd = cached(p, pid, tid, &fresh);
        size_t len = 0;
        ssize_t n;

        if (fd < 0)
            return errno == ENOENT && faccessat(p->fd, "thread-self/children",
                                                F_OK, 0) != 0
                       ? -1
                       : 0;
        for (;;) {
            n = pread(fd, buf + len, sizeof buf - len, (off_t)len);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            len += (size_t)n;
            if (len == sizeof buf)
                break;
            /* each pid ends with a blank: it may be there already */
            if (buf[len - 1] == ' ' && mo_proc_in_children(buf, len, child))
                return 1;
        }
        if (n >= 0 && mo_proc_in_children(buf, len, child))
            return 1;
        if (fresh)
            return 0;
        forget(p, fd); /* perhaps a dead thread's */
    }
    return 0;
}

void rec_chain_parents(const struct rec_chain *c, char *out, size_t size)
{
    size_t len = 0;
    int i;

    for (i = 1; i < c->n; i++) {
        const struct mo_proc *p = &c->p[i];
        char pid[12];
        size_t n = rec_decimal((uint32_t)p->pid, pid);
        size_t comm = strlen(p->comm);

        if (n + comm + 4 > size - len)
            break;
        if (i > 1) {
            out[len++] = ',';
            out[len++] = ' ';
        }
        memcpy(out + len, pid, n);
        len += n;
        out[len++] = ' ';
        memcpy(out + len, p->comm, comm);
        len += comm;
    }
    out[len] = '\0';
}

int rec_chain_find(const struct rec_chain *c, int32_t pid)
{
    int i;

    for (i = 0; i < c->n; i++)
        if (c->p[i].pid == pid)
            return i;
    return -1;
}
