/*
 * What trace prints: for the admin, for programs and for the site's owner.
 */
#include "now.h"
#include "trace.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"
#include "records.h"

int trace_known(const struct cli_case *k)
{
    return k->has_record || k->stamp.state == STAMP_OPEN ||
           k->stamp.state == STAMP_TOKEN;
}

void trace_unknown(struct cli *c, const struct cli_case *k)
{
    if (k->has_stamp) {
        mo_warn("%s: id %s: %s, and the mail log has no such mail", k->source,
                k->id[0] ? k->id : "none", stamp_words(k->stamp.state));
    }
    else if (k->request_id) {
        mo_warn("id %s: the mail log has no such mail", k->request_id);
    }
    else if (k->message_id) {
        mo_warn("%s: no %s field, and the mail log has no mail with "
                "Message-ID <%s>",
                k->source, c->conf.header, k->message_id);
    }
    else {
        mo_warn("%s: no %s field and no Message-ID in it", k->source,
                c->conf.header);
    }
}

static const char *value(const struct mo_record *r, enum mo_field f)
{
    return r->value[f] ? r->value[f] : "";
}

static void safe(const char *s)
{
    cli_print_safe(stdout, s, strlen(s));
}

static void row(const struct cli *c, const char *name, const char *v)
{
    if (*v) {
        printf("%s%-12s%s ", cli_bold(c), name, cli_plain(c));
        safe(v);
        putchar('\n');
    }
}

static void print_time(const char *rfc3339)
{
    uint64_t us;
    time_t t;
    struct tm tm;
    char out[64];

    if (mo_time_parse(rfc3339, &us) != 0) {
        safe(rfc3339);
        return;
    }
    t = (time_t)(us / 1000000);
    if (localtime_r(&t, &tm) &&
        strftime(out, sizeof(out), "%Y-%m-%d %H:%M:%S %z", &tm)) {
        fputs(out, stdout);
    }
}

static void time_row(const struct cli *c, const char *name, const char *v)
{
    if (*v) {
        printf("%s%-12s%s ", cli_bold(c), name, cli_plain(c));
        print_time(v);
        putchar('\n');
    }
}

void trace_filter(FILE *f, const struct mo_record *r)
{
    static const struct {
        enum mo_field field;
        const char *option;
    } by[] = {{MO_F_SCRIPT, "--script"},
              {MO_F_URI, "--uri"},
              {MO_F_VHOST, "--vhost"},
              {MO_F_UID, "--uid"}};
    size_t i, n;
    const char *v;
    char *star;

    /* a value that was cut names nothing */
    for (i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
        v = value(r, by[i].field);
        if (*v == '\0' ||
            (r->value[MO_F_TRUNCATED] && strstr(v, "...") != NULL)) {
            continue;
        }
        fprintf(f, "%s ", by[i].option);
        n = strlen(v);
        if (v[n - 1] == '*' && by[i].field != MO_F_VHOST &&
            (star = malloc(n + 2)) != NULL) {
            memcpy(star, v, n - 1);
            memcpy(star + n - 1, "\\*", 3); /* meant as a star */
            cli_print_quoted(f, star);
            free(star);
        }
        else {
            cli_print_quoted(f, v);
        }
        return;
    }
}

static void commands(const struct mo_record *r)
{
    static const char *const verb[] = {"log", "block", "purge"};
    size_t i;

    if (!*value(r, MO_F_SCRIPT) && !*value(r, MO_F_URI) &&
        !*value(r, MO_F_VHOST) && !*value(r, MO_F_UID)) {
        return;
    }
    printf("\nGo on with:\n");
    for (i = 0; i < sizeof(verb) / sizeof(verb[0]); i++) {
        printf("  mailorigin %s ", verb[i]);
        trace_filter(stdout, r);
        putchar('\n');
    }
}

static void request(const struct cli *c, const struct mo_record *r)
{
    const char *method = value(r, MO_F_METHOD), *uri = value(r, MO_F_URI);
    const char *query = value(r, MO_F_QUERY);

    if (*uri) {
        printf("%s%-12s%s ", cli_bold(c), "Request", cli_plain(c));
        safe(method);
        putchar(' ');
        safe(uri);
        if (*query) {
            putchar('?');
            safe(query);
        }
        putchar('\n');
    }
    row(c, "Site", value(r, MO_F_VHOST));
    row(c, "Script", value(r, MO_F_SCRIPT));
    row(c, "Client", value(r, MO_F_CLIENT));
    row(c, "HTTP user", value(r, MO_F_USER));
    time_row(c, "Requested", value(r, MO_F_REQUEST_TIME));
    row(c, "Request id", value(r, MO_F_REQUEST_ID));
    row(c, "Handler", value(r, MO_F_HANDLER));
}

static void sender(const struct cli *c, const struct mo_record *r)
{
    const char *uid = value(r, MO_F_UID);
    struct passwd *pw = *uid ? getpwuid((uid_t)strtoul(uid, NULL, 10)) : NULL;

    time_row(c, "Sent", value(r, MO_F_TIME));
    if (*uid) {
        printf("%s%-12s%s %s", cli_bold(c), "By", cli_plain(c), uid);
        if (pw) {
            printf(" (");
            safe(pw->pw_name);
            printf(")");
        }
        if (*value(r, MO_F_HOST)) {
            printf(" on ");
            safe(value(r, MO_F_HOST));
        }
        if (*value(r, MO_F_PID)) {
            printf(", pid %s", value(r, MO_F_PID));
        }
        putchar('\n');
    }
    row(c, "Program", value(r, MO_F_EXE));
    row(c, "Folder", value(r, MO_F_CWD));
    row(c, "Parents", value(r, MO_F_PARENTS));
    row(c, "From", value(r, MO_F_ENVELOPE_FROM));
    row(c, "Recipients", value(r, MO_F_RECIPIENTS));
    row(c, "To", value(r, MO_F_RECIPIENT_LIST));
    row(c, "Subject", value(r, MO_F_SUBJECT));
    row(c, "Message-ID", value(r, MO_F_MESSAGE_ID));
    if (*value(r, MO_F_ACTION) &&
        strcmp(value(r, MO_F_ACTION), "passed") != 0) {
        row(c, "Action", value(r, MO_F_ACTION));
    }
    row(c, "Reason", value(r, MO_F_REASON));
}

/* Its line is written when it ends. */
static int is_still_on(const struct cli_want *w)
{
    return w->match == MATCH_NONE && w->id && now_has(w->id);
}

static const char *match_words(const struct cli_want *w)
{
    switch (w->match) {
    case MATCH_EXACT:
        return "the line that carries the request's id";
    case MATCH_UNIQUE:
        return "the only line of that second, client and request";
    case MATCH_AMBIGUOUS:
        return w->nhits > 1 ? "ambiguous: it is one of these equal lines"
                            : "ambiguous: it may be this line, which shows too "
                              "little of the request";
    case MATCH_NONE:
        break;
    }
    return is_still_on(w) ? "none yet: the request is still in progress "
                            "(mailorigin now)"
                          : "no line of that request was found";
}

static void access_lines(const struct cli *c, const struct cli_want *w)
{
    const struct cli_hit *h;
    const char *file = "";

    if (w->time_us == 0) {
        return;
    }
    printf("%s%-12s%s %s\n", cli_bold(c), "access_log", cli_plain(c),
           match_words(w));
    for (h = w->hits; h; h = h->next) {
        if (strcmp(h->file, file) != 0) {
            file = h->file;
            printf("  ");
            safe(file);
            printf(":\n");
        }
        printf("  ");
        safe(h->line);
        putchar('\n');
    }
    if (w->nhits > CLI_HITS) {
        printf("  and %u more\n", w->nhits - CLI_HITS);
    }
}

void trace_text(struct cli *c, const struct cli_case *k,
                const struct cli_want *w, int again)
{
    const struct mo_record *r = &k->shown;
    const char *verdict = value(r, MO_F_VERDICT), *words;
    char why[1024];
    int v = mo_verdict_find(verdict);

    if (again) {
        printf("\n");
    }
    printf("%s%-12s%s ", cli_bold(c), "Mail", cli_plain(c));
    safe(value(r, MO_F_ID));
    printf(" (");
    safe(k->source);
    if (k->where) {
        printf(", %s", k->where);
    }
    printf(")\n");
    if (k->has_stamp) {
        words = stamp_words(k->stamp.state);
        if (k->stamp.state != STAMP_OPEN) {
            printf("%s%-12s%s %s%s%s\n", cli_bold(c), "Stamp", cli_plain(c),
                   cli_red(c), words, cli_plain(c));
        }
        else {
            row(c, "Stamp", words);
        }
    }
    if (cases_replay(k, why, sizeof(why))) {
        printf("%s%-12s possible replay: %s", cli_red(c), "Warning",
               cli_plain(c));
        safe(why);
        printf("\n%-12s the stamp may have been copied from the mail below\n",
               "");
    }
    words = v ? mo_verdict_words(v) : "";
    printf("%s%-12s%s ", cli_bold(c), "Verdict", cli_plain(c));
    safe(*verdict ? verdict : "unknown");
    printf("%s%s\n", *words ? ": " : "", words);
    if (*value(r, MO_F_EVIDENCE)) {
        printf("%s%-12s%s ", cli_bold(c), "Evidence", cli_plain(c));
        safe(value(r, MO_F_EVIDENCE));
        if (*value(r, MO_F_STATE)) {
            printf(", the token's request was %s",
                   strcmp(value(r, MO_F_STATE), "in_progress") == 0
                       ? "in progress"
                   : strcmp(value(r, MO_F_STATE), "late") == 0
                       ? "over when it was sent"
                       : "long over when it was sent");
        }
        putchar('\n');
    }
    request(c, r);
    row(c, "Candidates", value(r, MO_F_CANDIDATES));
    if (*value(r, MO_F_CLAIMED_VHOST) || *value(r, MO_F_CLAIMED_URI) ||
        *value(r, MO_F_CLAIMED_ID)) {
        printf("%s%-12s%s ", cli_bold(c), "Its token", cli_plain(c));
        safe(value(r, MO_F_CLAIMED_VHOST));
        putchar(' ');
        safe(value(r, MO_F_CLAIMED_URI));
        putchar(' ');
        safe(value(r, MO_F_CLAIMED_SCRIPT));
        putchar(' ');
        safe(value(r, MO_F_CLAIMED_ID));
        printf(" (claimed, not believed)\n");
    }
    sender(c, r);
    if (r->value[MO_F_TRUNCATED]) {
        row(c, "Note", "long values were cut (... stands in their middle)");
    }
    if (k->nrecords > 1) {
        printf("%s%-12s%s the request sent %lu mails, this is the first: "
               "mailorigin log --request-id ",
               cli_bold(c), "Note", cli_plain(c), k->nrecords);
        cli_print_quoted(stdout, value(r, MO_F_REQUEST_ID));
        putchar('\n');
    }
    if (!k->has_record) {
        row(c, "Note",
            "the mail log has no record of it; the stamp alone "
            "says this");
    }
    access_lines(c, w);
    commands(r);
}

void trace_searched(struct cli *c, const struct cli_found *found)
{
    size_t i;

    if (found->nnotes == 0) {
        return;
    }
    printf("\n%sSearched%s:\n", cli_bold(c), cli_plain(c));
    for (i = 0; i < found->nnotes; i++) {
        printf("  ");
        safe(found->note[i].text);
        putchar('\n');
    }
}

void trace_json(const struct cli_case *k, const struct cli_want *w)
{
    static const char *const state[] = {"none",   "authentic", "token",
                                        "no_key", "forged",    "malformed"};
    const struct cli_hit *h;
    char why[1024];
    int first = 1;

    putchar('{');
    cli_json_record(stdout, &first, &k->shown);
    cli_json_str(stdout, &first, "source", k->source);
    cli_json_str(stdout, &first, "where", k->where);
    cli_json_str(stdout, &first, "stamp",
                 k->has_stamp ? state[k->stamp.state] : "");
    cli_json_str(stdout, &first, "recorded", k->has_record ? "yes" : "no");
    if (k->nrecords > 1) {
        cli_json_num(stdout, &first, "mails", k->nrecords);
    }
    cases_replay(k, why, sizeof(why));
    cli_json_str(stdout, &first, "replay", why);
    cli_json_str(stdout, &first, "access_match", cli_match_name(w->match));
    cli_json_str(stdout, &first, "in_progress", is_still_on(w) ? "yes" : "");
    printf(",\"access_lines\":[");
    for (h = w->hits; h; h = h->next) {
        fputs(h == w->hits ? "" : ",", stdout);
        cli_json_text(stdout, h->line);
    }
    printf("]}\n");
}

/* ---- the report */

struct count {
    const struct mo_record *r;
    unsigned long n;
    char first[40], last[40];
};

static int count(void *arg, struct mo_record *r)
{
    struct count *k = arg;
    const char *t = value(r, MO_F_TIME), *script = value(k->r, MO_F_SCRIPT);

    if (strcmp(value(r, MO_F_VHOST), value(k->r, MO_F_VHOST)) != 0 ||
        strcmp(value(r, MO_F_SCRIPT), script) != 0 || *script == '\0') {
        return 0;
    }
    if (k->n++ == 0) {
        snprintf(k->first, sizeof(k->first), "%s", t);
    }
    snprintf(k->last, sizeof(k->last), "%s", t);
    return 0;
}

/* A believed verdict names the site; any other might name a neighbour. */
static int is_sure(const struct mo_record *r)
{
    int v = mo_verdict_find(value(r, MO_F_VERDICT));

    return v == MO_V_VERIFIED || v == MO_V_CONFLICT;
}

int trace_report(struct cli *c, const struct cli_case *k,
                 const struct cli_want *w)
{
    const struct mo_record *r = &k->shown;
    struct count n = {.r = r};
    char why[1024];
    int rc = 0;

    if (cases_replay(k, why, sizeof(why))) {
        mo_warn("%s: possible replay: %s; the site may not have sent it, so "
                "there is no report",
                k->source, why);
        return -1;
    }
    if (!is_sure(r) || !*value(r, MO_F_VHOST)) {
        mo_warn("%s: verdict %s: the origin is not sure enough for a report; "
                "mailorigin trace without --report shows what is known",
                k->source,
                *value(r, MO_F_VERDICT) ? value(r, MO_F_VERDICT) : "unknown");
        return -1;
    }
    if (*value(r, MO_F_SCRIPT)) {
        rc = cli_records(c, count, &n, NULL);
    }
    printf("Subject: Mail sent by a script of ");
    safe(value(r, MO_F_VHOST));
    printf("\n\nA script of your web site ");
    safe(value(r, MO_F_VHOST));
    printf(" sent mail that was not wanted.\n\n");
    row(c, "Script", value(r, MO_F_SCRIPT));
    if (*value(r, MO_F_URI)) {
        printf("%-12s ", "Request");
        safe(value(r, MO_F_METHOD));
        putchar(' ');
        safe(value(r, MO_F_URI));
        putchar('\n');
    }
    row(c, "Client", value(r, MO_F_CLIENT));
    time_row(c, "Requested", value(r, MO_F_REQUEST_TIME));
    time_row(c, "Mail sent", value(r, MO_F_TIME));
    row(c, "Mail id", value(r, MO_F_ID));
    row(c, "Sender", value(r, MO_F_ENVELOPE_FROM));
    row(c, "Recipients", value(r, MO_F_RECIPIENTS));
    if (w->match == MATCH_EXACT || w->match == MATCH_UNIQUE) {
        printf("\nIts line in the web server's log:\n  ");
        safe(w->hits->line);
        putchar('\n');
    }
    if (n.n > 1) {
        printf("\nIn all this script sent %lu mails, the first at ", n.n);
        print_time(n.first);
        printf(", the last at ");
        print_time(n.last);
        printf(".\n");
    }
    printf("\nEither the script was put there or changed by someone else, or "
           "it can be\nmisused by anyone who visits it. Please\n"
           "- look at the script, and at other files that changed at the same "
           "time;\n"
           "- remove what is not yours, and bring the site's software up to "
           "date;\n"
           "- change the passwords of the site, of FTP and of the database.\n");
    return rc;
}
