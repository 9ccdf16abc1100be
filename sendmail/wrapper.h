/*
 * What the files of mailorigin-sendmail promise each other.  libc only, no
 * getpwnam, no locale, no allocation but where it is said.
 */
#ifndef MO_WRAPPER_H
#define MO_WRAPPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mo_conf.h"
#include "mo_head.h"
#include "mo_header.h"
#include "mo_wire.h"

#define SM_RCPTS 64 /* recipients that the recorder is told by name */
#define SM_TOKENS 6
#define SM_TOKEN_MAX 6000

/* ---- mode.c: what the arguments ask for */

enum sm_kind {
    SM_OTHER, /* no submission: exec at once */
    SM_T, /* recipients from the message */
    SM_ARGS, /* recipients are arguments */
    SM_BS, /* SMTP on stdin and stdout */
    SM_BATCH /* SMTP on stdin, without replies: Exim's -bS */
};

/* how a line with a dot alone ends the message */
enum sm_dots {
    SM_DOTS_TEXT, /* not at all */
    SM_DOTS_LF, /* ".\n" */
    SM_DOTS_FIRST, /* ".\n", and ".\r\n" where the first line ends so */
    SM_DOTS_BOTH /* ".\n" and ".\r\n" */
};

struct sm_mode {
    enum sm_kind kind;
    enum sm_dots dots;
    enum mo_from from;
    const char *sender; /* -f, -r; NULL: none given */
    unsigned nrcpts; /* operands */
    const char *rcpt[SM_RCPTS];
};

/* Reads argv as the MTA would; changes nothing in it. */
void sm_mode_find(struct sm_mode *m, enum mo_mta mta, int argc,
                  char *const *argv);

/* ---- evidence.c: what the recorder cannot read for itself */

struct sm_evidence {
    unsigned ntokens;
    unsigned above; /* bit N: an ancestor's environment has token N */
    const char *token[SM_TOKENS]; /* in the environment, or in store */
    size_t tokenlen[SM_TOKENS];
    char exe[1024]; /* the parent's; "" : not to be read */
    char cwd[1024];
    unsigned nstored;
    char store[SM_TOKENS][SM_TOKEN_MAX];
};
void sm_evidence_find(struct sm_evidence *e);
/* All sockets that this process holds but those below: their number. */
unsigned sm_sockets(int *fds, unsigned max, int not_this);

/* ---- recorder.c: the conversation */

struct sm_recorder {
    int fd; /* -1: none */
    char why[128];
    const char *mode;
    const struct sm_evidence *evidence;
    unsigned timeout_ms;
};
struct sm_mail {
    unsigned char nonce[MO_NONCE_LEN];
    const char *sender;
    unsigned nrcpts;
    unsigned nlisted; /* of them in rcpt, SM_RCPTS at most */
    const char *const *rcpt;
    const char *subject, *message_id;
    uint64_t size;
};
struct sm_verdict {
    int action; /* enum mo_action */
    char id[33];
    char reason[512];
    size_t headerlen; /* "" where the mail is not passed */
    char header[MO_HEADER_MAX];
};
/* Connects and says HELLO; what fails shows when a verdict is asked for. */
void sm_recorder_hello(struct sm_recorder *r, const char *mode,
                       const struct sm_evidence *e, unsigned timeout_ms);
/* 0: *v is the recorder's; -1: none came, r->why says why. */
int sm_recorder_ask(struct sm_recorder *r, const struct sm_mail *m,
                    const char *header_name, struct sm_verdict *v);
/* 16 bytes of a fresh nonce. */
void sm_nonce(unsigned char nonce[MO_NONCE_LEN]);

/* ---- stamp.c: from a mail's facts to what is to be done with it */

struct sm_stamp {
    int action; /* enum mo_action */
    char reason[512]; /* for the caller, where it is not MO_PASSED */
    size_t len; /* of text: the whole field in the message's line ending */
    char text[MO_HEADER_MAX + 512];
};
/*
 * Asks the recorder; without an answer does what on-failure says (for send
 * with its line in syslog).  h says where the field goes and how lines end.
 */
void sm_stamp(struct sm_stamp *s, struct sm_recorder *r,
              const struct mo_conf *conf, const struct sm_mail *m,
              const struct mo_head *h);

/* ---- blocked.c: for when there is no recorder to ask */
/* enum mo_action; where it is not MO_PASSED, why. */
int sm_blocked(char *reason, size_t size);

/* ---- spool.c: the message, kept until there is a verdict */

#define SM_ROOM 16384 /* before the message, for the field */

struct sm_spool {
    int fd; /* -1: all is in buf */
    off_t start, end; /* the message in fd */
    uint64_t given; /* bytes of the message as it was given */
    struct mo_head head;
    struct mo_rcpts rcpts; /* with SM_T, those of the fields */
    size_t len; /* bytes in buf not written yet */
    char *buf; /* after room for the field */
    /* private */
    enum sm_dots dots;
    int dot_state;
    int first_known;
    char last; /* byte of the input before this piece */
    int spilled; /* or tried to */
    int returned; /* to a memfd, the disk being full */
    int large; /* known from the beginning: into a file at once */
};
/*
 * Reads stdin to its end, or to the lone dot.  Returns 0, or -1 with one line
 * in err (then nothing may be submitted).
 */
int sm_spool_read(struct sm_spool *s, const struct sm_mode *m,
                  const char *header_name, char *err, size_t errsize);
/* The pieces of it, for batch.c: an empty spool; bytes behind what is there;
 * read(2) from stdin, waited for. */
void sm_spool_start(struct sm_spool *s);
int sm_spool_put(struct sm_spool *s, const char *p, size_t n);
ssize_t sm_read_input(char *buf, size_t size);
/*
 * Puts the field where it belongs; afterwards fd is open with its offset at
 * the message's first byte.  Returns 0, or -1 with a line in err.
 */
int sm_spool_stamp(struct sm_spool *s, const char *field, size_t len, char *err,
                   size_t errsize);

/* ---- batch.c */

/* Reads a batch, its mails stamped, into the spool (sm_spool_stamp with no
 * field ends it).  0; 1: a mail is refused, stamp says why; -1: errno. */
int sm_batch_read(const struct mo_conf *conf, const struct sm_mode *m,
                  struct sm_recorder *r, struct sm_spool *s,
                  struct sm_stamp *stamp);

/* ---- submit.c: becoming the real sendmail */

/* The target is there and is not this program; else exits 78. */
void sm_target_check(const struct mo_conf *conf);
/* Replaces this process; exits 75 or 78 with a line where that fails. */
void sm_exec(const struct mo_conf *conf, char **argv) __attribute__((noreturn));
/* The same, with the spooled message as stdin, by conf->handover. */
void sm_submit(const struct mo_conf *conf, char **argv, struct sm_spool *s)
    __attribute__((noreturn));

/* ---- smtp_proxy.c: -bs; returns the exit status */
int sm_smtp(const struct mo_conf *conf, char **argv, const struct sm_mode *m,
            struct sm_recorder *r);

/* ---- limits.c: what the caller set low, raised as far as it may be while
 * we run, and put back before the real sendmail begins */
int sm_limits_files(void); /* after EMFILE; 1: it is worth trying again */
void sm_limits_size(void); /* before writing a spool */
void sm_limits_restore(void);

/* write(2) all of it; 0, or -1 with errno */
int sm_write_all(int fd, const char *p, size_t n);

#endif
