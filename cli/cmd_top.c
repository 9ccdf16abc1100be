/*
 * top: who sends most, out of the mail log: one pass, a table of the keys
 * that occur, whatever the log's size.
 */
#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Jenkins' hash of uthash costs more than the rest of a row */
static unsigned hash(const char *key, size_t n)
{
    uint64_t h = n * 0x9E3779B97F4A7C15ull, v;

    for (; n >= 8; key += 8, n -= 8) {
        memcpy(&v, key, 8);
        h = (h ^ v) * 0xFF51AFD7ED558CCDull;
        h ^= h >> 32;
    }
    for (v = 0; n > 0; n--)
        v = v << 8 | (unsigned char)*key++;
    h = (h ^ v) * 0xFF51AFD7ED558CCDull;
    return (unsigned)(h >> 32);
}
#define HASH_FUNCTION(key, n, out) out = hash((const char *)(key), n)
#include <uthash.h>

#include "mo_msg.h"

enum { OPT_BY, OPT_COUNT };
static const struct cli_option options[] = {
    {"by", "KEY", "script, vhost, uri, client, uid, verdict or hour"},
    {"n", "NUMBER", "so many, the default is 20; 0: all"},
    {NULL, NULL, NULL}};

static const struct {
    const char *name;
    enum mo_field field; /* MO_F_TIME: the hour */
} keys[] = {
    {"script", MO_F_SCRIPT}, {"vhost", MO_F_VHOST}, {"uri", MO_F_URI},
    {"client", MO_F_CLIENT}, {"uid", MO_F_UID},     {"verdict", MO_F_VERDICT},
    {"hour", MO_F_TIME},
};
#define NKEYS (sizeof keys / sizeof *keys)

struct row {
    UT_hash_handle hh;
    uint64_t count, passed, refused, limited, held;
    char first[32], last[32];
    char key[];
};
struct top {
    struct row *rows;
    enum mo_field by;
    unsigned long limit;
};

static void keep_time(char out[32], const char *t)
{
    size_t n = strnlen(t, 31);

    memcpy(out, t, n);
    out[n] = 0;
}

/* the local hour; an unreadable time is a row of its own */
static const char *hour(const char *text, char out[32])
{
    uint64_t us;
    struct tm tm;
    time_t s;

    if (mo_time_parse(text, &us) < 0)
        return "";
    s = (time_t)(us / 1000000);
    if (!localtime_r(&s, &tm) || !strftime(out, 32, "%Y-%m-%d %H:00 %z", &tm))
        return "";
    return out;
}

static int add(void *arg, struct mo_record *r)
{
    struct top *t = arg;
    const char *time = r->value[MO_F_TIME] ? r->value[MO_F_TIME] : "";
    const char *key = r->value[t->by] ? r->value[t->by] : "";
    const char *action = r->value[MO_F_ACTION] ? r->value[MO_F_ACTION] : "";
    char text[32];
    struct row *e;
    size_t n;

    if (t->by == MO_F_TIME)
        key = hour(time, text);
    n = strlen(key);
    HASH_FIND(hh, t->rows, key, n, e);
    if (!e) {
        e = calloc(1, sizeof *e + n + 1);
        if (!e)
            mo_fatal(CLI_TROUBLE, "out of memory");
        memcpy(e->key, key, n + 1);
        HASH_ADD_KEYPTR(hh, t->rows, e->key, n, e);
    }
    e->count++;
    switch (action[0]) {
    case 'p':
        e->passed++;
        break;
    case 'r':
        e->refused++;
        break;
    case 'l':
        e->limited++;
        break;
    case 'h':
        e->held++;
        break;
    default:
        break;
    }
    /* RFC 3339 in UTC sorts as text; several logs may overlap */
    if (*time && (!e->first[0] || strcmp(time, e->first) < 0))
        keep_time(e->first, time);
    if (strcmp(time, e->last) > 0)
        keep_time(e->last, time);
    return 0;
}

static int by_count(const struct row *a, const struct row *b)
{
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->key, b->key);
}
static int by_key(const struct row *a, const struct row *b)
{
    return strcmp(a->key, b->key);
}

static void print(struct cli *c, const struct row *e)
{
    int first = 1;

    if (c->json) {
        putchar('{');
        /* an absent key is an empty one, and said so */
        if (e->key[0])
            cli_json_str(stdout, &first, "key", e->key);
        else {
            fputs("\"key\":\"\"", stdout);
            first = 0;
        }
        cli_json_num(stdout, &first, "count", e->count);
        cli_json_num(stdout, &first, "passed", e->passed);
        cli_json_num(stdout, &first, "refused", e->refused);
        cli_json_num(stdout, &first, "limited", e->limited);
        cli_json_num(stdout, &first, "held", e->held);
        cli_json_str(stdout, &first, "first", e->first);
        cli_json_str(stdout, &first, "last", e->last);
        fputs("}\n", stdout);
        return;
    }
    printf("%s%10" PRIu64 "%s %10" PRIu64 " %8" PRIu64 " %8" PRIu64
           "  %.19s  %.19s  ",
           cli_bold(c), e->count, cli_plain(c), e->passed, e->refused + e->held,
           e->limited, e->first, e->last);
    cli_print_safe(stdout, e->key[0] ? e->key : "-",
                   e->key[0] ? strlen(e->key) : 1);
    putchar('\n');
}

static int take(void *arg, int which, const char *value)
{
    struct top *t = arg;
    char *end;
    size_t i;

    if (which == OPT_BY) {
        for (i = 0; i < NKEYS && strcmp(keys[i].name, value) != 0;)
            i++;
        if (i == NKEYS) {
            mo_error("--by '%s' is none of script, vhost, uri, client, uid, "
                     "verdict, hour",
                     value);
            return -1;
        }
        t->by = keys[i].field;
        return 0;
    }
    t->limit = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end) {
        mo_error("-n '%s' is no number", value);
        return -1;
    }
    return 0;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct top t = {.by = MO_F_SCRIPT, .limit = 20};
    unsigned long bad = 0, n = 0;
    struct row *e, *tmp;

    if (cli_take_options(c, argc, argv, take, &t) < 0)
        return CLI_TROUBLE;
    c->fields = 1ull << t.by | 1ull << MO_F_ACTION;
    if (cli_records(c, add, &t, &bad) < 0)
        return CLI_TROUBLE;
    HASH_SORT(t.rows, by_count);
    /* hours in their order; the limit takes the busiest */
    if (t.by == MO_F_TIME) {
        HASH_ITER(hh, t.rows, e, tmp)
        {
            if (t.limit && n++ >= t.limit) {
                HASH_DEL(t.rows, e);
                free(e);
            }
        }
        HASH_SORT(t.rows, by_key);
    }
    if (!c->json && t.rows)
        printf("%10s %10s %8s %8s  %-19s  %-19s  %s\n", "mails", "passed",
               "refused", "limited", "first (UTC)", "last", "key");
    n = 0;
    HASH_ITER(hh, t.rows, e, tmp)
    {
        if (n++ < t.limit || !t.limit)
            print(c, e);
        HASH_DEL(t.rows, e);
        free(e);
    }
    if (bad && c->verbose)
        mo_info("%lu lines are no records", bad);
    return n ? CLI_FOUND : CLI_NOTHING;
}

const struct cli_verb cli_top = {
    "top",
    CLI_NEEDS_CONF,
    run,
    "[--by script|vhost|uri|client|uid|verdict|hour] [-n NUMBER]",
    "who sends most",
    options};
