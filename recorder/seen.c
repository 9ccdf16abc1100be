/*
 * The nonces of mails that were answered, with their verdicts: a mail that
 * is asked for again (its answer was lost, the recorder restarted) gets the
 * same verdict and no second record.
 *
 * A ring in a mapped file: what was stored outlives a kill -9 without a
 * system call a mail.  An entry counts only with the state it was given
 * last, so that one torn by a crash is passed over.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD 4096
#define MAGIC "MOSEEN01"
#define BUCKETS (REC_SEEN * 2)

_Static_assert(sizeof(struct rec_seen_entry) <= REC_SEEN_SIZE, "fits");

static struct rec_seen_entry *at(struct rec_seen *s, uint32_t i)
{
    return (void *)((char *)s->e + (size_t)i * REC_SEEN_SIZE);
}

static uint32_t hash(uint32_t uid, const unsigned char *nonce)
{
    uint64_t n;

    memcpy(&n, nonce, sizeof n); /* from the kernel, or the client's loss */
    n ^= uid;
    n *= 0x9e3779b97f4a7c15ull;
    return (uint32_t)(n >> 32) % BUCKETS;
}

static void link_in(struct rec_seen *s, uint32_t i)
{
    uint32_t b = hash(at(s, i)->uid, at(s, i)->nonce);

    while (s->bucket[b] != 0)
        b = (b + 1) % BUCKETS;
    s->bucket[b] = i + 1;
}

static void unlink_from(struct rec_seen *s, uint32_t i)
{
    uint32_t b = hash(at(s, i)->uid, at(s, i)->nonce);
    uint32_t n;

    for (n = 0; n < BUCKETS && s->bucket[b] != i + 1; n++) {
        if (s->bucket[b] == 0)
            return;
        b = (b + 1) % BUCKETS;
    }
    s->bucket[b] = 0;
    /* those behind it move up, or they would not be found again */
    for (b = (b + 1) % BUCKETS; s->bucket[b] != 0; b = (b + 1) % BUCKETS) {
        uint32_t other = s->bucket[b] - 1;

        s->bucket[b] = 0;
        link_in(s, other);
    }
}

static int valid(const struct rec_seen_entry *e)
{
    return (e->state == 1 || e->state == 2) && e->when != 0 &&
           e->header_len < sizeof e->header &&
           memchr(e->id, '\0', sizeof e->id) != NULL &&
           memchr(e->reason, '\0', sizeof e->reason) != NULL;
}

static void *map_file(const char *path)
{
    size_t size = HEAD + (size_t)REC_SEEN * REC_SEEN_SIZE;
    struct stat st;
    char head[8] = "";
    void *m = MAP_FAILED;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid()) {
        if ((size_t)st.st_size != size ||
            pread(fd, head, sizeof head, 0) != sizeof head ||
            memcmp(head, MAGIC, sizeof head) != 0) {
            /* another version's, or new: allocated, since a full disk must
             * not end us by a signal later */
            if (ftruncate(fd, 0) != 0 ||
                (errno = posix_fallocate(fd, 0, (off_t)size)) != 0 ||
                pwrite(fd, MAGIC, sizeof head, 0) != sizeof head) {
                (void)!ftruncate(fd, 0);
                close(fd);
                return NULL;
            }
        }
        m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    close(fd);
    return m == MAP_FAILED ? NULL : m;
}

void rec_seen_open(struct rec_seen *s, const char *path)
{
    uint64_t newest = 0;
    uint32_t i;

    memset(s, 0, sizeof *s);
    if (path != NULL) {
        char *m = map_file(path);

        if (m != NULL) {
            s->e = (void *)(m + HEAD);
            s->mapped = 1;
        }
        else {
            rec_trouble("%s: %s; a mail that is retried over a restart may "
                        "get a second record",
                        path, strerror(errno));
        }
    }
    if (s->e == NULL)
        s->e = calloc(REC_SEEN, REC_SEEN_SIZE);
    if (s->e == NULL)
        return;
    for (i = 0; s->mapped && i < REC_SEEN; i++) {
        struct rec_seen_entry *e = at(s, i);

        if (e->when == 0)
            continue;
        if (!valid(e)) {
            memset(e, 0, sizeof *e);
            continue;
        }
        link_in(s, i);
        if (e->when >= newest) {
            newest = e->when;
            s->next = (i + 1) % REC_SEEN;
        }
    }
}

void rec_seen_close(struct rec_seen *s)
{
    if (s->e == NULL)
        return;
    if (s->mapped)
        munmap((char *)s->e - HEAD, HEAD + (size_t)REC_SEEN * REC_SEEN_SIZE);
    else
        free(s->e);
    s->e = NULL;
}

struct rec_seen_entry *rec_seen_find(struct rec_seen *s, uint32_t uid,
                                     const unsigned char *nonce)
{
    uint32_t b = hash(uid, nonce);
    uint32_t n;

    for (n = 0; s->e != NULL && n < BUCKETS && s->bucket[b] != 0; n++) {
        struct rec_seen_entry *e = at(s, s->bucket[b] - 1);

        if (e->uid == uid && memcmp(e->nonce, nonce, MO_NONCE_LEN) == 0)
            return e;
        b = (b + 1) % BUCKETS;
    }
    return NULL;
}

struct rec_seen_entry *rec_seen_add(struct rec_seen *s, uint32_t uid,
                                    const unsigned char *nonce)
{
    struct rec_seen_entry *e;

    if (s->e == NULL)
        return NULL;
    e = at(s, s->next);
    if (e->when != 0)
        unlink_from(s, s->next);
    __atomic_store_n(&e->state, 0, __ATOMIC_RELEASE);
    memcpy(e->nonce, nonce, MO_NONCE_LEN);
    e->uid = uid;
    link_in(s, s->next);
    s->next = (s->next + 1) % REC_SEEN;
    return e; /* the caller fills it and sets when and state */
}
