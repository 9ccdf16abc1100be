/*
 * The logs of Postfix, Exim and Sendmail, read for the mails that they took.
 */
#ifndef MO_CLI_MAILLOG_H
#define MO_CLI_MAILLOG_H

#include "cli.h"

enum taken_kind {
    TAKEN_LOCAL = 1, /* from a local process: sendmail */
    TAKEN_SMTP, /* from this host by SMTP: no process is known */
    TAKEN_OWN, /* a bounce that the MTA made */
    TAKEN_MORE /* more about a mail that another line began */
};
struct taken {
    enum taken_kind kind;
    const char *mta; /* "postfix", "exim", "sendmail" */
    char queue_id[64];
    char user[64]; /* a name, or digits; "": not told */
    char from[256]; /* without <>; "" : the null sender, or not told */
    char message_id[512]; /* without <>; "": not told */
};
/* 1: the line tells of a mail that was taken, 0: it does not.  The line is
 * as syslog or the MTA wrote it, of len bytes and NUL-terminated. */
int taken_line(const char *line, size_t len, struct taken *t);

/* the time that an MTA's line begins with, "Nov 24 08:52:55 " or
 * "2026-11-24T08:52:55…" or "2026-11-24 08:53:10 ", in us; now, in us, is for
 * logs without a year.  0, or -1 */
int maillog_time(const char *line, size_t len, uint64_t now, uint64_t *us);

/* us is 0 for TAKEN_MORE */
typedef void maillog_fn(void *arg, const struct taken *t, uint64_t us);
/*
 * Reads the n logs named, each with its rotated and compressed ones, or what
 * a pattern matches, or stdin ("-"); with n 0 the usual ones in /var/log.  -1
 * after saying which could not be read.
 */
int maillog_read(struct cli *c, const char *const *name, size_t n,
                 maillog_fn *fn, void *arg);

#endif
