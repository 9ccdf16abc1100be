/*
 * Options: those that all verbs share, the filters over records, and each
 * verb's own, which come first where a name is both.  Options and operands
 * may be mixed; "--" ends the options; "--name=value" or "--name value".
 */
#include "cli.h"
#include "frame.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"
#include "mo_paths.h"

enum common {
    O_HELP,
    O_VERSION,
    O_JSON,
    O_VERBOSE,
    O_LOG,
    O_ACCESS_LOG,
    O_LOG_FORMAT,
    O_KEYRING,
    O_SINCE,
    O_UNTIL
};
static const struct cli_option common[] = {
    [O_HELP] = {"help", NULL, "say this"},
    [O_VERSION] = {"version", NULL, "say which version this is"},
    [O_JSON] = {"json", NULL, "JSON Lines on standard output"},
    [O_VERBOSE] = {"verbose", NULL, "say more (-v)"},
    [O_LOG] = {"log", "FILE", "a mail log; may be repeated"},
    [O_ACCESS_LOG] = {"access-log", "GLOB", "access logs; may be repeated"},
    [O_LOG_FORMAT] = {"log-format", "FORMAT",
                      "their LogFormat, or common, combined, vhost_combined"},
    [O_KEYRING] = {"keyring", "FILE", "the keys, default " MO_KEYRING_PATH},
    [O_SINCE] = {"since", "TIME",
                 "not before: \"2026-11-24 08:00\", -2h, "
                 "yesterday, @1795507200"},
    [O_UNTIL] = {"until", "TIME", "not after"},
    {NULL, NULL, NULL}};

/* Is arg (without its dashes) option o?  *value: what stands after '='. */
static int is_option(const char *arg, const struct cli_option *o,
                     const char **value)
{
    size_t n = strlen(o->name);

    *value = NULL;
    if (strncmp(arg, o->name, n) != 0) {
        return 0;
    }
    if (arg[n] == '=') {
        *value = arg + n + 1;
        return 1;
    }
    return arg[n] == '\0';
}

static int find_option(const struct cli_option *list, const char *arg,
                       const char **value)
{
    int i;

    for (i = 0; list && list[i].name; i++) {
        if (is_option(arg, &list[i], value)) {
            return i;
        }
    }
    return -1;
}

/* The record field that a filter option names: "envelope-from" is
 * envelope_from; -1: none. */
static int find_filter(const char *arg, const char **value)
{
    char name[64];
    size_t n = strcspn(arg, "="), i;

    *value = arg[n] == '=' ? arg + n + 1 : NULL;
    if (n >= sizeof(name)) {
        return -1;
    }
    for (i = 0; i < n; i++) {
        if (arg[i] == '_') {
            return -1;
        }
        name[i] = arg[i];
        if (name[i] == '-') {
            name[i] = '_';
        }
    }
    if (n == 4 && memcmp(name, "time", 4) == 0) {
        return -1; /* since and until are for that */
    }
    return mo_field_find(name, n);
}

static void print_options(FILE *f, const struct cli_option *list)
{
    char left[64];
    int i;

    for (i = 0; list && list[i].name; i++) {
        snprintf(left, sizeof(left), "%s%s%s%s", list[i].name[1] ? "--" : "-",
                 list[i].name, list[i].arg ? " " : "",
                 list[i].arg ? list[i].arg : "");
        fprintf(f, "  %-24s %s\n", left, list[i].help);
    }
}

static void help(void)
{
    int i;

    printf("Usage: mailorigin COMMAND [OPTION…]\n\n"
           "Finds the HTTP request that sent a mail.\n\nCommands:\n");
    for (i = 0; cli_verbs[i]; i++) {
        printf("  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
    }
    printf("\nOptions of all commands:\n");
    print_options(stdout, common);
    printf("\nExit status: 0 found, 1 nothing found, 2 trouble.\n"
           "mailorigin COMMAND --help says more; so does mailorigin(1).\n");
}

static void help_verb(const struct cli_verb *v)
{
    int i, n = 0;

    printf("Usage: mailorigin %s %s\n\n%s.\n", v->name, v->synopsis,
           v->summary);
    if (v->options && v->options[0].name) {
        printf("\nOptions:\n");
        print_options(stdout, v->options);
    }
    printf("\nOptions of all commands:\n");
    print_options(stdout, common);
    if (!(v->needs & CLI_NO_FILTERS)) {
        printf("\nFilters over records; all given must match, a uri, script, "
               "exe or cwd that ends\nwith * is a prefix (\\* is a star):\n ");
        for (i = 0; i < MO_F_COUNT; i++) {
            char name[32];
            size_t k;

            if (i == MO_F_TIME || i == MO_F_TRUNCATED) {
                continue;
            }
            snprintf(name, sizeof(name), "%s", mo_field_name((enum mo_field)i));
            for (k = 0; name[k]; k++) {
                name[k] = name[k] == '_' ? '-' : name[k];
            }
            n += printf(" --%s", name);
            if (n > 60) {
                n = printf("\n ") - 1;
            }
        }
        putchar('\n');
    }
}

static int find_verb(struct cli *c, const char *name)
{
    int i;

    for (i = 0; cli_verbs[i]; i++) {
        if (strcmp(cli_verbs[i]->name, name) == 0) {
            c->verb = cli_verbs[i];
            return 0;
        }
    }
    mo_error("there is no command '%s'; mailorigin --help lists them", name);
    return -1;
}

static int take_time(const char *name, const char *value, uint64_t *us)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (cli_time(value,
                 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
                 us) != 0) {
        mo_error("--%s '%s' is no time; allowed are \"2026-11-24 08:00[:00]\", "
                 "\"08:00\", today, yesterday, now, -2h, \"2 hours ago\", "
                 "@SECONDS",
                 name, value);
        return -1;
    }
    return 0;
}

static int take_list(const char *name, const char **list, unsigned *n,
                     const char *value)
{
    if (*n == 64) {
        mo_error("--%s is given more than 64 times", name);
        return -1;
    }
    list[(*n)++] = value;
    return 0;
}

static int take_common(struct cli *c, int o, const char *value)
{
    switch ((enum common)o) {
    case O_JSON:
        c->json = 1;
        return 0;
    case O_VERBOSE:
        c->verbose++;
        return 0;
    case O_LOG:
        return take_list("log", c->log, &c->nlogs, value);
    case O_ACCESS_LOG:
        return take_list("access-log", c->access_log, &c->naccess_logs, value);
    case O_LOG_FORMAT:
        c->log_format = value;
        return 0;
    case O_KEYRING:
        c->keyring = value;
        return 0;
    case O_SINCE:
        return take_time("since", value, &c->since);
    case O_UNTIL:
        return take_time("until", value, &c->until);
    case O_HELP:
    case O_VERSION:
        break; /* answered before */
    }
    return 0;
}

static int may_be_prefix(enum mo_field f)
{
    return f == MO_F_URI || f == MO_F_SCRIPT || f == MO_F_CLAIMED_URI ||
           f == MO_F_CLAIMED_SCRIPT || f == MO_F_EXE || f == MO_F_CWD;
}

static int take_filter(struct cli *c, enum mo_field f, const char *value)
{
    struct cli_filter *filter;
    size_t n = strlen(value);
    char *copy;

    if (c->nfilters == CLI_FILTERS) {
        mo_error("there are more than %d filters", CLI_FILTERS);
        return -1;
    }
    if (mo_field_is_number(f) && (n == 0 || strspn(value, "0123456789") != n)) {
        mo_error("--%s '%s' is no number", mo_field_name(f), value);
        return -1;
    }
    if (f == MO_F_VERDICT && mo_verdict_find(value) == 0) {
        mo_error("--verdict '%s' is none; there are verified, claimed, "
                 "ambiguous, conflict, hidden, forged, none",
                 value);
        return -1;
    }
    if ((copy = strdup(value)) == NULL) {
        mo_error("out of memory");
        return -1;
    }
    filter = &c->filter[c->nfilters++];
    filter->field = f;
    filter->is_prefix = 0;
    filter->value = copy; /* lives as long as the process */
    if (may_be_prefix(f) && n > 0 && copy[n - 1] == '*') {
        if (n > 1 && copy[n - 2] == '\\') {
            copy[n - 2] = '*'; /* a star that is meant */
        }
        else {
            filter->is_prefix = 1;
        }
        copy[n - 1] = '\0';
    }
    return 0;
}

/* Is arg an option at all?  *name is it without dashes. */
static int dashed(const char *arg, const char **name)
{
    if (arg[0] != '-' || arg[1] == '\0') {
        return 0;
    }
    *name = arg[1] == '-' ? arg + 2 : arg + 1;
    return 1;
}

/*
 * One argument: 0 it stays (and *skip more of them with it), 1 it was taken
 * (*skip likewise), -1 wrong and said.
 */
static int one(struct cli *c, int argc, char **argv, int i, int *skip)
{
    const char *name, *value;
    const char *verb = c->verb ? c->verb->name : NULL;
    int o, f = -1;

    *skip = 0;
    if (!dashed(argv[i], &name)) {
        return 0;
    }
    if (c->verb && (o = find_option(c->verb->options, name, &value)) >= 0) {
        *skip = c->verb->options[o].arg && !value && i + 1 < argc;
        return 0;
    }
    if (strcmp(argv[i], "-v") == 0) {
        c->verbose++;
        return 1;
    }
    o = argv[i][1] == '-' ? find_option(common, name, &value) : -1;
    if (o < 0 && c->verb && argv[i][1] == '-' &&
        !(c->verb->needs & CLI_NO_FILTERS)) {
        f = find_filter(name, &value);
    }
    if (o < 0 && f < 0) {
        mo_error("unknown option '%s'; mailorigin %s%s--help lists what there "
                 "is",
                 argv[i], verb ? verb : "", verb ? " " : "");
        return -1;
    }
    if (f == MO_F_TRUNCATED) {
        return take_filter(c, MO_F_TRUNCATED, "true") == 0 ? 1 : -1;
    }
    if (f >= 0 || common[o].arg) {
        if (value == NULL) {
            if (i + 1 >= argc) {
                mo_error("option '%s' needs a value", argv[i]);
                return -1;
            }
            value = argv[i + 1];
            *skip = 1;
        }
    }
    else if (value) {
        mo_error("option '--%s' takes no value", common[o].name);
        return -1;
    }
    if (f >= 0) {
        return take_filter(c, (enum mo_field)f, value) == 0 ? 1 : -1;
    }
    return take_common(c, o, value) == 0 ? 1 : -1;
}

static int asks_help(struct cli *c, const char *arg)
{
    if (strcmp(arg, "--version") == 0) {
        printf("mailorigin " MO_VERSION "\n");
        return 1;
    }
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        if (c->verb) {
            help_verb(c->verb);
        }
        else {
            help();
        }
        return 1;
    }
    return 0;
}

int cli_options(struct cli *c, int *argc, char ***argv)
{
    char **in = *argv, **out;
    int n = *argc, i, k = 0, skip, rc;

    out = calloc((size_t)n + 2, sizeof(*out));
    if (out == NULL) {
        mo_error("out of memory");
        return CLI_TROUBLE;
    }
    for (i = 1; i < n; i++) {
        if (strcmp(in[i], "--") == 0 && c->verb) {
            while (i < n) {
                out[k++] = in[i++];
            }
            break;
        }
        if (asks_help(c, in[i])) {
            free(out);
            return CLI_FOUND;
        }
        if (c->verb == NULL && in[i][0] != '-') {
            if (find_verb(c, in[i]) != 0) {
                free(out);
                return CLI_TROUBLE;
            }
            out[k++] = in[i];
            continue;
        }
        rc = one(c, n, in, i, &skip);
        if (rc < 0) {
            free(out);
            return CLI_TROUBLE;
        }
        if (rc == 0) {
            out[k++] = in[i];
            if (skip) {
                out[k++] = in[i + 1];
            }
        }
        i += skip;
    }
    if (c->verb == NULL) {
        mo_error("which command? mailorigin --help lists them");
        free(out);
        return CLI_TROUBLE;
    }
    if (c->since && c->until && c->since > c->until) {
        mo_error("--since is after --until");
        free(out);
        return CLI_TROUBLE;
    }
    out[k] = NULL;
    *argc = k;
    *argv = out; /* for as long as the process lives */
    return CLI_GO;
}

/* Moves argv[from .. from + n) before argv[to], to <= from. */
static void move_up(char **argv, int to, int from, int n)
{
    int i, k;

    for (i = 0; i < n; i++) {
        char *a = argv[from + i];

        for (k = from + i; k > to + i; k--) {
            argv[k] = argv[k - 1];
        }
        argv[to + i] = a;
    }
}

int cli_getopt(struct cli *c, int argc, char **argv, int *next,
               const char **value)
{
    const char *name;
    int i, o, n;

    if (*next < 1) {
        *next = 1;
    }
    *value = NULL;
    for (i = *next; i < argc && !dashed(argv[i], &name); i++) {
    }
    if (i >= argc) {
        return -1;
    }
    if (strcmp(argv[i], "--") == 0) {
        move_up(argv, *next, i, 1);
        ++*next;
        return -1;
    }
    o = find_option(c->verb->options, name, value);
    if (o < 0) {
        mo_error("unknown option '%s'; mailorigin %s --help lists what there "
                 "is",
                 argv[i], c->verb->name);
        return -2;
    }
    n = 1;
    if (c->verb->options[o].arg && *value == NULL) {
        if (i + 1 >= argc) {
            mo_error("option '%s' needs a value", argv[i]);
            return -2;
        }
        *value = argv[i + 1];
        n = 2;
    }
    else if (!c->verb->options[o].arg && *value) {
        mo_error("option '--%s' takes no value", c->verb->options[o].name);
        return -2;
    }
    move_up(argv, *next, i, n);
    *next += n;
    return o;
}

int cli_take_options(struct cli *c, int argc, char **argv,
                     int (*take)(void *arg, int o, const char *value),
                     void *arg)
{
    const char *value;
    int next = 1, o;

    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        if (take(arg, o, value) != 0) {
            return -1;
        }
    }
    if (o == -2) {
        return -1;
    }
    if (next < argc) {
        mo_error("%s takes no operand, and here is '%s'", c->verb->name,
                 argv[next]);
        return -1;
    }
    return 0;
}
