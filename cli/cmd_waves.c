/*
 * waves: bursts per origin, and the request that began each.  See waves.h.
 */
#include "waves.h"
#include "correlate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "mo_msg.h"

#define UPLOAD_BEFORE (2 * MINUTE) /* an upload may take so long */
#define UPLOADS 10 /* the latest; where all sites share a log, others' too */
#define FILE_CLOCK 20000 /* a file's times are late by a tick, us */

enum { OPT_MIN, OPT_ALL, OPT_MAILLOG };
static const struct cli_option options[] = {
    {"min", "NUMBER", "mails that make a wave, the default is 20"},
    {"all", NULL, "usual ones, too: a newsletter of every Monday"},
    {"from-maillog", "FILE",
     "Postfix's, Exim's or Sendmail's log instead: a guess"},
    {NULL, NULL, NULL}};

static const char *get(const struct mo_record *r, enum mo_field f)
{
    return r->value[f] ? r->value[f] : "";
}

/* Whose mail it is; claims of a site are not that site's. */
static int add(void *arg, struct mo_record *r)
{
    char key[4200];
    uint64_t us;

    if (!r->value[MO_F_TIME] || mo_time_parse(r->value[MO_F_TIME], &us) < 0)
        return 0;
    if (get(r, MO_F_SCRIPT)[0] || get(r, MO_F_VHOST)[0])
        snprintf(
            key, sizeof key, "%s|%s|%s",
            mo_verdict_find(get(r, MO_F_VERDICT)) == MO_V_CLAIMED ? "claimed"
                                                                  : "",
            get(r, MO_F_VHOST),
            get(r, MO_F_SCRIPT)[0] ? get(r, MO_F_SCRIPT) : get(r, MO_F_URI));
    else
        snprintf(key, sizeof key, "|%s|%s|%s", get(r, MO_F_VERDICT),
                 get(r, MO_F_UID), get(r, MO_F_EXE));
    waves_add(arg, key, us, r);
    return 0;
}

/* ---- who put the script there */
struct uploads {
    uint64_t until;
    char *line[UPLOADS]; /* the latest last */
    unsigned n;
    unsigned long earlier; /* ones that there was no room for */
};

static void upload(void *arg, const struct log_line *l, const char *line,
                   size_t len)
{
    const struct log_text *r = &l->part[LOG_REQUEST];
    const struct log_text *m = &l->part[LOG_METHOD];
    struct uploads *u = arg;
    const char *p = r->p ? r->p : m->p;
    size_t n = r->p ? r->n : m->n;

    if (l->time_us > u->until || !p || n < 3 ||
        (strncmp(p, "POST", 4) != 0 && strncmp(p, "PUT", 3) != 0))
        return;
    if (u->n == UPLOADS) {
        free(u->line[0]);
        memmove(u->line, u->line + 1, sizeof u->line - sizeof *u->line);
        u->n--;
        u->earlier++;
    }
    u->line[u->n++] = strndup(line, len);
}

/* POSTs and PUTs right before the script's mtime and ctime; mtime can be set
 * by anyone, ctime can't */
static void hint(struct cli *c, struct sources *logs, const struct wave *w)
{
    const char *script = get(&w->first, MO_F_SCRIPT);
    const char *vhost = get(&w->first, MO_F_VHOST);
    struct stat st;
    uint64_t t[2];
    int i, any = 0;

    if (script[0] != '/' || stat(script, &st) < 0) {
        if (c->json)
            fputs(",\"uploads\":[]", stdout);
        return;
    }
    t[0] = (uint64_t)st.st_mtim.tv_sec * 1000000 +
           (uint64_t)st.st_mtim.tv_nsec / 1000;
    t[1] = (uint64_t)st.st_ctim.tv_sec * 1000000 +
           (uint64_t)st.st_ctim.tv_nsec / 1000;
    if (c->json)
        fputs(",\"uploads\":[", stdout);
    for (i = 0; i < 2; i++) {
        struct uploads u = {.until = t[i] + FILE_CLOCK};
        char text[32];
        unsigned j;

        if (i && t[1] / 1000000 == t[0] / 1000000)
            break;
        mo_time_format(t[i], text);
        waves_access(c, logs, t[i] - UPLOAD_BEFORE, u.until,
                     vhost[0] ? vhost : NULL, upload, &u);
        for (j = 0; j < u.n; j++) {
            if (c->json) {
                int first = 1;

                printf("%s{", any++ ? "," : "");
                cli_json_str(stdout, &first, i ? "ctime" : "mtime", text);
                cli_json_str(stdout, &first, "line", u.line[j]);
                putchar('}');
            }
            else {
                printf("  a hint: the script was %s at %.19sZ, after\n    ",
                       i ? "last touched" : "last written", text);
                cli_print_safe(stdout, u.line[j], strlen(u.line[j]));
                putchar('\n');
            }
            free(u.line[j]);
        }
        if (u.earlier && !c->json)
            printf("    and %lu earlier ones\n", u.earlier);
    }
    if (c->json)
        putchar(']');
}

static void safe(const char *label, const char *s)
{
    if (!s[0])
        return;
    fputs(label, stdout);
    cli_print_safe(stdout, s, strlen(s));
}

static void local(uint64_t us, char out[40])
{
    time_t t = (time_t)(us / 1000000);
    struct tm tm;

    if (!localtime_r(&t, &tm) || !strftime(out, 40, "%Y-%m-%d %H:%M:%S", &tm))
        out[0] = 0;
}

static const char *const pasts[] = {[WAVE_NO_PAST] = "none",
                                    [WAVE_NEW] = "new",
                                    [WAVE_ABOVE] = "above",
                                    [WAVE_SIMILAR] = "similar",
                                    [WAVE_USUAL] = "usual"};

/* by what it is a wave, in words */
static void print_past(const struct wave *w, uint64_t begin)
{
    char text[40];

    switch (w->past) {
    case WAVE_NO_PAST:
        local(begin, text);
        printf("  no past to compare: the log begins %s\n", text);
        break;
    case WAVE_NEW:
        local(w->known, text);
        printf("  new: it has not mailed before %s\n", text);
        break;
    case WAVE_ABOVE:
        local(w->known, text);
        printf("  well above what it has sent since %s\n", text);
        break;
    case WAVE_SIMILAR:
        local(w->like, text);
        printf("  one like it began %s; that is no habit yet\n", text);
        break;
    case WAVE_USUAL:
        puts("  usual for it");
        break;
    }
}

static void print_text(struct cli *c, const struct wave *w, uint64_t begin,
                       const struct cli_want *want)
{
    const struct mo_record *r = &w->first;
    char start[40], end[40];
    struct cli_hit *h;

    local(w->start, start);
    local(w->end, end);
    printf("%s%s to %s  %lu mails%s, up to %lu a minute\n", cli_bold(c), start,
           end, w->count, cli_plain(c), w->peak);
    safe("  vhost ", get(r, MO_F_VHOST));
    safe("  script ", get(r, MO_F_SCRIPT));
    safe("  uid ", get(r, MO_F_UID));
    safe("  user ", get(r, MO_F_USER));
    if (!get(r, MO_F_SCRIPT)[0])
        safe("  exe ", get(r, MO_F_EXE));
    putchar('\n');
    print_past(w, begin);
    if (!want)
        return;
    if (get(r, MO_F_CLIENT)[0]) {
        safe("  set off by ", get(r, MO_F_CLIENT));
        safe("  ", get(r, MO_F_METHOD));
        safe(" ", get(r, MO_F_URI));
        safe("  request ", get(r, MO_F_REQUEST_ID));
        safe("  verdict ", get(r, MO_F_VERDICT));
        putchar('\n');
    }
    for (h = want->hits; h; h = h->next) {
        printf("  access_log (%s): ", cli_match_name(want->match));
        cli_print_safe(stdout, h->line, strlen(h->line));
        putchar('\n');
    }
}

static void print_json(const struct wave *w, const struct cli_want *want)
{
    struct mo_record r = w->first;
    struct cli_hit *h;
    char time[32];
    int first = 1, i;

    putchar('{');
    mo_time_format(w->start, time);
    cli_json_str(stdout, &first, "start", time);
    mo_time_format(w->end, time);
    cli_json_str(stdout, &first, "end", time);
    cli_json_num(stdout, &first, "count", w->count);
    cli_json_num(stdout, &first, "peak", w->peak);
    cli_json_str(stdout, &first, "past", pasts[w->past]);
    if (w->like) {
        mo_time_format(w->like, time);
        cli_json_str(stdout, &first, "like", time);
    }
    r.value[MO_F_TIME] = NULL;
    cli_json_record(stdout, &first, &r);
    if (!want)
        return;
    cli_json_str(stdout, &first, "access_match", cli_match_name(want->match));
    fputs(",\"access_lines\":[", stdout);
    for (h = want->hits, i = 0; h; h = h->next, i++) {
        fputs(i ? "," : "", stdout);
        cli_json_text(stdout, h->line);
    }
    putchar(']');
}

static int wanted(const struct cli *c, const struct wave *w, int all)
{
    return (all || w->past != WAVE_USUAL) &&
           (!c->since || w->end >= c->since) &&
           (!c->until || w->start <= c->until);
}

/* the logs of the guesses, and what is wrong with them */
static int open_logs(struct cli *c, struct sources *logs, int say)
{
    size_t i;

    if (sources_find(c, logs) < 0)
        return -1;
    if (say && !logs->n)
        mo_warn("no access log is known: --access-log GLOB names one");
    for (i = 0; say && i < logs->n; i++)
        if (logs->s[i].note)
            mo_warn("%s", logs->s[i].note);
    return 0;
}

static int show(struct cli *c, struct waves *ws, int all, int guess)
{
    struct cli_want *want = calloc(ws->n + 1, sizeof *want);
    struct cli_found found = {0};
    struct sources logs = {0};
    size_t i, n = 0, usual = 0;
    int rc = 0;

    if (!want)
        mo_fatal(CLI_TROUBLE, "out of memory");
    for (i = 0; i < ws->n; i++) {
        if (wanted(c, &ws->w[i], all))
            ws->w[n++] = ws->w[i];
        else
            usual += ws->w[i].past == WAVE_USUAL;
    }
    ws->n = n;
    for (i = 0; i < n; i++)
        cli_want_set(&want[i], &ws->w[i].first);
    if (n)
        rc = open_logs(c, &logs, guess);
    if (!guess && n && rc == 0)
        rc = cli_correlate(c, want, n, &found);
    for (i = 0; i < n && rc == 0; i++) {
        if (c->json)
            print_json(&ws->w[i], guess ? NULL : &want[i]);
        else
            print_text(c, &ws->w[i], ws->begin, guess ? NULL : &want[i]);
        if (guess) {
            if (c->json)
                fputs(",\"guess\":[", stdout);
            waves_guess(c, &logs, &ws->w[i]);
            if (c->json)
                putchar(']');
        }
        else {
            hint(c, &logs, &ws->w[i]);
        }
        puts(c->json ? "}" : "");
    }
    cli_found_say(c, &found);
    cli_found_free(&found, want, n);
    sources_free(&logs);
    free(want);
    if (usual)
        mo_info("%zu bursts left out that are usual for their origin; --all "
                "shows them",
                usual);
    return rc < 0 ? CLI_TROUBLE : n ? CLI_FOUND : CLI_NOTHING;
}

static int run(struct cli *c, int argc, char **argv)
{
    static struct cli past;
    struct waves w = {.min = 20};
    const char *value, *maillog[64];
    size_t nmaillogs = 0;
    unsigned long bad = 0;
    char *end;
    int next = 1, which, all = 0, rc;

    while ((which = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        if (which == OPT_MIN) {
            w.min = strtoul(value, &end, 10);
            if (*value < '1' || *value > '9' || *end) {
                mo_error("--min '%s' is no number from 1 up", value);
                return CLI_TROUBLE;
            }
        }
        else if (which == OPT_MAILLOG) {
            if (nmaillogs == sizeof maillog / sizeof *maillog) {
                mo_error("--from-maillog is given more than %zu times",
                         nmaillogs);
                return CLI_TROUBLE;
            }
            maillog[nmaillogs++] = value;
        }
        else {
            all = 1;
        }
    }
    if (which == -2)
        return CLI_TROUBLE;
    if (next < argc) {
        mo_error("waves takes no operand, and here is '%s'", argv[next]);
        return CLI_TROUBLE;
    }
    if (nmaillogs) {
        rc = waves_maillog(c, maillog, nmaillogs, &w);
    }
    else {
        /* what is above an origin's past can't be told without it */
        past = *c;
        past.since = past.until = 0;
        rc = cli_records(&past, add, &w, &bad);
    }
    if (rc < 0)
        return CLI_TROUBLE;
    waves_end(&w);
    rc = show(c, &w, all, nmaillogs != 0);
    waves_free(&w);
    if (bad && c->verbose)
        mo_info("%lu lines are no records", bad);
    return rc;
}

const struct cli_verb cli_waves = {
    "waves",
    CLI_NEEDS_CONF | CLI_NEEDS_KEYRING,
    run,
    "[--min NUMBER] [--all] [--from-maillog FILE --access-log GLOB]",
    "bursts of mail, and the request that began each",
    options};
