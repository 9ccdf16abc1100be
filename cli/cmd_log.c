/*
 * mailorigin log: the records, filtered, as a table, JSON Lines or CSV; as
 * they come with --follow; with their access_log lines with --access.
 */
#include "cli.h"
#include "log_print.h"
#include "records.h"
#include "unrecorded.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mo_msg.h"

enum { O_FOLLOW, O_CSV, O_ACCESS, O_THREADS, O_UNRECORDED };
static const struct cli_option options[] = {
    [O_FOLLOW] = {"follow", NULL, "go on as records come"},
    [O_CSV] = {"csv", NULL, "comma-separated values, a head line first"},
    [O_ACCESS] = {"access", NULL, "with the access_log lines of the requests"},
    [O_THREADS] = {"threads", "NUMBER",
                   "that read access logs; default: as there are CPUs, 4 at "
                   "most"},
    [O_UNRECORDED] = {"unrecorded", NULL,
                      "mail in the MTA's log that no record is for"},
    {NULL, NULL, NULL}};

struct print {
    struct cli *c;
    int csv;
    unsigned long n;
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static int is_stopped(void)
{
    return stopped;
}

static int print(void *arg, struct mo_record *r)
{
    struct print *p = arg;
    int first = 1;

    p->n++;
    if (p->c->json) {
        putchar('{');
        cli_json_record(stdout, &first, r);
        fputs("}\n", stdout);
    }
    else if (p->csv) {
        log_csv(r);
        putchar('\n');
    }
    else {
        log_text(p->c, r);
        putchar('\n');
    }
    return stopped || ferror(stdout);
}

static int set_threads(struct cli *c, const char *value)
{
    char *end;
    unsigned long n = strtoul(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || n < 1 || n > 16) {
        mo_error("--threads '%s' is no number from 1 to 16", value);
        return -1;
    }
    c->threads = (unsigned)n;
    return 0;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct print p = {.c = c};
    struct sigaction sa = {.sa_handler = on_signal,
                           .sa_flags = (int)SA_RESETHAND}; /* twice: at once */
    int next = 1, o, follow = 0, access = 0, unrecorded = 0;
    unsigned long bad = 0;
    const char *value;

    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        follow |= o == O_FOLLOW;
        p.csv |= o == O_CSV;
        access |= o == O_ACCESS;
        unrecorded |= o == O_UNRECORDED;
        if (o == O_THREADS && set_threads(c, value) != 0) {
            return CLI_TROUBLE;
        }
    }
    if (o == -2) {
        return CLI_TROUBLE;
    }
    if (unrecorded) {
        if (follow || access || p.csv) {
            mo_error("--unrecorded goes with --json and filters only");
            return CLI_TROUBLE;
        }
        return log_unrecorded(c, (const char *const *)argv + next,
                              (size_t)(argc - next));
    }
    if (next < argc) {
        mo_error("log takes no operand, but '%s' was given; --log FILE names "
                 "a mail log",
                 argv[next]);
        return CLI_TROUBLE;
    }
    if (access && follow) {
        mo_error("--access and --follow do not go together: a request's line "
                 "is written when it ends, after its mail");
        return CLI_TROUBLE;
    }
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    if (p.csv && !c->json) {
        log_csv_head();
        fputs(access ? ",access_match,access_line\n" : "\n", stdout);
    }
    if (access) {
        o = log_access(c, p.csv, is_stopped, &p.n, &bad);
    }
    else {
        o = follow ? cli_records_follow(c, print, &p, is_stopped)
                   : cli_records(c, print, &p, &bad);
    }
    if (bad) {
        mo_warn("%lu lines of the mail log are no records", bad);
    }
    if (o != 0) {
        return CLI_TROUBLE;
    }
    return p.n ? CLI_FOUND : CLI_NOTHING;
}

const struct cli_verb cli_log = {
    .name = "log",
    .needs = CLI_NEEDS_CONF | CLI_NEEDS_KEYRING,
    .run = run,
    .synopsis = "[--follow | --access] [--csv | --json] [FILTER…]\n"
                "       mailorigin log --unrecorded [--json] [FILTER…] "
                "[MAILLOG…]",
    .summary = "Show the records of sent mail",
    .options = options,
};
