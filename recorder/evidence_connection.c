/*
 * Evidence by connection: a socket that the caller holds and that leads to a
 * request in httpd.
 *
 * What the kernel says of the socket counts, not what the caller says: the
 * peer's inode, the peer's process (SO_PEERCRED), the whole address pair in
 * our own network namespace.  A socket whose other end is closed is an older
 * request's.  Slots are read before the socket is looked at, so that a
 * socket that lives then was its request's when the slot was read.
 */
#include "rec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static int alive(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};

    /* half closed counts as alive: mod_cgid ends the script's input so */
    return poll(&p, 1, 0) >= 0 && (p.revents & (POLLHUP | POLLERR)) == 0;
}

/* Is pid among the ancestors of process of, or that itself? */
static int is_above(struct rec *r, int32_t of, int32_t pid)
{
    static struct rec_chain c;

    rec_chain_read(&r->proc, &c, of, 0);
    return c.gone || rec_chain_find(&c, pid) >= 0;
}

/*
 * Was the process there before the connection was made?  What holds it and
 * was, has accepted it: what inherits it is younger.
 */
static int accepted(const struct mo_proc *p, const struct mo_conn *conn)
{
    const uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

    return conn->made != 0 && (p->start + 1) * tick <= conn->made;
}

/*
 * A connection that served other requests before, and is this one's since a
 * moment at which its script had not begun: the caller is this one's only if
 * the chain of parents leads to the worker W that serves it, with all below
 * W begun after that.  1: so it is, 0: it may be, -1: another request
 * started the caller.
 */
static int after_begin(struct rec *r, const struct rec_chain *c,
                       const struct mo_conn *conn)
{
    const struct mo_proc *w;
    const struct mo_proc *m;
    uid_t master;
    uid_t worker;
    int i;

    /* W: the lowest that was there before */
    for (i = 0; i < c->n; i++)
        if (!mo_began_after(c->p[i].start, c->p[i].pid, conn->since,
                            conn->last_pid))
            break;
    if (i == c->n)
        return 0;
    w = &c->p[i];
    if (conn->kind == MO_CONN_UNIX) {
        int l =
            conn->listener_pid > 0 ? rec_chain_find(c, conn->listener_pid) : -1;

        if (conn->listener_pid <= 0)
            return 0;
        if (l > 0 && i < l - 1)
            return -1; /* below the worker, and older than the request */
        /* An orphan is given to its namespace's pid 1, or to another that is
         * above the listener: no other process is both older than the
         * request and above what it started. */
        if (w->pid != conn->listener_pid && w->ppid != conn->listener_pid)
            return is_above(r, conn->listener_pid, w->pid) ? 0 : -1;
        return (w->pid != conn->listener_pid && accepted(w, conn)) ||
               mo_proc_is_init(r->proc.fd, conn->listener_pid) == 0;
    }
    /* Over TCP nobody says who listens.  A worker's parent is the master
     * that it shares a session with; one of another, higher user can be no
     * orphan's parent but pid 1. */
    if (i + 1 >= c->n)
        return 0;
    m = &c->p[i + 1];
    if (m->pid == 1 || w->session != m->session)
        return 0;
    if (accepted(w, conn) && mo_proc_is_init(r->proc.fd, w->pid) == 0)
        return 1;
    if (mo_proc_uid(r->proc.fd, m->pid, &master) != 0 ||
        mo_proc_uid(r->proc.fd, w->pid, &worker) != 0)
        return 0;
    return master == 0 && worker != 0 &&
           mo_proc_is_init(r->proc.fd, m->pid) == 0;
}

/*
 * Does the begin of the next request lie unread, behind what the script left
 * of its own input?
 */
static int unread(int fd)
{
    static unsigned char buf[65536];
    ssize_t n = recv(fd, buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT);
    size_t at = 0;

    while (n > 0 && at + 8 <= (size_t)n) {
        const unsigned char *h = buf + at;

        if (h[0] != 1 || h[1] < 1 || h[1] > 11)
            return 0; /* amid a record, where none can be told */
        if (h[1] == 1)
            return 1;
        at += 8u + ((size_t)h[4] << 8 | h[5]) + h[6];
    }
    return 0;
}

/*
 * 1: the request started the caller, 0: it may have, -1: it did not.  The
 * slot was read after the caller spoke, so that a script which had begun by
 * then had begun when the slot was read.
 */
static int started_it(struct rec *r, const struct rec_chain *c,
                      const struct mo_conn *conn, int fd)
{
    int sure;

    switch (conn->use) {
    case MO_CONN_FRESH:
        return 1;
    case MO_CONN_WAITS:
        return -1;
    case MO_CONN_TAKEN:
        return after_begin(r, c, conn);
    default:
        sure = after_begin(r, c, conn);
        if (sure > 0)
            sure = unread(fd) ? -1 : 0;
        return sure;
    }
}

/* A request whose own connection this is. */
static void exact(struct rec *r, struct rec_evidence *e,
                  const struct rec_board *b, const struct mo_slot *s, int fd)
{
    int sure = started_it(r, &e->chain, &s->conn, fd);
    unsigned before;

    e->web = 1;
    if (sure < 0)
        return;

    if (!e->exact)
        rec_evidence_clear(e);
    before = e->n;
    rec_evidence_add(e, b, s);
    e->kind = REC_CONNECTION;
    if (e->exact && e->n > before)
        e->sure = 0; /* two sockets, two requests */
    else if (!e->exact || sure)
        e->sure = sure && e->n == 1;
    e->exact = 1;
    if (e->sure && s->conn.kind != MO_CONN_UNIX) {
        /* nobody says who listens: W's parent, for what mails later */
        int i;

        for (i = 0; i + 1 < e->chain.n; i++) {
            if (!mo_began_after(e->chain.p[i].start, e->chain.p[i].pid,
                                s->start, s->last_pid)) {
                if (e->chain.p[i + 1].pid != 1)
                    rec_known_add(&r->boards.listeners, e->chain.p[i + 1].pid,
                                  e->chain.p[i + 1].start);
                break;
            }
        }
    }
}

/* "…/NAME.PARENTPID" (mod_cgid), "…/PMPID.NUMBER" (mod_fcgid) */
static int cgid_path(const char *path, int32_t parent)
{
    char tail[16];
    size_t len = strlen(path);
    int n = snprintf(tail, sizeof tail, ".%d", (int)parent);

    return path[0] == '/' && len > (size_t)n &&
           strcmp(path + len - (size_t)n, tail) == 0;
}

static int fcgid_path(const char *path, int32_t manager)
{
    char head[16];
    const char *base = strrchr(path, '/');
    int n = snprintf(head, sizeof head, "%d.", (int)manager);

    return path[0] == '/' && base != NULL &&
           strncmp(base + 1, head, (size_t)n) == 0 && base[1 + n] >= '0' &&
           base[1 + n] <= '9' &&
           base[1 + n + (int)strspn(base + 1 + n, "0123456789")] == '\0';
}

static int handled_by(const struct mo_slot *s, const char *prefix)
{
    static struct mo_origin o;

    return mo_origin_decode(s->origin, s->origin_len, &o) == 0 &&
           strncmp(o.handler, prefix, strlen(prefix)) == 0;
}

/*
 * May a slot's request have opened a connection that no slot shows?  A
 * program of CGI or mod_fcgid has the uid that httpd gave it.  Of
 * mod_proxy's requests only such whose connection isn't followed: any other
 * has none on which its script could have begun, or none any more.
 */
static int may_be(const struct rec_board *b, const struct mo_slot *s, int cgid,
                  int fcgid, uid_t uid)
{
    if (cgid || fcgid) {
        if (s->conn.kind != MO_CONN_NONE || s->uid != uid)
            return 0;
        if (s->origin_len == 0)
            return 1;
        return cgid ? !handled_by(s, "proxy") && !handled_by(s, "fcgid-script")
                    : 1;
    }
    if (s->conn.kind != MO_CONN_UNKNOWN &&
        (s->conn.kind != MO_CONN_NONE ||
         __atomic_load_n(&b->map.head->follows, __ATOMIC_RELAXED) != 0))
        return 0;
    return s->origin_len == 0 || handled_by(s, "proxy");
}

/*
 * No connection on the board is this one, but process pid has requests.
 * Which of them may have opened it?
 */
static void candidates(struct rec *r, struct rec_evidence *e, int32_t pid,
                       int fd)
{
    struct sockaddr_un sun;
    socklen_t len = sizeof sun;
    struct rec_evidence *found;
    struct stat st;
    struct mo_slot s;
    uid_t uid = (uid_t)-1;
    uid_t daemon;
    int full = 0;
    int cgid = 0;
    int fcgid = 0;
    int threads = 0;
    int top; /* the process that httpd's request cannot be younger than */
    int i;

    memset(&sun, 0, sizeof sun);
    if (getsockname(fd, (struct sockaddr *)&sun, &len) != 0 ||
        len >= sizeof sun)
        return;
    if (e->daemon >= 1 && fstat(fd, &st) == 0) {
        const struct mo_proc *d = &e->chain.p[e->daemon];

        /* accepted by the cgid daemon itself, with httpd's user */
        cgid = cgid_path(sun.sun_path, e->board->parent) &&
               mo_proc_uid(r->proc.fd, d->pid, &daemon) == 0 &&
               daemon == st.st_uid;
        fcgid = !cgid && fcgid_path(sun.sun_path, d->pid);
        if (mo_proc_uid(r->proc.fd, e->chain.p[e->daemon - 1].pid, &uid) != 0)
            return;
    }
    if (e->daemon >= 0 && !cgid && !fcgid)
        return;
    /* a cgid script is the daemon's child; an FastCGI worker is older than
     * its request, what is below it is not */
    top = cgid ? e->daemon - 1 : 0;
    found = rec_evidence_new();
    if (found == NULL)
        return;
    for (i = 0; i < REC_BOARDS; i++) {
        const struct rec_board *b = &r->boards.board[i];
        uint32_t at = 0;

        if (b->source.fd < 0)
            continue;
        while (mo_board_next(&b->map, pid, &at, &s)) {
            if (b->map.head->full != 0)
                full = 1;
            if (s.tid != s.pid)
                threads = 1;
            if (may_be(b, &s, cgid, fcgid, uid) &&
                rec_all_after(&e->chain, top, s.start, s.last_pid))
                rec_evidence_add(found, b, &s);
        }
    }
    /* Looked at last: it lives, so its request was among them.  Not so where
     * a request found no slot on a full board. */
    if (found->n > 0 && alive(fd)) {
        found->sure = found->n == 1 && !full && e->n == 0;
        /* mod_proxy keeps connections of requests that have ended, and
         * mod_fcgid makes some for access checks, before there is a slot */
        if (!cgid && (!fcgid || threads))
            found->sure = 0;
        for (i = 0; i < (int)found->n && i < REC_CANDIDATES; i++) {
            struct rec_request *q = found->cand[i];
            unsigned j;

            for (j = 0; j < e->n && j < REC_CANDIDATES; j++)
                if (e->cand[j]->board == q->board &&
                    e->cand[j]->serial == q->serial)
                    break;
            if (j < e->n && j < REC_CANDIDATES) {
                free(q);
                continue;
            }
            if (e->n < REC_CANDIDATES)
                e->cand[e->n] = q;
            else
                free(q);
            e->n++;
        }
        if (found->n > REC_CANDIDATES)
            e->n += found->n - REC_CANDIDATES;
        found->n = 0;
        e->sure = found->sure;
        e->kind = REC_CONNECTION;
        /* A script can start itself anew with any token it found: one may
         * only tell apart requests of the caller's own uid, by suexec.  Of
         * mod_cgid's connections httpd says whose they are, but where two
         * began at once. */
        if (!fcgid || mo_proc_uid(r->proc.fd, pid, &daemon) != 0 ||
            daemon == uid)
            e->unpicked = 1;
    }
    rec_evidence_free(found);
}

/* A child of httpd's that serves nothing now? */
static int is_httpd(struct rec *r, int32_t pid)
{
    struct mo_proc p;
    int i;

    if (mo_proc_read(r->proc.fd, pid, &p) != 0)
        return 0;
    for (i = 0; i < REC_BOARDS; i++)
        if (r->boards.board[i].source.fd >= 0 &&
            r->boards.board[i].parent == p.ppid)
            return 1;
    return 0;
}

static void unix_socket(struct rec *r, struct rec_evidence *e, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    struct mo_slot s;
    struct stat st;
    uint64_t inode = 0;
    int worker = 0;
    int seen = 1; /* 0: it is closed, or not to be seen from here */
    int i;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        peer.pid <= 0)
        return;
    for (i = 0; i < REC_BOARDS; i++) {
        const struct rec_board *b = &r->boards.board[i];
        uint32_t at;

        if (b->source.fd < 0)
            continue;
        for (at = 0; at < b->map.nslots && (seen || !worker); at++) {
            const struct mo_slot *hint;

            if (__atomic_load_n(&b->map.owner[at], __ATOMIC_RELAXED) >> 32 !=
                (uint32_t)peer.pid)
                continue;
            worker = 1;
            /* a glance without the lock; what it hits is read properly */
            hint = (const void *)(b->map.slots + (size_t)at * MO_SLOT_SIZE);
            if (hint->conn.kind != MO_CONN_UNIX || hint->conn.inode == 0)
                continue;
            if (inode == 0) {
                if (fstat(fd, &st) != 0)
                    return;
                inode = mo_sockdiag_peer(&r->diag, (uint64_t)st.st_ino);
                seen = inode != 0;
            }
            if (seen && hint->conn.inode == inode &&
                mo_board_read(&b->map, at, &s) && s.pid == peer.pid &&
                s.conn.kind == MO_CONN_UNIX && s.conn.inode == inode &&
                alive(fd)) {
                exact(r, e, b, &s, fd);
                return;
            }
        }
    }
    if (!worker) {
        e->web |= is_httpd(r, peer.pid);
        return;
    }
    e->web = 1; /* it once led to httpd, at least */
    if (!e->exact)
        candidates(r, e, peer.pid, fd);
}

/* Both ends of our socket as httpd's end has them. */
static int is_pair(const struct mo_conn *c, const struct sockaddr_storage *own,
                   const struct sockaddr_storage *peer)
{
    if (own->ss_family == AF_INET) {
        const struct sockaddr_in *o = (const void *)own;
        const struct sockaddr_in *p = (const void *)peer;

        return c->kind == MO_CONN_TCP4 && ntohs(o->sin_port) == c->peer_port &&
               ntohs(p->sin_port) == c->local_port &&
               memcmp(&o->sin_addr, c->peer, 4) == 0 &&
               memcmp(&p->sin_addr, c->local, 4) == 0;
    }
    {
        const struct sockaddr_in6 *o = (const void *)own;
        const struct sockaddr_in6 *p = (const void *)peer;

        return c->kind == MO_CONN_TCP6 && ntohs(o->sin6_port) == c->peer_port &&
               ntohs(p->sin6_port) == c->local_port &&
               memcmp(&o->sin6_addr, c->peer, 16) == 0 &&
               memcmp(&p->sin6_addr, c->local, 16) == 0;
    }
}

/* An IPv4 client of a socket that listens on [::] has a mapped address. */
static void unmap(struct sockaddr_storage *a)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in *in = (void *)a;

    if (a->ss_family != AF_INET6)
        return;
    memcpy(&in6, a, sizeof in6);
    if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
        return;
    memset(a, 0, sizeof *a);
    in->sin_family = AF_INET;
    in->sin_port = in6.sin6_port;
    memcpy(&in->sin_addr, &in6.sin6_addr.s6_addr[12], 4);
}

static void tcp_socket(struct rec *r, struct rec_evidence *e, int fd,
                       struct sockaddr_storage *own)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    struct tcp_info info;
    struct mo_slot s;
    uint64_t cookie = 0;
    int i;

    memset(&peer, 0, sizeof peer);
    if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0)
        return;
    len = sizeof cookie;
    if (r->cookie == 0 ||
        getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) != 0 ||
        cookie != r->cookie)
        return;
    unmap(own);
    unmap(&peer);
    if (own->ss_family != peer.ss_family)
        return;
    for (i = 0; i < REC_BOARDS; i++) {
        const struct rec_board *b = &r->boards.board[i];
        uint32_t at;

        if (b->source.fd < 0)
            continue;
        for (at = 0; at < b->map.nslots; at++) {
            const struct mo_slot *hint;

            if (__atomic_load_n(&b->map.owner[at], __ATOMIC_RELAXED) == 0)
                continue;
            /* a glance without the lock; what it hits is read properly */
            hint = (const void *)(b->map.slots + (size_t)at * MO_SLOT_SIZE);
            if (!is_pair(&hint->conn, own, &peer) ||
                !mo_board_read(&b->map, at, &s) ||
                !is_pair(&s.conn, own, &peer) || s.conn.netns != r->netns)
                continue;
            /* httpd has closed its end: it is CLOSE_WAIT here */
            len = sizeof info;
            if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
                info.tcpi_state != TCP_ESTABLISHED)
                return;
            exact(r, e, b, &s, fd);
            return;
        }
    }
}

void rec_evidence_connection(struct rec *r, struct rec_evidence *e, int fd)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;

    if (e->kind == REC_ANCESTRY || e->worker != 0)
        return; /* kernel facts that are stronger */
    memset(&own, 0, sizeof own);
    if (getsockname(fd, (struct sockaddr *)&own, &len) != 0)
        return; /* no socket */
    if (own.ss_family == AF_UNIX)
        unix_socket(r, e, fd);
    else if (own.ss_family == AF_INET || own.ss_family == AF_INET6)
        tcp_socket(r, e, fd, &own);
}
