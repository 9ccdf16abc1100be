/*
 * The board; the contract is in mo_board.h.  Here: its file and its writers.
 * Its readers are in board_read.c.
 *
 * Who may write a slot: the thread whose owner word it is, any thread that
 * ends the request, and the parent once the child is dead.  The sequence
 * number is their lock: odd while one writes.  All writers of a slot but the
 * last are threads of one process, so a holder that died took the others
 * with it, and the parent sets things right.  Nobody waits for long: who does
 * not get a slot's lock takes another slot, or leaves this one.
 */
#include "mo_board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPINS 64 /* then the processor is given away */
#define YIELDS 64

_Static_assert(sizeof(struct mo_slot) <= MO_SLOT_SIZE, "a slot fits");
_Static_assert(sizeof(struct mo_board_head) <= MO_BOARD_HEAD, "the head fits");
_Static_assert(MO_BOARD_LISTENERS == 128, "a counter's wrap keeps the turn");

static struct mo_slot *slot_at(const struct mo_board *b, uint32_t i)
{
    return (struct mo_slot *)(b->slots + (size_t)i * MO_SLOT_SIZE);
}

static uint64_t owner_word(int32_t pid, int32_t tid)
{
    return (uint64_t)(uint32_t)pid << 32 | (uint32_t)tid;
}

/* ---- the file */

static size_t slots_offset(uint32_t nslots)
{
    size_t words = (size_t)nslots * sizeof(uint64_t);

    return MO_BOARD_HEAD + (words + 4095) / 4096 * 4096;
}

size_t mo_board_size(uint32_t nslots)
{
    return slots_offset(nslots) + (size_t)nslots * MO_SLOT_SIZE;
}

/* field 22 of /proc/PID/stat; 0: not known */
static uint64_t process_start(int32_t pid)
{
    unsigned long long start = 0;
    char path[64], text[1024], *p;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    /* the name, field 2, may hold anything */
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1,
                     " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                     "%*s %*s %*s %*s %*s %*s %llu",
                     &start) != 1)
        return 0;
    return start;
}

static int write_file(int fd, uint32_t nslots, int32_t parent_pid, unsigned gid)
{
    struct mo_board_head head;
    int e;

    memset(&head, 0, sizeof head);
    memcpy(head.magic, MO_BOARD_MAGIC, sizeof head.magic);
    head.version = MO_BOARD_VERSION;
    head.nslots = nslots;
    head.slot_size = MO_SLOT_SIZE;
    head.parent_pid = parent_pid;
    head.parent_start = process_start(parent_pid);
    /* All of it, now: on a full tmpfs a hole that is written to through a
     * mapping would kill the child. */
    e = posix_fallocate(fd, 0, (off_t)mo_board_size(nslots));
    if (e) {
        errno = e;
        return -1;
    }
    if (gid != (unsigned)-1 && fchown(fd, (uid_t)-1, (gid_t)gid))
        return -1;
    if (fchmod(fd, 0640))
        return -1;
    return pwrite(fd, &head, sizeof head, 0) == (ssize_t)sizeof head ? 0 : -1;
}

int mo_board_create(const char *path, uint32_t nslots, int32_t parent_pid,
                    unsigned gid)
{
    char temp[PATH_MAX];
    int fd, e;

    if (!nslots || nslots > MO_BOARD_SLOTS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if ((size_t)snprintf(temp, sizeof temp, "%s.XXXXXX", path) >= sizeof temp) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return -1;
    e = write_file(fd, nslots, parent_pid, gid) || rename(temp, path) ? errno
                                                                      : 0;
    close(fd);
    if (e) {
        unlink(temp);
        errno = e;
        return -1;
    }
    return 0;
}

/* The number of slots of the file behind fd; 0 with errno. */
static uint32_t check_file(int fd, unsigned owner)
{
    struct mo_board_head head;
    struct stat st;

    if (fstat(fd, &st))
        return 0;
    errno = EPERM;
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1 ||
        (st.st_uid != 0 && st.st_uid != owner) || (st.st_mode & 0022))
        return 0;
    errno = EINVAL;
    if (st.st_size < MO_BOARD_HEAD ||
        pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.magic, MO_BOARD_MAGIC, sizeof head.magic) ||
        head.version != MO_BOARD_VERSION || head.slot_size != MO_SLOT_SIZE ||
        !head.nslots || head.nslots > MO_BOARD_SLOTS_MAX ||
        (uint64_t)st.st_size != mo_board_size(head.nslots)) {
        errno = EINVAL;
        return 0;
    }
    return head.nslots;
}

int mo_board_map(struct mo_board *b, const char *path, int writable,
                 unsigned owner)
{
    int fd, e;
    void *p;

    memset(b, 0, sizeof *b);
    fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC |
                        O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    b->nslots = check_file(fd, owner);
    if (b->nslots) {
        b->size = mo_board_size(b->nslots);
        p = mmap(NULL, b->size, PROT_READ | (writable ? PROT_WRITE : 0),
                 MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) {
            b->head = p;
            b->owner = (uint64_t *)((char *)p + MO_BOARD_HEAD);
            b->slots = (char *)p + slots_offset(b->nslots);
            b->writable = writable;
        }
    }
    e = errno;
    close(fd);
    errno = e;
    return b->head ? 0 : -1;
}

void mo_board_unmap(struct mo_board *b)
{
    if (b->head)
        munmap(b->head, b->size);
    memset(b, 0, sizeof *b);
}

/* ---- the lock */

/* The slot's sequence number, odd now and ours; 0: it was not to be had. */
static uint32_t lock(struct mo_slot *s)
{
    uint32_t seq;
    int i;

    for (i = 0; i < SPINS + YIELDS; i++) {
        seq = __atomic_load_n(&s->seq, __ATOMIC_RELAXED);
        if (!(seq & 1) &&
            __atomic_compare_exchange_n(&s->seq, &seq, seq + 1, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            __atomic_thread_fence(__ATOMIC_RELEASE);
            return seq + 1;
        }
        if (i >= SPINS)
            sched_yield();
    }
    return 0;
}

/* For a slot that was free a moment ago: what still holds it is past its last
 * write, or dead, or scribbled; it goes to the next odd number. */
static uint32_t lock_free_slot(struct mo_slot *s)
{
    uint32_t seq = lock(s);

    if (!seq) {
        seq = (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) | 1) + 2;
        __atomic_store_n(&s->seq, seq, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
    }
    return seq;
}

/* Nothing where the lock was taken over meanwhile. */
static void unlock(struct mo_slot *s, uint32_t seq)
{
    __atomic_compare_exchange_n(&s->seq, &seq, seq + 1, 0, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
}

/* ---- writers */

static void set_origin(struct mo_slot *s, const void *origin, size_t len)
{
    if (len > MO_ORIGIN_MAX)
        len = 0;
    s->origin_len = (uint32_t)len;
    if (len)
        memcpy(s->origin, origin, len);
}

/* Where this thread had its last slot.  One that the thread still has is
 * found here at once; and threads spread over the board. */
static __thread uint32_t last_index = UINT32_MAX;

/* A slot of our own or a free one, locked; b->nslots: none. */
static uint32_t take_slot(struct mo_board *b, uint64_t me, uint32_t *seq)
{
    uint32_t i = last_index, k;
    uint64_t word;

    if (i >= b->nslots)
        i = (uint32_t)(me * 2654435761u >> 8) % b->nslots;
    for (k = 0; k < b->nslots; k++, i = i + 1 < b->nslots ? i + 1 : 0) {
        word = __atomic_load_n(&b->owner[i], __ATOMIC_RELAXED);
        if (word == me) {
            *seq = lock(slot_at(b, i));
            if (*seq && __atomic_load_n(&b->owner[i], __ATOMIC_RELAXED) == me)
                return i;
            /* an end() on another thread freed it, or is about to */
            if (*seq)
                unlock(slot_at(b, i), *seq);
            word = __atomic_load_n(&b->owner[i], __ATOMIC_RELAXED);
        }
        if (!word &&
            __atomic_compare_exchange_n(&b->owner[i], &word, me, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            *seq = lock_free_slot(slot_at(b, i));
            return i;
        }
    }
    return b->nslots;
}

void mo_board_begin(struct mo_board *b, int32_t child, uint32_t uid,
                    uint64_t start, int32_t last_pid, const void *origin,
                    size_t len, struct mo_board_use *use)
{
    int32_t pid, tid;
    struct mo_slot *s;
    uint32_t i, seq;

    use->index = 0;
    use->serial = 0;
    if (!b->head || !b->writable)
        return;
    pid = (int32_t)getpid();
    tid = (int32_t)gettid();
    i = take_slot(b, owner_word(pid, tid), &seq);
    if (i == b->nslots) {
        __atomic_fetch_add(&b->head->full, 1, __ATOMIC_RELAXED);
        return;
    }
    last_index = i;
    s = slot_at(b, i);
    use->index = i;
    do
        use->serial = __atomic_add_fetch(&b->head->serial, 1, __ATOMIC_RELAXED);
    while (!use->serial);
    s->child = child;
    s->pid = pid;
    s->tid = tid;
    s->serial = use->serial;
    s->start = start;
    s->last_pid = last_pid;
    s->uid = uid;
    memset(&s->conn, 0, sizeof s->conn);
    set_origin(s, origin, len);
    unlock(s, seq);
}

/* The slot, locked, if it is still this use's. */
static struct mo_slot *hold(struct mo_board *b, const struct mo_board_use *use,
                            uint32_t *seq)
{
    struct mo_slot *s;

    if (!b->head || !b->writable || !use->serial || use->index >= b->nslots)
        return NULL;
    s = slot_at(b, use->index);
    /* without the lock first, so that a late end() never delays the request
     * that has the slot now */
    if (__atomic_load_n(&s->serial, __ATOMIC_RELAXED) != use->serial)
        return NULL;
    *seq = lock(s);
    if (!*seq)
        return NULL;
    if (s->serial == use->serial)
        return s;
    unlock(s, *seq);
    return NULL;
}

void mo_board_origin(struct mo_board *b, const struct mo_board_use *use,
                     const void *origin, size_t len)
{
    uint32_t seq;
    struct mo_slot *s = hold(b, use, &seq);

    if (s) {
        set_origin(s, origin, len);
        unlock(s, seq);
    }
}

void mo_board_conn(struct mo_board *b, const struct mo_board_use *use,
                   const struct mo_conn *conn)
{
    uint32_t seq;
    struct mo_slot *s = hold(b, use, &seq);

    if (s) {
        if (conn)
            s->conn = *conn;
        else
            memset(&s->conn, 0, sizeof s->conn);
        unlock(s, seq);
    }
}

void mo_board_runs_as(struct mo_board *b, const struct mo_board_use *use,
                      uint32_t uid)
{
    uint32_t seq;
    struct mo_slot *s = hold(b, use, &seq);

    if (s) {
        s->uid = uid;
        unlock(s, seq);
    }
}

void mo_board_end(struct mo_board *b, const struct mo_board_use *use)
{
    uint32_t seq;
    struct mo_slot *s = hold(b, use, &seq);

    if (s) {
        s->serial = 0;
        /* so that reclaim() takes no slot that is claimed but not yet written
         * for the child that had it before */
        s->child = 0;
        /* the last write: from here on the slot may be another's */
        __atomic_store_n(&b->owner[use->index], 0, __ATOMIC_RELEASE);
        unlock(s, seq);
    }
}

static int is_dead(int32_t pid)
{
    return pid <= 0 || (kill((pid_t)pid, 0) && errno == ESRCH);
}

unsigned mo_board_reclaim(struct mo_board *b, int32_t child)
{
    struct mo_slot *s;
    unsigned n = 0;
    uint64_t word;
    uint32_t i, seq;
    int32_t pid;

    if (!b->head || !b->writable)
        return 0;
    for (i = 0; i < b->nslots; i++) {
        word = __atomic_load_n(&b->owner[i], __ATOMIC_ACQUIRE);
        if (!word)
            continue;
        pid = (int32_t)(word >> 32);
        s = slot_at(b, i);
        /* a process of mpm_itk's that was killed before it had written which
         * child it is of is known by being gone */
        if (s->child != child && pid != child && !is_dead(pid))
            continue;
        seq = __atomic_load_n(&s->seq, __ATOMIC_RELAXED);
        __atomic_store_n(&s->seq, (seq | 1) + 2, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        s->serial = 0;
        s->child = 0;
        if (__atomic_compare_exchange_n(&b->owner[i], &word, 0, 0,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            n++;
        __atomic_store_n(&s->seq, (seq | 1) + 3, __ATOMIC_RELEASE);
    }
    return n;
}

void mo_board_listener(struct mo_board *b, int32_t pid, uint32_t uid,
                       uint64_t start)
{
    struct mo_listener *l;

    if (!b->head || !b->writable || pid <= 0 ||
        mo_board_is_listener(b, pid, start))
        return;
    l = &b->head->listener[__atomic_fetch_add(&b->head->nlisteners, 1,
                                              __ATOMIC_RELAXED) %
                           MO_BOARD_LISTENERS];
    __atomic_store_n(&l->pid, 0, __ATOMIC_RELEASE);
    l->uid = uid;
    l->start = start;
    __atomic_store_n(&l->pid, pid, __ATOMIC_RELEASE);
}
