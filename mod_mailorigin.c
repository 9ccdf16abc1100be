/*
 * mod_mailorigin - which request sent this mail?
 *
 * A server sends spam, and some script on it does it.  httpd alone knows
 * which request a script runs for, and only while it runs.  So this module
 *   - exports the request to what the script starts: MAILORIGIN_* in the
 *     environment, with a sealed token that nobody else can make;
 *   - keeps it on the board while it is in progress, for the recorder, which
 *     joins a sending process to a request by what the kernel says, whatever
 *     the script did to its environment;
 *   - writes down which logs httpd writes, for the command that finds the
 *     request's line in them.
 *
 * It never stops httpd, but for a directive's syntax: whatever is missing at
 * run time is one line of level crit that names the thing and its mend.
 *
 * This file: directives and their configuration, the hooks, the record of
 * the module.  The directives work in the server's configuration only, never
 * in .htaccess, since the one who spams writes those.
 */
#include "mod_mailorigin.h"

#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"
#include "util_filter.h"
#include "apr_lib.h"
#include "apr_strings.h"

#include <errno.h>

static struct mo_keyring *keys; /* in children only */
static const struct mo_keyring no_keys;
static int have_keys; /* they could be read when httpd (re)started */
static int have_unique_id;
static ap_filter_rec_t *subrequest_filter;

/* ---- configuration */

static void *mo_dir_create(apr_pool_t *p, char *path)
{
    struct mo_dir *d = apr_pcalloc(p, sizeof(*d));

    (void)path;
    d->on = -1;
    d->forward = -1;
    return d;
}

static void *mo_dir_merge(apr_pool_t *p, void *basev, void *overv)
{
    const struct mo_dir *base = basev, *over = overv;
    struct mo_dir *d = apr_palloc(p, sizeof(*d));

    d->on = over->on >= 0 ? over->on : base->on;
    d->record_set = base->record_set | over->record_set;
    d->record =
        (base->record & ~over->record_set) | (over->record & over->record_set);
    d->forward = over->forward >= 0 ? over->forward : base->forward;
    return d;
}

/* AP_INIT_FLAG's message lacks the value that was given. */
static const char *mo_set_flag(cmd_parms *cmd, void *dirv, const char *arg)
{
    int *flag = (int *)((char *)dirv + (apr_size_t)cmd->info);

    if (!ap_cstr_casecmp(arg, "On"))
        *flag = 1;
    else if (!ap_cstr_casecmp(arg, "Off"))
        *flag = 0;
    else
        return apr_psprintf(cmd->pool, "%s: \"%s\" is neither On nor Off",
                            cmd->cmd->name, arg);
    return NULL;
}

static const char *mo_set_record(cmd_parms *cmd, void *dirv, int argc,
                                 char *const argv[])
{
    static const struct {
        const char *name;
        unsigned bits;
    } words[] = {{"None", 0},
                 {"All", MO_RECORD_ALL},
                 {"Query", MO_RECORD_QUERY},
                 {"Subject", MO_RECORD_SUBJECT},
                 {"Recipients", MO_RECORD_RECIPIENTS}};
    struct mo_dir *d = dirv;
    unsigned plain = 0;
    int signed_words = 0, i;
    apr_size_t w;

    if (argc == 0)
        return apr_psprintf(cmd->pool,
                            "%s needs None, All, or any of Query, Subject "
                            "and Recipients, each with + or - or all without",
                            cmd->cmd->name);
    for (i = 0; i < argc; i++) {
        char sign = *argv[i] == '+' || *argv[i] == '-' ? *argv[i] : 0;
        const char *name = argv[i] + (sign != 0);

        for (w = 0; w < sizeof(words) / sizeof(*words); w++)
            if (!ap_cstr_casecmp(name, words[w].name))
                break;
        if (w == sizeof(words) / sizeof(*words) || (sign && w < 2))
            return apr_psprintf(cmd->pool,
                                "%s: \"%s\" is none of None, All, [+|-]Query, "
                                "[+|-]Subject, [+|-]Recipients",
                                cmd->cmd->name, argv[i]);
        if (w < 2 && argc > 1)
            return apr_psprintf(cmd->pool,
                                "%s: \"%s\" stands alone: %s takes no other "
                                "word beside None or All",
                                cmd->cmd->name, argv[i], cmd->cmd->name);
        if (sign) {
            signed_words++;
            d->record_set |= words[w].bits;
            if (sign == '+')
                d->record |= words[w].bits;
            else
                d->record &= ~words[w].bits;
        }
        else {
            plain |= words[w].bits;
        }
    }
    if (signed_words && signed_words < argc)
        return apr_psprintf(cmd->pool,
                            "%s: \"%s\": either all words have + or -, or "
                            "none has",
                            cmd->cmd->name, cmd->directive->args);
    if (!signed_words) {
        d->record_set = MO_RECORD_ALL;
        d->record = plain;
    }
    return NULL;
}

#define FLAG(name, member, help)                                               \
    AP_INIT_TAKE1(name, mo_set_flag,                                           \
                  (void *)APR_OFFSETOF(struct mo_dir, member),                 \
                  RSRC_CONF | ACCESS_CONF, help)

static const command_rec mo_commands[] = {
    FLAG("MailOrigin", on, "On or Off: record the requests here"),
    AP_INIT_TAKE_ARGV("MailOriginRecord", mo_set_record, NULL,
                      RSRC_CONF | ACCESS_CONF,
                      "None, All, or [+|-]Query [+|-]Subject [+|-]Recipients: "
                      "what else may be recorded of a mail's request"),
    FLAG("MailOriginForward", forward,
         "On or Off: give the token to HTTP backends, as the request header "
         "MailOrigin-Token"),
    {NULL}};

/* ---- a request's state */

request_rec *mo_first(request_rec *r)
{
    for (;;) {
        if (r->main)
            r = r->main;
        else if (r->prev)
            r = r->prev;
        else
            return r;
    }
}

struct mo_request *mo_request_of(request_rec *r)
{
    return ap_get_module_config(mo_first(r)->request_config,
                                &mailorigin_module);
}

const struct mo_keyring *mo_the_keys(void)
{
    return keys ? keys : &no_keys;
}

static struct mo_request *mo_request_make(request_rec *first)
{
    struct mo_request *rq =
        ap_get_module_config(first->request_config, &mailorigin_module);

    if (!rq) {
        rq = apr_pcalloc(first->pool, sizeof(*rq));
        ap_set_module_config(first->request_config, &mailorigin_module, rq);
    }
    return rq;
}

static apr_status_t mo_run_end(void *data)
{
    struct mo_run *run = data, **link = &run->request->run;

    while (*link && *link != run)
        link = &(*link)->outer;
    if (*link)
        *link = run->outer;
    mo_cgid_leave(run);
    mo_env_leave(run);
    mo_board_leave(run);
    return APR_SUCCESS;
}

/*
 * A subrequest ends long before its pool does (mod_include keeps it): when
 * all that it wrote has gone through.  Only after the brigade was passed,
 * since EOS may stand in it behind a program's output that is still to come.
 */
static apr_status_t mo_subrequest_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct mo_run *run = f->ctx;
    apr_pool_t *pool = run->pool;
    struct mo_request *rq = run->request;
    int over =
        !APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
    apr_status_t rv;

    if (over)
        ap_remove_output_filter(f);
    rv = ap_pass_brigade(f->next, bb);
    /* what it was redirected to is of the same pool */
    while (over && rq->run && rq->run->pool == pool)
        apr_pool_cleanup_run(pool, rq->run, mo_run_end);
    return rv;
}

/* ---- hooks */

/* The id is kept before .htaccess has a chance to SetEnv another. */
static int mo_post_read_request(request_rec *r)
{
    const char *id, *c;

    if (!have_unique_id || r->main || r->prev)
        return DECLINED;
    id = apr_table_get(r->subprocess_env, "UNIQUE_ID");
    if (!id || !*id)
        return DECLINED;
    for (c = id; *c; c++)
        if (!apr_isalnum(*c) && !strchr("-_@.:", *c))
            return DECLINED;
    if (c - id < 65)
        mo_request_make(r)->id = id;
    return DECLINED;
}

/*
 * First of the handlers, and declining: only a request that really runs comes
 * here (fixups see lookup-only subrequests too, and would leave theirs
 * behind), its output filters are known, and nothing of .htaccess comes later.
 */
static int mo_handler(request_rec *r)
{
    const struct mo_dir *dir;
    request_rec *first;
    struct mo_request *rq;
    struct mo_run *run;

    if (!mo_is_dynamic(r))
        return DECLINED;
    dir = ap_get_module_config(r->per_dir_config, &mailorigin_module);
    first = mo_first(r);
    rq = mo_request_make(first);
    run = apr_pcalloc(r->pool, sizeof(*run));
    run->request = rq;
    run->outer = rq->run;
    run->pool = r->pool;
    if (dir->on == 1) {
        rq->named = 1;
        mo_origin_make(r, dir, run);
    }
    mo_env_table(r, run);
    mo_board_enter(r, run);
    mo_env_enter(run);
    mo_cgid_enter(r, run);
    rq->run = run;
    apr_pool_cleanup_register(r->pool, run, mo_run_end, apr_pool_cleanup_null);
    if (r->main)
        ap_add_output_filter_handle(subrequest_filter, run, r, r->connection);
    return DECLINED;
}

/*
 * The line in access_log names the request by our id, whatever .htaccess or
 * the script made of the variable, and also where an ErrorDocument that is a
 * plain file came last.
 */
static int mo_log_transaction(request_rec *r)
{
    const struct mo_request *rq = mo_request_of(r);

    while (r->next)
        r = r->next;
    if (rq && rq->named) {
        /* the first of that name is what is read */
        if (apr_table_get(r->subprocess_env, mo_env_name(MO_VAR_ID)) == rq->id)
            return DECLINED;
        apr_table_unset(r->subprocess_env, mo_env_name(MO_VAR_ID));
        apr_table_addn(r->subprocess_env, mo_env_name(MO_VAR_ID), rq->id);
    }
    else {
        apr_table_unset(r->subprocess_env, mo_env_name(MO_VAR_ID));
    }
    return DECLINED;
}

static apr_status_t mo_wipe_keys(void *data)
{
    mo_keyring_wipe(data);
    keys = NULL;
    return APR_SUCCESS;
}

/* board: where children see that one of them has said it */
static int mo_read_keys(struct mo_keyring *into, struct mo_board *board,
                        server_rec *s)
{
    char err[1024];

    if (mo_keyring_read(into, MO_KEYRING_PATH,
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_HASH),
                        err, sizeof(err)) == 0)
        return 1;
    if (board && board->head &&
        __atomic_exchange_n(&board->head->keys_said, 1, __ATOMIC_RELAXED))
        return 0;
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                 "%s: requests get no token and no hash; \"mailorigin "
                 "key init\" makes a keyring, then reload httpd",
                 err);
    return 0;
}

/*
 * The parent looks whether there are keys, and keeps none: what it forks
 * later, as a mod_wsgi daemon in another's place, runs customers' code.
 */
static void mo_check_keys(server_rec *s)
{
    struct mo_keyring trial;

    memset(&trial, 0, sizeof(trial));
    have_keys = mo_read_keys(&trial, NULL, s);
    mo_keyring_wipe(&trial);
}

static void mo_child_keys(apr_pool_t *pchild, server_rec *s)
{
    if (!have_keys)
        return;
    keys = apr_pcalloc(pchild, sizeof(*keys));
    apr_pool_cleanup_register(pchild, keys, mo_wipe_keys,
                              apr_pool_cleanup_null);
    mo_read_keys(keys, mo_the_board(), s);
}

static int mo_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)plog;
    (void)ptemp;
    mo_proxy_pre_config(pconf);
    return OK;
}

/* Last of all, when the others know what they are. */
static int mo_post_config(apr_pool_t *pconf, apr_pool_t *plog,
                          apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    /* the first pass is only a trial, in another process than the parent */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    have_unique_id = ap_find_linked_module("mod_unique_id.c") != NULL;
    mo_origin_post_config(ptemp);
    mo_check_keys(s);
    if (mo_rundir_ok(s) == 0) {
        mo_board_post_config(pconf, s);
        mo_layout_post_config(pconf, ptemp, s);
    }
    mo_proxy_post_config(pconf, s);
    mo_cgid_post_config();
    return OK;
}

static int mo_drop_privileges(apr_pool_t *pchild, server_rec *s)
{
    mo_board_child_map(s);
    mo_child_keys(pchild, s);
    return OK;
}

static void mo_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)s;
    mo_board_child_init();
    mo_env_child_init();
    mo_cgid_child_init(pchild);
}

static void mo_child_status(server_rec *s, pid_t pid, ap_generation_t gen,
                            int slot, mpm_child_status status)
{
    (void)gen;
    (void)slot;
    if (status == MPM_CHILD_EXITED)
        mo_board_child_exited(s, pid);
}

static void mo_hooks(apr_pool_t *p)
{
    static const char *const after_unique_id[] = {"mod_unique_id.c", NULL};

    (void)p;
    ap_hook_pre_config(mo_pre_config, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_post_config(mo_post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_drop_privileges(mo_drop_privileges, NULL, NULL,
                            APR_HOOK_REALLY_FIRST);
    ap_hook_child_init(mo_child_init, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_child_status(mo_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(mo_post_read_request, after_unique_id, NULL,
                              APR_HOOK_MIDDLE);
    ap_hook_handler(mo_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* before all others, so that it sees them end */
    subrequest_filter = ap_register_output_filter(
        "MAILORIGIN_SUBREQUEST", mo_subrequest_filter, NULL,
        (ap_filter_type)(AP_FTYPE_RESOURCE - 1));
    mo_block_hooks(p);
    mo_cgid_hooks();
    ap_hook_log_transaction(mo_log_transaction, NULL, NULL,
                            APR_HOOK_REALLY_FIRST);
}

/* AP_DECLARE_MODULE is APLOG_USE_MODULE and this; the first is in our header */
module AP_MODULE_DECLARE_DATA mailorigin_module = {
    STANDARD20_MODULE_STUFF,
    mo_dir_create,
    mo_dir_merge,
    NULL, /* all is per directory */
    NULL,
    mo_commands,
    mo_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};
