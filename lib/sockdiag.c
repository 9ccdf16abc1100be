/*
 * NETLINK_SOCK_DIAG: see mo_sockdiag.h.  An answer counts only with the
 * number of its question, so that one that came too late is not taken for
 * the next one's.
 */
#include "mo_sockdiag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS 100
#define STRAYS 16 /* answers to older questions that are passed over */

int mo_sockdiag_open(struct mo_sockdiag *d)
{
    d->seq = 0;
    d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                   NETLINK_SOCK_DIAG);
    return d->fd < 0 ? -1 : 0;
}

void mo_sockdiag_close(struct mo_sockdiag *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static uint64_t peer_of(const struct nlmsghdr *h)
{
    const struct unix_diag_msg *m = NLMSG_DATA(h);
    const struct rtattr *a = (const struct rtattr *)(m + 1);
    int left = (int)NLMSG_PAYLOAD(h, sizeof *m);
    uint32_t peer;

    for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(a) >= sizeof peer) {
            memcpy(&peer, RTA_DATA(a), sizeof peer);
            return peer;
        }
    }
    return 0;
}

uint64_t mo_sockdiag_peer(struct mo_sockdiag *d, uint64_t inode)
{
    struct {
        struct nlmsghdr h;
        struct unix_diag_req r;
    } q;
    union {
        struct nlmsghdr h;
        char bytes[2048];
    } in;
    struct pollfd p;
    ssize_t n;
    int i;

    if (d->fd < 0 || inode == 0 || inode > UINT32_MAX)
        return 0;
    memset(&q, 0, sizeof q);
    q.h.nlmsg_len = sizeof q;
    q.h.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    q.h.nlmsg_flags = NLM_F_REQUEST;
    q.h.nlmsg_seq = ++d->seq;
    q.r.sdiag_family = AF_UNIX;
    q.r.udiag_states = (uint32_t)-1;
    q.r.udiag_ino = (uint32_t)inode;
    q.r.udiag_show = UDIAG_SHOW_PEER;
    q.r.udiag_cookie[0] = q.r.udiag_cookie[1] = (uint32_t)-1;
    if (send(d->fd, &q, sizeof q, 0) != (ssize_t)sizeof q)
        return 0;
    p.fd = d->fd;
    p.events = POLLIN;
    for (i = 0; i < STRAYS;) {
        n = recv(d->fd, &in, sizeof in, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (poll(&p, 1, TIMEOUT_MS) == 1)
                continue;
            return 0;
        }
        if (n < 0)
            return 0;
        i++;
        if (!NLMSG_OK(&in.h, (unsigned)n) || in.h.nlmsg_seq != d->seq)
            continue;
        if (in.h.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
            in.h.nlmsg_len < NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
            return 0;
        return peer_of(&in.h);
    }
    return 0;
}
