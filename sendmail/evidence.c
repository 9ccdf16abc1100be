/*
 * What the recorder cannot read for itself, since it has no right to: tokens
 * in our and our ancestors' environments, the parent's program, the working
 * directory, and every socket we hold.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ANCESTORS 10
#define ENVIRON_MAX (256 * 1024)

extern char **environ;

static const char *const names[] = {"MAILORIGIN_TOKEN=",
                                    "SSL_MAILORIGIN_TOKEN="};

/* The value of one of our names in a "NAME=value", or NULL. */
static const char *token_in(const char *word)
{
    size_t i;

    for (i = 0; i < 2; i++) {
        size_t n = strlen(names[i]);

        if (strncmp(word, names[i], n) == 0 && word[n] != '\0')
            return word + n;
    }
    return NULL;
}

static void add(struct sm_evidence *e, const char *token, int keep)
{
    size_t len = strlen(token);
    unsigned i;

    if (e->ntokens == SM_TOKENS || len >= SM_TOKEN_MAX)
        return;
    for (i = 0; i < e->ntokens; i++)
        if (e->tokenlen[i] == len && memcmp(e->token[i], token, len) == 0) {
            if (keep)
                e->above |= 1u << i;
            return;
        }
    if (keep) {
        e->above |= 1u << e->ntokens;
        memcpy(e->store[e->nstored], token, len + 1);
        token = e->store[e->nstored++];
    }
    e->token[e->ntokens] = token;
    e->tokenlen[e->ntokens++] = len;
}

/* The words of /proc/PID/environ, in pieces: one that is longer than the
 * buffer is passed over.  -1: it is not to be read. */
static int read_environ(struct sm_evidence *e, pid_t pid)
{
    char path[40], buf[SM_TOKEN_MAX + 64];
    size_t have = 0, total = 0;
    int fd, skip = 0;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    while (total < ENVIRON_MAX) {
        char *p = buf, *end;

        n = read(fd, buf + have, sizeof(buf) - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
        total += (size_t)n;
        while (have && (end = memchr(p, '\0', have)) != NULL) {
            const char *token = skip ? NULL : token_in(p);

            if (token)
                add(e, token, 1);
            skip = 0;
            have -= (size_t)(end + 1 - p);
            p = end + 1;
        }
        if (have == sizeof(buf)) {
            skip = 1;
            have = 0;
        }
        memmove(buf, p, have);
    }
    close(fd);
    return n < 0 ? -1 : 0;
}

static pid_t parent_of(pid_t pid)
{
    char path[40], buf[512], *p;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    buf[n] = '\0';
    p = strrchr(buf, ')'); /* the name before it may hold anything */
    return p && p[1] == ' ' && p[2] && p[3] == ' ' ? (pid_t)atoi(p + 4) : 0;
}

static void read_link(const char *path, char *out, size_t size)
{
    ssize_t n = readlink(path, out, size - 1);

    out[n > 0 ? n : 0] = '\0';
}

void sm_evidence_find(struct sm_evidence *e)
{
    pid_t pid = getppid();
    char path[40];
    size_t which;
    char **env;
    int i;

    e->ntokens = e->nstored = e->above = 0;
    /* ours first, and of ours the module's name before suexec's */
    for (which = 0; which < 2; which++)
        for (env = environ; env && *env; env++) {
            const char *token = token_in(*env);

            if (token && (*env)[0] == names[which][0])
                add(e, token, 0);
        }
    /* those above: while they are ours to read */
    for (i = 0; i < ANCESTORS && pid > 1; i++) {
        if (read_environ(e, pid) < 0)
            break;
        pid = parent_of(pid);
    }
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)getppid());
    read_link(path, e->exe, sizeof(e->exe));
    if (!getcwd(e->cwd, sizeof(e->cwd)))
        e->cwd[0] = '\0';
}

struct entry { /* what getdents64 gives */
    uint64_t ino;
    int64_t off;
    unsigned short reclen;
    unsigned char type;
    char name[];
};

static unsigned try_fd(int fd, int *fds, unsigned n, unsigned max, int not_this)
{
    struct stat st;

    if (fd != not_this && n < max && fstat(fd, &st) == 0 &&
        S_ISSOCK(st.st_mode))
        fds[n++] = fd;
    return n;
}

unsigned sm_sockets(int *fds, unsigned max, int not_this)
{
    /* opendir() allocates; this need not */
    char buf[2048] __attribute__((aligned(8)));
    int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    unsigned n = 0;

    if (dir < 0) { /* no /proc, in a chroot: the usual numbers */
        for (fd = 0; fd < 64; fd++)
            n = try_fd(fd, fds, n, max, not_this);
        return n;
    }
    for (;;) {
        long got = syscall(SYS_getdents64, dir, buf, sizeof(buf));
        long pos = 0;

        if (got <= 0)
            break;
        while (pos < got) {
            struct entry *d = (struct entry *)(void *)(buf + pos);

            if (d->name[0] >= '0' && d->name[0] <= '9')
                n = try_fd(atoi(d->name), fds, n, max, not_this);
            pos += d->reclen;
        }
    }
    close(dir);
    return n;
}
