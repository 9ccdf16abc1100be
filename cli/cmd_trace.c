/*
 * mailorigin trace: from a mail, in whatever form it is at hand, to the
 * request that sent it.
 */
#include "cases.h"
#include "cli.h"
#include "correlate.h"
#include "trace.h"
#include "trace_queue.h"

#include <stdlib.h>
#include <string.h>

#include "mo_msg.h"

enum {
    O_ID,
    O_MESSAGE_ID,
    O_QUEUE_ID,
    O_MAILLOG,
    O_MTA,
    O_QUEUE_DIR,
    O_CONFIG,
    O_REPORT
};
static const struct cli_option options[] = {
    [O_ID] = {"id", "ID", "the mail with that id, or of that request's id"},
    [O_MESSAGE_ID] = {"message-id", "ID", "the mail with that Message-ID"},
    [O_QUEUE_ID] = {"queue-id", "ID",
                    "the mail that has it in the MTA's queue, or had it by the "
                    "MTA's log"},
    [O_MAILLOG] = {"maillog", "FILE",
                   "the MTA's log, with its rotated ones; default: the usual "
                   "ones in /var/log"},
    [O_MTA] = {"mta", "NAME", "postfix, exim or sendmail; default: found"},
    [O_QUEUE_DIR] = {"queue-dir", "DIR", "its queue; twice for Sendmail"},
    [O_CONFIG] = {"mta-config", "PATH",
                  "its configuration folder (Exim: file), if another"},
    [O_REPORT] = {"report", NULL, "as text to send to the site's owner"},
    {NULL, NULL, NULL}};

static int add_id(struct cli_cases *cs, const char *value)
{
    struct cli_case *k = cases_add(cs, value);

    if (k == NULL) {
        return -1;
    }
    k->where = "id";
    k->request_id = strdup(value);
    return k->request_id ? 0 : -1;
}

static int add_message_id(struct cli_cases *cs, const char *value)
{
    struct cli_case *k = cases_add(cs, value);
    size_t n;

    if (k == NULL) {
        return -1;
    }
    k->where = "Message-ID";
    value += strspn(value, " <");
    n = strcspn(value, "> ");
    k->message_id = strndup(value, n);
    return k->message_id ? 0 : -1;
}

/* The access_log lines of all cases. */
static int lines(struct cli *c, struct cli_cases *cs, struct cli_want *w,
                 struct cli_found *found)
{
    size_t i, n = 0;

    for (i = 0; i < cs->n; i++) {
        cli_want_set(&w[i], &cs->c[i].shown);
        n += w[i].time_us != 0;
    }
    return n ? cli_correlate(c, w, cs->n, found) : 0;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct cli_cases cs = {NULL, 0, 0};
    struct cli_found found;
    struct cli_want *w = NULL;
    int next = 1, o, rc = 0, given = 0, report = 0;
    struct trace_queue *tq = calloc(1, sizeof(*tq));
    const char *value;
    size_t i, n;

    if (tq == NULL) {
        mo_error("out of memory");
        return CLI_TROUBLE;
    }
    memset(&found, 0, sizeof(found));
    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        given |= o == O_ID || o == O_MESSAGE_ID || o == O_QUEUE_ID;
        report |= o == O_REPORT;
        if ((o == O_ID && add_id(&cs, value) != 0) ||
            (o == O_MESSAGE_ID && add_message_id(&cs, value) != 0) ||
            (o >= O_QUEUE_ID && o <= O_CONFIG &&
             trace_queue_option(tq, o - O_QUEUE_ID, value) != 0)) {
            rc = -1;
        }
    }
    if (o == -2) {
        free(tq);
        cases_free(&cs);
        return CLI_TROUBLE;
    }
    if (next == argc && !given) {
        mo_error("which mail? name a file, a folder, - for standard input, or "
                 "give --id, --message-id or --queue-id");
        free(tq);
        return CLI_TROUBLE;
    }
    if (rc == 0 && trace_queue_cases(c, tq, &cs) != 0) {
        rc = -1;
    }
    free(tq);
    for (; next < argc; next++) {
        if (cases_mails(c, &cs, argv[next]) != 0) {
            rc = -1;
        }
    }
    /* without a log the stamps still tell */
    if (cs.n && cases_records(c, &cs) != 0) {
        rc = -1;
    }
    w = calloc(cs.n + 1, sizeof(*w));
    if (w == NULL) {
        mo_error("out of memory");
        rc = -1;
    }
    else if (lines(c, &cs, w, &found) != 0) {
        rc = -1;
    }
    for (i = n = 0; w && i < cs.n; i++) {
        if (!trace_known(&cs.c[i])) {
            trace_unknown(c, &cs.c[i]);
            continue;
        }
        n++;
        if (c->json) {
            trace_json(&cs.c[i], &w[i]);
        }
        else if (report) {
            if (trace_report(c, &cs.c[i], &w[i]) != 0) {
                rc = -1;
                n--; /* what is not sure is no answer to a customer */
            }
        }
        else {
            trace_text(c, &cs.c[i], &w[i], i > 0);
        }
    }
    if (!c->json && !report && n) {
        trace_searched(c, &found);
    }
    cli_found_free(&found, w, cs.n);
    free(w);
    cases_free(&cs);
    /* an origin that was found is an answer, whatever else could not be read */
    return n ? CLI_FOUND : rc ? CLI_TROUBLE : CLI_NOTHING;
}

const struct cli_verb cli_trace = {
    .name = "trace",
    .needs = CLI_NEEDS_CONF | CLI_NEEDS_KEYRING | CLI_NO_FILTERS,
    .run = run,
    .synopsis = "[FILE… | -] [--id ID] [--message-id ID] "
                "[--queue-id ID] [--report]",
    .summary = "Name the request that sent a mail, from the mail, its bounce "
               "or a complaint",
    .options = options,
};
