/*
 * Facts on sockets by NETLINK_SOCK_DIAG, which needs no privilege.  It sees
 * the sockets of the caller's own network namespace.  libc only.
 */
#ifndef MO_SOCKDIAG_H
#define MO_SOCKDIAG_H

#include <stdint.h>

struct mo_sockdiag {
    int fd; /* -1: none */
    uint32_t seq;
};

/* 0, or -1 with errno */
int mo_sockdiag_open(struct mo_sockdiag *d);
void mo_sockdiag_close(struct mo_sockdiag *d);
/*
 * The inode of the peer of the connected unix socket with that inode; 0:
 * none, or the kernel did not say so within 100 ms.
 */
uint64_t mo_sockdiag_peer(struct mo_sockdiag *d, uint64_t inode);
/*
 * Has whoever holds the other end of a connected unix or TCP socket read all
 * that was sent on it?  1, 0; -1: it can't be told (TCP to another machine or
 * network namespace; closed).  d is for TCP only, and may be closed else.
 */
int mo_sockdiag_peer_read(struct mo_sockdiag *d, int fd);
/* The same of a socket that is known to be a unix socket. */
int mo_sockdiag_unix_read(int fd);

#endif
