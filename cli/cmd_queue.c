/*
 * queue: the mails in the MTA's queue with the origin that their stamps say.
 */
#include "queue_pick.h"
#include "mta.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"

static const char *const states[] = {
    [PICK_LISTED] = "",         [PICK_HELD] = "held",
    [PICK_DELETED] = "deleted", [PICK_RELEASED] = "released",
    [PICK_GONE] = "gone",       [PICK_CHANGED] = "changed",
    [PICK_BUSY] = "failed",     [PICK_FAILED] = "failed",
};
static const char *const stamps[] = {
    [PICK_NO_STAMP] = "unstamped", [PICK_OPEN] = "open",
    [PICK_TOKEN] = "token",        [PICK_NO_KEY] = "no_key",
    [PICK_FORGED] = "damaged",
};

const char *pick_state_name(enum pick_state s)
{
    return states[s];
}

static const char *get(const struct pick *p, enum mo_field f)
{
    return p->rec.value[f] ? p->rec.value[f] : "";
}

static void print_json(const struct queue *q, const struct pick *p)
{
    struct mo_record r = p->rec;
    char time[32];
    int first = 1;

    putchar('{');
    cli_json_str(stdout, &first, "queue_id", p->id);
    cli_json_str(stdout, &first, "mta", mta_name(q->mta));
    cli_json_str(stdout, &first, "queue", p->queue);
    cli_json_str(stdout, &first, "state", states[p->state]);
    cli_json_str(stdout, &first, "why", p->why);
    cli_json_str(stdout, &first, "stamp", stamps[p->stamp]);
    cli_json_str(stdout, &first, "replay", p->replay);
    if (p->was_held)
        fputs(",\"held\":true", stdout);
    if (p->bounce)
        fputs(",\"bounce\":true", stdout);
    mo_time_format(p->time_us, time);
    cli_json_str(stdout, &first, "arrival", time);
    /* what the mail says of itself, under the record's names */
    r.value[MO_F_ENVELOPE_FROM] = p->sender;
    r.value[MO_F_RECIPIENT_LIST] = p->rcpts;
    r.value[MO_F_SUBJECT] = p->subject;
    r.value[MO_F_MESSAGE_ID] = p->message_id;
    cli_json_record(stdout, &first, &r);
    cli_json_num(stdout, &first, "recipients", p->nrcpt);
    cli_json_num(stdout, &first, "size", p->size);
    fputs("}\n", stdout);
}

static void age(uint64_t us, char *out, size_t size)
{
    struct timespec now;
    uint64_t s = us / 1000000, t;

    clock_gettime(CLOCK_REALTIME, &now);
    t = (uint64_t)now.tv_sec > s ? (uint64_t)now.tv_sec - s : 0;
    if (t < 60)
        snprintf(out, size, "%" PRIu64 "s", t);
    else if (t < 3600)
        snprintf(out, size, "%" PRIu64 "m", t / 60);
    else if (t < 2 * 86400)
        snprintf(out, size, "%" PRIu64 "h", t / 3600);
    else
        snprintf(out, size, "%" PRIu64 "d", t / 86400);
}

static void safe(const char *s)
{
    cli_print_safe(stdout, s, strlen(s));
}

/* id, queue, age, verdict; then what is of any width */
void pick_print(struct cli *c, const struct queue *q, const struct pick *p)
{
    const char *script = get(p, MO_F_SCRIPT), *verdict = get(p, MO_F_VERDICT);
    char when[24];

    if (c->json) {
        print_json(q, p);
        return;
    }
    age(p->time_us, when, sizeof when);
    printf("%s%-*s%s  %-8s %4s  %-9s  ", cli_bold(c),
           q->mta == MO_MTA_EXIM ? 16 : 14, p->id, cli_plain(c), p->queue, when,
           verdict[0] ? verdict : stamps[p->stamp]);
    if (p->stamp == PICK_OPEN || p->stamp == PICK_TOKEN) {
        safe(get(p, MO_F_VHOST)[0] ? get(p, MO_F_VHOST) : "-");
        putchar(' ');
        safe(script[0] ? script : get(p, MO_F_URI)[0] ? get(p, MO_F_URI) : "-");
        if (get(p, MO_F_CLIENT)[0]) {
            fputs(" by ", stdout);
            safe(get(p, MO_F_CLIENT));
        }
        fputs("  ", stdout);
    }
    fputs(p->bounce ? "bounce to " : "<", stdout);
    if (!p->bounce) {
        safe(p->sender);
        fputs("> to ", stdout);
    }
    safe(p->rcpts);
    if (p->rcpts_cut)
        printf(", … (%u)", p->nrcpt);
    if (p->was_held)
        fputs("  (held)", stdout);
    if (p->replay) {
        fputs("  possible replay: ", stdout);
        safe(p->replay);
    }
    if (p->state != PICK_LISTED) {
        printf("  %s", states[p->state]);
        if (p->why) {
            fputs(": ", stdout);
            safe(p->why);
        }
    }
    putchar('\n');
}

static int take(void *o, int which, const char *value)
{
    return pick_option(o, which, value);
}

static int run(struct cli *c, int argc, char **argv)
{
    struct pick_options o = {.claims = 1, .all = 1};
    struct picks ps;
    struct queue q;
    int rc;
    size_t i;

    if (cli_take_options(c, argc, argv, take, &o) < 0)
        return CLI_TROUBLE;
    if (pick_queue(c, &o, &q) < 0 || picks_find(c, &o, &q, &ps) < 0)
        return CLI_TROUBLE;
    for (i = 0; i < ps.n; i++)
        pick_print(c, &q, ps.p[i]);
    fflush(stdout);
    picks_say_trouble(c, &ps);
    rc = ps.n ? CLI_FOUND : CLI_NOTHING;
    picks_free(&ps);
    return rc;
}

static const struct cli_option options[] = {PICK_OPTIONS, {NULL, NULL, NULL}};

const struct cli_verb cli_queue = {
    "queue",
    CLI_NEEDS_CONF | CLI_NEEDS_KEYRING,
    run,
    "[--script PATH] [--vhost NAME] … [--bounces]",
    "queued mail with its origin (Postfix, Exim, Sendmail)",
    options};
