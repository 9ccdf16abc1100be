/*
 * Asks the recorder as wrappers do, and says how long it took.
 *
 *   recorder_load MODE CLIENTS QUERIES     MODE: keep  one connection a client
 *                                          new   a connection a query
 *                                          fork  a process a query, too
 *
 * The clients are what they are in life: below a worker that has a request on
 * a board, with a shell between, and with the request's token.  So each
 * answer takes the whole way: ancestors, board, token, record, stamp.
 * Prints: MODE CLIENTS QUERIES QUERIES_A_SECOND P50_US P99_US
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mo_board.h"
#include "mo_paths.h"
#include "mo_seal.h"
#include "mo_wire.h"

#define CLIENTS_MAX 256

struct shared {
    int ready; /* clients that wait for the start */
    int go;
    int bad; /* answers that were none, or no "passed" */
    uint64_t took[]; /* ns, by client and query */
};

static struct shared *all;
static char token[MO_SEAL_TEXT_MAX];

static void die(const char *what)
{
    fprintf(stderr, "recorder_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", MO_SOCKET_PATH);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a))
        die(MO_SOCKET_PATH);
    return fd;
}

static void say(int fd, const struct mo_tlv_out *out)
{
    struct ucred me = {getpid(), geteuid(), getegid()};
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof me)];
    } control = {0};
    struct iovec v = {out->buf, out->len};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof me);
    memcpy(CMSG_DATA(c), &me, sizeof me);
    if (sendmsg(fd, &m, MSG_NOSIGNAL) != (ssize_t)out->len)
        die("sendmsg");
}

static void hello(int fd)
{
    unsigned char buf[8192];
    struct mo_tlv_out out;

    mo_wire_start(&out, buf, sizeof buf, MO_W_HELLO);
    mo_tlv_put_str(&out, MO_W_MODE, "t");
    mo_tlv_put_str(&out, MO_W_TOKEN, token);
    mo_tlv_put_str(&out, MO_W_EXE, "/usr/bin/dash");
    mo_tlv_put_str(&out, MO_W_CWD, "/srv/www/example.org");
    say(fd, &out);
}

static void mail(int fd)
{
    unsigned char buf[MO_WIRE_MAX], nonce[MO_NONCE_LEN];
    struct mo_tlv_out out;
    struct mo_tlv f;
    uint64_t action = 0;
    size_t pos;
    ssize_t n;

    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        die("getrandom");
    mo_wire_start(&out, buf, sizeof buf, MO_W_MAIL);
    mo_tlv_put(&out, MO_W_NONCE, nonce, sizeof nonce);
    mo_tlv_put_str(&out, MO_W_SENDER, "www-data@example.org");
    mo_tlv_put_num(&out, MO_W_RCPTS, 1);
    mo_tlv_put_str(&out, MO_W_MESSAGE_ID, "<1.2.3@example.org>");
    mo_tlv_put_num(&out, MO_W_SIZE, 2400);
    say(fd, &out);
    n = recv(fd, buf, sizeof buf, 0);
    if (n > 0 && mo_wire_type(buf, (size_t)n, &pos) == MO_W_VERDICT)
        while (mo_tlv_next(buf, (size_t)n, &pos, &f) > 0)
            if (f.tag == MO_W_ACTION)
                mo_tlv_num(&f, &action);
    if (action != MO_PASSED)
        __atomic_fetch_add(&all->bad, 1, __ATOMIC_RELAXED);
}

static uint64_t whole_query(void)
{
    uint64_t begin = now();
    int fd = dial();

    hello(fd);
    mail(fd);
    close(fd);
    return now() - begin;
}

static void forked_query(uint64_t *took)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (!pid) {
        *took = whole_query();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void client(char mode, unsigned queries, uint64_t *took)
{
    uint64_t begin;
    unsigned i;
    int fd = -1;

    if (mode == 'k') {
        fd = dial();
        hello(fd);
    }
    __atomic_fetch_add(&all->ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&all->go, __ATOMIC_ACQUIRE))
        usleep(500);
    for (i = 0; i < queries; i++)
        if (mode == 'k') {
            begin = now();
            mail(fd);
            took[i] = now() - begin;
        }
        else if (mode == 'n')
            took[i] = whole_query();
        else
            forked_query(&took[i]);
    if (fd >= 0)
        close(fd);
}

/* The request that all of them are below. */
static void begin_request(struct mo_board *b)
{
    static struct mo_keyring kr;
    static struct mo_origin o;
    unsigned char origin[MO_ORIGIN_MAX];
    struct mo_board_use use;
    struct timespec t;
    char err[512];
    size_t len;

    if (mo_keyring_read(&kr, MO_KEYRING_PATH,
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_HASH),
                        err, sizeof err)) {
        fprintf(stderr, "recorder_load: %s\n", err);
        exit(1);
    }
    clock_gettime(CLOCK_REALTIME, &t);
    o.time_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    o.pid = getpid();
    o.uid = -1;
    mo_random_id(o.id);
    strcpy(o.client, "192.0.2.7");
    strcpy(o.vhost, "www.example.org");
    strcpy(o.method, "POST");
    strcpy(o.handler, "application/x-httpd-php");
    strcpy(o.uri, "/wp-content/uploads/x.php");
    strcpy(o.script, "/srv/www/example.org/wp-content/uploads/x.php");
    memcpy(o.keyid, kr.key[0].id, MO_KEYID_LEN);
    mo_request_hash(&kr.key[0], "POST / HTTP/1.1", 15, o.hash);
    o.has_hash = 1;
    len = mo_origin_encode(&o, origin, sizeof origin);
    mo_seal(&kr, MO_SEAL_TOKEN, origin, len, token, sizeof token);
    mo_board_begin(b, getpid(), mo_boottime(), mo_last_pid(-1), origin, len,
                   &use);
    if (!use.serial)
        die("the board");
}

/* The worker: it has the request, and a shell for each client, as system()
 * makes one. */
static int worker(const char *board, char mode, unsigned clients,
                  unsigned queries)
{
    struct mo_board b;
    unsigned i;
    pid_t pid;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mo_board_map(&b, board, 1, geteuid()))
        die(board);
    begin_request(&b);
    for (i = 0; i < clients; i++) {
        pid = fork();
        if (pid < 0)
            die("fork");
        if (pid)
            continue;
        pid = fork();
        if (!pid) {
            client(mode, queries, all->took + (size_t)i * queries);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        _exit(0);
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *mode, unsigned clients, unsigned queries,
                   uint64_t elapsed)
{
    size_t n = (size_t)clients * queries;

    qsort(all->took, n, sizeof *all->took, by_size);
    if (all->bad || !all->took[0]) {
        fprintf(stderr,
                "recorder_load: %d of %zu answers were not \"passed\"\n",
                all->bad, n);
        exit(1);
    }
    printf("%s %u %zu %.0f %.1f %.1f\n", mode, clients, n,
           (double)n * 1e9 / (double)elapsed, (double)all->took[n / 2] / 1e3,
           (double)all->took[n * 99 / 100] / 1e3);
}

int main(int argc, char **argv)
{
    unsigned clients = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
    unsigned queries = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
    char board[128];
    uint64_t begin;
    size_t size;
    int status;
    pid_t pid;

    if (argc != 4 || !strchr("knf", argv[1][0]) || !clients || !queries ||
        clients > CLIENTS_MAX || queries > 1000000) {
        fprintf(stderr,
                "usage: recorder_load keep|new|fork CLIENTS QUERIES; "
                "1 to %d clients, 1 to 1000000 queries of each\n",
                CLIENTS_MAX);
        return 2;
    }
    size = sizeof *all + (size_t)clients * queries * sizeof *all->took;
    all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
    if (all == MAP_FAILED)
        die("mmap");
    mkdir(MO_BOARD_DIR, 0755);
    snprintf(board, sizeof board, "%s/%d", MO_BOARD_DIR, (int)getpid());
    if (mo_board_create(board, 256, getpid(), (unsigned)-1))
        die(board);
    pid = fork();
    if (pid < 0)
        die("fork");
    if (!pid)
        exit(worker(board, argv[1][0], clients, queries));
    while (__atomic_load_n(&all->ready, __ATOMIC_ACQUIRE) < (int)clients)
        if (waitpid(pid, &status, WNOHANG) == pid || usleep(1000))
            die("the worker ended early");
    begin = now();
    __atomic_store_n(&all->go, 1, __ATOMIC_RELEASE);
    waitpid(pid, &status, 0);
    begin = now() - begin;
    unlink(board);
    report(argv[1], clients, queries, begin);
    return 0;
}
