/*
 * The recorder, inside: what its files share.  One process, one thread, one
 * epoll loop; nothing here waits for a client.
 *
 *   main.c      arguments, privileges, signals
 *   server.c    the loop, accepting, budgets of connections
 *   session.c   one client's messages
 *   judge.c record.c  from evidence to verdict and ruling, and to the record
 *   chain.c     the caller and its ancestors
 *   boards.c    httpd's boards
 *   evidence_*.c  who sends: by ancestry, by connection, by token
 *   verdict.c   what the evidence amounts to
 *   policy.c    budgets, limits, blocks (blocks.c)
 *   closer.c    closes what strangers pass
 *   maillog.c stamp.c seen.c keys.c alerts.c   as named
 *
 * Nothing that a client or a board says is trusted: lengths are checked,
 * numbers are bounded, and only the kernel says who is who.
 */
#ifndef REC_H
#define REC_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mo_blocks.h"
#include "mo_board.h"
#include "mo_conf.h"
#include "mo_origin.h"
#include "mo_proc.h"
#include "mo_record.h"
#include "mo_seal.h"
#include "mo_sockdiag.h"
#include "mo_wire.h"

struct rec;

/* A descriptor in the loop. */
struct rec_source {
    int fd;
    void (*ready)(struct rec *r, struct rec_source *s, uint32_t events);
};

/* ---- chain.c: the caller and its ancestors, 0 the caller */
#define REC_CHAIN 64
struct rec_chain {
    int n;
    int gone; /* the caller, or one of them, went while it was read */
    struct mo_proc p[REC_CHAIN];
};
/* A cache of descriptors below /proc: a descriptor of a process that is dead
 * reads as such, so that it can never stand for another. */
#define REC_CACHE 512
struct rec_proc {
    int fd; /* of /proc */
    struct {
        int fd; /* -1: none */
        int32_t pid, tid; /* tid 0: PID/stat, else the thread's children */
    } cache[REC_CACHE];
    struct mo_proc known[REC_CACHE]; /* what a PID/stat said */
    uint64_t when[REC_CACHE]; /* at that boot time, ns */
};
int rec_proc_open(struct rec_proc *p);
void rec_proc_close(struct rec_proc *p);
/* Reads the chain from pid up to pid 1, or to the end of the array; anew: an
 * ancestor that was read a moment before, too. */
void rec_chain_read(struct rec_proc *p, struct rec_chain *c, int32_t pid,
                    int anew);
/* Is child in the children of thread tid of process pid?  1, 0; -1: the
 * kernel does not say. */
int rec_proc_forked(struct rec_proc *p, int32_t pid, int32_t tid,
                    int32_t child);
/* A number's digits and a '\0', 21 bytes at most; how many digits.  (Half of
 * what a record took was snprintf's.) */
size_t rec_decimal(uint64_t n, char *out);
/* "1234 sh, 1230 php-fpm" of all but the caller */
void rec_chain_parents(const struct rec_chain *c, char *out, size_t size);
/* the position of pid, -1: it is not in it */
int rec_chain_find(const struct rec_chain *c, int32_t pid);

/* ---- boards.c */
#define REC_BOARDS 64
struct rec_board {
    struct rec_source source; /* pidfd of the parent; -1: slot not used */
    struct mo_board map;
    int32_t parent;
    uint64_t start; /* the parent's, ticks */
    uint64_t dev, ino; /* of the file */
};
/* pids with their start, remembered: httpd children, FastCGI listeners */
#define REC_KNOWN 4096
struct rec_known {
    struct {
        int32_t pid;
        uint64_t start;
    } e[REC_KNOWN];
};
void rec_known_add(struct rec_known *k, int32_t pid, uint64_t start);
int rec_known_has(const struct rec_known *k, int32_t pid, uint64_t start);

struct rec_boards {
    struct rec_source watch; /* inotify: board directory, keyring's */
    int wd_dir, wd_keys; /* -1: not watched */
    uint64_t tried; /* boot time of the last try to watch the keys */
    struct rec_board board[REC_BOARDS];
    struct rec_known workers; /* seen with slots */
    struct rec_known listeners; /* masters of workers that were verified */
};
void rec_boards_open(struct rec *r);
/* Sees to it that what changed before now is minded. */
void rec_boards_refresh(struct rec *r);
void rec_boards_close(struct rec *r);

/* ---- evidence */
enum rec_kind { REC_NONE = 0, REC_ANCESTRY, REC_CONNECTION, REC_TOKEN };

struct rec_request {
    const struct rec_board *board; /* with serial: only to tell them apart */
    uint64_t serial;
    uint64_t start; /* as on the board */
    int32_t last_pid;
    size_t len; /* 0: a request that is not to be named */
    unsigned char origin[]; /* encoded */
};
#define REC_CANDIDATES 32
#define REC_TOKENS 6

enum rec_state { REC_IN_PROGRESS = 1, REC_LATE, REC_OLD };

struct rec_token {
    enum mo_open open;
    enum rec_state state; /* where open is MO_OPEN_OK */
    size_t len;
    unsigned char *origin; /* encoded; malloc'ed */
};

struct rec_evidence {
    enum rec_kind kind;
    int web; /* a web worker is among the ancestors */
    int32_t worker; /* the httpd child that the caller is below; 0: none */
    int exact; /* a connection that stands on a board led to them */
    int sure; /* a sole candidate is the request beyond doubt */
    int unpicked; /* no token picks one of them */
    int daemon; /* position of a child of httpd that is no worker; -1 */
    const struct rec_board *board; /* of daemon */
    unsigned n; /* candidates; at most REC_CANDIDATES are kept */
    struct rec_request *cand[REC_CANDIDATES];
    unsigned ntokens;
    uint64_t above; /* bit N: token N is in an ancestor's environment */
    struct rec_token token[REC_TOKENS];
    struct rec_chain chain;
};
struct rec_evidence *rec_evidence_new(void);
void rec_evidence_free(struct rec_evidence *e);
/* Drops all candidates. */
void rec_evidence_clear(struct rec_evidence *e);
/* Adds a slot's request, once. */
void rec_evidence_add(struct rec_evidence *e, const struct rec_board *b,
                      const struct mo_slot *s);
/* Did process i of the chain and all below it begin after the moment? */
int rec_all_after(const struct rec_chain *c, int i, uint64_t ns,
                  int32_t last_pid);

void rec_evidence_ancestry(struct rec *r, struct rec_evidence *e);
/* One descriptor that the client passed; it stays open. */
void rec_evidence_connection(struct rec *r, struct rec_evidence *e, int fd);
void rec_evidence_token(struct rec *r, struct rec_evidence *e, const char *text,
                        size_t len);

/* ---- verdict.c: a pure function of the facts */
struct rec_name { /* what tells requests apart */
    int named;
    char id[65];
    uint64_t time_us;
};
struct rec_fact_token {
    int authentic;
    int given; /* by the web server, as far as can be seen: it may pick */
    enum rec_state state;
    int32_t pid;
    struct rec_name name;
};
struct rec_facts {
    enum rec_kind kind;
    int web;
    int32_t worker;
    int sure;
    unsigned n; /* candidates in all */
    unsigned kept; /* of them in cand */
    const struct rec_name *cand;
    unsigned ntokens;
    const struct rec_fact_token *token;
};
#define REC_NOBODY (-1)
#define REC_BY_TOKEN (-2)
struct rec_verdict {
    enum mo_verdict verdict;
    enum rec_kind evidence;
    enum rec_state state; /* of the token that counts; 0: none does */
    int origin; /* index of the candidate, REC_BY_TOKEN, or REC_NOBODY */
    int token; /* index of the authentic token looked at; -1: none */
    int claimed; /* its origin is kept as claimed_* */
    const char *reason; /* NULL: none */
};
void rec_decide(const struct rec_facts *f, struct rec_verdict *v);

/* ---- maillog.c */
struct rec_log {
    char path[MO_CONF_VALUE];
    int fd; /* -1: not open */
    uint64_t dev, ino;
    uint64_t looked; /* boot time of the last look at the path */
    int open_error; /* why it can't be opened anew; 0: it can */
    int said; /* an error has been said, and not its end */
};
void rec_log_open(struct rec_log *l, const char *path);
/* 0, or -1 with errno: it is not written, which is said once; refuse: what
 * that means for mails. */
int rec_log_write(struct rec_log *l, const char *line, size_t len, int refuse);
/* Is there a record with that id in the last part of the log? */
int rec_log_has(struct rec_log *l, const char *id);
void rec_log_close(struct rec_log *l);

/* ---- seen.c: nonces with their verdicts, over restarts */
#define REC_SEEN 8192
#define REC_SEEN_SIZE 2048
struct rec_seen_entry {
    uint64_t when; /* us since the epoch; 0: empty */
    unsigned char nonce[MO_NONCE_LEN];
    uint32_t uid;
    uint32_t state; /* 0: torn, 1: being recorded, 2: recorded */
    char id[20];
    uint32_t action;
    uint32_t header_len;
    char reason[256];
    char header[REC_SEEN_SIZE - 320];
};
struct rec_seen {
    struct rec_seen_entry *e; /* mapped, or malloc'ed; NULL: no memory */
    int mapped;
    uint32_t next;
    uint32_t bucket[REC_SEEN * 2]; /* index + 1; 0: empty */
};
/* path NULL: in memory only */
void rec_seen_open(struct rec_seen *s, const char *path);
void rec_seen_close(struct rec_seen *s);
struct rec_seen_entry *rec_seen_find(struct rec_seen *s, uint32_t uid,
                                     const unsigned char *nonce);
/* An entry for this mail, in state 1; the oldest gives its place. */
struct rec_seen_entry *rec_seen_add(struct rec_seen *s, uint32_t uid,
                                    const unsigned char *nonce);

/* ---- policy.c */
struct rec_bucket;
struct rec_rate { /* token buckets by key, or counts of an alert */
    struct rec_bucket *b; /* hash of REC_BUCKETS */
};
struct rec_policy {
    struct rec_rate budget;
    struct rec_rate limit[MO_CONF_RULES];
    struct rec_rate alert[MO_CONF_RULES];
    struct mo_blocks blocks;
    unsigned long next_id; /* of a block */
};
/* Who sends, for policy: of the site only what is beyond doubt; NULL: not
 * known so. */
struct rec_who {
    uint32_t uid;
    const char *vhost, *script, *client;
};
struct rec_ruling {
    enum mo_action action;
    char reason[256]; /* "" : none */
};
void rec_policy_open(struct rec_policy *p, const char *blocks_path);
void rec_policy_close(struct rec_policy *p);
/* conf was read anew: the counts of rules that changed begin anew */
void rec_policy_reset(struct rec_policy *p, const struct mo_conf *before,
                      const struct mo_conf *after);
/* subject[0..n): whom the mail may come from; a block counts where it hits
 * all of them. */
void rec_policy_rule(struct rec_policy *p, const struct mo_conf *conf,
                     const struct rec_who *who,
                     const struct mo_subject *subject, unsigned n,
                     uint64_t now_us, struct rec_ruling *out);
/* key's bucket, filled with n/period since it was last looked at, up to most;
 * it is good until the next call.  NULL: no memory. */
struct rec_bucket *rec_rate_look(struct rec_rate *rate, unsigned n,
                                 unsigned period, unsigned most,
                                 const char *key, uint64_t now_us);
/* Counts one for key: 1 if that is the one that begins a wave: the n-th
 * within period, and the last wave has ended: there were fewer than half as
 * many in a period since. */
int rec_rate_wave(struct rec_rate *rate, unsigned n, unsigned period,
                  const char *key, uint64_t now_us);
void rec_rate_free(struct rec_rate *rate);
/* The value that a rule goes by, NULL: it does not count. */
const char *rec_who_key(const struct rec_who *who, enum mo_key_by by,
                        char buf[16]);
/* blocks.c: the words of an ADMIN message; returns STATUS, text in out */
unsigned rec_blocks_admin(struct rec_policy *p, const char *path, char **word,
                          unsigned nwords, int64_t now, char *out, size_t size);

/* ---- alerts.c */
#define REC_ALERTS 8 /* programs that run at once, at most */
struct rec_alerts {
    pid_t pid[REC_ALERTS]; /* 0: free */
    uint64_t began[REC_ALERTS];
    char program[REC_ALERTS][256];
};
void rec_alert_run(struct rec_alerts *a, const char *program, const char *json,
                   size_t len);
void rec_alerts_reap(struct rec_alerts *a);
int rec_alerts_running(const struct rec_alerts *a);

/* ---- stamp.c */
/* The header field of a mail: origin NULL: nobody; hold: it tells the MTA to
 * hold the mail.  Returns its length. */
size_t rec_stamp(const struct mo_conf *conf, const struct mo_keyring *keys,
                 const char *host, const struct mo_origin *origin,
                 enum mo_verdict verdict, const char *id, uint64_t now_us,
                 uint32_t uid, int hold, char *out, size_t size);

/* ---- keys.c */
void rec_keys_read(struct rec *r);

/* ---- session.c, server.c */
struct rec_uid { /* what one uid's clients take */
    uint32_t uid;
    unsigned sessions;
    unsigned batch; /* messages read in this round of the loop */
    uint64_t round;
    struct rec_session *quiet_newest, *quiet_oldest; /* before HELLO */
    struct rec_uid *next; /* in its hash bucket */
};
struct rec_session {
    struct rec_source source;
    int32_t pid;
    uint32_t uid, gid;
    struct rec_uid *owner;
    uint64_t spoke; /* boot time of the last message, of connecting */
    struct rec_session *newer, *older; /* all sessions by spoke */
    struct rec_session *quiet_newer, *quiet_older; /* the uid's before HELLO */
    int hello;
    int ended;
    unsigned fds; /* descriptors it has passed */
    char mode[8];
    char *exe, *cwd;
    struct rec_evidence *ev;
};
/* A MAIL message, cut to what a record may hold. */
struct rec_mail {
    const unsigned char *nonce;
    char sender[1024];
    char subject[1024];
    char message_id[1024];
    char rcpt_list[4096];
    uint64_t rcpts;
    uint64_t size;
};

/* ---- judge.c: what the evidence comes to, with the requests it names */
struct rec_judged {
    struct rec_verdict v;
    const struct mo_origin *origin; /* NULL: nobody */
    const struct mo_origin *claimed; /* NULL: none */
    struct mo_origin candidate[REC_CANDIDATES];
    unsigned kept; /* of the candidates */
    struct mo_origin token;
};
void rec_judge(const struct rec_evidence *e, struct rec_judged *j);
/* who's strings are j's */
void rec_who_of(const struct rec_session *s, const struct rec_judged *j,
                struct rec_who *who);
void rec_rule(struct rec *r, const struct rec_session *s,
              const struct rec_judged *j, uint64_t now_us,
              struct rec_ruling *ruling);

/* ---- record.c */
/* The record in line (MO_RECORD_LINE bytes); its length. */
size_t rec_record(struct rec *r, const struct rec_session *s,
                  const struct rec_mail *m, const struct rec_judged *j,
                  const char *id, uint64_t now_us,
                  const struct rec_ruling *ruling, char *line);
/* Where that can't be written: a line in syslog. */
void rec_unrecorded(const struct rec_session *s, const struct rec_mail *m,
                    const struct rec_judged *j, const char *id,
                    enum mo_action action, const char *why);

/* ---- closer.c */
struct rec_closer;
/* A thread that may close that uid's descriptors; NULL: not now, and *stuck:
 * it has too many that won't be closed. */
struct rec_closer *rec_closer_for(uint32_t uid, uint64_t now, int *stuck);
/* Closes n <= MO_WIRE_FDS descriptors on it. */
void rec_closer_close(struct rec_closer *c, uint32_t uid, uint64_t now,
                      const int *fd, unsigned n);

/* ---- session.c */
/* 0: it goes on; -1: end the connection */
int rec_session_message(struct rec *r, struct rec_session *s,
                        const unsigned char *msg, size_t len, const int *fds,
                        unsigned nfds);
void rec_session_clear(struct rec_session *s);

#define REC_UIDS 256
struct rec {
    struct mo_conf conf;
    struct mo_keyring keys;
    char host[256];
    struct rec_proc proc;
    struct mo_sockdiag diag;
    uint64_t netns; /* inode of our network namespace */
    uint64_t cookie; /* SO_NETNS_COOKIE of a socket of ours; 0: not known */
    struct rec_boards boards;
    struct rec_log log;
    struct rec_seen *seen;
    struct rec_policy policy;
    struct rec_alerts alerts;
    int epfd;
    struct rec_source listener, signals;
    int caught_up; /* all who connected before we listened are accepted */
    unsigned nsessions, max_sessions;
    uint64_t round;
    int busy; /* events in this round */
    uint64_t now; /* boot time at the round's begin, ns */
    struct rec_session *newest, *oldest;
    struct rec_uid *uid[REC_UIDS];
    int stop; /* the signal that ends us */
};
/* Reads conf, keys and log anew. */
void rec_reload(struct rec *r);
int rec_watch(struct rec *r, struct rec_source *s, uint32_t events);
void rec_unwatch(struct rec *r, struct rec_source *s);
/* Opens everything but the listener; serves until a signal says stop. */
int rec_open(struct rec *r);
int rec_serve(struct rec *r, int listener, int signals);
void rec_close(struct rec *r);
/* Says it on stderr and in the mail's syslog. */
void rec_trouble(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
