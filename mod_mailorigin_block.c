/*
 * Requests of a blocked script, vhost, URI prefix or client are answered
 * with 403 (`mailorigin block --http`), so that the script itself stops,
 * whichever way it mails.
 *
 * The recorder writes the blocks file by rename; each child looks at it at
 * most once a second and reads it anew when it is another.  A file that
 * can't be read leaves the blocks as they were.  Checked in fixups, where the
 * script is known, for the request, what it is redirected to, and
 * subrequests that run; MailOrigin Off is no way around it.
 */
#include "mod_mailorigin.h"

#include "apr_atomic.h"
#include "apr_thread_mutex.h"
#include "http_request.h"
#include "ap_mpm.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "mo_blocks.h"

static apr_thread_mutex_t *lock; /* NULL: no threads */
static struct mo_blocks blocks; /* only those with http */
static volatile apr_uint32_t nblocks; /* read without the lock */
static volatile apr_uint32_t looked; /* second of the last look */
static struct stat file; /* as it was when it was read */

static int same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* with the lock held */
static void read_again(server_rec *s)
{
    struct mo_blocks fresh;
    struct stat now;
    char err[512] = "";
    apr_size_t i, n = 0;

    if (stat(MO_BLOCKS_PATH, &now) != 0) {
        if (errno != ENOENT)
            return;
        memset(&now, 0, sizeof(now));
    }
    if (same(&now, &file))
        return;
    if (mo_blocks_read(&fresh, MO_BLOCKS_PATH, err, sizeof(err)) != 0) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "mailorigin: %s; the blocks stay as they were", err);
        file = now; /* said once */
        return;
    }
    for (i = 0; i < fresh.n; i++) {
        if (fresh.block[i].http)
            fresh.block[n++] = fresh.block[i];
    }
    fresh.n = n;
    mo_blocks_free(&blocks);
    blocks = fresh;
    apr_atomic_set32(&nblocks, (apr_uint32_t)n);
    file = now;
}

static void enter(void)
{
    if (lock)
        apr_thread_mutex_lock(lock);
}

static void leave(void)
{
    if (lock)
        apr_thread_mutex_unlock(lock);
}

static int mo_block_fixups(request_rec *r)
{
    const struct mo_block *b = NULL;
    struct mo_subject who;
    request_rec *first;
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());
    apr_uint32_t last = apr_atomic_read32(&looked);
    unsigned long id = 0;

    /* one thread a second looks; the others go on */
    if (last != now && apr_atomic_cas32(&looked, now, last) == last) {
        enter();
        read_again(r->server);
        leave();
    }
    if (apr_atomic_read32(&nblocks) == 0)
        return DECLINED;
    first = mo_first(r);
    memset(&who, 0, sizeof(who));
    who.vhost = ap_get_server_name(first);
    who.script = r->filename;
    who.uri = first->uri;
    who.client = first->useragent_ip;
    who.uid = -1;
    enter();
    b = mo_blocks_match(&blocks, &who, (int64_t)now);
    if (b == NULL && r->uri && strcmp(r->uri, first->uri) != 0) {
        who.uri = r->uri; /* what it was redirected to */
        b = mo_blocks_match(&blocks, &who, (int64_t)now);
    }
    if (b)
        id = b->id;
    leave();
    if (b == NULL)
        return DECLINED;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "mailorigin: block %lu: %s is answered with 403", id,
                  r->filename ? r->filename : r->uri);
    return HTTP_FORBIDDEN;
}

static void mo_block_child_init(apr_pool_t *p, server_rec *s)
{
    int threaded = 0;

    ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded);
    if (threaded != AP_MPMQ_NOT_SUPPORTED &&
        apr_thread_mutex_create(&lock, APR_THREAD_MUTEX_DEFAULT, p) !=
            APR_SUCCESS)
        lock = NULL;
    enter();
    read_again(s);
    leave();
}

void mo_block_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(mo_block_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(mo_block_fixups, NULL, NULL, APR_HOOK_REALLY_LAST);
}
