/*
 * Sendmail's queue, changed under Sendmail's own locks: its programs take
 * parts of ids only, one at a time.  A mail is at each moment whole, under
 * one name: a quarantine writes tfID, renames it over qfID, then to hfID, as
 * Sendmail does.  Both kinds of lock are taken: Sendmail is built with
 * flock() or fcntl().  (Locks of the open file, so that reading it through
 * another descriptor doesn't lose them.)
 */
#include "queue_pick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int lock(int fd)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return flock(fd, LOCK_EX | LOCK_NB) < 0 || fcntl(fd, F_OFD_SETLK, &l) < 0
               ? -1
               : 0;
}

/* the queue file, open and locked, and still the one of that name */
static int open_locked(struct pick *p)
{
    struct stat now, ours;
    int fd = open(p->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        pick_fail(p, errno == ENOENT ? PICK_GONE : PICK_FAILED,
                  errno == ENOENT ? NULL : strerror(errno));
        return -1;
    }
    if (lock(fd) < 0) {
        pick_busy(p);
        close(fd);
        return -1;
    }
    if (fstat(fd, &ours) < 0 || lstat(p->path, &now) < 0 ||
        now.st_ino != ours.st_ino || now.st_dev != ours.st_dev) {
        pick_fail(p, PICK_GONE, NULL);
        close(fd);
        return -1;
    }
    return fd;
}

/* the file's text with the line of a quarantine, or without; malloc'd */
static char *rewrite(int fd, int hold, size_t *len)
{
    static const char line[] = "qheld by mailorigin\n";
    struct stat st;
    char *in, *out;
    size_t size, i = 0, n = 0;
    int done = !hold;

    if (fstat(fd, &st) < 0 || st.st_size > 64 << 20)
        return NULL;
    size = (size_t)st.st_size;
    in = malloc(size + 1);
    out = malloc(size + sizeof line);
    if (!in || !out || pread(fd, in, size, 0) != (ssize_t)size) {
        free(in);
        free(out);
        return NULL;
    }
    while (i < size) {
        char *nl = memchr(in + i, '\n', size - i);
        size_t l = nl ? (size_t)(nl + 1 - (in + i)) : size - i;

        if (in[i] == 'q') { /* ours, or an older one */
            i += l;
            continue;
        }
        if (!done && in[i] == 'S') {
            memcpy(out + n, line, sizeof line - 1);
            n += sizeof line - 1;
            done = 1;
        }
        memcpy(out + n, in + i, l);
        n += l;
        i += l;
    }
    free(in);
    *len = n;
    if (done)
        return out;
    free(out);
    return NULL;
}

/* A tfID that is there is left from a process that was killed, ours or
 * Sendmail's, if nobody has it locked: it is made under the lock of qfID, and
 * that is ours now. */
static int create(const char *tf, mode_t mode)
{
    int fd, old;

    fd = open(tf, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0 || errno != EEXIST)
        return fd;
    old = open(tf, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (old < 0)
        return -1;
    if (lock(old) == 0 && unlink(tf) == 0)
        fd = open(tf, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    close(old);
    return fd;
}

/* under its new name, with its first letter and contents changed */
static int change(struct pick *p, int fd, int hold)
{
    char tf[1024], to[1024], *slash, *text;
    struct stat st;
    size_t len, done = 0;
    int out;

    snprintf(tf, sizeof tf, "%s", p->path);
    slash = strrchr(tf, '/');
    slash[1] = 't';
    snprintf(to, sizeof to, "%s", p->path);
    to[slash + 1 - tf] = hold ? 'h' : 'q';
    text = rewrite(fd, hold, &len);
    if (!text || fstat(fd, &st) < 0) {
        free(text);
        return -1;
    }
    out = create(tf, st.st_mode & 0777);
    if (out < 0) {
        free(text);
        return -1;
    }
    if (lock(out) < 0 || fchown(out, st.st_uid, st.st_gid) < 0 ||
        fchmod(out, st.st_mode & 0777) < 0)
        goto bad;
    while (done < len) {
        ssize_t n = write(out, text + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto bad;
        done += (size_t)n;
    }
    if (fsync(out) < 0 || rename(tf, p->path) < 0)
        goto bad;
    free(text);
    if (strcmp(p->path, to) != 0 && rename(p->path, to) < 0) {
        close(out);
        return -1;
    }
    close(out);
    free(p->path);
    p->path = strdup(to);
    return 0;
bad : {
    int e = errno;
    unlink(tf);
    close(out);
    free(text);
    errno = e;
    return -1;
}
}

void sendmail_act(struct cli *c, struct queue *q, struct pick *p, enum act what)
{
    static struct queue_mail m;
    char data[1024];
    int fd = open_locked(p);

    if (fd < 0)
        return;
    queue_mail_init(&m, q->mta);
    snprintf(m.id, sizeof m.id, "%s", p->id);
    if (queue_read(q, p->path, p->queue, &m) < 0 || !pick_is(c, p, &m)) {
        pick_fail(p, PICK_CHANGED, "another mail is under that id now");
        close(fd);
        return;
    }
    if (what != ACT_DELETE) {
        if (change(p, fd, what == ACT_HOLD) < 0) {
            pick_fail(p, PICK_FAILED, strerror(errno));
        }
        else {
            p->state = what == ACT_HOLD ? PICK_HELD : PICK_RELEASED;
            p->todo = 0;
        }
        close(fd);
        return;
    }
    /* envelope first: a body without one is nothing, but an envelope without
     * a body Sendmail sets aside as lost */
    if (queue_data_path(q->mta, p->path, data, sizeof data) < 0 ||
        unlink(p->path) < 0) {
        pick_fail(p, PICK_FAILED, strerror(errno));
    }
    else {
        unlink(data);
        p->state = PICK_DELETED;
        p->todo = 0;
    }
    close(fd);
}
