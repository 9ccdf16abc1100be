/*
 * A connection to a FastCGI backend, as the kernel has it: what it is called,
 * who listens at its other end, and whether all that was sent on it was read.
 *
 * What does not change while the socket lives is asked for once.
 */
#include "mod_mailorigin.h"

#include "apr_portable.h"
#include "apr_strings.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mo_proc.h"
#include "mo_sockdiag.h"

static uint64_t start_of(pid_t pid)
{
    struct mo_proc proc = {0};
    char path[32];
    int fd;

    apr_snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (mo_proc_read_fd(fd, &proc))
        proc.start = 0;
    close(fd);
    return proc.start;
}

void mo_link_listener(const struct mo_link *link, uint64_t now)
{
    static __thread pid_t last;
    static __thread uint64_t when;
    const uint64_t age = UINT64_C(10000000000);
    const struct mo_conn *conn = &link->conn;

    if (conn->listener_pid <= 0 ||
        (conn->listener_pid == last && now - when < age))
        return;
    last = conn->listener_pid;
    when = now;
    mo_board_listener(mo_the_board(), last, conn->listener_uid, start_of(last));
}

static uint64_t our_netns(void)
{
    /* a process stays in its namespace; many threads may write the same */
    static uint64_t inode;
    struct stat st;

    if (!inode && !stat("/proc/self/ns/net", &st))
        inode = st.st_ino;
    return inode;
}

static int address_of(const struct sockaddr_storage *ss, uint8_t addr[16],
                      uint16_t *port)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)ss;

        memcpy(addr, &in->sin_addr, 4);
        *port = ntohs(in->sin_port);
        return MO_CONN_TCP4;
    }
    if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)ss;

        *port = ntohs(in->sin6_port);
        if (!memcmp(&in->sin6_addr, mapped, sizeof(mapped))) {
            memcpy(addr, in->sin6_addr.s6_addr + sizeof(mapped), 4);
            return MO_CONN_TCP4;
        }
        memcpy(addr, &in->sin6_addr, 16);
        return MO_CONN_TCP6;
    }
    return MO_CONN_NONE;
}

static void describe_unix(int fd, struct mo_conn *conn)
{
    struct ucred peer;
    socklen_t peer_len = sizeof(peer);
    struct stat st;

    if (fstat(fd, &st))
        return;
    conn->inode = st.st_ino;
    conn->kind = MO_CONN_UNIX;
    if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len)) {
        conn->listener_pid = peer.pid;
        conn->listener_uid = peer.uid;
    }
}

static void describe_tcp(int fd, struct mo_conn *conn)
{
    struct sockaddr_storage here, there;
    socklen_t here_len = sizeof(here), there_len = sizeof(there);

    if (getsockname(fd, (struct sockaddr *)&here, &here_len) ||
        getpeername(fd, (struct sockaddr *)&there, &there_len) ||
        here.ss_family != there.ss_family)
        return;
    conn->kind = (uint8_t)address_of(&here, conn->local, &conn->local_port);
    if (conn->kind == MO_CONN_NONE) {
        conn->kind = MO_CONN_UNKNOWN;
        return;
    }
    address_of(&there, conn->peer, &conn->peer_port);
    conn->netns = our_netns();
}

/* kind stays MO_CONN_UNKNOWN where the kernel says nothing */
struct mo_link *mo_link_make(apr_pool_t *p, apr_socket_t *sock, int tcp,
                             uint64_t made)
{
    struct mo_link *link = apr_pcalloc(p, sizeof(*link));

    link->pool = p;
    link->watch = -1;
    link->conn.kind = MO_CONN_UNKNOWN;
    link->conn.made = made;
    if (apr_os_sock_get(&link->fd, sock))
        return link;
    if (tcp)
        describe_tcp(link->fd, &link->conn);
    else
        describe_unix(link->fd, &link->conn);
    return link;
}

/* ---- has it been read? */

static apr_status_t close_watch(void *data)
{
    struct mo_link *link = data;

    close(link->watch);
    link->watch = -1;
    return APR_SUCCESS;
}

/*
 * A unix socket's sender is woken each time that something of his was read,
 * also where he may send all the while (unix(7), sock_wfree() in the kernel):
 * with EPOLLET each waking is an event.  So the processor is the backend's
 * meanwhile.
 */
static void watch(struct mo_link *link)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};

    if (link->watch >= 0 || link->conn.kind != MO_CONN_UNIX)
        return;
    link->watch = epoll_create1(EPOLL_CLOEXEC);
    if (link->watch < 0)
        return;
    apr_pool_cleanup_register(link->pool, link, close_watch,
                              apr_pool_cleanup_null);
    if (epoll_ctl(link->watch, EPOLL_CTL_ADD, link->fd, &event))
        apr_pool_cleanup_run(link->pool, link, close_watch);
}

/* left: ns that may be waited at most */
static void pause_for(struct mo_link *link, int tries, uint64_t left)
{
    struct epoll_event event;
    struct timespec nap = {.tv_nsec = 1000000};

    if (link->watch >= 0) {
        epoll_wait(link->watch, &event, 1, (int)(left / 1000000) + 1);
        return;
    }
    if (tries < 8) {
        sched_yield();
        return;
    }
    if (tries < 14)
        nap.tv_nsec = 20000 << (tries - 8);
    nanosleep(&nap, NULL);
}

int mo_link_wait_read(struct mo_link *link, apr_interval_time_t patience)
{
    struct mo_sockdiag diag = {.fd = -1};
    uint64_t now = mo_boottime(), end = now + (uint64_t)patience * 1000;
    int over_unix = link->conn.kind == MO_CONN_UNIX;
    int tries, read;

    if (!over_unix)
        mo_sockdiag_open(&diag);
    for (tries = 0;; tries++) {
        read = over_unix ? mo_sockdiag_unix_read(link->fd)
                         : mo_sockdiag_peer_read(&diag, link->fd);
        if (read || (tries && (now = mo_boottime()) >= end))
            break;
        watch(link);
        pause_for(link, tries, end - now);
    }
    mo_sockdiag_close(&diag);
    return read;
}
