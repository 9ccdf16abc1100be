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

/* ns that are slept at most where no waking comes */
#define WAKE_MAX 50000000

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

/* An epoll of this thread's, in this process. */
struct watch {
    int fd;
    pid_t pid;
};

static apr_status_t close_watch(void *data)
{
    struct watch *w = data;

    close(w->fd);
    w->fd = -1;
    return APR_SUCCESS;
}

/* -1: none is to be had */
static int watch_of(apr_thread_t *thread)
{
    static const char key[] = "mod_mailorigin watch";
    apr_pool_t *p = thread ? apr_thread_pool_get(thread) : NULL;
    void *data = NULL;
    struct watch *w;

    if (!p)
        return -1;
    apr_pool_userdata_get(&data, key, p);
    w = data;
    if (!w) {
        w = apr_pcalloc(p, sizeof(*w));
        w->fd = -1;
        apr_pool_userdata_setn(w, key, NULL, p);
    }
    /* one from before a fork is the parent's, too */
    if (w->fd >= 0 && w->pid != getpid())
        apr_pool_cleanup_run(p, w, close_watch);
    if (w->fd < 0) {
        w->fd = epoll_create1(EPOLL_CLOEXEC);
        w->pid = getpid();
        if (w->fd >= 0)
            apr_pool_cleanup_register(p, w, close_watch, apr_pool_cleanup_null);
    }
    return w->fd;
}

/*
 * A unix socket's sender is woken each time that something of his was read,
 * also where he may send all the while (sock_wfree() in the kernel calls
 * unix_write_space()): with EPOLLET each waking is an event.  So the processor
 * is the backend's meanwhile.  -1: that is not to be had.
 */
static int watch(const struct mo_link *link, apr_thread_t *thread)
{
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
    int fd = link->conn.kind == MO_CONN_UNIX ? watch_of(thread) : -1;

    if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, link->fd, &event))
        fd = -1;
    return fd;
}

/* left: ns that may be waited at most */
static void pause_for(int fd, int tries, uint64_t left)
{
    struct epoll_event event;
    struct timespec nap = {.tv_nsec = 1000000};

    if (fd >= 0) {
        epoll_wait(fd, &event, 1,
                   left < WAKE_MAX ? (int)(left / 1000000) + 1
                                   : WAKE_MAX / 1000000);
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

int mo_link_wait_read(const struct mo_link *link, apr_thread_t *thread,
                      apr_interval_time_t patience)
{
    struct mo_sockdiag diag = {.fd = -1};
    uint64_t now = mo_boottime(), end = now + (uint64_t)patience * 1000;
    int over_unix = link->conn.kind == MO_CONN_UNIX;
    int fd = -1, tries, read;

    if (!over_unix)
        mo_sockdiag_open(&diag);
    for (tries = 0;; tries++) {
        read = over_unix ? mo_sockdiag_unix_read(link->fd)
                         : mo_sockdiag_peer_read(&diag, link->fd);
        if (read || (tries && (now = mo_boottime()) >= end))
            break;
        if (!tries)
            fd = watch(link, thread);
        pause_for(fd, tries, end - now);
    }
    if (fd >= 0)
        epoll_ctl(fd, EPOLL_CTL_DEL, link->fd, NULL);
    mo_sockdiag_close(&diag);
    return read;
}
