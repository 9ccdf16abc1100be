/*
 * The mail log: a record is one write() to a file opened for appending, so
 * that a reader never sees half a line.  What can't be written is said once,
 * and its end.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_NS 500000000ull /* how long a moved file may go unnoticed */
#define TAIL (64 * 1024)

/* Is there a name left for it, by which its records can be found? */
static int is_linked(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_nlink > 0 || !S_ISREG(st.st_mode));
}

static void reopen(struct rec_log *l)
{
    struct stat st;
    int fd =
        open(l->path,
             O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
             0640);

    if (fd < 0) {
        l->open_error = errno;
        if (l->fd >= 0 && !is_linked(l->fd))
            rec_log_close(l);
        return; /* a moved file is better than none */
    }
    rec_log_close(l);
    l->fd = fd;
    l->open_error = 0;
    if (fstat(fd, &st) == 0) {
        l->dev = (uint64_t)st.st_dev;
        l->ino = (uint64_t)st.st_ino;
    }
}

static void say(struct rec_log *l, int error, const char *then)
{
    if (!l->said)
        rec_trouble("mail log %s: %s; %s", l->path, strerror(error), then);
    l->said = 1;
}

static const char moved[] = "the moved file is written on";

void rec_log_open(struct rec_log *l, const char *path)
{
    snprintf(l->path, sizeof l->path, "%s", path);
    l->looked = mo_boottime();
    reopen(l);
    if (l->open_error != 0)
        say(l, l->open_error, l->fd >= 0 ? moved : "no record can be written");
}

/* Has logrotate moved it? */
static void look(struct rec_log *l)
{
    uint64_t now = mo_boottime();
    struct stat st;

    if (l->fd >= 0 && now - l->looked < LOOK_NS)
        return;
    l->looked = now;
    if (l->fd < 0 || stat(l->path, &st) != 0 || (uint64_t)st.st_ino != l->ino ||
        (uint64_t)st.st_dev != l->dev)
        reopen(l);
}

static int put(struct rec_log *l, const char *line, size_t len)
{
    struct stat st;
    ssize_t n;

    do
        n = write(l->fd, line, len);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return 0;
    if (n >= 0) {
        /* a full disk took a part: half a line is worse than none */
        if (fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= n)
            (void)!ftruncate(l->fd, st.st_size - n);
        errno = ENOSPC;
    }
    return -1;
}

int rec_log_write(struct rec_log *l, const char *line, size_t len, int refuse)
{
    look(l);
    if (l->fd < 0 || put(l, line, len) != 0) {
        int error = l->fd < 0 ? l->open_error : errno;

        say(l, error,
            refuse ? "mails are refused for now (on-failure refuse)"
                   : "each mail goes on with a line in syslog instead");
        errno = error;
        return -1;
    }
    if (l->open_error != 0) {
        say(l, l->open_error, moved);
    }
    else if (l->said) {
        rec_trouble("mail log %s: written again", l->path);
        l->said = 0;
    }
    return 0;
}

int rec_log_has(struct rec_log *l, const char *id)
{
    static char buf[TAIL];
    char want[64];
    struct stat st;
    ssize_t n;
    int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return 0;
    n = -1;
    if (fstat(fd, &st) == 0)
        n = pread(fd, buf, sizeof buf,
                  st.st_size > TAIL ? st.st_size - TAIL : 0);
    close(fd);
    if (n <= 0)
        return 0;
    snprintf(want, sizeof want, "\"id\":\"%s\"", id);
    return memmem(buf, (size_t)n, want, strlen(want)) != NULL;
}

void rec_log_close(struct rec_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}
