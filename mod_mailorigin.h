/*
 * mod_mailorigin, inside: what its files share.  Everything here lives in
 * APR pools; what is below (lib/) knows no httpd type.
 *
 *   mod_mailorigin.c         directives, configuration, hooks
 *   mod_mailorigin_origin.c  request -> origin; is it dynamic?
 *   mod_mailorigin_env.c     the variables, for children and in the process
 *   mod_mailorigin_board.c   the board over httpd's life
 *   mod_mailorigin_layout.c  the layout file
 *   mod_mailorigin_proxy.c   FastCGI connections, the forwarded token
 *   mod_mailorigin_link.c    one such connection, as the kernel has it
 *   mod_mailorigin_cgid.c    mod_cgid's connections
 *   mod_mailorigin_block.c   403 for what is blocked
 */
#ifndef MOD_MAILORIGIN_H
#define MOD_MAILORIGIN_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"

#include "mo_board.h"
#include "mo_origin.h"
#include "mo_paths.h"
#include "mo_seal.h"

/* the one name that httpd looks up; all else is hidden (Makefile.apxs) */
#pragma GCC visibility push(default)
extern module AP_MODULE_DECLARE_DATA mailorigin_module;
APLOG_USE_MODULE(mailorigin);
#pragma GCC visibility pop

/* Per directory; every member can be unset, and merges by its own rule. */
struct mo_dir {
    int on; /* MailOrigin: -1 unset, 0, 1; the inner one wins */
    unsigned record_set; /* MailOriginRecord: bits that were spoken of */
    unsigned record; /* their values; merged bit by bit */
    int forward; /* MailOriginForward: -1 unset, 0, 1; the inner one wins */
};
#define MO_RECORD_ALL                                                          \
    (MO_RECORD_QUERY | MO_RECORD_SUBJECT | MO_RECORD_RECIPIENTS)

/* the variables, in the order of mo_env_name() */
enum mo_var {
    MO_VAR_ID,
    MO_VAR_URI,
    MO_VAR_VHOST,
    MO_VAR_SCRIPT,
    MO_VAR_TOKEN,
    MO_VAR_SSL_TOKEN,
    MO_VARS
};

/*
 * One running of a handler: of the request itself, of what it was redirected
 * to internally, or of a subrequest that runs.  An inner one's origin stands
 * on the board and in the environment until its pool goes; then the outer
 * one's again.
 */
struct mo_run {
    struct mo_request *request;
    struct mo_run *outer; /* of the same request; NULL: the outermost */
    apr_pool_t *pool; /* the request_rec's that runs */
    const unsigned char *origin; /* encoded; length 0: nameless (Off) */
    size_t origin_len;
    uid_t runs_as; /* of processes that it starts */
    const char *var[MO_VARS]; /* NULL: absent */
    struct mo_run *env_below; /* process environment: what it covers */
    int in_env;
    int cgid; /* how far mod_cgid is; mod_mailorigin_cgid.c's */
};

/* What is known of one HTTP request, at the first of its request_recs. */
struct mo_request {
    const char *id; /* UNIQUE_ID as mod_unique_id gave it, or our own */
    struct mo_run *run; /* innermost; NULL: nothing dynamic ran, or runs */
    int named; /* a run with MailOrigin On was in it: access_log gets its id */
    struct mo_board_use use; /* serial 0: not on the board */
};

/* The request_rec that access_log shows: up r->main and r->prev. */
request_rec *mo_first(request_rec *r);
/* The state of r's request; NULL where nothing dynamic ran in it. */
struct mo_request *mo_request_of(request_rec *r);
/* The board as this process has it mapped; its head is NULL where it isn't. */
struct mo_board *mo_the_board(void);
/* The last pid given out; from a file that the child has open, since it may be
 * in a chroot. */
int32_t mo_board_last_pid(void);
/* The keys as read when this child began; n is 0 where there are none. */
const struct mo_keyring *mo_the_keys(void);

/* ---- mod_mailorigin_origin.c */
/* Which output filters run programs; before the first request. */
void mo_origin_post_config(apr_pool_t *p);
int mo_is_dynamic(const request_rec *r);
/* Does the handler do no more than serve a file or a redirect? */
int mo_plain_handler(const request_rec *r);
/* Encodes r's origin into run (from r->pool) and sets its variables; gives
 * its request an id if it has none. */
void mo_origin_make(request_rec *r, const struct mo_dir *dir,
                    struct mo_run *run);

/* ---- mod_mailorigin_env.c */
const char *mo_env_name(enum mo_var v);
/* Drops every variable of ours that was there, then sets run's. */
void mo_env_table(request_rec *r, const struct mo_run *run);
/* The process environment, under an MPM without threads. */
void mo_env_child_init(void);
void mo_env_enter(struct mo_run *run);
void mo_env_leave(struct mo_run *run);

/* ---- mod_mailorigin_board.c */
void mo_board_post_config(apr_pool_t *pconf, server_rec *s);
void mo_board_child_map(server_rec *s);
void mo_board_child_init(void);
void mo_board_child_exited(server_rec *s, pid_t child);
/* run's origin onto the board; the request gets a slot if it has none */
void mo_board_enter(request_rec *r, struct mo_run *run);
void mo_board_leave(struct mo_run *run);
/* 0, or -1 after the one line that says that the run directory is missing */
int mo_rundir_ok(server_rec *s);
/* The recorder's group, (gid_t)-1: none (a private PREFIX). */
gid_t mo_recorder_gid(void);
/* Is this the process whose cleanup may remove its files: the parent, at
 * its very end, not at a restart? */
int mo_parent_exits(pid_t parent);

/* ---- mod_mailorigin_layout.c */
void mo_layout_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);

/* ---- mod_mailorigin_proxy.c */
void mo_proxy_pre_config(apr_pool_t *p);
void mo_proxy_post_config(apr_pool_t *p, server_rec *main);
/* Are FastCGI connections followed?  Once the configuration is read. */
int mo_proxy_follows(void);

/* ---- mod_mailorigin_link.c */
/* A connection's socket; it lives as long. */
struct mo_link {
    int fd;
    struct mo_conn conn; /* without use, since and last_pid; kind
                            MO_CONN_UNKNOWN: the kernel says nothing */
};
/* From p, which must be cleared when sock is closed.  made: CLOCK_BOOTTIME ns
 * before sock was made; 0: not known. */
struct mo_link *mo_link_make(apr_pool_t *p, apr_socket_t *sock, int tcp,
                             uint64_t made);
/* Its listener onto the board's table; now: CLOCK_BOOTTIME ns.  Looked at
 * anew every ten seconds, since a pid can be given to another master. */
void mo_link_listener(const struct mo_link *link, uint64_t now);
/* Waits (us) until what was sent has been read, on that thread, which is the
 * caller's; NULL: not known.  1: it has, 0: not in that time, -1: it can't be
 * told. */
int mo_link_wait_read(const struct mo_link *link, apr_thread_t *thread,
                      apr_interval_time_t patience);

/* ---- mod_mailorigin_cgid.c */
void mo_cgid_hooks(void);
void mo_cgid_post_config(void);
void mo_cgid_child_init(apr_pool_t *pchild);
/* r begins to run */
void mo_cgid_enter(request_rec *r, struct mo_run *run);
void mo_cgid_leave(struct mo_run *run);

/* ---- mod_mailorigin_block.c */
void mo_block_hooks(apr_pool_t *p);

#endif
