/*
 * The loop: one epoll, no waiting for anybody.
 *
 * Fairness is by uid.  In one round a uid gets a share of messages, and what
 * it has beyond waits for the next round behind the others'.  A uid holds at
 * most a quarter of the sessions; beyond, its own oldest silent one goes.
 */
#include "rec.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define EVENTS 256
#define ACCEPTS 64 /* in one round, at most */
#define SHARE 32 /* messages of one uid in one round */
#define SILENT_NS (10ull * 1000000000) /* without a HELLO */
#define IDLE_NS (900ull * 1000000000) /* with one */
#define OWN_FDS (REC_CACHE + REC_BOARDS + MO_WIRE_FDS + 64)

void rec_trouble(const char *fmt, ...)
{
    char text[900];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mo_error("%s", text);
    mo_msg_syslog(1);
    mo_error("%s", text);
    mo_msg_syslog(0);
}

int rec_watch(struct rec *r, struct rec_source *s, uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = s}};

    return epoll_ctl(r->epfd, EPOLL_CTL_ADD, s->fd, &e);
}

void rec_unwatch(struct rec *r, struct rec_source *s)
{
    epoll_ctl(r->epfd, EPOLL_CTL_DEL, s->fd, NULL);
}

/* ---- sessions */

static struct rec_uid *owner_of(struct rec *r, uint32_t uid)
{
    struct rec_uid **at = &r->uid[uid % REC_UIDS];
    struct rec_uid *u;

    for (u = *at; u != NULL; u = u->next)
        if (u->uid == uid)
            return u;
    u = calloc(1, sizeof *u);
    if (u == NULL)
        return NULL;
    u->uid = uid;
    u->next = *at;
    *at = u;
    return u;
}

static void disown(struct rec *r, struct rec_uid *u)
{
    struct rec_uid **at = &r->uid[u->uid % REC_UIDS];

    if (--u->sessions > 0)
        return;
    while (*at != u)
        at = &(*at)->next;
    *at = u->next;
    free(u);
}

static void unlist(struct rec *r, struct rec_session *s)
{
    if (s->newer != NULL)
        s->newer->older = s->older;
    else
        r->newest = s->older;
    if (s->older != NULL)
        s->older->newer = s->newer;
    else
        r->oldest = s->newer;
}

static void enlist(struct rec *r, struct rec_session *s)
{
    s->spoke = r->now;
    s->newer = NULL;
    s->older = r->newest;
    if (r->newest != NULL)
        r->newest->newer = s;
    else
        r->oldest = s;
    r->newest = s;
}

/* ---- those of a uid that have not said HELLO, by their age */

static void hush(struct rec_session *s)
{
    struct rec_uid *u = s->owner;

    s->quiet_older = u->quiet_newest;
    if (u->quiet_newest != NULL)
        u->quiet_newest->quiet_newer = s;
    else
        u->quiet_oldest = s;
    u->quiet_newest = s;
}

static void unhush(struct rec_session *s)
{
    struct rec_uid *u = s->owner;

    if (s->quiet_newer != NULL)
        s->quiet_newer->quiet_older = s->quiet_older;
    else if (u->quiet_newest == s)
        u->quiet_newest = s->quiet_older;
    else
        return; /* it is not among them */
    if (s->quiet_older != NULL)
        s->quiet_older->quiet_newer = s->quiet_newer;
    else
        u->quiet_oldest = s->quiet_newer;
    s->quiet_newer = s->quiet_older = NULL;
}

/* Freed at the round's end: an event of it may still be in the batch. */
static struct rec_session *dead;
/* Ended, but not closed yet: there are unread packets, in which there may be
 * descriptors, and no closer was free.  They count as their uid's. */
static struct rec_session *unclosed;

static void forget_session(struct rec *r, struct rec_session *s)
{
    s->source.fd = -1;
    disown(r, s->owner);
    r->nsessions--;
    s->newer = dead;
    dead = s;
}

/* Closes what has unread packets; -1: not now. */
static int close_unread(const struct rec_session *s, uint64_t now)
{
    int stuck;
    struct rec_closer *closer = rec_closer_for(s->uid, now, &stuck);

    if (closer == NULL)
        return -1;
    rec_closer_close(closer, s->uid, now, &s->source.fd, 1);
    return 0;
}

/* eof: all is read that there was. */
static void end_session(struct rec *r, struct rec_session *s, int eof)
{
    int unread = 0;

    if (s->source.fd < 0 || s->ended)
        return;
    s->ended = 1;
    unlist(r, s);
    unhush(s);
    rec_session_clear(s);
    if (!eof && ioctl(s->source.fd, FIONREAD, &unread) != 0)
        unread = 1;
    /* epoll forgets what is closed, but not before the last copy is: a closer
     * may take its time, and an alert's child has copies until its exec */
    if (unread || rec_alerts_running(&r->alerts))
        rec_unwatch(r, &s->source);
    if (!unread) {
        close(s->source.fd);
        forget_session(r, s);
        return;
    }
    shutdown(s->source.fd, SHUT_RDWR);
    if (close_unread(s, r->now) == 0) {
        forget_session(r, s);
        return;
    }
    s->newer = unclosed;
    unclosed = s;
}

static void close_unclosed(struct rec *r)
{
    struct rec_session **at = &unclosed;

    while (*at != NULL) {
        struct rec_session *s = *at;

        if (close_unread(s, r->now) != 0) {
            at = &s->newer;
            continue;
        }
        *at = s->newer;
        forget_session(r, s);
    }
}

static void bury(void)
{
    while (dead != NULL) {
        struct rec_session *next = dead->newer;

        free(dead);
        dead = next;
    }
}

/* One packet: 1 it was read, 0 none is there, -1: end the session; *eof: the
 * client did. */
static int read_packet(struct rec *r, struct rec_session *s, int *eof)
{
    static unsigned char buf[MO_WIRE_MAX];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred)) +
                   CMSG_SPACE(MO_WIRE_FDS * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = sizeof buf};
    struct msghdr m;
    struct cmsghdr *c;
    struct ucred who = {0, (uid_t)-1, (gid_t)-1};
    struct rec_closer *closer;
    int fds[MO_WIRE_FDS];
    unsigned nfds = 0;
    unsigned i;
    ssize_t n;
    int stuck;
    int rc = -1;

    memset(&m, 0, sizeof m);
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    closer = rec_closer_for(s->uid, r->now, &stuck);
    if (closer == NULL) {
        sched_yield(); /* the epoll comes back to it */
        return stuck ? -1 : 0;
    }
    n = recvmsg(s->source.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    *eof = n == 0 && m.msg_controllen == 0; /* else an empty packet */
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS &&
            c->cmsg_len == CMSG_LEN(sizeof who)) {
            memcpy(&who, CMSG_DATA(c), sizeof who);
        }
        else if (c->cmsg_type == SCM_RIGHTS) {
            size_t many = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            for (i = 0; i < many && nfds < MO_WIRE_FDS; i++)
                memcpy(&fds[nfds++], CMSG_DATA(c) + i * sizeof(int),
                       sizeof(int));
        }
    }
    /* the sender must be who connected: a descriptor that was handed on, or
     * false credentials, speak for nobody */
    if (n > 0 && (m.msg_flags & MSG_TRUNC) == 0 && who.pid == s->pid &&
        who.uid == s->uid)
        rc = rec_session_message(r, s, buf, (size_t)n, fds, nfds) == 0 ? 1 : -1;
    if (nfds > 0)
        rec_closer_close(closer, s->uid, r->now, fds, nfds);
    return rc;
}

/* Reads one packet: another is waited for like anybody's, which is less than
 * asking for it in vain after each. */
static void client_ready(struct rec *r, struct rec_source *source,
                         uint32_t events)
{
    struct rec_session *s = (struct rec_session *)source; /* first member */
    int eof = 0;
    int rc;

    if (s->source.fd < 0 || s->ended)
        return; /* in this round */
    if (events & EPOLLHUP) {
        /* Nobody waits for an answer any more: a mail that is still to be
         * read has gone without us, or not at all. */
        end_session(r, s, 0);
        return;
    }
    if (s->owner->round != r->round) {
        s->owner->round = r->round;
        s->owner->batch = 0;
    }
    if (s->owner->batch >= SHARE)
        return;
    rc = read_packet(r, s, &eof);
    if (rc < 0) {
        end_session(r, s, eof);
        return;
    }
    if (rc == 0)
        return;
    s->owner->batch++;
    if (s->hello)
        unhush(s);
    unlist(r, s);
    enlist(r, s);
}

/* Room for one more of that uid's? */
static int room(struct rec *r, const struct rec_uid *u)
{
    unsigned most = u->uid == 0 ? r->max_sessions : r->max_sessions / 4;

    if (u->sessions < most && r->nsessions < r->max_sessions)
        return 1;
    if (u->quiet_oldest == NULL)
        return 0;
    end_session(r, u->quiet_oldest, 0);
    return 1;
}

static void take_client(struct rec *r, int fd)
{
    struct rec_session *s;
    struct ucred peer;
    socklen_t len = sizeof peer;
    struct rec_uid *u = NULL;

    s = calloc(1, sizeof *s);
    if (s != NULL && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        u = owner_of(r, peer.uid);
    if (u != NULL) {
        u->sessions++; /* so that making room does not free it */
        if (room(r, u)) {
            s->source.fd = fd;
            s->source.ready = client_ready;
            s->pid = peer.pid;
            s->uid = peer.uid;
            s->gid = peer.gid;
            s->owner = u;
            if (rec_watch(r, &s->source, EPOLLIN) == 0) {
                r->nsessions++;
                enlist(r, s);
                hush(s);
                client_ready(r, &s->source, EPOLLIN);
                return;
            }
        }
        disown(r, u);
    }
    free(s);
    close(fd);
}

static void accept_ready(struct rec *r, struct rec_source *s, uint32_t events)
{
    /* Asking in vain costs as much as accepting: one, where little goes on;
     * the epoll comes back to what is left. */
    const int most =
        r->caught_up && r->busy < EVENTS ? 1 + r->busy / 4 : ACCEPTS;
    const int on = 1;
    int i;

    (void)events;
    for (i = 0; i < most; i++) {
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            /* who connected before the listener asked for credentials has
             * a socket that does not */
            if (!r->caught_up)
                setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
            take_client(r, fd);
            continue;
        }
        if (errno == EAGAIN)
            r->caught_up = 1;
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if ((errno == EMFILE || errno == ENFILE) && r->oldest != NULL) {
            end_session(r, r->oldest, 0);
            continue;
        }
        return;
    }
}

static void drop_silent(struct rec *r)
{
    struct rec_session *s = r->oldest;

    while (s != NULL && r->now - s->spoke > SILENT_NS) {
        struct rec_session *next = s->newer;

        if (!s->hello || r->now - s->spoke > IDLE_NS)
            end_session(r, s, 0);
        s = next;
    }
}

/* ---- signals */

static void signal_ready(struct rec *r, struct rec_source *s, uint32_t events)
{
    struct signalfd_siginfo in;

    (void)events;
    while (read(s->fd, &in, sizeof in) == (ssize_t)sizeof in) {
        if (in.ssi_signo == SIGHUP)
            rec_reload(r);
        else if (in.ssi_signo == SIGCHLD)
            rec_alerts_reap(&r->alerts);
        else
            r->stop = (int)in.ssi_signo;
    }
}

/* A conf that can't be read changes nothing; bad lines are passed over. */
static void read_conf(struct rec *r, struct mo_conf *fresh)
{
    char err[1024];

    mo_conf_defaults(fresh);
    if (mo_conf_read(fresh, MO_CONF_PATH, err, sizeof err) != 0 &&
        errno != ENOENT) {
        if (errno != 0 && r->conf.log[0] != '\0') {
            rec_trouble("%s; the conf read before is kept", err);
            *fresh = r->conf;
        }
        else {
            rec_trouble("%s", err);
        }
    }
    if (fresh->log[0] == '\0')
        snprintf(fresh->log, sizeof fresh->log, "%s", MO_LOG_PATH);
    if (gethostname(r->host, sizeof r->host) != 0)
        r->host[0] = '\0';
    r->host[sizeof r->host - 1] = '\0';
}

void rec_reload(struct rec *r)
{
    static struct mo_conf fresh;

    read_conf(r, &fresh);
    rec_policy_reset(&r->policy, &r->conf, &fresh);
    r->conf = fresh;
    rec_keys_read(r);
    rec_log_open(&r->log, r->conf.log);
}

/* ---- life */

int rec_open(struct rec *r)
{
    static struct rec_seen seen;
    static struct mo_conf fresh;
    struct stat st;
    socklen_t len = sizeof r->cookie;

    r->log.fd = r->diag.fd = r->boards.watch.fd = -1;
    r->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (r->epfd < 0 || rec_proc_open(&r->proc) != 0) {
        mo_error("%s: %s", r->epfd < 0 ? "epoll" : "/proc", strerror(errno));
        return -1;
    }
    r->now = mo_boottime();
    read_conf(r, &fresh);
    r->conf = fresh;
    rec_keys_read(r);
    rec_log_open(&r->log, r->conf.log);
    r->seen = &seen;
    rec_seen_open(&seen, MO_STATEDIR "/seen");
    rec_policy_open(&r->policy, MO_BLOCKS_PATH);
    if (mo_sockdiag_open(&r->diag) != 0)
        rec_trouble("NETLINK_SOCK_DIAG: %s; FastCGI connections can't be "
                    "followed",
                    strerror(errno));
    if (stat("/proc/self/ns/net", &st) == 0)
        r->netns = (uint64_t)st.st_ino;
    if (r->diag.fd < 0 || getsockopt(r->diag.fd, SOL_SOCKET, SO_NETNS_COOKIE,
                                     &r->cookie, &len) != 0)
        r->cookie = 0;
    rec_boards_open(r);
    return 0;
}

int rec_serve(struct rec *r, int listener, int signals)
{
    struct epoll_event e[EVENTS];
    struct rlimit lim;
    uint64_t swept = 0;
    int on = 1;

    r->max_sessions = 256;
    if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur > OWN_FDS + 256)
        r->max_sessions = (unsigned)(lim.rlim_cur - OWN_FDS);
    setsockopt(listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    r->listener.fd = listener;
    r->listener.ready = accept_ready;
    r->signals.fd = signals;
    r->signals.ready = signal_ready;
    if (rec_watch(r, &r->listener, EPOLLIN) != 0 ||
        rec_watch(r, &r->signals, EPOLLIN) != 0) {
        mo_error("epoll: %s", strerror(errno));
        return -1;
    }
    while (r->stop == 0) {
        int n = epoll_wait(r->epfd, e, EVENTS, 1000);
        int i;

        if (n < 0 && errno != EINTR) {
            mo_error("epoll: %s", strerror(errno));
            return -1;
        }
        r->now = mo_boottime();
        r->round++;
        r->busy = n;
        for (i = 0; i < n; i++) {
            struct rec_source *s = e[i].data.ptr;

            s->ready(r, s, e[i].events);
        }
        if (r->now - swept > 1000000000ull) {
            swept = r->now;
            drop_silent(r);
            close_unclosed(r);
            rec_alerts_reap(&r->alerts);
        }
        bury();
    }
    return 0;
}

void rec_close(struct rec *r)
{
    while (r->oldest != NULL)
        end_session(r, r->oldest, 0);
    bury();
    rec_boards_close(r);
    rec_policy_close(&r->policy);
    rec_seen_close(r->seen);
    rec_log_close(&r->log);
    mo_sockdiag_close(&r->diag);
    rec_proc_close(&r->proc);
    mo_keyring_wipe(&r->keys);
    close(r->epfd);
}
