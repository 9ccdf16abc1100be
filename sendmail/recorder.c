/*
 * The conversation with the recorder (mo_wire.h).  HELLO goes out as soon as
 * the arguments are understood, since the script may be gone once it has
 * written its mail; it carries what we hold and asks nothing.
 *
 * Each packet carries our credentials by hand: those that the kernel would
 * add are the real uid's, and the recorder compares with the effective ones.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mo_paths.h"

#define SOCKETS_MAX 256
/* A recorder may restart more than once while a mail is asked for; one that
 * hangs up each time wants nothing of us. */
#define ASKED_MAX 5

/* one packet at a time, out or in; not on the stack, which may be small */
static unsigned char packet[MO_WIRE_MAX];

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void keep_why(struct sm_recorder *r, const char *what)
{
    snprintf(r->why, sizeof(r->why), "%s: %s", what, strerror(errno));
}

static void hang_up(struct sm_recorder *r)
{
    int saved = errno;

    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
    errno = saved;
}

/* 1: something came, 0: the deadline did, -1: error */
static int wait_for(int fd, short events, int64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int64_t left = deadline - now_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);

        if (n >= 0)
            return n;
        if (errno != EINTR)
            return -1;
    }
}

static int send_packet(int fd, const struct mo_tlv_out *out, const int *fds,
                       unsigned nfds, int64_t deadline)
{
    struct iovec iov = {.iov_base = out->buf, .iov_len = out->len};
    union {
        char buf[CMSG_SPACE(sizeof(struct ucred)) +
                 CMSG_SPACE(sizeof(int) * MO_WIRE_FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct ucred cred = {getpid(), geteuid(), getegid()};
    struct cmsghdr *c;

    memset(&control, 0, sizeof(control));
    msg.msg_control = control.buf;
    msg.msg_controllen = CMSG_SPACE(sizeof(cred));
    c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(cred));
    memcpy(CMSG_DATA(c), &cred, sizeof(cred));
    if (nfds) {
        struct cmsghdr *d;

        msg.msg_controllen += CMSG_SPACE(sizeof(int) * nfds);
        d = (struct cmsghdr *)(void *)((char *)c + CMSG_SPACE(sizeof(cred)));
        d->cmsg_level = SOL_SOCKET;
        d->cmsg_type = SCM_RIGHTS;
        d->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(d), fds, sizeof(int) * nfds);
    }
    for (;;) {
        if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -1;
        if (wait_for(fd, POLLOUT, deadline) <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

/* A connection; the kernel ends the wait where the recorder takes none. */
static int dial(struct sm_recorder *r, int64_t deadline)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int64_t left = deadline - now_ms();
    struct timeval tv;
    int fd, saved;

    if (left < 1)
        left = 1;
    _Static_assert(sizeof(MO_SOCKET_PATH) <= sizeof(sun.sun_path),
                   "the socket's path is too long");
    memcpy(sun.sun_path, MO_SOCKET_PATH, sizeof(MO_SOCKET_PATH));
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EMFILE && sm_limits_files())
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        keep_why(r, "socket");
        return -1;
    }
    tv.tv_sec = left / 1000;
    tv.tv_usec = left % 1000 * 1000;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
        if (errno == EINTR && now_ms() < deadline)
            continue;
        if (errno == EAGAIN)
            errno = ETIMEDOUT;
        saved = errno;
        keep_why(r, MO_SOCKET_PATH);
        close(fd);
        errno = saved;
        return -1;
    }
    r->fd = fd;
    return 0;
}

static int say_hello(struct sm_recorder *r, int64_t deadline)
{
    const struct sm_evidence *e = r->evidence;
    int fds[SOCKETS_MAX];
    struct mo_tlv_out out;
    unsigned n, i, done;

    if (dial(r, deadline) < 0)
        return -1;
    n = sm_sockets(fds, SOCKETS_MAX, r->fd);
    mo_wire_start(&out, packet, sizeof(packet), MO_W_HELLO);
    mo_tlv_put_str(&out, MO_W_MODE, r->mode);
    mo_tlv_put_str(&out, MO_W_EXE, e->exe);
    mo_tlv_put_str(&out, MO_W_CWD, e->cwd);
    for (i = 0; i < e->ntokens; i++)
        mo_tlv_put(&out, MO_W_TOKEN, e->token[i], e->tokenlen[i]);
    mo_tlv_put_num(&out, MO_W_ABOVE, e->above);
    for (done = 0;;) {
        unsigned now = n - done < MO_WIRE_FDS ? n - done : MO_WIRE_FDS;

        if (send_packet(r->fd, &out, fds + done, now, deadline) < 0) {
            /* the kernel won't have so many on their way: without them */
            if (now &&
                (errno == ETOOMANYREFS || errno == EPERM || errno == EINVAL)) {
                n = done;
                continue;
            }
            keep_why(r, "HELLO");
            hang_up(r);
            return -1;
        }
        done += now;
        if (done >= n)
            return 0;
        mo_wire_start(&out, packet, sizeof(packet), MO_W_MORE);
    }
}

/* Did the recorder end while we spoke? */
static int ended(int error)
{
    return error == EPIPE || error == ECONNRESET;
}

/* It was there a moment ago, so it is being restarted: it comes again soon. */
static int say_hello_again(struct sm_recorder *r, int64_t deadline)
{
    struct timespec pause = {0, 20 * 1000000};

    for (;;) {
        if (say_hello(r, deadline) == 0)
            return 0;
        if ((errno != ECONNREFUSED && errno != ENOENT && !ended(errno)) ||
            now_ms() + 20 >= deadline)
            return -1;
        nanosleep(&pause, NULL);
    }
}

void sm_recorder_hello(struct sm_recorder *r, const char *mode,
                       const struct sm_evidence *e, unsigned timeout_ms)
{
    memset(r, 0, sizeof(*r));
    r->fd = -1;
    r->mode = mode;
    r->evidence = e;
    r->timeout_ms = timeout_ms;
    if (say_hello(r, now_ms() + timeout_ms) < 0 && ended(errno))
        (void)say_hello_again(r, now_ms() + timeout_ms);
}

void sm_nonce(unsigned char nonce[MO_NONCE_LEN])
{
    size_t n = 0;

    while (n < MO_NONCE_LEN) {
        ssize_t got = getrandom(nonce + n, MO_NONCE_LEN - n, 0);

        if (got > 0)
            n += (size_t)got;
        else if (errno != EINTR) { /* no such call: still not twice the same */
            struct timespec t;
            pid_t pid = getpid();

            clock_gettime(CLOCK_MONOTONIC, &t);
            memcpy(nonce, &t.tv_nsec, 4);
            memcpy(nonce + 4, &pid, 4);
            clock_gettime(CLOCK_REALTIME, &t);
            memcpy(nonce + 8, &t, 8);
            return;
        }
    }
}

static void put_mail(struct mo_tlv_out *out, const struct sm_mail *m)
{
    unsigned i;

    mo_wire_start(out, packet, sizeof(packet), MO_W_MAIL);
    mo_tlv_put(out, MO_W_NONCE, m->nonce, MO_NONCE_LEN);
    mo_tlv_put_num(out, MO_W_RCPTS, m->nrcpts);
    mo_tlv_put_num(out, MO_W_SIZE, m->size);
    mo_tlv_put_str(out, MO_W_SENDER, m->sender);
    mo_tlv_put_str(out, MO_W_SUBJECT, m->subject);
    mo_tlv_put_str(out, MO_W_MESSAGE_ID, m->message_id);
    /* an argument may be longer than a packet: what fits */
    for (i = 0; i < m->nlisted; i++)
        if (strlen(m->rcpt[i]) < 512)
            mo_tlv_put_str(out, MO_W_RCPT, m->rcpt[i]);
}

static void copy(char *to, size_t size, const struct mo_tlv *f)
{
    size_t n = f->len < size - 1 ? f->len : size - 1;

    memcpy(to, f->data, n);
    to[n] = '\0';
}

/* Is it one field of that name, ending with its only unfolded line break? */
static int is_field(const char *h, size_t n, const char *name)
{
    size_t len = strlen(name), i;

    if (n < len + 2 || strncasecmp(h, name, len) != 0 || h[len] != ':' ||
        h[n - 1] != '\n')
        return 0;
    for (i = 0; i < n; i++)
        if ((h[i] == '\n' && i + 1 < n && h[i + 1] != '\t' &&
             h[i + 1] != ' ') ||
            (h[i] != '\n' && h[i] != '\t' && (h[i] < ' ' || h[i] == 127)))
            return 0;
    return 1;
}

/* 0, or -1: it is no verdict */
static int read_verdict(const unsigned char *buf, size_t len, const char *name,
                        struct sm_verdict *v)
{
    struct mo_tlv f;
    uint64_t n;
    size_t pos;
    int rv;

    memset(v, 0, offsetof(struct sm_verdict, header));
    if (mo_wire_type(buf, len, &pos) != MO_W_VERDICT)
        return -1;
    while ((rv = mo_tlv_next(buf, len, &pos, &f)) == 1) {
        switch (f.tag) {
        case MO_W_ACTION:
            if (mo_tlv_num(&f, &n) == 0 && n >= MO_PASSED && n <= MO_HELD)
                v->action = (int)n;
            break;
        case MO_W_ID:
            copy(v->id, sizeof(v->id), &f);
            break;
        case MO_W_REASON:
            copy(v->reason, sizeof(v->reason), &f);
            break;
        case MO_W_HEADER:
            if (f.len >= sizeof(v->header))
                return -1;
            memcpy(v->header, f.data, f.len);
            v->headerlen = f.len;
            break;
        default:
            break;
        }
    }
    if (rv < 0 || !v->action)
        return -1;
    return v->headerlen == 0 || is_field(v->header, v->headerlen, name) ? 0
                                                                        : -1;
}

/* One question on the connection that there is.  1: it was closed. */
static int ask_once(struct sm_recorder *r, const struct sm_mail *m,
                    const char *name, struct sm_verdict *v, int64_t deadline)
{
    struct mo_tlv_out out;
    ssize_t n;

    put_mail(&out, m);
    if (send_packet(r->fd, &out, NULL, 0, deadline) < 0) {
        keep_why(r, "MAIL");
        return ended(errno) ? 1 : -1;
    }
    do {
        int rv = wait_for(r->fd, POLLIN, deadline);

        if (rv == 0)
            errno = ETIMEDOUT;
        if (rv <= 0) {
            keep_why(r, "no verdict");
            return -1;
        }
        n = recv(r->fd, packet, sizeof(packet), MSG_DONTWAIT);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n <= 0) {
        if (n == 0)
            errno = ECONNRESET;
        keep_why(r, "no verdict");
        return 1;
    }
    if (read_verdict(packet, (size_t)n, name, v) < 0) {
        errno = EPROTO;
        keep_why(r, "verdict");
        return -1;
    }
    return 0;
}

int sm_recorder_ask(struct sm_recorder *r, const struct sm_mail *m,
                    const char *header_name, struct sm_verdict *v)
{
    int64_t deadline = now_ms() + r->timeout_ms;
    int rv = 1, tries;

    /* in -bs it may have gone and come again since the last mail */
    if (r->fd < 0 && strcmp(r->mode, "bs") == 0)
        (void)say_hello(r, deadline);
    for (tries = 0; tries < ASKED_MAX && r->fd >= 0; tries++) {
        rv = ask_once(r, m, header_name, v, deadline);
        if (rv == 0)
            return 0;
        hang_up(r);
        if (rv < 0 || say_hello_again(r, deadline) < 0)
            break;
    }
    return -1;
}
