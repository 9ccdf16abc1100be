/*
 * Has the process at the other end read what was sent?  See mo_sockdiag.h.
 *
 * unix(7) charges what lies unread to the one who sent it.  For TCP, which
 * says no more than that it arrived, the other end is asked for: it is a
 * socket of this machine with the same addresses the other way round.
 */
#include "mo_sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 100
#define UP_TO(member) (offsetof(struct tcp_info, member) + sizeof(uint64_t))

/* What our end sent, without what it sent again; -1: not known. */
static int sent(int fd, uint64_t *bytes)
{
    struct tcp_info info;
    socklen_t len = sizeof info;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
        len < UP_TO(tcpi_bytes_retrans) || info.tcpi_notsent_bytes)
        return -1;
    *bytes = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;
    return 0;
}

/* An address as inet_diag has it: IPv4 also where it came as ::ffff:… */
static int address(const struct sockaddr_storage *ss, uint32_t addr[4],
                   uint16_t *port)
{
    const struct sockaddr_in *in = (const void *)ss;
    const struct sockaddr_in6 *in6 = (const void *)ss;

    memset(addr, 0, 4 * sizeof *addr);
    if (ss->ss_family == AF_INET) {
        memcpy(addr, &in->sin_addr, 4);
        *port = in->sin_port;
        return AF_INET;
    }
    if (ss->ss_family != AF_INET6)
        return -1;
    *port = in6->sin6_port;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(addr, &in6->sin6_addr.s6_addr[12], 4);
        return AF_INET;
    }
    memcpy(addr, &in6->sin6_addr, 16);
    return AF_INET6;
}

/* The answer: has that socket received so many bytes, and read them all? */
static int all_read(const struct nlmsghdr *h, uint64_t bytes)
{
    const struct inet_diag_msg *m = NLMSG_DATA(h);
    const struct rtattr *a = (const struct rtattr *)(m + 1);
    int left =
        (int)h->nlmsg_len - (int)NLMSG_LENGTH(sizeof(struct inet_diag_msg));
    struct tcp_info info;

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type != INET_DIAG_INFO ||
            RTA_PAYLOAD(a) < UP_TO(tcpi_bytes_received))
            continue;
        memset(&info, 0, sizeof info);
        memcpy(&info, RTA_DATA(a),
               RTA_PAYLOAD(a) < sizeof info ? RTA_PAYLOAD(a) : sizeof info);
        return info.tcpi_bytes_received >= bytes && m->idiag_rqueue == 0;
    }
    return -1;
}

static int tcp_read(struct mo_sockdiag *d, int fd,
                    const struct sockaddr_storage *here)
{
    struct sockaddr_storage there;
    socklen_t len = sizeof there;
    struct {
        struct nlmsghdr h;
        struct inet_diag_req_v2 r;
    } q;
    union {
        struct nlmsghdr h;
        char bytes[2048];
    } in;
    struct pollfd p = {.fd = d->fd, .events = POLLIN};
    uint64_t bytes;
    int family;

    memset(&q, 0, sizeof q);
    if (d->fd < 0 || getpeername(fd, (struct sockaddr *)&there, &len) ||
        sent(fd, &bytes))
        return -1;
    family = address(here, q.r.id.idiag_dst, &q.r.id.idiag_dport);
    if (family < 0 ||
        address(&there, q.r.id.idiag_src, &q.r.id.idiag_sport) != family)
        return -1;
    q.h.nlmsg_len = sizeof q;
    q.h.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    q.h.nlmsg_flags = NLM_F_REQUEST;
    q.h.nlmsg_seq = ++d->seq;
    q.r.sdiag_family = (uint8_t)family;
    q.r.sdiag_protocol = IPPROTO_TCP;
    q.r.idiag_ext = 1 << (INET_DIAG_INFO - 1);
    q.r.idiag_states = (uint32_t)-1;
    q.r.id.idiag_cookie[0] = q.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    if (send(d->fd, &q, sizeof q, 0) != (ssize_t)sizeof q)
        return -1;
    for (;;) {
        ssize_t n = recv(d->fd, &in, sizeof in, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && poll(&p, 1, TIMEOUT_MS) == 1)
            continue;
        if (n < 0 || !NLMSG_OK(&in.h, (unsigned)n))
            return -1;
        if (in.h.nlmsg_seq != d->seq)
            continue;
        if (in.h.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
            in.h.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return -1;
        return all_read(&in.h, bytes);
    }
}

int mo_sockdiag_unix_read(int fd)
{
    int unread = 0;

    /* while the kernel frees the last of it, it still counts one */
    return ioctl(fd, SIOCOUTQ, &unread) ? -1 : unread <= 1;
}

int mo_sockdiag_peer_read(struct mo_sockdiag *d, int fd)
{
    struct sockaddr_storage here;
    socklen_t len = sizeof here;

    if (getsockname(fd, (struct sockaddr *)&here, &len))
        return -1;
    if (here.ss_family == AF_UNIX)
        return mo_sockdiag_unix_read(fd);
    return tcp_read(d, fd, &here);
}
