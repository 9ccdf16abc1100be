/*
 * now --follow: on a terminal a screen of what is in progress, drawn anew each
 * second; else a line for each request that begins, has sent more mails, or
 * ends.
 *
 * The mail log is followed as log --follow does it, and what it says between
 * two looks at the boards is counted by the requests' ids, also of those that
 * no look has met yet.
 */
#include "now.h"
#include "records.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "mo_msg.h"

#define SECOND 1000000ull
#define KEPT 600 /* looks that a count outlives its request */

/* mails by request id */
struct tally {
    UT_hash_handle hh;
    unsigned long mails;
    unsigned seen; /* the look at which it was last of use */
    char id[];
};
/* what was in progress at the last look, by slot */
struct was {
    UT_hash_handle hh;
    struct now_req r;
    unsigned seen;
};

static struct follow {
    struct cli *c;
    struct tally *tallies;
    struct was *was;
    unsigned look;
    uint64_t due; /* the next look */
    unsigned long shown;
    int screen, trouble;
} now;
static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static uint64_t clock_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec / 1000;
}

static int on_record(void *arg, struct mo_record *rec)
{
    const char *id = rec->value[MO_F_REQUEST_ID];
    struct tally *t;
    size_t n;

    (void)arg;
    if (!id)
        return stopped;
    n = strlen(id);
    HASH_FIND(hh, now.tallies, id, n, t);
    if (!t) {
        t = calloc(1, sizeof *t + n + 1);
        if (!t)
            mo_fatal(CLI_TROUBLE, "out of memory");
        memcpy(t->id, id, n + 1);
        HASH_ADD_KEYPTR(hh, now.tallies, t->id, n, t);
    }
    t->seen = now.look;
    t->mails++;
    return stopped;
}

static unsigned long mails_of(const char *id)
{
    struct tally *t;

    HASH_FIND_STR(now.tallies, id, t);
    if (!t)
        return 0;
    t->seen = now.look;
    return t->mails;
}

static void forget(void)
{
    struct tally *t, *tmp;

    HASH_ITER(hh, now.tallies, t, tmp)
    {
        if (now.look - t->seen > KEPT) {
            HASH_DEL(now.tallies, t);
            free(t);
        }
    }
}

static void draw(struct now_list *l)
{
    struct winsize w = {0};
    char time_text[32];
    time_t t = time(NULL);
    struct tm tm;
    size_t i, rows;

    rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 3
               ? w.ws_row - 2u
               : 22;
    if (!localtime_r(&t, &tm) ||
        !strftime(time_text, sizeof time_text, "%H:%M:%S", &tm))
        time_text[0] = '\0';
    printf("\033[H%s  %zu in progress\033[K\n", time_text, l->n);
    for (i = 0; i < l->n && i < rows; i++) {
        fputs("\033[K", stdout);
        now_print(now.c, l->r[i], NULL);
    }
    if (l->n > rows)
        printf("\033[Kand %zu more", l->n - rows);
    fputs("\033[J", stdout);
}

static void say(const struct now_req *r, const char *change)
{
    now_print(now.c, r, change);
    now.shown++;
}

/* What has changed since the last look. */
static void changes(struct now_list *l)
{
    struct was *w, *tmp;
    size_t i;

    for (i = 0; i < l->n; i++) {
        struct now_req *r = l->r[i];

        HASH_FIND_STR(now.was, r->key, w);
        if (!w) {
            w = calloc(1, sizeof *w);
            if (!w)
                mo_fatal(CLI_TROUBLE, "out of memory");
            w->r = *r;
            HASH_ADD_STR(now.was, r.key, w);
            say(r, "began");
        }
        else if (r->mails > w->r.mails || w->r.nameless != r->nameless) {
            say(r, "mails");
        }
        w->r = *r;
        w->seen = now.look;
    }
    HASH_ITER(hh, now.was, w, tmp)
    {
        if (w->seen != now.look) {
            if (!w->r.nameless)
                w->r.mails = mails_of(w->r.o.id);
            say(&w->r, "ended");
            HASH_DEL(now.was, w);
            free(w);
        }
    }
}

static void look(void)
{
    struct now_list l = {0};
    size_t i, n;

    now.look++;
    if (now_boards(&l) < 0) {
        now.trouble = 1;
        return;
    }
    for (i = n = 0; i < l.n; i++) {
        struct now_req *r = l.r[i];

        if (!r->nameless)
            r->mails = mails_of(r->o.id);
        if (now_wanted(now.c, r)) {
            l.r[i] = l.r[n];
            l.r[n++] = r;
        }
    }
    i = l.n;
    l.n = n;
    if (n)
        qsort(l.r, n, sizeof *l.r, now_order);
    if (now.screen) {
        draw(&l);
        now.shown += n;
    }
    else {
        changes(&l);
    }
    l.n = i;
    now_free(&l);
    forget();
    fflush(stdout);
}

/* Asked between what the mail log has: is it over?  A look each second. */
static int tick(void)
{
    uint64_t t = clock_us();

    if (!stopped && !now.trouble && !ferror(stdout) && t >= now.due) {
        look();
        now.due = t + SECOND;
    }
    return stopped || now.trouble || ferror(stdout);
}

/* The oldest request's begin: its mails stand in the log from there on. */
static uint64_t oldest(void)
{
    struct now_list l = {0};
    uint64_t since = (uint64_t)time(NULL) * SECOND;
    size_t i;

    if (now_boards(&l) < 0) {
        now.trouble = 1;
        return 0;
    }
    for (i = 0; i < l.n; i++)
        if (!l.r[i]->nameless && l.r[i]->o.time_us < since)
            since = l.r[i]->o.time_us;
    now_free(&l);
    return since;
}

static void clean_up(void)
{
    struct tally *t, *nextt;
    struct was *w, *nextw;

    HASH_ITER(hh, now.tallies, t, nextt)
    {
        HASH_DEL(now.tallies, t);
        free(t);
    }
    HASH_ITER(hh, now.was, w, nextw)
    {
        HASH_DEL(now.was, w);
        free(w);
    }
}

int now_follow(struct cli *c)
{
    static struct cli all; /* no filter: those are for requests */
    struct sigaction sa = {.sa_handler = on_signal,
                           .sa_flags = (int)SA_RESETHAND};
    const char *term = getenv("TERM");
    int rc = 0;

    now.c = c;
    all = *c;
    all.nfilters = 0;
    all.until = 0;
    all.progress = 0;
    all.since = oldest();
    if (now.trouble)
        return CLI_TROUBLE;
    now.screen =
        !c->json && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    if (now.screen) /* a screen of its own, on which long lines are cut */
        fputs("\033[?1049h\033[?7l\033[2J", stdout);
    /* before the first mail there is no log */
    while (!c->nlogs && access(c->conf.log, F_OK) < 0 && errno == ENOENT &&
           !tick())
        usleep(200000);
    if (!tick())
        rc = cli_records_follow(&all, on_record, NULL, tick);
    if (now.screen)
        fputs("\033[?7h\033[?1049l", stdout);
    clean_up();
    return rc < 0 || now.trouble ? CLI_TROUBLE
           : now.shown           ? CLI_FOUND
                                 : CLI_NOTHING;
}
