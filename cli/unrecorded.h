/*
 * Mail that the MTA took on this host and of which there is no record.
 */
#ifndef MO_CLI_UNRECORDED_H
#define MO_CLI_UNRECORDED_H

#include "cli.h"

/*
 * log --unrecorded: reads the MTA's logs (none named: those of /var/log that
 * are there, with their rotated ones) and prints each mail taken from a local
 * process or by SMTP from this host that no record of ours is for.  Returns
 * an exit status.
 */
int log_unrecorded(struct cli *c, char *const *maillog, int n);

/* ---- one line of an MTA's log (unrecorded_line.c) */

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

#endif
