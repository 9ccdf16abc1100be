/*
 * Which of mod_cgid's connections is a request's.
 *
 * Under mod_cgid a script is no child of the process that serves its request:
 * that one connects to the cgid daemon, which starts the script with the
 * connection as its input and output.  With the connection on the board the
 * kernel names the request, whatever token the script shows.
 *
 * mod_cgid has no hook for it, but asks get_suexec_identity between connect()
 * and the first byte, when there is no script yet.  The connection's number
 * is its own affair; but the process has a connection to the daemon then
 * which it had not before, and if it has one such only, that is the one.  So
 * that there are seldom two, requests of one process take turns: a CGI script
 * from its handler to its first read, by when the daemon, which takes one at a
 * time as well, has answered; a page that may <!--#exec --> while mod_include
 * parses it, but not while it waits for a client or a subrequest.  Where a
 * turn does not end, the others go without: a request whose connection is not
 * known is one of several candidates, no more.
 */
#include "mod_mailorigin.h"

#include "ap_mpm.h"
#include "apr_file_io.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "apr_thread_cond.h"
#include "apr_thread_mutex.h"
#include "http_protocol.h"
#include "unixd.h"
#include "util_filter.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT apr_time_from_sec(2) /* for another's turn to end, at most */
#define FRESH 8
#define FDS_MAX 65536 /* connections beyond are not followed */

enum {
    OTHER = 0, /* not mod_cgid's, as far as can be seen */
    CONNECTS, /* its handler runs next */
    CONNECTED,
    PAGE /* that may run programs */
};

static int linked; /* mod_cgid is there */
static int pages; /* a page runs programs by mod_cgid, not by mod_cgi */
static int active; /* in this process, which serves requests */
static ap_filter_rec_t *includes, *first_read, *page_input, *page_output;

static apr_thread_mutex_t *lock; /* NULL: no threads */
static apr_thread_cond_t *next;
static const struct mo_request *turn; /* whose turn it is */
static apr_time_t since; /* when that began */
/* By descriptor: a socket whose thread has asked already.  Our own is never
 * among them while we ask. */
static ino_t *known;
static int nknown;

/* ---- turns */

static void take_turn(const struct mo_request *rq)
{
    if (!lock)
        return;
    apr_thread_mutex_lock(lock);
    while (turn && turn != rq) {
        apr_interval_time_t left = since + WAIT - apr_time_now();

        if (left <= 0 || left > WAIT)
            break;
        apr_thread_cond_timedwait(next, lock, left);
    }
    if (!turn) {
        turn = rq;
        since = apr_time_now();
    }
    apr_thread_mutex_unlock(lock);
}

static void end_turn(const struct mo_request *rq)
{
    if (!lock)
        return;
    apr_thread_mutex_lock(lock);
    if (turn == rq) {
        turn = NULL;
        apr_thread_cond_signal(next);
    }
    apr_thread_mutex_unlock(lock);
}

void mo_cgid_leave(struct mo_run *run)
{
    if (run->cgid != OTHER)
        end_turn(run->request);
}

/* ---- the connection */

/* Does it lead to the cgid daemon, at "ScriptSock.PARENTPID"? */
static int to_daemon(int fd)
{
    struct sockaddr_un sun;
    socklen_t len = sizeof(sun);
    char tail[32];
    apr_size_t n, have;

    memset(&sun, 0, sizeof(sun));
    if (getpeername(fd, (struct sockaddr *)&sun, &len) != 0 ||
        sun.sun_family != AF_UNIX)
        return 0;
    n = (apr_size_t)apr_snprintf(tail, sizeof(tail), ".%d",
                                 (int)mo_the_board()->head->parent_pid);
    have = strnlen(sun.sun_path, sizeof(sun.sun_path));
    return sun.sun_path[0] == '/' && have > n &&
           !memcmp(sun.sun_path + have - n, tail, n);
}

/*
 * Has nothing been said on it?  mod_cgid makes another connection, to ask for
 * the script's pid; that one is closed by the daemon when it has answered.
 */
static int is_fresh(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    int out = 0, in = 0;

    return poll(&p, 1, 0) == 0 && ioctl(fd, TIOCOUTQ, &out) == 0 && out == 0 &&
           ioctl(fd, FIONREAD, &in) == 0 && in == 0;
}

static int is_known(int fd, ino_t ino)
{
    ino_t *more;
    int n;

    if (fd >= FDS_MAX)
        return 1;
    if (fd >= nknown) {
        n = fd + 256 < FDS_MAX ? fd + 256 : FDS_MAX;
        more = realloc(known, (apr_size_t)n * sizeof(*known));
        if (!more)
            return 1;
        memset(more + nknown, 0, (apr_size_t)(n - nknown) * sizeof(*known));
        known = more;
        nknown = n;
    }
    return known[fd] == ino;
}

/*
 * The inode of the only fresh connection to the daemon that is not another's;
 * 0: there are several.  Nothing is sent on ours meanwhile, so that what else
 * was just made, and is about to be used or closed, mostly shows it soon.
 */
static apr_uint64_t new_connection(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *d;
    struct stat st;
    ino_t inode[FRESH];
    int fresh[FRESH], n = 0, i, tries;

    if (!dir)
        return 0;
    while ((d = readdir(dir)) != NULL) {
        int fd = atoi(d->d_name);

        if (d->d_name[0] == '.' || fd >= FDS_MAX || fstat(fd, &st) != 0 ||
            !S_ISSOCK(st.st_mode) || is_known(fd, st.st_ino) || !to_daemon(fd))
            continue;
        if (!is_fresh(fd)) {
            known[fd] = st.st_ino;
        }
        else if (n < FRESH) {
            fresh[n] = fd;
            inode[n++] = st.st_ino;
        }
        else {
            closedir(dir);
            return 0;
        }
    }
    closedir(dir);
    for (tries = 0; n > 1 && tries < 20; tries++) {
        apr_sleep(100);
        for (i = n - 1; i >= 0; i--) {
            if (fstat(fresh[i], &st) == 0 && st.st_ino == inode[i] &&
                is_fresh(fresh[i]))
                continue;
            known[fresh[i]] = inode[i];
            n--;
            fresh[i] = fresh[n];
            inode[i] = inode[n];
        }
    }
    if (n != 1)
        return 0;
    known[fresh[0]] = inode[0];
    return inode[0];
}

static void put(struct mo_request *rq, apr_uint64_t inode)
{
    struct mo_conn conn;

    memset(&conn, 0, sizeof(conn));
    conn.kind = MO_CONN_UNIX;
    conn.inode = inode;
    conn.since = mo_boottime();
    mo_board_conn(mo_the_board(), &rq->use, inode ? &conn : NULL);
}

static int has_filter(const request_rec *r, const ap_filter_rec_t *frec)
{
    const ap_filter_t *f;

    for (f = r->output_filters; frec && f; f = f->next)
        if (f->frec == frec)
            return 1;
    return 0;
}

/* Asked for between connect() and the first byte; answers nothing. */
static ap_unix_identity_t *mo_cgid_identity(const request_rec *r)
{
    struct mo_request *rq;
    struct mo_run *run;
    apr_uint64_t inode;

    if (!active)
        return NULL;
    rq = mo_request_of((request_rec *)r);
    run = rq ? rq->run : NULL;
    if (!run || run->pool != r->pool || !rq->use.serial)
        return NULL;
    if (run->cgid == CONNECTS)
        run->cgid = CONNECTED;
    else if (run->cgid != PAGE)
        return NULL;
    if (lock)
        apr_thread_mutex_lock(lock);
    inode = new_connection();
    if (lock)
        apr_thread_mutex_unlock(lock);
    put(rq, inode);
    return NULL;
}

/* The handler that comes before mod_cgid's. */
static int mo_cgid_handler(request_rec *r)
{
    struct mo_request *rq;
    struct mo_run *run;

    if (!active || !r->handler ||
        (strcmp(r->handler, "cgi-script") &&
         strcmp(r->handler, CGI_MAGIC_TYPE)))
        return DECLINED;
    rq = mo_request_of(r);
    run = rq ? rq->run : NULL;
    if (!run || run->pool != r->pool || !rq->use.serial)
        return DECLINED;
    run->cgid = CONNECTS;
    if (lock) {
        ap_add_input_filter_handle(first_read, run, r, r->connection);
        /* mod_cgid wants it for REMOTE_HOST: no one shall wait for a DNS */
        ap_get_useragent_host(r, REMOTE_HOST, NULL);
        take_turn(rq);
    }
    return DECLINED;
}

static apr_status_t mo_first_read(ap_filter_t *f, apr_bucket_brigade *bb,
                                  ap_input_mode_t mode, apr_read_type_e block,
                                  apr_off_t readbytes)
{
    ap_filter_t *on = f->next;

    end_turn(((struct mo_run *)f->ctx)->request);
    ap_remove_input_filter(f);
    return ap_get_brigade(on, bb, mode, block, readbytes);
}

/* Before INCLUDES. */
static apr_status_t mo_page_input(ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct mo_run *run = f->ctx;
    apr_status_t rv;

    take_turn(run->request);
    rv = ap_pass_brigade(f->next, bb);
    end_turn(run->request);
    return rv;
}

/* Behind INCLUDES: what a program writes goes by as a pipe, which says which
 * connection it is, should that not be known yet. */
static apr_status_t mo_page_output(ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct mo_run *run = f->ctx;
    struct mo_request *rq = run->request;
    apr_status_t rv;
    apr_bucket *b;

    end_turn(rq);
    for (b = APR_BRIGADE_FIRST(bb);
         rq->run == run && b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        apr_os_file_t fd;
        struct stat st;

        if (APR_BUCKET_IS_PIPE(b) && rq->use.serial &&
            apr_os_file_get(&fd, b->data) == APR_SUCCESS && to_daemon(fd) &&
            fstat(fd, &st) == 0) {
            put(rq, st.st_ino);
            if (lock)
                apr_thread_mutex_lock(lock);
            if (!is_known(fd, st.st_ino) && fd < nknown)
                known[fd] = st.st_ino;
            if (lock)
                apr_thread_mutex_unlock(lock);
        }
    }
    rv = ap_pass_brigade(f->next, bb);
    if (rq->run == run && run->cgid == PAGE)
        take_turn(rq);
    return rv;
}

void mo_cgid_enter(request_rec *r, struct mo_run *run)
{
    if (!active)
        return;
    if (run->outer) /* a page waits for its subrequest */
        end_turn(run->request);
    if (!pages || !mo_plain_handler(r) || !has_filter(r, includes) ||
        !(ap_allow_options(r) & OPT_INC_WITH_EXEC))
        return;
    run->cgid = PAGE;
    ap_add_output_filter_handle(page_input, run, r, r->connection);
    ap_add_output_filter_handle(page_output, run, r, r->connection);
}

/* ---- its life */

void mo_cgid_post_config(void)
{
    linked = ap_find_linked_module("mod_cgid.c") != NULL;
    pages = ap_find_linked_module("mod_cgi.c") == NULL;
    includes = ap_get_output_filter_handle("INCLUDES");
}

void mo_cgid_child_init(apr_pool_t *pchild)
{
    int threaded = AP_MPMQ_NOT_SUPPORTED;

    if (!linked || !mo_the_board()->head)
        return;
    if (ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) == APR_SUCCESS &&
        threaded != AP_MPMQ_NOT_SUPPORTED &&
        (apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, pchild) !=
             APR_SUCCESS ||
         apr_thread_cond_create(&next, pchild) != APR_SUCCESS)) {
        lock = NULL;
        return;
    }
    active = 1;
}

void mo_cgid_hooks(void)
{
    static const char *const before_cgid[] = {"mod_cgid.c", NULL};

    ap_hook_handler(mo_cgid_handler, NULL, before_cgid, APR_HOOK_MIDDLE);
    ap_hook_get_suexec_identity(mo_cgid_identity, NULL, NULL,
                                APR_HOOK_REALLY_FIRST);
    first_read = ap_register_input_filter("MAILORIGIN_CGID", mo_first_read,
                                          NULL, AP_FTYPE_RESOURCE);
    page_input =
        ap_register_output_filter("MAILORIGIN_PAGE_IN", mo_page_input, NULL,
                                  (ap_filter_type)(AP_FTYPE_RESOURCE - 1));
    page_output =
        ap_register_output_filter("MAILORIGIN_PAGE", mo_page_output, NULL,
                                  (ap_filter_type)(AP_FTYPE_RESOURCE + 1));
}
