/*
 * mailorigin log: the records, filtered, as a table, JSON Lines or CSV; as
 * they come with --follow; with their access_log lines with --access.
 */
#include "cli.h"
#include "records.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"

enum { O_FOLLOW, O_CSV };
static const struct cli_option options[] = {
    [O_FOLLOW] = {"follow", NULL, "go on as records come"},
    [O_CSV] = {"csv", NULL, "comma-separated values, a head line first"},
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

static void print_csv(const struct mo_record *r)
{
    const char *v;
    int i;

    for (i = 0; i < MO_F_COUNT; i++) {
        if (i > 0) {
            putchar(',');
        }
        v = r->value[i];
        if (v == NULL || v[0] == '\0') {
            continue;
        }
        if (strpbrk(v, ",\"\n\r") == NULL) {
            cli_print_safe(stdout, v, strlen(v));
            continue;
        }
        putchar('"');
        for (; *v; v++) {
            size_t n = strcspn(v, "\"");

            cli_print_safe(stdout, v, n);
            v += n;
            if (*v == '\0') {
                break;
            }
            fputs("\"\"", stdout);
        }
        putchar('"');
    }
    putchar('\n');
}

static void column(const char *v, int width)
{
    int n = v && *v ? (int)strnlen(v, 20) : 1;

    cli_print_safe(stdout, v && *v ? v : "-", (size_t)n);
    printf("%*s", n < width ? width - n : 0, "");
}

static void print_text(const struct cli *c, const struct mo_record *r)
{
    static const enum mo_field shown[] = {MO_F_VHOST, MO_F_URI, MO_F_SCRIPT};
    uint64_t us = cli_record_time(r);
    const char *verdict = r->value[MO_F_VERDICT];
    const char *action = r->value[MO_F_ACTION];
    time_t t = (time_t)(us / 1000000);
    struct tm tm;
    char when[32] = "-";
    unsigned i;
    int bad = verdict && (strcmp(verdict, "verified") != 0 &&
                          strcmp(verdict, "none") != 0);

    if (us && localtime_r(&t, &tm)) {
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    }
    printf("%s %s ", when, r->value[MO_F_ID] ? r->value[MO_F_ID] : "-");
    fputs(bad ? cli_red(c) : "", stdout);
    column(verdict, 9);
    fputs(bad ? cli_plain(c) : "", stdout);
    putchar(' ');
    column(action, 7);
    for (i = 0; i < 3; i++) {
        const char *v = r->value[shown[i]];

        putchar(' ');
        cli_print_safe(stdout, v ? v : "-", v ? strlen(v) : 1);
    }
    fputs(" from=", stdout);
    if (r->value[MO_F_ENVELOPE_FROM]) {
        cli_print_safe(stdout, r->value[MO_F_ENVELOPE_FROM],
                       strlen(r->value[MO_F_ENVELOPE_FROM]));
    }
    if (r->value[MO_F_RECIPIENTS]) {
        printf(" to=%s", r->value[MO_F_RECIPIENTS]);
    }
    if (r->value[MO_F_UID]) {
        printf(" uid=%s", r->value[MO_F_UID]);
    }
    if (r->value[MO_F_REASON]) {
        fputs(" reason=", stdout);
        cli_print_safe(stdout, r->value[MO_F_REASON],
                       strlen(r->value[MO_F_REASON]));
    }
    putchar('\n');
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
        print_csv(r);
    }
    else {
        print_text(p->c, r);
    }
    return stopped || ferror(stdout);
}

static void print_head(const struct print *p)
{
    int i;

    if (p->csv && !p->c->json) {
        for (i = 0; i < MO_F_COUNT; i++) {
            printf("%s%s", i ? "," : "", mo_field_name((enum mo_field)i));
        }
        putchar('\n');
    }
}

static int run(struct cli *c, int argc, char **argv)
{
    struct print p = {.c = c};
    struct sigaction sa = {.sa_handler = on_signal};
    int next = 1, o, follow = 0;
    unsigned long bad = 0;
    const char *value;

    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        follow |= o == O_FOLLOW;
        p.csv |= o == O_CSV;
    }
    if (o == -2) {
        return CLI_TROUBLE;
    }
    if (next < argc) {
        mo_error("log takes no operand, but '%s' was given; --log FILE names "
                 "a mail log",
                 argv[next]);
        return CLI_TROUBLE;
    }
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    print_head(&p);
    o = follow ? cli_records_follow(c, print, &p, is_stopped)
               : cli_records(c, print, &p, &bad);
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
    .needs = CLI_NEEDS_CONF,
    .run = run,
    .synopsis = "[--follow] [--csv | --json] [FILTER…]",
    .summary = "Show the records of sent mail",
    .options = options,
};
