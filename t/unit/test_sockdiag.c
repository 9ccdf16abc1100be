/* mo_sockdiag.h: who is at the other end, and has it read what was sent? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_sockdiag.h"

static struct mo_sockdiag diag;

static int open_diag(void **state)
{
    (void)state;
    return mo_sockdiag_open(&diag);
}

static int close_diag(void **state)
{
    (void)state;
    mo_sockdiag_close(&diag);
    return 0;
}

/* What is sent by 0 and read by 1, in two pieces and two reads. */
static void sends(const int fd[2])
{
    char buf[16];

    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 1);
    assert_int_equal(send(fd[0], "begin", 5, 0), 5);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 0);
    assert_int_equal(recv(fd[1], buf, 3, 0), 3);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 0);
    assert_int_equal(recv(fd[1], buf, 16, MSG_PEEK), 2);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 0);
    assert_int_equal(recv(fd[1], buf, 16, 0), 2);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 1);
    /* what comes back is another matter */
    assert_int_equal(send(fd[1], "answer", 6, 0), 6);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), 1);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[1]), 0);
}

static void over_unix(void **state)
{
    struct stat st[2];
    int fd[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    sends(fd);
    assert_int_equal(fstat(fd[0], &st[0]) | fstat(fd[1], &st[1]), 0);
    assert_int_equal(mo_sockdiag_peer(&diag, st[0].st_ino), st[1].st_ino);
    close(fd[1]);
    assert_int_equal(mo_sockdiag_peer(&diag, st[0].st_ino), 0);
    close(fd[0]);
}

/* from here to addr, which fd[1] then has accepted */
static void connect_to(struct sockaddr *addr, socklen_t len, int family,
                       const struct sockaddr_in *as, int fd[2])
{
    struct sockaddr_in in;
    int l = socket(addr->sa_family, SOCK_STREAM, 0);

    assert_int_equal(bind(l, addr, len), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, addr, &len), 0);
    fd[0] = socket(family, SOCK_STREAM, 0);
    if (as) {
        in = *as;
        in.sin_port = ((struct sockaddr_in6 *)(void *)addr)->sin6_port;
        addr = (struct sockaddr *)&in;
        len = sizeof in;
    }
    assert_int_equal(connect(fd[0], addr, len), 0);
    fd[1] = accept(l, NULL, NULL);
    assert_true(fd[1] >= 0);
    close(l);
}

static void over_tcp(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in there;
    int fd[2];

    (void)state;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there = in;
    connect_to((struct sockaddr *)&in, sizeof in, AF_INET, NULL, fd);
    sends(fd);
    /* closed with something unread: gone, and nobody to ask */
    assert_int_equal(send(fd[0], "x", 1, 0), 1);
    close(fd[1]);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), -1);
    close(fd[0]);

    in6.sin6_addr = in6addr_loopback;
    connect_to((struct sockaddr *)&in6, sizeof in6, AF_INET6, NULL, fd);
    sends(fd);
    close(fd[0]);
    close(fd[1]);

    /* a listener on [::] that IPv4 comes to: its end is ::ffff:… */
    memset(&in6, 0, sizeof in6);
    in6.sin6_family = AF_INET6;
    connect_to((struct sockaddr *)&in6, sizeof in6, AF_INET, &there, fd);
    sends(fd);
    close(fd[0]);
    close(fd[1]);
}

static void nothing(void **state)
{
    struct mo_sockdiag none = {.fd = -1};
    int fd[2];

    (void)state;
    assert_int_equal(mo_sockdiag_peer_read(&diag, -1), -1);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(mo_sockdiag_peer_read(&diag, fd[0]), -1);
    assert_int_equal(mo_sockdiag_peer(&none, 1), 0);
    close(fd[0]);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_unix),
        cmocka_unit_test(over_tcp),
        cmocka_unit_test(nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sockdiag", tests, open_diag,
                                       close_diag);
}
