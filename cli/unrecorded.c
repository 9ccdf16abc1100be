/*
 * log --unrecorded: which mail came without us.
 *
 * A record and a line of the MTA's log are of one mail where both have the
 * same Message-ID.  Where the script gave none the MTA makes one, of the queue
 * id: then they must be of the same uid, and the line not before the record,
 * nor more than WINDOW after.  Each record is for one mail, so that a mail sent
 * past us is not covered by one sent through us: of n + 1 mails and n records
 * one is shown, though it may be another's.
 *
 * SMTP from this host has no record ever.  Where its Message-ID is one that
 * the log had already, a filter or Sendmail's own client handed that mail on.
 */
#include "unrecorded.h"
#include "maillog.h"
#include "records.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uthash.h>

#include "mo_msg.h"

#define SECOND 1000000ull
#define WINDOW (120 * SECOND)
/* clocks of a syslog elsewhere */
#define EARLY (2 * SECOND)

struct sent { /* a record */
    uint64_t us;
    long uid;
    char *message_id; /* "": none */
    int used;
    struct sent *next; /* with the same Message-ID */
    UT_hash_handle hh;
};
struct mail { /* of the MTA's log */
    uint64_t us;
    struct taken t;
    long uid; /* -1: not known */
    int recorded;
    int handed_on; /* its Message-ID was in the log before */
    UT_hash_handle hh; /* by queue id */
    UT_hash_handle by_id; /* by Message-ID */
};
struct found {
    struct cli *c;
    struct sent **sent;
    size_t nsent, capsent;
    struct sent *ids; /* by Message-ID */
    struct mail **mail;
    size_t nmail, capmail;
    struct mail *queue; /* the newest of each queue id */
    struct mail *seen; /* the first of each Message-ID */
};

static void *must(void *p)
{
    if (p == NULL)
        mo_fatal(CLI_TROUBLE, "out of memory");
    return p;
}

/* ---- the records */

static int add_sent(void *arg, struct mo_record *r)
{
    struct found *f = arg;
    const char *action = r->value[MO_F_ACTION], *uid = r->value[MO_F_UID];
    const char *id = r->value[MO_F_MESSAGE_ID];
    struct sent *s, *head;
    size_t n;

    if (action != NULL && strcmp(action, "passed") != 0)
        return 0;
    s = must(calloc(1, sizeof *s));
    s->us = cli_record_time(r);
    s->uid = uid != NULL ? strtol(uid, NULL, 10) : -1;
    if (id == NULL)
        id = "";
    id += strspn(id, " \t<");
    n = strcspn(id, "> \t");
    s->message_id = must(strndup(id, n));
    f->sent = cli_grown(f->sent, f->nsent, &f->capsent, sizeof *f->sent);
    f->sent[f->nsent++] = s;
    if (n == 0)
        return 0;
    HASH_FIND_STR(f->ids, s->message_id, head);
    if (head != NULL) {
        while (head->next != NULL)
            head = head->next;
        head->next = s;
    }
    else {
        HASH_ADD_KEYPTR(hh, f->ids, s->message_id, n, s);
    }
    return 0;
}

static int by_sent(const void *a, const void *b)
{
    uint64_t x = (*(struct sent *const *)a)->us;
    uint64_t y = (*(struct sent *const *)b)->us;

    return x < y ? -1 : x > y;
}

/* All records of the time, whoever's. */
static int read_records(struct found *f)
{
    struct cli all = *f->c;
    unsigned long bad = 0;

    all.nfilters = 0;
    if (all.since > WINDOW)
        all.since -= WINDOW;
    if (all.until)
        all.until += EARLY;
    if (cli_records(&all, add_sent, f, &bad) != 0)
        return -1;
    if (bad)
        mo_warn("%lu lines of the mail log are no records", bad);
    if (f->nsent)
        qsort(f->sent, f->nsent, sizeof *f->sent, by_sent);
    return 0;
}

/* ---- the MTA's log */

static long uid_of(const char *user)
{
    char *end;
    long uid = strtol(user, &end, 10);
    struct passwd *pw;

    if (*user == '\0')
        return -1;
    if (*end == '\0')
        return uid;
    pw = getpwnam(user);
    return pw != NULL ? (long)pw->pw_uid : -1;
}

static void note_id(struct found *f, struct mail *m)
{
    struct mail *first;

    if (m->t.message_id[0] == '\0')
        return;
    HASH_FIND(by_id, f->seen, m->t.message_id, strlen(m->t.message_id), first);
    if (first == NULL)
        HASH_ADD_KEYPTR(by_id, f->seen, m->t.message_id,
                        strlen(m->t.message_id), m);
    else if (first != m)
        m->handed_on = 1;
}

static void more(struct found *f, const struct taken *t)
{
    struct mail *m;

    HASH_FIND_STR(f->queue, t->queue_id, m);
    if (m == NULL || strcmp(m->t.mta, t->mta) != 0)
        return;
    if (t->message_id[0] && m->t.message_id[0] == '\0') {
        memcpy(m->t.message_id, t->message_id, sizeof t->message_id);
        note_id(f, m);
    }
    if (t->from[0])
        memcpy(m->t.from, t->from, sizeof t->from);
}

/* Is it a bounce of Sendmail's client, "TIME.ID@host", on its way? */
static int is_own(struct found *f, const char *message_id)
{
    char id[sizeof f->queue->t.queue_id];
    const char *p = strchr(message_id, '.');
    struct mail *m;
    size_t n;

    if (p == NULL)
        return 0;
    n = strcspn(++p, "@");
    if (n >= sizeof id)
        return 0;
    memcpy(id, p, n);
    id[n] = '\0';
    HASH_FIND_STR(f->queue, id, m);
    return m != NULL && m->t.kind == TAKEN_OWN;
}

static void add_mail(struct found *f, const struct taken *t, uint64_t us)
{
    struct mail *m = must(calloc(1, sizeof *m)), *old;

    m->t = *t;
    m->us = us;
    m->uid = uid_of(t->user);
    m->recorded = t->kind == TAKEN_OWN;
    m->handed_on = t->from[0] == '\0' && is_own(f, t->message_id);
    f->mail = cli_grown(f->mail, f->nmail, &f->capmail, sizeof *f->mail);
    f->mail[f->nmail++] = m;
    /* Postfix uses a queue id again */
    HASH_FIND_STR(f->queue, m->t.queue_id, old);
    if (old != NULL)
        HASH_DEL(f->queue, old);
    HASH_ADD_STR(f->queue, t.queue_id, m);
    note_id(f, m);
}

static void on_taken(void *arg, const struct taken *t, uint64_t us)
{
    if (t->kind == TAKEN_MORE)
        more(arg, t);
    else
        add_mail(arg, t, us);
}

/* ---- which is whose */

/* by the same Message-ID */
static void match_ids(struct found *f)
{
    for (size_t i = 0; i < f->nmail; i++) {
        struct mail *m = f->mail[i];
        struct sent *s;

        if (m->t.kind != TAKEN_LOCAL || m->t.message_id[0] == '\0')
            continue;
        HASH_FIND_STR(f->ids, m->t.message_id, s);
        while (s != NULL && (s->used || (m->uid >= 0 && s->uid != m->uid)))
            s = s->next;
        if (s != NULL)
            s->used = m->recorded = 1;
    }
}

/* by time and uid */
static void match_times(struct found *f)
{
    size_t from = 0;

    for (size_t i = 0; i < f->nmail; i++) {
        struct mail *m = f->mail[i];
        int made = strstr(m->t.message_id, m->t.queue_id) != NULL;

        if (m->t.kind != TAKEN_LOCAL || m->recorded ||
            (m->t.message_id[0] && !made))
            continue;
        while (from < f->nsent && f->sent[from]->us + WINDOW < m->us)
            from++;
        for (size_t k = from; k < f->nsent; k++) {
            struct sent *s = f->sent[k];

            if (s->us > m->us + SECOND + EARLY)
                break;
            if (!s->used && s->message_id[0] == '\0' && s->uid == m->uid) {
                s->used = m->recorded = 1;
                break;
            }
        }
    }
}

static int by_mail(const void *a, const void *b)
{
    uint64_t x = (*(struct mail *const *)a)->us;
    uint64_t y = (*(struct mail *const *)b)->us;

    return x < y ? -1 : x > y;
}

/* ---- what is shown */

static void print(struct cli *c, const struct mail *m, const char *when,
                  const char *uid)
{
    const char *kind = m->t.kind == TAKEN_LOCAL ? "local" : "smtp";
    time_t t = (time_t)(m->us / SECOND);
    char text[32] = "-";
    struct tm tm;
    int first = 1;

    if (c->json) {
        putchar('{');
        cli_json_str(stdout, &first, "time", when);
        cli_json_str(stdout, &first, "mta", m->t.mta);
        cli_json_str(stdout, &first, "queue_id", m->t.queue_id);
        cli_json_str(stdout, &first, "taken", kind);
        if (m->uid >= 0)
            cli_json_num(stdout, &first, "uid", (uint64_t)m->uid);
        cli_json_str(stdout, &first, "user", m->t.user);
        cli_json_str(stdout, &first, "envelope_from", m->t.from);
        cli_json_str(stdout, &first, "message_id", m->t.message_id);
        puts("}");
        return;
    }
    if (localtime_r(&t, &tm) != NULL)
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%s %s %s %s", text, m->t.mta, m->t.queue_id, kind);
    if (*uid)
        printf(" uid=%s", uid);
    else if (m->t.user[0]) {
        fputs(" user=", stdout);
        cli_print_safe(stdout, m->t.user, strlen(m->t.user));
    }
    fputs(" from=<", stdout);
    cli_print_safe(stdout, m->t.from, strlen(m->t.from));
    fputs("> message-id=<", stdout);
    cli_print_safe(stdout, m->t.message_id, strlen(m->t.message_id));
    puts(">");
}

static unsigned long show(struct found *f)
{
    unsigned long n = 0;

    for (size_t i = 0; i < f->nmail && !ferror(stdout); i++) {
        struct mail *m = f->mail[i];
        char when[40], uid[24] = "";
        struct mo_record r;

        if (m->recorded || (m->t.kind == TAKEN_SMTP && m->handed_on))
            continue;
        if (m->uid >= 0)
            snprintf(uid, sizeof uid, "%ld", m->uid);
        mo_time_format(m->us, when);
        memset(&r, 0, sizeof r);
        r.value[MO_F_TIME] = when;
        r.value[MO_F_UID] = uid;
        r.value[MO_F_ENVELOPE_FROM] = m->t.from;
        r.value[MO_F_MESSAGE_ID] = m->t.message_id;
        if (!cli_match(f->c, &r))
            continue;
        print(f->c, m, when, uid);
        n++;
    }
    return n;
}

int log_unrecorded(struct cli *c, const char *const *maillog, size_t n)
{
    struct found f = {.c = c};
    unsigned long shown = 0;
    int rv = CLI_TROUBLE;

    if (read_records(&f) == 0 &&
        maillog_read(c, maillog, n, on_taken, &f) == 0) {
        if (f.nmail)
            qsort(f.mail, f.nmail, sizeof *f.mail, by_mail);
        match_ids(&f);
        match_times(&f);
        shown = show(&f);
        rv = shown ? CLI_FOUND : CLI_NOTHING;
    }
    HASH_CLEAR(hh, f.ids);
    HASH_CLEAR(hh, f.queue);
    HASH_CLEAR(by_id, f.seen);
    for (size_t i = 0; i < f.nsent; i++) {
        free(f.sent[i]->message_id);
        free(f.sent[i]);
    }
    for (size_t i = 0; i < f.nmail; i++)
        free(f.mail[i]);
    free(f.sent);
    free(f.mail);
    return rv;
}
