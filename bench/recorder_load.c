/*
 * Asks the recorder as wrappers do, and says how long it took.
 *
 *   recorder_load EVIDENCE MODE CLIENTS QUERIES
 *     EVIDENCE  ancestry    prefork: a worker for each client, which is below
 *                           it, with a shell between
 *               connection  event and PHP-FPM: one httpd child, in which 64
 *                           threads or more have a request each, on a
 *                           connection to an FPM worker; the client is below
 *                           that one, and passes the socket
 *     MODE      keep  one connection to the recorder for each client
 *               new   a connection for each query
 *               fork  a process for each query, too
 *
 * Each has a request of its own on the board and shows its token.  So each
 * answer takes the whole way: ancestors, board, token, record, stamp.
 * Prints: EVIDENCE MODE CLIENTS QUERIES QUERIES_A_SECOND P50_US P99_US
 */
#include <errno.h>
#include <pthread.h>
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
#define THREADS 64 /* of the httpd child, at least */

struct shared {
    int ready; /* clients that wait for the start */
    int go;
    int bad; /* answers that were none, or no "passed" */
    uint64_t took[]; /* ns, by client and query */
};

static struct shared *all;
static char token[MO_SEAL_TEXT_MAX]; /* the client's request's */
static int passed = -1; /* the socket that the client passes; -1: none */

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

/* fd: goes along; -1: none. */
static void say(int to, const struct mo_tlv_out *out, int fd)
{
    struct ucred me = {getpid(), geteuid(), getegid()};
    union {
        struct cmsghdr h;
        char room[CMSG_SPACE(sizeof me) + CMSG_SPACE(sizeof fd)];
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
    if (fd < 0) {
        m.msg_controllen = CMSG_SPACE(sizeof me);
    }
    else {
        c = CMSG_NXTHDR(&m, c);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (sendmsg(to, &m, MSG_NOSIGNAL) != (ssize_t)out->len)
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
    say(fd, &out, passed);
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
    say(fd, &out, -1);
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

/* ---- their requests */

static struct mo_board board;
static struct mo_keyring keys;

/* A request of the calling thread's, begun: its origin on the board, sealed
 * in text. */
static void begin_request(const char *handler, const struct mo_conn *conn,
                          char text[MO_SEAL_TEXT_MAX])
{
    struct mo_origin o;
    unsigned char origin[MO_ORIGIN_MAX];
    struct mo_board_use use;
    struct timespec t;
    size_t len;

    memset(&o, 0, sizeof o);
    clock_gettime(CLOCK_REALTIME, &t);
    o.time_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    o.pid = getpid();
    o.uid = -1;
    mo_random_id(o.id);
    strcpy(o.client, "192.0.2.7");
    strcpy(o.vhost, "www.example.org");
    strcpy(o.method, "POST");
    snprintf(o.handler, sizeof o.handler, "%s", handler);
    strcpy(o.uri, "/wp-content/uploads/x.php");
    strcpy(o.script, "/srv/www/example.org/wp-content/uploads/x.php");
    memcpy(o.keyid, keys.key[0].id, MO_KEYID_LEN);
    mo_request_hash(&keys.key[0], "POST / HTTP/1.1", 15, o.hash);
    o.has_hash = 1;
    len = mo_origin_encode(&o, origin, sizeof origin);
    mo_seal(&keys, MO_SEAL_TOKEN, origin, len, text, MO_SEAL_TEXT_MAX);
    mo_board_begin(&board, getpid(), geteuid(), mo_boottime(), mo_last_pid(-1),
                   origin, len, &use);
    if (!use.serial)
        die("the board");
    mo_board_conn(&board, &use, conn);
}

static pid_t start(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL))
        die("prctl");
    return pid;
}

/* A shell, as system() makes one, and the client. */
static void script(char mode, unsigned queries, uint64_t *took)
{
    if (!start()) {
        if (!start()) {
            client(mode, queries, took);
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    wait(NULL);
}

/* mod_php, under prefork */
static void prefork(char mode, unsigned clients, unsigned queries)
{
    unsigned i;

    for (i = 0; i < clients; i++) {
        if (start())
            continue;
        begin_request("application/x-httpd-php", NULL, token);
        script(mode, queries, all->took + (size_t)i * queries);
        _exit(0);
    }
}

/* ---- event and PHP-FPM */

static struct sockaddr_un fpm = {.sun_family = AF_UNIX};

/* A worker of httpd's: a request on a connection of its own. */
static void *serve(void *arg)
{
    struct mo_conn conn = {.kind = MO_CONN_UNIX, .use = MO_CONN_FRESH};
    char text[MO_SEAL_TEXT_MAX];
    struct ucred peer;
    socklen_t len = sizeof peer;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)arg;
    if (fd < 0 || connect(fd, (struct sockaddr *)&fpm, sizeof fpm) ||
        fstat(fd, &st) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        die("the FastCGI connection");
    conn.inode = (uint64_t)st.st_ino;
    conn.listener_pid = peer.pid;
    conn.listener_uid = peer.uid;
    begin_request("proxy:unix:/run/php/fpm.sock|fcgi://localhost", &conn, text);
    if (write(fd, text, sizeof text) != (ssize_t)sizeof text)
        die("the FastCGI connection");
    pause();
    return NULL;
}

static void httpd_child(unsigned threads)
{
    pthread_t t;

    while (threads--)
        if (pthread_create(&t, NULL, serve, NULL))
            die("pthread_create");
    for (;;)
        pause();
}

static void event(char mode, unsigned clients, unsigned queries)
{
    unsigned threads = clients > THREADS ? clients : THREADS;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned i;
    pid_t child, worker[CLIENTS_MAX];

    snprintf(fpm.sun_path, sizeof fpm.sun_path, "%s/bench-fpm.%d", MO_RUNDIR,
             (int)getpid());
    if (listener < 0 || bind(listener, (struct sockaddr *)&fpm, sizeof fpm) ||
        listen(listener, CLIENTS_MAX))
        die(fpm.sun_path);
    child = start();
    if (!child)
        httpd_child(threads);
    if (start())
        return;
    /* the master; its workers wait for a request each */
    for (i = 0; i < threads; i++) {
        worker[i] = start();
        if (worker[i])
            continue;
        passed = accept(listener, NULL, NULL);
        if (passed < 0 || recv(passed, token, sizeof token, MSG_WAITALL) !=
                              (ssize_t)sizeof token)
            die("accept");
        if (i < clients)
            script(mode, queries, all->took + (size_t)i * queries);
        else
            pause();
        _exit(0);
    }
    for (i = 0; i < clients; i++)
        waitpid(worker[i], NULL, 0);
    kill(child, SIGKILL);
    _exit(0); /* the idle ones go with us */
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void report(const char *evidence, const char *mode, unsigned clients,
                   unsigned queries, uint64_t elapsed)
{
    size_t n = (size_t)clients * queries;

    qsort(all->took, n, sizeof *all->took, by_size);
    if (all->bad || !all->took[0]) {
        fprintf(stderr,
                "recorder_load: %d of %zu answers were not \"passed\"\n",
                all->bad, n);
        exit(1);
    }
    printf("%s %s %u %zu %.0f %.1f %.1f\n", evidence, mode, clients, n,
           (double)n * 1e9 / (double)elapsed, (double)all->took[n / 2] / 1e3,
           (double)all->took[n * 99 / 100] / 1e3);
}

/* httpd's parent: the board is its own. */
static void parent(const char *evidence, char mode, unsigned clients,
                   unsigned queries)
{
    char path[128], err[512];

    if (mo_keyring_read(&keys, MO_KEYRING_PATH,
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_HASH),
                        err, sizeof err)) {
        fprintf(stderr, "recorder_load: %s\n", err);
        exit(1);
    }
    mkdir(MO_BOARD_DIR, 0755);
    snprintf(path, sizeof path, "%s/%d", MO_BOARD_DIR, (int)getpid());
    if (mo_board_create(path, CLIENTS_MAX, getpid(), (unsigned)-1) ||
        mo_board_map(&board, path, 1, geteuid()))
        die(path);
    if (evidence[0] == 'a')
        prefork(mode, clients, queries);
    else
        event(mode, clients, queries);
    while (wait(NULL) > 0)
        ;
    unlink(path);
    if (fpm.sun_path[0])
        unlink(fpm.sun_path);
}

int main(int argc, char **argv)
{
    unsigned clients = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
    unsigned queries = argc == 5 ? (unsigned)atoi(argv[4]) : 0;
    uint64_t begin;
    size_t size;
    int status;
    pid_t pid;

    if (argc != 5 || !strchr("ac", argv[1][0]) || !strchr("knf", argv[2][0]) ||
        !clients || !queries || clients > CLIENTS_MAX || queries > 1000000) {
        fprintf(stderr,
                "usage: recorder_load ancestry|connection keep|new|fork "
                "CLIENTS QUERIES; 1 to %d clients, 1 to 1000000 queries of "
                "each\n",
                CLIENTS_MAX);
        return 2;
    }
    size = sizeof *all + (size_t)clients * queries * sizeof *all->took;
    all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
    if (all == MAP_FAILED)
        die("mmap");
    pid = start();
    if (!pid) {
        parent(argv[1], argv[2][0], clients, queries);
        _exit(0);
    }
    while (__atomic_load_n(&all->ready, __ATOMIC_ACQUIRE) < (int)clients)
        if (waitpid(pid, &status, WNOHANG) == pid || usleep(1000))
            die("httpd's parent ended early");
    begin = now();
    __atomic_store_n(&all->go, 1, __ATOMIC_RELEASE);
    waitpid(pid, &status, 0);
    begin = now() - begin;
    report(argv[1], argv[2], clients, queries, begin);
    return 0;
}
