/*
 * liar TOKEN MESSAGE-ID own|none [ADDRESS…] - what a script may say to the
 * recorder by itself: that TOKEN was given to it from above, with sockets that
 * it made up, and (own) those that it has.  ADDRESSes are connected to: a
 * path, or a port of 127.0.0.1.  It fails where there is no verdict.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mo_paths.h"
#include "mo_wire.h"

static int to_path(const char *path, int type)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", path);
    return connect(fd, (struct sockaddr *)&sun, sizeof sun) ? -1 : fd;
}

static int to_port(const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t)atoi(port));
    return connect(fd, (struct sockaddr *)&in, sizeof in) ? -1 : fd;
}

static int say(int fd, const struct mo_tlv_out *out, const int *fds, size_t n)
{
    struct iovec iov = {.iov_base = out->buf, .iov_len = out->len};
    union {
        char buf[CMSG_SPACE(sizeof(int) * MO_WIRE_FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (n) {
        memset(&control, 0, sizeof control);
        msg.msg_control = control.buf;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static unsigned char buf[MO_WIRE_MAX];
    unsigned char nonce[MO_NONCE_LEN];
    struct mo_tlv_out out;
    struct stat st;
    int fds[MO_WIRE_FDS], r, i;
    size_t n = 0, pos;
    ssize_t got;

    if (argc < 4) {
        fprintf(stderr, "usage: liar TOKEN MESSAGE-ID own|none [ADDRESS...]\n");
        return 2;
    }
    if (strcmp(argv[3], "own") == 0)
        for (i = 0; i < 20; i++)
            if (!fstat(i, &st) && S_ISSOCK(st.st_mode))
                fds[n++] = i;
    if (!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds + n))
        n += 2;
    for (i = 4; i < argc && n < MO_WIRE_FDS; i++) {
        fds[n] = argv[i][0] == '/' ? to_path(argv[i], SOCK_STREAM)
                                   : to_port(argv[i]);
        if (fds[n] >= 0)
            n++;
    }
    r = to_path(MO_SOCKET_PATH, SOCK_SEQPACKET);
    mo_wire_start(&out, buf, sizeof buf, MO_W_HELLO);
    mo_tlv_put_str(&out, MO_W_MODE, "t");
    mo_tlv_put_str(&out, MO_W_EXE, "/usr/sbin/apache2");
    mo_tlv_put_str(&out, MO_W_TOKEN, argv[1]);
    mo_tlv_put_str(&out, MO_W_TOKEN, argv[1]);
    mo_tlv_put_num(&out, MO_W_ABOVE, 0xffffffff);
    if (r < 0 || say(r, &out, fds, n)) {
        perror("HELLO");
        return 1;
    }
    if (getentropy(nonce, sizeof nonce))
        return 1;
    mo_wire_start(&out, buf, sizeof buf, MO_W_MAIL);
    mo_tlv_put(&out, MO_W_NONCE, nonce, sizeof nonce);
    mo_tlv_put_str(&out, MO_W_MESSAGE_ID, argv[2]);
    if (say(r, &out, NULL, 0)) {
        perror("MAIL");
        return 1;
    }
    got = recv(r, buf, sizeof buf, 0);
    if (got <= 0 || mo_wire_type(buf, (size_t)got, &pos) != MO_W_VERDICT) {
        fprintf(stderr, "no verdict\n");
        return 1;
    }
    return 0;
}
