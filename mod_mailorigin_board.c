/*
 * The board over httpd's life.
 *
 * The parent makes it, as root, when the configuration is read for good, and
 * keeps it over restarts: children of the generation before still have
 * requests on it.  It never stays mapped in the parent, so that nothing which
 * other modules fork there (mod_wsgi's daemons, mod_fcgid's, piped logs) has
 * it.  Children map it just before they drop their privileges.  A child that
 * was killed leaves its slots to the parent, which frees them.
 */
#include "mod_mailorigin.h"

#include "ap_mpm.h"
#include "apr_strings.h"
#include "unixd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

/* What outlives the module's unloading at a restart. */
struct kept {
    pid_t parent;
    unsigned nslots; /* 0: there is no board */
    unsigned said; /* the nslots that were asked for and refused */
    int said_user;
};

static struct mo_board board; /* as this process has it */
static pid_t mpm_child; /* the slot goes when that process ends */
static int last_pid = -1; /* the file that says it */

struct mo_board *mo_the_board(void)
{
    return &board;
}

int32_t mo_board_last_pid(void)
{
    return mo_last_pid(last_pid);
}

static struct kept *kept(void)
{
    static const char key[] = "mod_mailorigin board";
    struct kept *k = ap_retained_data_get(key);

    return k ? k : ap_retained_data_create(key, sizeof(*k));
}

static void board_path(char *path, apr_size_t size, pid_t parent)
{
    apr_snprintf(path, size, "%s/%" APR_PID_T_FMT, MO_BOARD_DIR, parent);
}

/* ---- what the layout file needs too */

gid_t mo_recorder_gid(void)
{
    const struct group *g;

    if (!*MO_USER)
        return (gid_t)-1;
    g = getgrnam(MO_USER);
    return g ? g->gr_gid : (gid_t)-1;
}

int mo_rundir_ok(server_rec *s)
{
    static const char *const dirs[] = {MO_RUNDIR, MO_BOARD_DIR, MO_LAYOUT_DIR};
    struct stat st;
    apr_size_t i;

    for (i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
        int e;

        /* the run directory itself is the installation's to make */
        e = i && mkdir(dirs[i], 0755) != 0 && errno != EEXIST ? errno : 0;
        if (!e && stat(dirs[i], &st) != 0)
            e = errno;
        if (!e && !S_ISDIR(st.st_mode))
            e = ENOTDIR;
        if (!e && access(dirs[i], W_OK | X_OK) == 0)
            continue;
        if (!e)
            e = errno;
        ap_log_error(APLOG_MARK, APLOG_CRIT, e, s,
                     "the run directory %s can't be used: no request is known "
                     "to the recorder; make it (\"mkdir -p %s\"), writable for "
                     "the user that starts httpd, then reload httpd",
                     dirs[i], dirs[i]);
        return -1;
    }
    return 0;
}

int mo_parent_exits(pid_t parent)
{
    return getpid() == parent &&
           ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING;
}

/* ---- the parent's part */

/* A slot for each thread that can run a request. */
static unsigned slots_needed(void)
{
    int daemons = 0, threads = 0;
    unsigned long n;

    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons) != APR_SUCCESS ||
        daemons < 1)
        daemons = 1;
    if (ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads) != APR_SUCCESS ||
        threads < 1)
        threads = 1;
    n = (unsigned long)daemons * (unsigned long)threads;
    /* mod_http2 runs requests on threads of its own, 1.5 times as many */
    if (ap_find_linked_module("mod_http2.c"))
        n += n + n / 2;
    n += 16;
    return n > MO_BOARD_SLOTS_MAX ? MO_BOARD_SLOTS_MAX : (unsigned)n;
}

static apr_status_t remove_board(void *data)
{
    const struct kept *k = data;
    char path[APR_PATH_MAX];

    if (mo_parent_exits(k->parent)) {
        board_path(path, sizeof(path), k->parent);
        unlink(path);
    }
    return APR_SUCCESS;
}

void mo_board_post_config(apr_pool_t *pconf, server_rec *s)
{
    struct kept *k = kept();
    struct mo_board b;
    unsigned need = slots_needed();
    char path[APR_PATH_MAX];
    gid_t gid = mo_recorder_gid();

    if (geteuid() != 0 && !k->said_user) {
        k->said_user = 1;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "httpd was not started by root: only a recorder of the "
                     "same user (uid %lu) takes its word, and its scripts "
                     "can change what it says",
                     (unsigned long)geteuid());
    }
    board_path(path, sizeof(path), getpid());
    if (k->parent == getpid() && k->nslots &&
        mo_board_map(&b, path, 1, geteuid()) == 0) {
        k->nslots = b.nslots;
        mo_board_unmap(&b);
        if (need > k->nslots && need != k->said) {
            k->said = need;
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         "the board %s has %u slots, and %u would be needed "
                         "now: it grows when httpd is stopped and started",
                         path, k->nslots, need);
        }
        apr_pool_cleanup_register(pconf, k, remove_board,
                                  apr_pool_cleanup_null);
        return;
    }
    k->parent = getpid();
    k->nslots = 0;
    if (*MO_USER && gid == (gid_t)-1)
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "there is no group %s: the recorder can't read the "
                     "board %s; \"adduser --system --group %s\", then stop "
                     "and start httpd",
                     MO_USER, path, MO_USER);
    if (geteuid() != 0)
        gid = (gid_t)-1;
    if (mo_board_create(path, need, getpid(), gid) != 0 ||
        mo_board_map(&b, path, 1, geteuid()) != 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s,
                     "the board %s (%" APR_SIZE_T_FMT
                     " bytes) can't be made: no request is known to the "
                     "recorder; give the user that starts httpd room and "
                     "write permission there, then reload httpd",
                     path, mo_board_size(need));
        unlink(path);
        return;
    }
    mo_board_unmap(&b);
    k->nslots = need;
    apr_pool_cleanup_register(pconf, k, remove_board, apr_pool_cleanup_null);
}

void mo_board_child_exited(server_rec *s, pid_t child)
{
    const struct kept *k = kept();
    struct mo_board b;
    char path[APR_PATH_MAX];

    (void)s;
    if (!k->nslots)
        return;
    board_path(path, sizeof(path), k->parent);
    if (mo_board_map(&b, path, 1, geteuid()) != 0)
        return;
    mo_board_reclaim(&b, child);
    mo_board_unmap(&b);
}

/* ---- the children's part */

void mo_board_child_map(server_rec *s)
{
    const struct kept *k = kept();
    char path[APR_PATH_MAX];

    if (!k->nslots)
        return;
    board_path(path, sizeof(path), k->parent);
    if (mo_board_map(&board, path, 1, geteuid()) != 0)
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, s,
                     "the board %s can't be opened: no request of this "
                     "child is known to the recorder; stop and start httpd",
                     path);
    else
        __atomic_store_n(&board.head->follows, mo_proxy_follows() ? 1u : 0u,
                         __ATOMIC_RELAXED);
    /* now, since a chroot may follow */
    last_pid = mo_last_pid_open();
}

void mo_board_child_init(void)
{
    mpm_child = getpid();
}

/* httpd's own user, or whom suexec becomes */
static uid_t runs_as(const request_rec *r)
{
    const ap_unix_identity_t *id = NULL;

    if (ap_unixd_config.suexec_enabled)
        id = ap_run_get_suexec_identity(r);
    return id ? id->uid : geteuid();
}

void mo_board_enter(request_rec *r, struct mo_run *run)
{
    struct mo_request *rq = run->request;

    if (!board.head)
        return;
    run->runs_as = runs_as(r);
    if (rq->use.serial) {
        mo_board_origin(&board, &rq->use, run->origin, run->origin_len);
        mo_board_runs_as(&board, &rq->use, (uint32_t)run->runs_as);
        return;
    }
    mo_board_begin(&board, (int32_t)mpm_child, (uint32_t)run->runs_as,
                   mo_boottime(), mo_board_last_pid(), run->origin,
                   run->origin_len, &rq->use);
    if (!rq->use.serial &&
        !__atomic_exchange_n(&board.head->full_said, 1, __ATOMIC_RELAXED))
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r,
                      "the board %s/%d is full (%u slots): some requests are "
                      "not known to the recorder; stop and start httpd, "
                      "which makes one of the size it needs",
                      MO_BOARD_DIR, (int)board.head->parent_pid, board.nslots);
}

void mo_board_leave(struct mo_run *run)
{
    struct mo_request *rq = run->request;

    if (!rq->use.serial)
        return;
    if (rq->run) {
        mo_board_origin(&board, &rq->use, rq->run->origin, rq->run->origin_len);
        mo_board_runs_as(&board, &rq->use, (uint32_t)rq->run->runs_as);
        return;
    }
    mo_board_end(&board, &rq->use);
    rq->use.serial = 0;
}
