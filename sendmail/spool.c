/*
 * The message, kept until there is a verdict: in memory while it is small,
 * then in a memfd, past SPILL_AT in a file without a name.  Room is left
 * in front, so that the field is put there without copying the message.
 *
 * What is read is what the MTA would have read: to the end, or through the
 * line with a dot alone, which stays in the message, so that an MTA which
 * does not mind dots after all loses nothing.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (128 * 1024)
#define PIPE_SIZE (1024 * 1024)
#define PIECE (4 * 1024 * 1024)
/* What of a mail may stay in memory.  A copy costs less into a file than into
 * a memfd, so that to begin with the one and go on with the other is no loss. */
#define SPILL_AT (4LL * 1024 * 1024)

_Static_assert(SM_ROOM >= MO_HEADER_MAX + 1024, "the field needs its room");

static char area[SM_ROOM + CHUNK], input[CHUNK];

int sm_write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static int nameless_file(void)
{
    static const char *const dirs[] = {"/var/tmp", "/tmp"};
    int fd = -1;
    size_t i;

    for (i = 0; i < 2 && fd < 0; i++)
        fd = open(dirs[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd;
}

static int open_spool(struct sm_spool *s)
{
    sm_limits_size();
    if (s->large) {
        s->fd = nameless_file();
        s->spilled = s->fd >= 0;
        if (s->fd >= 0)
            return 0;
    }
    s->fd = memfd_create("mail", MFD_CLOEXEC);
    if (s->fd < 0 && errno == EMFILE && sm_limits_files())
        s->fd = memfd_create("mail", MFD_CLOEXEC);
    if (s->fd < 0) {
        int saved = errno;

        s->fd = nameless_file();
        s->spilled = 1;
        if (s->fd < 0)
            errno = saved;
    }
    return s->fd < 0 ? -1 : 0;
}

/* What there is goes into fd, which is the spool then; else fd is closed. */
static int move_to(struct sm_spool *s, int fd)
{
    off_t from = s->start;

    if (fd < 0 || lseek(fd, s->start, SEEK_SET) < 0)
        goto failed;
    while (from < s->end) {
        ssize_t n = sendfile(fd, s->fd, &from, (size_t)(s->end - from));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            goto failed;
    }
    close(s->fd);
    s->fd = fd;
    return 0;
failed:
    if (fd >= 0)
        close(fd);
    return -1;
}

/* From the memfd into a file; 0 where it is there afterwards.  Once only. */
static int spill(struct sm_spool *s)
{
    if (s->spilled)
        return -1;
    s->spilled = 1;
    return move_to(s, nameless_file());
}

/* No room in memory: is there some on disk?  And the other way round, once. */
static int more_room(struct sm_spool *s)
{
    int saved = errno;

    if (saved == ENOSPC || saved == ENOMEM || saved == EDQUOT) {
        if (spill(s) == 0)
            return 1;
        if (!s->returned) {
            s->returned = 1;
            if (move_to(s, memfd_create("mail", MFD_CLOEXEC)) == 0)
                return 1;
        }
    }
    errno = saved;
    return 0;
}

static int write_spool(struct sm_spool *s, const char *p, size_t n)
{
    if (s->fd < 0 && open_spool(s) < 0)
        return -1;
    while (n) {
        ssize_t done = pwrite(s->fd, p, n, s->end);

        if (done < 0 && (errno == EINTR || more_room(s)))
            continue;
        if (done < 0)
            return -1;
        p += done;
        n -= (size_t)done;
        s->end += done;
    }
    if (s->end - s->start > SPILL_AT)
        (void)spill(s);
    return 0;
}

static int flush(struct sm_spool *s)
{
    size_t n = s->len;

    s->len = 0;
    return n ? write_spool(s, s->buf, n) : 0;
}

/* what stays of the message */
static int put(void *arg, const char *p, size_t n)
{
    struct sm_spool *s = arg;

    while (n) {
        size_t now = CHUNK - s->len;

        if (now == 0) {
            if (flush(s) < 0)
                return -1;
            continue;
        }
        if (now > n)
            now = n;
        memcpy(s->buf + s->len, p, now);
        s->len += now;
        p += now;
        n -= now;
    }
    return 0;
}

int sm_spool_put(struct sm_spool *s, const char *p, size_t n)
{
    return put(s, p, n);
}

/* a caller's stdin that does not block is waited for */
static int wait_input(void)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&p, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

ssize_t sm_read_input(char *buf, size_t size)
{
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf, size);

        if (n >= 0)
            return n;
        if (errno == EAGAIN ? wait_input() < 0 : errno != EINTR)
            return -1;
    }
}

enum { IN_LINE, LINE_START, DOT, DOT_CR };

/* How much of p belongs to the message; *ended: with it comes its end. */
static size_t scan_dots(struct sm_spool *s, const char *p, size_t n, int *ended)
{
    size_t i = 0;

    *ended = 0;
    while (i < n) {
        char c = p[i];

        if (s->dot_state == IN_LINE) {
            const char *nl = memchr(p + i, '\n', n - i);
            size_t at;

            if (!nl)
                break;
            at = (size_t)(nl - p);
            if (!s->first_known) {
                s->first_known = 1;
                if (s->dots == SM_DOTS_FIRST)
                    s->dots = (at ? p[at - 1] : s->last) == '\r' ? SM_DOTS_BOTH
                                                                 : SM_DOTS_LF;
            }
            s->dot_state = LINE_START;
            i = at + 1;
            continue;
        }
        if (c == '\n' && (s->dot_state == DOT ||
                          (s->dot_state == DOT_CR && s->dots != SM_DOTS_LF))) {
            *ended = 1;
            return i + 1;
        }
        if (s->dot_state == LINE_START && c == '.')
            s->dot_state = DOT;
        else if (s->dot_state == DOT && c == '\r')
            s->dot_state = DOT_CR;
        else { /* this byte is looked at as one inside a line */
            s->dot_state = IN_LINE;
            continue;
        }
        i++;
    }
    if (n)
        s->last = p[n - 1];
    return n;
}

/*
 * The rest of stdin, past the head, without passing through our memory:
 * splice() from a pipe, sendfile() from a file.  0: all is read, 1: it cannot
 * be had so, -1: error, *reading where it was on stdin's side.
 */
static int pump(struct sm_spool *s, int *reading)
{
    struct stat st;
    int moved = 0;

    if (fstat(STDIN_FILENO, &st) < 0 ||
        !(S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode)))
        return 1;
    *reading = 0;
    if (flush(s) < 0 || (s->fd < 0 && open_spool(s) < 0))
        return -1;
    if (S_ISFIFO(st.st_mode)) /* fewer turns between the writer and us */
        (void)fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
    for (;;) {
        ssize_t n;

        if (S_ISFIFO(st.st_mode)) {
            off_t to = s->end;

            n = splice(STDIN_FILENO, NULL, s->fd, &to, PIECE, SPLICE_F_MOVE);
        }
        else {
            if (lseek(s->fd, s->end, SEEK_SET) < 0)
                return -1;
            n = sendfile(s->fd, STDIN_FILENO, NULL, PIECE);
        }
        if (n == 0)
            return 0;
        if (n > 0) {
            moved = 1;
            s->end += n;
            s->given += (uint64_t)n;
            if (s->end - s->start > SPILL_AT)
                (void)spill(s);
            continue;
        }
        if (errno == EINTR || more_room(s))
            continue;
        if (errno == EAGAIN) {
            *reading = 1;
            if (wait_input() < 0)
                return -1;
            continue;
        }
        if (!moved && (errno == EINVAL || errno == ENOSYS))
            return 1;
        /* which side it was, read() will tell */
        return errno == EIO || errno == EINVAL ? 1 : -1;
    }
}

static int read_message(struct sm_spool *s, int *reading)
{
    int ended = 0, state = MO_HEAD_MORE, tried = 0;

    while (!ended) {
        size_t used = 0, take;
        ssize_t n;

        if (state == MO_HEAD_DONE && !tried && s->dots == SM_DOTS_TEXT &&
            s->given >= CHUNK / 4) {
            int rv = pump(s, reading);

            if (rv <= 0)
                return rv;
            tried = 1;
        }
        *reading = 1;
        n = sm_read_input(input, sizeof(input));
        if (n < 0)
            return -1;
        *reading = 0;
        if (n == 0)
            break;
        take = (size_t)n;
        if (s->dots != SM_DOTS_TEXT)
            take = scan_dots(s, input, take, &ended);
        s->given += take;
        if (state == MO_HEAD_MORE) {
            state = mo_head_feed(&s->head, input, take, &used, put, s);
            if (state < 0)
                return -1;
        }
        if (put(s, input + used, take - used) < 0)
            return -1;
    }
    return state == MO_HEAD_MORE ? mo_head_end(&s->head, put, s) : 0;
}

void sm_spool_start(struct sm_spool *s)
{
    s->fd = -1;
    s->start = s->end = SM_ROOM;
    s->given = 0;
    s->len = 0;
    s->buf = area + SM_ROOM;
    s->dot_state = LINE_START;
    s->first_known = 0;
    s->last = 0;
    s->spilled = 0;
    s->large = s->returned = 0;
}

/* Is stdin a file with so much left that the spool will be one too? */
static int is_large(void)
{
    struct stat st;
    off_t at;

    if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size <= SPILL_AT)
        return 0;
    at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    return at >= 0 && st.st_size - at > SPILL_AT;
}

int sm_spool_read(struct sm_spool *s, const struct sm_mode *m,
                  const char *header_name, char *err, size_t errsize)
{
    int reading = 0;

    sm_spool_start(s);
    s->large = is_large();
    s->dots = m->dots;
    mo_head_start(&s->head, header_name);
    s->head.from = m->from;
    if (m->kind == SM_T)
        s->head.rcpts = &s->rcpts;
    if (read_message(s, &reading) == 0)
        return 0;
    snprintf(err, errsize, "cannot %s the message: %s; nothing was sent",
             reading ? "read" : "keep", strerror(errno));
    return -1;
}

/* the "From " lines, up to where the field goes, nearer to the front */
static int move_front(struct sm_spool *s, off_t to)
{
    off_t from = s->start, end = s->start + (off_t)s->head.insert;

    while (from < end) {
        size_t want = sizeof(input);
        ssize_t n;

        if ((off_t)want > end - from)
            want = (size_t)(end - from);
        n = pread(s->fd, input, want, from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        want = (size_t)n;
        for (n = 0; (size_t)n < want;) {
            ssize_t done =
                pwrite(s->fd, input + n, want - (size_t)n, to + (off_t)n);

            if (done < 0 && errno != EINTR)
                return -1;
            n += done > 0 ? done : 0;
        }
        from += (off_t)want;
        to += (off_t)want;
    }
    return 0;
}

static int stamp(struct sm_spool *s, const char *field, size_t len)
{
    size_t done = 0;
    off_t at;

    if (s->fd < 0) { /* all is in memory, and goes out in one piece */
        char *front = s->buf - len;

        memmove(front, s->buf, s->head.insert);
        memcpy(front + s->head.insert, field, len);
        if (open_spool(s) < 0)
            return -1;
        s->start = s->end = 0;
        if (write_spool(s, front, s->len + len) < 0)
            return -1;
        s->len = 0;
        return lseek(s->fd, 0, SEEK_SET) < 0 ? -1 : 0;
    }
    if (flush(s) < 0 || move_front(s, s->start - (off_t)len) < 0)
        return -1;
    s->start -= (off_t)len;
    at = s->start + (off_t)s->head.insert;
    while (done < len) {
        ssize_t n = pwrite(s->fd, field + done, len - done, at + (off_t)done);

        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return lseek(s->fd, s->start, SEEK_SET) < 0 ? -1 : 0;
}

int sm_spool_stamp(struct sm_spool *s, const char *field, size_t len, char *err,
                   size_t errsize)
{
    if (stamp(s, field, len) == 0)
        return 0;
    snprintf(err, errsize, "cannot keep the message: %s; nothing was sent",
             strerror(errno));
    return -1;
}
