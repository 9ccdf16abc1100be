/*
 * Queued mails picked by their origin: what queue lists and purge takes.  A
 * mail is picked by what its opened stamp says, never by what else it says of
 * itself.
 */
#ifndef MO_CLI_QUEUE_PICK_H
#define MO_CLI_QUEUE_PICK_H

#include "cli.h"
#include "queue.h"

enum pick_stamp {
    PICK_NO_STAMP,
    PICK_OPEN, /* opened by the keyring */
    PICK_TOKEN, /* no recorder answered: the request's token, a claim */
    PICK_NO_KEY,
    PICK_FORGED /* or damaged */
};
enum pick_state {
    PICK_LISTED,
    PICK_HELD, /* by us */
    PICK_DELETED,
    PICK_RELEASED,
    PICK_GONE, /* delivered or removed meanwhile */
    PICK_CHANGED, /* another mail stands under the id now */
    PICK_BUSY, /* the MTA has it locked: it is being delivered */
    PICK_FAILED
};
struct pick {
    char id[QUEUE_ID_MAX];
    const char *queue;
    char *path;
    uint64_t time_us, size;
    int was_held; /* before we came */
    int half_held;
    int bounce;
    unsigned nrcpt;
    int rcpts_cut;
    const char *sender, *rcpts, *subject, *message_id, *seal;
    enum pick_stamp stamp;
    int held_by_us;
    int todo; /* for the next act */
    int unsure; /* the stamp was cut: the mail log has to say */
    char *replay; /* why the stamp may be another mail's, NULL: no sign */
    struct mo_record rec; /* the origin */
    enum pick_state state;
    char *why; /* of PICK_FAILED and PICK_BUSY */
    char text
        []; /* what the strings above point into, but for path, replay and why */
};
struct picks {
    struct pick **p;
    size_t n, cap;
    struct queue_stats st;
    unsigned long others; /* mails that don't match */
    unsigned long unknown; /* stamps that do not open, or can't be told */
    unsigned long claims; /* left out, as they are only claims */
    unsigned long replays; /* … as their stamp may be another mail's */
};

/* the options that queue and purge share */
#define PICK_OPTIONS                                                           \
    {"mta", "NAME", "postfix, exim or sendmail; default: found"},              \
        {"queue-dir", "DIR", "the queue; twice for Sendmail"},                 \
        {"mta-config", "PATH",                                                 \
         "the MTA's configuration folder (Exim: file), if another"},           \
        {"queue-id", "ID", "only that one; may be repeated"},                  \
    {                                                                          \
        "bounces", NULL, "bounces of matching mails too"                       \
    }
enum pick_option { PICK_MTA, PICK_DIR, PICK_CONFIG, PICK_ID, PICK_BOUNCES };
#define PICK_IDS 256
struct pick_options {
    const char *mta, *dir[2], *config;
    int ndirs, bounces;
    int claims; /* 0: leave mails out that are claimed only, or whose stamp may
                 * be copied from another mail */
    int all; /* with no filter: unstamped mails too */
    int again; /* the queue is read more than once: keep what won't match */
    const char *id[PICK_IDS];
    unsigned nids;
};
/* one option that cli_getopt gave; 0, or -1 and it was said */
int pick_option(struct pick_options *o, int which, const char *value);
/* The queue that the options, the conf or the system name; 0, or -1: said. */
int pick_queue(struct cli *c, const struct pick_options *o, struct queue *q);

/* All that match; 0, or -1 and it was said. */
int picks_find(struct cli *c, const struct pick_options *o, struct queue *q,
               struct picks *ps);
void picks_free(struct picks *ps);
/* Is m still the mail that was picked: same stamp, and it opens? */
int pick_is(struct cli *c, const struct pick *p, const struct queue_mail *m);

/* one line for people, or a JSON line with its state */
void pick_print(struct cli *c, const struct queue *q, const struct pick *p);
const char *pick_state_name(enum pick_state s);
/* what the scan could not read, and what was left out, to stderr */
void picks_say_trouble(struct cli *c, const struct picks *ps);

/* ---- what is done with them (queue_act.c, queue_act_sendmail.c) */
enum act { ACT_HOLD, ACT_RELEASE, ACT_DELETE };
/*
 * Has the MTA do it with all picks whose todo is set, in one batch, clears
 * todo and sets their state to what the MTA confirmed: PICK_GONE where it
 * knew of none, PICK_FAILED with why.  0, or -1 and it was said: the MTA's
 * program could not be run.
 */
int act_do(struct cli *c, struct queue *q, struct picks *ps, enum act what);
/* Reads all picks with todo set again under their ids: todo is cleared, and
 * PICK_CHANGED or PICK_GONE set, where it is the same mail no more. */
void act_verify(struct cli *c, struct queue *q, struct picks *ps);
/* Copies the files of those with todo into folder save, to the disk; todo is
 * cleared and PICK_FAILED set where that fails. 0, or -1 and it was said. */
int act_save(struct queue *q, struct picks *ps, const char *save);
/* Sendmail has no program that takes exact ids: under its own locks */
void sendmail_act(struct cli *c, struct queue *q, struct pick *p,
                  enum act what);
void pick_fail(struct pick *p, enum pick_state state, const char *why);
void pick_busy(struct pick *p);

/* ---- running the MTA's programs (queue_run.c) */
/*
 * Runs argv with in[0..inlen) as stdin (a file, so that a killed command
 * never leaves half an id) out of reach of the terminal's signals.  *out: its
 * stdout, and with err its stderr too, malloc'd.  Returns its exit status,
 * 128 + signal, or -1 with errno.
 */
int queue_run(char *const argv[], const char *in, size_t inlen, int err,
              char **out);
/* argv[0] by PATH and the folders of system programs; 0, or -1 */
int queue_which(const char *name, char *path, size_t size);

#endif
