/*
 * purge: deletes, holds or releases queued mail of one origin.
 *
 * It shows first, and with --yes then: holds, reads the stamp again under
 * each id, keeps copies if asked, deletes in one batch and reports what the
 * MTA confirmed.  Each mail stands on stdout, flushed, before anything is
 * done to it, so that an interruption at any moment deletes nothing that was
 * not reported; what is held and not deleted then is let go.
 */
#include "queue_pick.h"
#include "mta.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"

#define ROUNDS 5 /* mails that came in while we were at it */
#define BUSY_ROUNDS 20 /* mails that are being delivered, more of them */
#define BUSY_PAUSE 500000000 /* between those, ns */

enum {
    OPT_YES = PICK_BOUNCES + 1,
    OPT_HOLD,
    OPT_RELEASE,
    OPT_SAVE,
    OPT_CLAIMED,
    OPT_ALL
};
static const struct cli_option options[] = {
    PICK_OPTIONS,
    {"yes", NULL, "do it; without, only show"},
    {"hold", NULL, "put them on hold instead of deleting"},
    {"release", NULL, "release those that are on hold"},
    {"save", "DIR", "keep a copy of each deleted mail's queue file"},
    {"claimed", NULL, "also mails that only claim their origin"},
    {"all", NULL, "with no filter: all mails with a stamp that opens"},
    {NULL, NULL, NULL}};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    interrupted = sig;
}

static void catch_signals(void)
{
    static const int sigs[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction sa;
    size_t i;

    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_signal;
    for (i = 0; i < sizeof sigs / sizeof *sigs; i++) {
        struct sigaction old;
        /* nohup stays nohup */
        if (sigaction(sigs[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(sigs[i], &sa, NULL);
    }
    sa.sa_handler = SIG_IGN; /* a pager that ends: a failed fflush, below */
    sigaction(SIGPIPE, &sa, NULL);
}

struct job {
    struct cli *c;
    struct queue *q;
    enum act act;
    const char *save;
    size_t matched, done, gone, changed, failed;
    int trouble;
};

static void todo(struct picks *ps, int (*fn)(const struct pick *p))
{
    size_t i;

    for (i = 0; i < ps->n; i++)
        ps->p[i]->todo = fn(ps->p[i]);
}

static int to_hold(const struct pick *p)
{
    return (!p->was_held || p->half_held) && strcmp(p->queue, "maildrop") != 0;
}
static int to_release(const struct pick *p)
{
    return p->was_held;
}
static int is_live(const struct pick *p)
{
    return p->state == PICK_LISTED || p->state == PICK_HELD;
}
static int is_left_held(const struct pick *p)
{
    return p->held_by_us && p->state != PICK_DELETED && p->state != PICK_GONE &&
           p->state != PICK_RELEASED;
}
/* another mail that was put on hold by our doing */
static int is_victim(const struct pick *p)
{
    return p->held_by_us && p->state == PICK_CHANGED;
}

/* Lets go of what we held; the state that says why it wasn't deleted stays. */
static void let_go(struct job *j, struct picks *ps,
                   int (*which)(const struct pick *p))
{
    struct picks part = {0};
    size_t i;

    todo(ps, which);
    part.p = calloc(ps->n + 1, sizeof *part.p);
    for (i = 0; part.p && i < ps->n; i++)
        if (ps->p[i]->todo)
            part.p[part.n++] = ps->p[i];
    if (part.n) {
        enum pick_state *old = calloc(part.n, sizeof *old);
        char **why = calloc(part.n, sizeof *why);

        for (i = 0; old && why && i < part.n; i++) {
            old[i] = part.p[i]->state;
            why[i] = part.p[i]->why;
            part.p[i]->why = NULL;
        }
        if (old && why && act_do(j->c, j->q, &part, ACT_RELEASE) == 0) {
            size_t n = 0;
            for (i = 0; i < part.n; i++)
                n += part.p[i]->state == PICK_RELEASED;
            mo_info("%zu of %zu mails that were held are released again", n,
                    part.n);
        }
        else {
            mo_error("%zu mails are left on hold", part.n);
        }
        for (i = 0; old && why && i < part.n; i++) {
            free(part.p[i]->why);
            part.p[i]->why = why[i];
            if (old[i] == PICK_CHANGED || old[i] == PICK_BUSY ||
                old[i] == PICK_FAILED)
                part.p[i]->state = old[i];
        }
        free(old);
        free(why);
    }
    free(part.p);
}

static int stop_now(struct job *j, struct picks *ps)
{
    if (!interrupted)
        return 0;
    mo_error("interrupted; nothing is deleted");
    let_go(j, ps, is_left_held);
    j->trouble = 1;
    return 1;
}

static void delete_all(struct job *j, struct picks *ps)
{
    if (j->q->mta != MO_MTA_SENDMAIL) {
        todo(ps, to_hold);
        if (act_do(j->c, j->q, ps, ACT_HOLD) < 0)
            j->trouble = 1;
    }
    if (stop_now(j, ps))
        return;
    todo(ps, is_live);
    act_verify(j->c, j->q, ps);
    if (j->save && act_save(j->q, ps, j->save) < 0) {
        j->trouble = 1;
        let_go(j, ps, is_left_held);
        return;
    }
    if (stop_now(j, ps))
        return;
    if (act_do(j->c, j->q, ps, ACT_DELETE) < 0)
        j->trouble = 1;
    let_go(j, ps, is_left_held);
}

/* Sendmail's two queues make their ids each for itself. */
static const char *seen_key(const struct job *j, const struct pick *p)
{
    static char key[QUEUE_ID_MAX + 600];

    if (j->q->mta != MO_MTA_SENDMAIL)
        return p->id;
    snprintf(key, sizeof key, "%s %s", p->id, p->queue);
    return key;
}

/* Counts what became of them, but for those that are tried again: how many. */
static size_t count(struct job *j, const struct picks *ps, int again,
                    struct queue_seen **busy)
{
    size_t i, n = 0;

    for (i = 0; i < ps->n; i++) {
        switch (ps->p[i]->state) {
        case PICK_DELETED:
            j->done += j->act == ACT_DELETE;
            break;
        case PICK_HELD:
            j->done += j->act == ACT_HOLD;
            break;
        case PICK_RELEASED:
            j->done += j->act == ACT_RELEASE;
            break;
        case PICK_GONE:
            j->gone++;
            break;
        case PICK_CHANGED:
            j->changed++;
            break;
        case PICK_BUSY:
            if (again) {
                n += (size_t)queue_seen_add(busy, seen_key(j, ps->p[i]));
                continue;
            }
            j->failed++;
            break;
        case PICK_FAILED:
            j->failed++;
            break;
        case PICK_LISTED:
            break;
        }
        j->matched++;
    }
    return n;
}

/* what is written is written: 0, or -1 and nothing may be done */
static int flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    mo_error("standard output: %s; nothing is changed", strerror(errno));
    return -1;
}

static void apply(struct job *j, struct picks *ps)
{
    switch (j->act) {
    case ACT_DELETE:
        delete_all(j, ps);
        break;
    case ACT_HOLD:
        todo(ps, to_hold);
        if (act_do(j->c, j->q, ps, ACT_HOLD) < 0)
            j->trouble = 1;
        /* an id that meanwhile is another mail's: not ours to hold */
        if (j->q->mta == MO_MTA_POSTFIX) {
            todo(ps, is_live);
            act_verify(j->c, j->q, ps);
            let_go(j, ps, is_victim);
        }
        break;
    case ACT_RELEASE:
        todo(ps, to_release);
        act_verify(j->c, j->q, ps);
        for (size_t i = 0; i < ps->n; i++)
            ps->p[i]->todo =
                ps->p[i]->was_held && ps->p[i]->state == PICK_LISTED;
        if (act_do(j->c, j->q, ps, ACT_RELEASE) < 0)
            j->trouble = 1;
        break;
    }
}

/* Those of ps that fits() has stay. */
static void keep(struct picks *ps, int (*fits)(void *arg, const struct pick *p),
                 void *arg)
{
    struct picks rest = {0};
    size_t i, n = 0;

    rest.p = calloc(ps->n + 1, sizeof *rest.p);
    if (!rest.p)
        mo_fatal(CLI_TROUBLE, "out of memory");
    for (i = 0; i < ps->n; i++) {
        if (fits(arg, ps->p[i]))
            ps->p[n++] = ps->p[i];
        else
            rest.p[rest.n++] = ps->p[i];
    }
    ps->n = n;
    picks_free(&rest);
}

/* only what the act is for: nothing is held twice */
static int is_useful(void *arg, const struct pick *p)
{
    const struct job *j = arg;

    return j->act == ACT_RELEASE ? p->was_held
           : j->act == ACT_HOLD  ? !p->was_held || p->half_held
                                 : 1;
}

/* a mail that was not there yet, or one to try again */
struct fresh {
    const struct job *j;
    struct queue_seen *seen, *busy;
    size_t again;
};
static int is_fresh(void *arg, const struct pick *p)
{
    struct fresh *f = arg;

    if (queue_seen_add(&f->seen, seen_key(f->j, p)))
        return 1;
    if (!queue_seen_has(f->busy, seen_key(f->j, p)))
        return 0;
    f->again++;
    return 1;
}

static void say(const struct job *j)
{
    static const char *const did[] = {[ACT_HOLD] = "held",
                                      [ACT_RELEASE] = "released",
                                      [ACT_DELETE] = "deleted"};
    FILE *f = j->c->json ? stderr : stdout;

    fprintf(f, "%s %zu of %zu mails, as %s confirmed", did[j->act], j->done,
            j->matched,
            j->q->mta == MO_MTA_SENDMAIL ? "its queue files"
                                         : mta_name(j->q->mta));
    if (j->gone)
        fprintf(f, "; %zu had gone meanwhile", j->gone);
    if (j->changed)
        fprintf(f, "; %zu ids had become another mail's, which is untouched",
                j->changed);
    if (j->failed)
        fprintf(f, "; %zu failed", j->failed);
    putc('\n', f);
}

static int act(struct job *j, const struct pick_options *o)
{
    const struct timespec pause = {0, BUSY_PAUSE};
    struct fresh f = {.j = j};
    size_t waiting = 0;
    int round, rounds = ROUNDS, tries = 0, rc = CLI_TROUBLE;

    for (round = 0; round < rounds && !j->trouble && !interrupted; round++) {
        struct picks ps;
        size_t i;
        int again;

        if (waiting)
            nanosleep(&pause, NULL);
        if (picks_find(j->c, o, j->q, &ps) < 0)
            goto out;
        keep(&ps, is_useful, j);
        if (!round)
            picks_say_trouble(j->c, &ps);
        /* those to try again are on the list already */
        for (i = 0; i < ps.n; i++)
            if (!queue_seen_has(f.seen, seen_key(j, ps.p[i])))
                pick_print(j->c, j->q, ps.p[i]);
        f.again = 0;
        keep(&ps, is_fresh, &f);
        /* what was being delivered is now */
        j->matched += waiting - f.again;
        j->gone += waiting - f.again;
        waiting = 0;
        queue_seen_free(&f.busy);
        if (!ps.n || flush() < 0) {
            int failed = ps.n != 0;

            picks_free(&ps);
            if (failed)
                goto out;
            break;
        }
        if (!round)
            catch_signals(); /* until here one just ends */
        apply(j, &ps);
        again = tries < BUSY_ROUNDS && !j->trouble && !interrupted;
        waiting = count(j, &ps, again, &f.busy);
        if (waiting) {
            tries++;
            rounds = round + 2 > ROUNDS ? round + 2 : ROUNDS;
        }
        for (i = 0; i < ps.n; i++)
            if ((j->c->json && !(again && ps.p[i]->state == PICK_BUSY)) ||
                ps.p[i]->state == PICK_FAILED ||
                ps.p[i]->state == PICK_CHANGED ||
                (ps.p[i]->state == PICK_BUSY && !again))
                pick_print(j->c, j->q, ps.p[i]);
        picks_free(&ps);
    }
    j->matched += waiting; /* asked to stop in the pause */
    j->failed += waiting;
    if (j->matched)
        say(j);
    rc = j->trouble || interrupted || j->failed ? CLI_TROUBLE
         : j->matched                           ? CLI_FOUND
                                                : CLI_NOTHING;
out:
    queue_seen_free(&j->q->known);
    queue_seen_free(&f.seen);
    queue_seen_free(&f.busy);
    return rc;
}

static int show(struct cli *c, const struct pick_options *o, struct job *j)
{
    struct picks ps;
    size_t i, n;

    if (picks_find(c, o, j->q, &ps) < 0)
        return CLI_TROUBLE;
    keep(&ps, is_useful, j);
    for (i = 0; i < ps.n; i++)
        pick_print(c, j->q, ps.p[i]);
    fflush(stdout);
    picks_say_trouble(c, &ps);
    n = ps.n;
    picks_free(&ps);
    if (n)
        mo_info("%zu mails; nothing is changed: --yes %s them", n,
                j->act == ACT_HOLD      ? "holds"
                : j->act == ACT_RELEASE ? "releases"
                                        : "deletes");
    return n ? CLI_FOUND : CLI_NOTHING;
}

static int run(struct cli *c, int argc, char **argv)
{
    struct pick_options o = {0};
    struct job j = {.c = c, .act = ACT_DELETE};
    struct queue q;
    const char *value;
    int next = 1, which, yes = 0, all = 0, hold = 0, release = 0;
    unsigned i;

    while ((which = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        switch (which) {
        case OPT_YES:
            yes = 1;
            break;
        case OPT_HOLD:
            hold = 1;
            j.act = ACT_HOLD;
            break;
        case OPT_RELEASE:
            release = 1;
            j.act = ACT_RELEASE;
            break;
        case OPT_SAVE:
            j.save = value;
            break;
        case OPT_CLAIMED:
            o.claims = 1;
            break;
        case OPT_ALL:
            all = 1;
            break;
        default:
            if (pick_option(&o, which, value) < 0)
                return CLI_TROUBLE;
        }
    }
    if (which == -2)
        return CLI_TROUBLE;
    if (next < argc) {
        mo_error("purge takes no operand, and here is '%s'", argv[next]);
        return CLI_TROUBLE;
    }
    if (hold && release) {
        mo_error("--hold and --release exclude each other");
        return CLI_TROUBLE;
    }
    if (j.save && j.act != ACT_DELETE) {
        mo_error("--save is for mails that are deleted");
        return CLI_TROUBLE;
    }
    if (!c->nfilters && !c->since && !c->until && !o.nids && !all) {
        mo_error("purge needs a filter (--script, --vhost, --uri, --client, "
                 "--uid, --verdict, --since, --queue-id ...), or --all");
        return CLI_TROUBLE;
    }
    for (i = 0; i < c->nfilters; i++)
        if (c->filter[i].field == MO_F_VERDICT)
            o.claims = 1;
    if (!c->keys.n)
        return CLI_TROUBLE; /* it was said why */
    if (pick_queue(c, &o, &q) < 0)
        return CLI_TROUBLE;
    j.q = &q;
    if (!yes)
        return show(c, &o, &j);
    o.again = 1;
    if (!q.program[0] && q.mta != MO_MTA_SENDMAIL) {
        mo_error("%s is not the queue of this machine's %s (--mta-config names "
                 "another instance)",
                 q.dir[0], mta_name(q.mta));
        return CLI_TROUBLE;
    }
    return act(&j, &o);
}

const struct cli_verb cli_purge = {
    "purge",
    CLI_NEEDS_CONF | CLI_NEEDS_KEYRING,
    run,
    "--script PATH|--vhost NAME|… [--bounces] [--hold|--release] [--save DIR] "
    "[--yes]",
    "delete, hold or release queued mail of one origin",
    options};
