/*
 * The board's readers, and the clock it is read by; the contract is in
 * mo_board.h.  Everything on a board may be a lie: what is used as a number
 * of bytes or slots is checked here, on the copy.
 */
#include "mo_board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct mo_slot *slot_at(const struct mo_board *b, uint32_t i)
{
    return (const struct mo_slot *)(b->slots + (size_t)i * MO_SLOT_SIZE);
}

/* One try at a whole copy of the slot that word owns: 1 done, 0 the slot is
 * free, -1 torn. */
static int copy(const struct mo_board *b, uint32_t i, uint64_t word,
                struct mo_slot *out)
{
    const struct mo_slot *s = slot_at(b, i);
    uint32_t before;

    before = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
    if (before & 1)
        return -1;
    memcpy(out, s, offsetof(struct mo_slot, origin));
    /* a length that is no length is a request with no name: it is there */
    if (out->origin_len > MO_ORIGIN_MAX)
        out->origin_len = 0;
    memcpy(out->origin, s->origin, out->origin_len);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) != before ||
        __atomic_load_n(&b->owner[i], __ATOMIC_RELAXED) != word)
        return -1;
    if (out->pid != (int32_t)(word >> 32) || out->tid != (int32_t)word ||
        !out->serial)
        return 0; /* claimed, not yet written; or scribbled */
    return 1;
}

int mo_board_read(const struct mo_board *b, uint32_t index, struct mo_slot *out)
{
    uint64_t word;
    int i, done;

    if (!b->head || index >= b->nslots)
        return 0;
    for (i = 0; i < MO_BOARD_RETRIES; i++) {
        word = __atomic_load_n(&b->owner[index], __ATOMIC_ACQUIRE);
        if (!word)
            return 0;
        done = copy(b, index, word, out);
        if (done >= 0)
            return done;
    }
    return 0;
}

int mo_board_find(const struct mo_board *b, int32_t pid, int32_t tid,
                  struct mo_slot *out)
{
    uint64_t word = (uint64_t)(uint32_t)pid << 32 | (uint32_t)tid;
    uint64_t best = 0;
    uint32_t i, at = 0, tried = 0;

    if (!b->head || !word)
        return 0;
    /* A thread has one slot; two only after a pid came round again before the
     * old one was reclaimed.  The later one is the living thread's. */
    for (i = 0; i < b->nslots; i++) {
        if (__atomic_load_n(&b->owner[i], __ATOMIC_RELAXED) != word)
            continue;
        tried++;
        if (mo_board_read(b, i, out) && out->pid == pid && out->tid == tid &&
            out->serial > best) {
            best = out->serial;
            at = i;
        }
    }
    if (!best || tried == 1) /* then *out is it */
        return best != 0;
    return mo_board_read(b, at, out) && out->pid == pid && out->tid == tid;
}

int mo_board_next(const struct mo_board *b, int32_t pid, uint32_t *index,
                  struct mo_slot *out)
{
    uint64_t word;

    if (!b->head)
        return 0;
    while (*index < b->nslots) {
        word = __atomic_load_n(&b->owner[*index], __ATOMIC_RELAXED);
        ++*index;
        if (word && (!pid || (int32_t)(word >> 32) == pid) &&
            mo_board_read(b, *index - 1, out) && (!pid || out->pid == pid))
            return 1;
    }
    return 0;
}

int mo_board_is_listener(const struct mo_board *b, int32_t pid, uint64_t start)
{
    const struct mo_listener *l;
    uint32_t n, i;

    if (!b->head || pid <= 0)
        return 0;
    n = __atomic_load_n(&b->head->nlisteners, __ATOMIC_RELAXED);
    if (n > MO_BOARD_LISTENERS)
        n = MO_BOARD_LISTENERS;
    for (i = 0; i < n; i++) {
        l = &b->head->listener[i];
        if (__atomic_load_n(&l->pid, __ATOMIC_ACQUIRE) == pid &&
            (!start || !l->start || l->start == start))
            return 1;
    }
    return 0;
}

/* ---- the clock */

uint64_t mo_boottime(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_BOOTTIME, &t))
        return 0;
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The file's last word, which must be a number. */
static long read_number(int fd)
{
    char text[256], *p, *end;
    ssize_t n;
    long v;

    n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    p = strrchr(text, ' ');
    if (!p)
        p = text;
    errno = 0;
    v = strtol(p, &end, 10);
    if (errno || end == p || v < 0 || v > INT32_MAX)
        return 0;
    return v;
}

int mo_last_pid_open(void)
{
    int fd = open("/proc/sys/kernel/ns_last_pid", O_RDONLY | O_CLOEXEC);

    return fd >= 0 ? fd : open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
}

int32_t mo_last_pid(int fd)
{
    int mine = -1;
    long v;

    if (fd < 0)
        fd = mine = mo_last_pid_open();
    if (fd < 0)
        return 0;
    v = read_number(fd);
    if (mine >= 0)
        close(mine);
    return (int32_t)v;
}

#define RESERVED_PIDS 300 /* the kernel's: where pids go on past the end */

/* pids are below this; read once, and again if a pid shows it has grown */
static int32_t pid_max(int32_t seen)
{
    static int32_t known;
    int32_t max = __atomic_load_n(&known, __ATOMIC_RELAXED);
    int fd;

    if (max > seen)
        return max;
    fd = open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        max = (int32_t)read_number(fd);
        close(fd);
    }
    if (max <= seen)
        max = 4194304; /* the most a kernel has */
    __atomic_store_n(&known, max, __ATOMIC_RELAXED);
    return max;
}

int mo_began_after(uint64_t ptick, int32_t pid, uint64_t ns, int32_t last_pid)
{
    static long hz;
    long h = __atomic_load_n(&hz, __ATOMIC_RELAXED);
    int64_t d, span;
    uint64_t tick;

    if (h <= 0) {
        h = sysconf(_SC_CLK_TCK);
        if (h <= 0)
            h = 100;
        __atomic_store_n(&hz, h, __ATOMIC_RELAXED);
    }
    tick = ns / (1000000000u / (uint64_t)h);
    if (ptick != tick)
        return ptick > tick;
    if (last_pid <= 0 || pid <= 0)
        return 0;
    span = pid_max(pid > last_pid ? pid : last_pid) - RESERVED_PIDS;
    d = (int64_t)pid - last_pid;
    if (d < 0)
        d += span;
    /* half of all pids are not given out within one tick */
    return d > 0 && d <= span / 2;
}
