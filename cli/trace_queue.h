/*
 * trace --queue-id: the mail that the MTA knows under a queue id, from its
 * queue while it is there, else by its Message-ID from the MTA's log.
 */
#ifndef MO_CLI_TRACE_QUEUE_H
#define MO_CLI_TRACE_QUEUE_H

#include "cases.h"
#include "queue_pick.h"

#define TRACE_MAILLOGS 16

/* all zero to begin with; strings are the caller's */
struct trace_queue {
    struct pick_options pick; /* its ids, and which queue */
    const char *maillog[TRACE_MAILLOGS];
    unsigned nmaillogs;
};
/* in the order of cmd_trace.c's options */
enum trace_queue_option {
    TRACE_Q_ID,
    TRACE_Q_MAILLOG,
    TRACE_Q_MTA,
    TRACE_Q_DIR,
    TRACE_Q_CONFIG
};
/* 0, or -1 and it was said */
int trace_queue_option(struct trace_queue *q, int which, const char *value);
/* A case for each id that queue or log knows; -1: not all, and it was said. */
int trace_queue_cases(struct cli *c, struct trace_queue *q,
                      struct cli_cases *cs);

/*
 * What one line of Postfix's, Exim's or Sendmail's log says of that queue id:
 * MAILLOG_MID, its Message-ID is in out; MAILLOG_OF, it is a notification of
 * the mail whose queue id is in out; 0, nothing of these.
 */
enum maillog_says { MAILLOG_MID = 1, MAILLOG_OF = 2 };
int trace_maillog_line(const char *line, size_t len, const char *id, char *out,
                       size_t size);

#endif
