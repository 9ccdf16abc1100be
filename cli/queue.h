/*
 * Mail queues, read directly: one reader for each MTA's files, pure over a
 * source (a file or bytes in memory), and what the verbs queue and purge do
 * with them.  A reader trusts nothing in a file: each length is checked, and
 * a file that is no queue file, or is being written, is "not understood",
 * never an error that ends a listing.
 */
#ifndef MO_CLI_QUEUE_H
#define MO_CLI_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mo_conf.h"
#include "mo_header.h"

#define QUEUE_ID_MAX 64
#define QUEUE_WINDOW 65536 /* bytes of a file held at a time */
#define QUEUE_FIELD_MAX 16384 /* of a header field, folds included */
#define QUEUE_MESSAGE_ID 256 /* what is kept of one */
#define QUEUE_BODY_MAX (1u << 20) /* how far a bounce is searched */

/* ---- a file or memory, seen through a window */
struct queue_src {
    int fd; /* -1: data holds all */
    const unsigned char *data;
    uint64_t base; /* where data begins in the file */
    size_t len; /* bytes in data */
    uint64_t size; /* of the file */
    unsigned char *window; /* QUEUE_WINDOW bytes, for fd */
};
void queue_src_mem(struct queue_src *s, const void *data, size_t len);
/* Bytes at off: *avail of them, want at least where the file has them and
 * want <= QUEUE_WINDOW; NULL past the end. */
const unsigned char *queue_src_at(struct queue_src *s, uint64_t off,
                                  size_t want, size_t *avail);
/* The line at *off, without its "\n"; *off moves past it.  A line over the
 * window comes in pieces (*whole is 0 then).  NULL at the end. */
const char *queue_src_line(struct queue_src *s, uint64_t *off, size_t *len,
                           int *whole);

/* ---- one mail */
struct queue_mail {
    enum mo_mta mta;
    char id[QUEUE_ID_MAX];
    const char *queue; /* "deferred", "input", "mqueue", … */
    char path[1024]; /* the file that was read */
    uint64_t time_us; /* arrival */
    uint64_t size; /* bytes of the message, about */
    int held; /* on hold, frozen, quarantined */
    int half_held; /* by its text, but not by its name: Sendmail's, or purge,
                    * was killed in between */
    int bounce; /* the stamp is that of the mail that bounced */
    int has_stamp;
    int has_sender; /* "" with has_sender: the null sender */
    char sender[512];
    unsigned nrcpt;
    char rcpts[512]; /* the first ones, ", " between */
    int rcpts_cut; /* not all are in rcpts */
    char subject[256];
    char message_id[QUEUE_MESSAGE_ID];
    struct mo_header stamp;
};
struct queue_want {
    const char *header; /* our field's name */
    int bounces; /* look into mails of the null sender */
};
void queue_mail_init(struct queue_mail *m, enum mo_mta mta);
void queue_mail_rcpt(struct queue_mail *m, const char *addr, size_t len);

/* ---- header fields out of lines that come in pieces */
struct queue_fields {
    const struct queue_want *want;
    struct queue_mail *m;
    int body; /* past the head: only our field is looked for */
    int active; /* buf holds a field */
    int fresh; /* at the begin of a line */
    int skip; /* this line is of no matter */
    int done; /* nothing more can be learned */
    size_t len;
    char buf[QUEUE_FIELD_MAX];
};
void queue_fields_start(struct queue_fields *f, const struct queue_want *want,
                        struct queue_mail *m);
/* a piece of a line, and the line's end */
void queue_fields_put(struct queue_fields *f, const char *p, size_t len);
void queue_fields_eol(struct queue_fields *f);
/* The head is over: in a mail of the null sender the body may be searched
 * now, if bounces are wanted; 1 if so, 0: no more lines are needed. */
int queue_fields_body(struct queue_fields *f);
void queue_fields_end(struct queue_fields *f);

/* ---- the readers: 0, or -1 where it is not understood */
int queue_postfix_parse(struct queue_src *s, const struct queue_want *want,
                        struct queue_mail *m);
/* data: the -D file, NULL: none */
int queue_exim_parse(struct queue_src *s, struct queue_src *data,
                     const struct queue_want *want, struct queue_mail *m);
int queue_sendmail_parse(struct queue_src *s, struct queue_src *data,
                         const struct queue_want *want, struct queue_mail *m);

/* ---- where a queue is, and what is done with its mails */
struct queue_seen; /* a set of names */
struct queue {
    enum mo_mta mta;
    char dir[2][512]; /* Sendmail has two; "" : none */
    char config[512]; /* --mta-config: a folder or file; "": the default */
    char program[512]; /* postsuper or exim */
    struct queue_want want;
    /* What a scan passes over, by queue_key(): a mail that is of no interest,
     * which no other will be under its name while we look. */
    struct queue_seen *known;
};
struct queue_stats {
    unsigned long seen, gone, bad, unreadable;
    char first_bad[256]; /* path and why */
};
/* 0 goes on, 1 stops; several threads may call it at once */
typedef int queue_fn(void *arg, struct queue_mail *m);

int queue_postfix_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                       void *arg);
int queue_exim_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                    void *arg);
int queue_sendmail_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
                        void *arg);
/* Each mail once; 0, or -1 with errno where no folder could be opened. */
int queue_scan(struct queue *q, struct queue_stats *st, queue_fn *fn,
               void *arg);
/* May id be a queue id of that MTA (characters and length)? */
int queue_id_ok(enum mo_mta mta, const char *id);
/* Reads path (and its data file) anew into m, whose id, mta and queue are
 * set; 0, or -1: gone (errno ENOENT) or not understood. */
int queue_read(struct queue *q, const char *path, const char *queue,
               struct queue_mail *m);

/* The file of path's body (Exim, Sendmail); 0, or -1: it is too long. */
int queue_data_path(enum mo_mta mta, const char *path, char *out, size_t size);

/* ---- for the scans: a set of the names that were seen */
/* 1: it is new */
int queue_seen_add(struct queue_seen **set, const char *id);
int queue_seen_has(struct queue_seen *set, const char *id);
void queue_seen_free(struct queue_seen **set);
/* A mail's name in such a set: its id; in Sendmail's two queues, its path. */
const char *queue_key(enum mo_mta mta, const char *id, const char *path);
/* Reads one file and calls fn; counts what goes wrong; fn's answer, or
 * QUEUE_GONE. */
struct queue_file {
    const char *path;
    int dir; /* where name is opened: an open folder, or AT_FDCWD */
    const char *name;
    const char *queue, *id;
    int held; /* by where it lies */
};
#define QUEUE_GONE (-1)
int queue_visit(struct queue *q, struct queue_stats *st,
                const struct queue_file *file, queue_fn *fn, void *arg);

#endif
