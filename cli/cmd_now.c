/*
 * now: the requests in progress, off httpd's boards, with the mails that the
 * mail log has of each so far.
 */
#include "now.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mo_msg.h"

enum { OPT_FOLLOW };
static const struct cli_option options[] = {
    {"follow", NULL,
     "go on: on a terminal as a screen, else a line for each that begins, "
     "mails or ends"},
    {NULL, NULL, NULL}};

static int count(void *arg, struct mo_record *rec)
{
    struct now_list *l = arg;
    struct now_req *r;

    if (rec->value[MO_F_REQUEST_ID]) {
        HASH_FIND_STR(l->by_id, rec->value[MO_F_REQUEST_ID], r);
        if (r)
            r->mails++;
    }
    return 0;
}

/* their mails: the log from the oldest request's begin on */
static void mails(struct cli *c, struct now_list *l)
{
    static struct cli all; /* no filter: those are for requests */
    uint64_t since = 0;
    size_t i;

    for (i = 0; i < l->n; i++)
        if (!l->r[i]->nameless && (!since || l->r[i]->o.time_us < since))
            since = l->r[i]->o.time_us;
    if (!since ||
        (!c->nlogs && access(c->conf.log, R_OK) < 0 && errno == ENOENT))
        return; /* no mail yet */
    all = *c;
    all.nfilters = 0;
    all.until = 0;
    all.since = since;
    cli_records(&all, count, l, NULL);
}

static int take(void *arg, int which, const char *value)
{
    (void)value;
    *(int *)arg |= which == OPT_FOLLOW;
    return 0;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct now_list l = {0};
    size_t i, shown = 0;
    int follow = 0;

    if (cli_take_options(c, argc, argv, take, &follow) < 0)
        return CLI_TROUBLE;
    if (follow)
        return now_follow(c);
    if (now_boards(&l) < 0)
        return CLI_TROUBLE;
    mails(c, &l);
    if (l.n)
        qsort(l.r, l.n, sizeof *l.r, now_order);
    for (i = 0; i < l.n; i++) {
        if (now_wanted(c, l.r[i])) {
            now_print(c, l.r[i], NULL);
            shown++;
        }
    }
    now_free(&l);
    return shown ? CLI_FOUND : CLI_NOTHING;
}

const struct cli_verb cli_now = {"now",
                                 CLI_NEEDS_CONF,
                                 run,
                                 "[--follow] [--vhost NAME] [--script PATH] …",
                                 "requests in progress, with their mails",
                                 options};
