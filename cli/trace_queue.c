/*
 * From a queue id to a case.  A queue file holds the stamp itself; the MTA's
 * log holds the Message-ID, and of which mail a notification is.
 */
#include "trace_queue.h"
#include "files.h"
#include "lines.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mo_msg.h"

#define BOUNCES 4 /* of a bounce of a bounce … */

int trace_queue_option(struct trace_queue *q, int which, const char *value)
{
    switch ((enum trace_queue_option)which) {
    case TRACE_Q_ID:
        return pick_option(&q->pick, PICK_ID, value);
    case TRACE_Q_MTA:
        return pick_option(&q->pick, PICK_MTA, value);
    case TRACE_Q_DIR:
        return pick_option(&q->pick, PICK_DIR, value);
    case TRACE_Q_CONFIG:
        return pick_option(&q->pick, PICK_CONFIG, value);
    case TRACE_Q_MAILLOG:
        if (q->nmaillogs == TRACE_MAILLOGS) {
            mo_error("--maillog is given more than %d times", TRACE_MAILLOGS);
            return -1;
        }
        q->maillog[q->nmaillogs++] = value;
        return 0;
    }
    return -1;
}

/* ---- the queue */

struct in_queue {
    struct cli *c;
    struct cli_cases *cs;
    const struct pick_options *o;
    unsigned char found[PICK_IDS];
    unsigned left;
    int rc;
};

static char *text_or_null(const char *s)
{
    return *s ? strdup(s) : NULL;
}

static int take(struct in_queue *s, const struct queue_mail *m)
{
    struct cli_case *k;
    char name[QUEUE_ID_MAX + 64], mid[sizeof(m->message_id)];
    const char *p = m->message_id;
    unsigned i;

    for (i = 0; i < s->o->nids; i++) {
        if (!s->found[i] && strcmp(s->o->id[i], m->id) == 0) {
            break;
        }
    }
    if (i == s->o->nids) {
        return 0;
    }
    s->found[i] = 1;
    snprintf(name, sizeof(name), "queue id %s", m->id);
    if ((k = cases_add(s->cs, name)) == NULL) {
        s->rc = -1;
        return 1;
    }
    k->where = m->bounce ? "a bounce in the queue" : "in the queue";
    if (m->has_stamp) {
        k->has_stamp = 1;
        stamp_open(&s->c->keys, &m->stamp, &k->stamp);
        memcpy(k->id, k->stamp.id, sizeof(k->id));
    }
    if (!m->bounce) {
        p += *p == '<';
        snprintf(mid, sizeof(mid), "%.*s", (int)strcspn(p, "> "), p);
        k->message_id = text_or_null(mid);
        k->return_path = text_or_null(m->sender);
    }
    return --s->left == 0;
}

static int on_mail(void *arg, struct queue_mail *m)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of arg */
    int rc;

    pthread_mutex_lock(&lock);
    rc = take(arg, m);
    pthread_mutex_unlock(&lock);
    return rc;
}

static int is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Is there anything to look into, or shall only the log be asked? */
static int has_queue(const struct cli *c, const struct pick_options *o)
{
    return o->mta || o->ndirs || c->conf.mta != MO_MTA_UNKNOWN ||
           is_dir("/var/spool/postfix/active") ||
           is_dir("/var/spool/exim4/input") ||
           is_dir("/var/spool/exim/input") || is_dir("/var/spool/mqueue");
}

static int from_queue(struct in_queue *s)
{
    struct queue_stats st = {0};
    struct pick_options o = *s->o;
    struct queue q;

    o.nids = 0; /* an id of another form may be in the log of another MTA */
    o.bounces = 1;
    if (pick_queue(s->c, &o, &q) != 0) {
        return -1;
    }
    if (queue_scan(&q, &st, on_mail, s) != 0) {
        mo_warn("queue %s: %s; only the MTA's log can tell", q.dir[0],
                strerror(errno));
        return -1;
    }
    if (st.unreadable) {
        mo_warn("queue %s: %lu files could not be read (%s)", q.dir[0],
                st.unreadable, st.first_bad);
    }
    return s->rc;
}

/* ---- the log */

/* What is between what follows word and one of stop. */
static int after(const char *p, const char *end, const char *word,
                 const char *stop, char *out, size_t size)
{
    const char *q = memmem(p, (size_t)(end - p), word, strlen(word));
    size_t n = 0;

    if (q == NULL) {
        return 0;
    }
    for (q += strlen(word); q < end && strchr(stop, *q) == NULL; q++) {
        if (n + 1 >= size) {
            return 0;
        }
        out[n++] = *q;
    }
    out[n] = '\0';
    return n > 0;
}

static int is_id(char c)
{
    return isalnum((unsigned char)c) || c == '-';
}

static int begins(const char *p, const char *end, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(end - p) >= n && memcmp(p, word, n) == 0;
}

/* The id that ends right before end. */
static int id_before(const char *line, const char *end, char *out, size_t size)
{
    const char *p = end;

    while (p > line && is_id(p[-1])) {
        p--;
    }
    if (p == end || (size_t)(end - p) >= size) {
        return 0;
    }
    memcpy(out, p, (size_t)(end - p));
    out[end - p] = '\0';
    return 1;
}

/* The id is at p: what stands around it? */
static int says(const char *line, const char *p, const char *tag,
                const char *end, char *out, size_t size)
{
    static const char postfix[] = " notification: ";
    static const char *const sendmail[] = {
        ": DSN:", ": return to sender:", ": postmaster notify:",
        ": sender notify:"};
    size_t i, n = sizeof(postfix) - 1;
    const char *old;

    if (begins(tag, end, " <= ")) { /* Exim: "ID <= SENDER … R=OLD … id=MID" */
        if (after(tag, end, " R=", " ", out, size)) {
            return MAILLOG_OF;
        }
        return after(tag, end, " id=", " ", out, size) ? MAILLOG_MID : 0;
    }
    if (begins(tag, end, ": message-id=")) { /* Postfix; <> may be missing */
        return after(tag, end, "-id=<", ">", out, size) ||
                       after(tag, end, "-id=", " ", out, size)
                   ? MAILLOG_MID
                   : 0;
    }
    if (begins(tag, end, ": from=")) { /* Sendmail */
        return after(tag, end, ", msgid=<", ">", out, size) ? MAILLOG_MID : 0;
    }
    /* Postfix: "bounce[1]: OLD: sender non-delivery notification: ID" */
    if (tag == end && (size_t)(p - line) > n &&
        memcmp(p - n, postfix, n) == 0 &&
        (old = memmem(line, (size_t)(p - line), "]: ", 3)) != NULL &&
        after(old, p, "]: ", ":", out, size)) {
        return MAILLOG_OF;
    }
    /* Sendmail: "OLD: ID: DSN: User unknown" */
    for (i = 0; i < sizeof(sendmail) / sizeof(sendmail[0]); i++) {
        if (begins(tag, end, sendmail[i]) && p - line > 2 &&
            memcmp(p - 2, ": ", 2) == 0 && id_before(line, p - 2, out, size)) {
            return MAILLOG_OF;
        }
    }
    return 0;
}

int trace_maillog_line(const char *line, size_t len, const char *id, char *out,
                       size_t size)
{
    const char *p, *end = line + len;
    size_t n = strlen(id);
    int rc;

    for (p = line; (p = memmem(p, (size_t)(end - p), id, n)) != NULL; p++) {
        if ((p > line && is_id(p[-1])) || (p + n < end && is_id(p[n]))) {
            continue;
        }
        if ((rc = says(line, p, p + n, end, out, size)) != 0) {
            return rc;
        }
    }
    return 0;
}

/* One pass over the logs, the newest first; what trace_maillog_line says. */
static int ask(struct cli *c, const struct cli_files *f, const char *id,
               char *out, size_t size)
{
    struct cli_lines *l;
    char text[256];
    unsigned long n = 0;
    uint64_t total = 0, done = 0;
    size_t i, len;
    char *line;
    int said = 0, now;

    for (i = 0; i < f->n; i++) {
        total += f->file[i].size;
    }
    for (i = f->n; i-- > 0 && !said;) {
        if ((l = cli_lines_open(f->file[i].path)) == NULL) {
            mo_warn("%s: %s; going on", f->file[i].path, strerror(errno));
            continue;
        }
        /* a notification has a Message-ID too: what it is of says more, and
         * stands behind that */
        while (said != MAILLOG_OF && (line = cli_lines_next(l, &len)) != NULL) {
            if ((++n & 4095) == 0) {
                cli_progress(c, f->file[i].path, done + cli_lines_pos(l),
                             total);
            }
            now = trace_maillog_line(line, len, id, text, sizeof(text));
            if (now == MAILLOG_OF || (now && !said)) {
                snprintf(out, size, "%s", text);
                said = now;
            }
        }
        done += f->file[i].size;
        if (cli_lines_error(l)) {
            mo_warn("%s: %s; going on", f->file[i].path, cli_lines_error(l));
        }
        cli_lines_close(l);
    }
    cli_progress_end(c);
    return said;
}

static int from_log(struct cli *c, const struct cli_files *f, const char *id,
                    struct cli_cases *cs)
{
    char now[256], out[256], name[QUEUE_ID_MAX + 300];
    struct cli_case *k;
    int i, said = MAILLOG_OF;

    snprintf(now, sizeof(now), "%s", id);
    for (i = 0; i < BOUNCES && said == MAILLOG_OF; i++) {
        if ((said = ask(c, f, now, out, sizeof(out))) == MAILLOG_OF) {
            snprintf(now, sizeof(now), "%s", out);
        }
    }
    if (said != MAILLOG_MID) {
        mo_warn("queue id %s: neither the queue nor the MTA's log knows its "
                "mail (--maillog FILE names a log)",
                id);
        return 0;
    }
    snprintf(name, sizeof(name), "queue id %.*s", QUEUE_ID_MAX, id);
    if ((k = cases_add(cs, name)) == NULL) {
        return -1;
    }
    k->where = i > 1 ? "a notification, by the MTA's log" : "by the MTA's log";
    k->message_id = strdup(out);
    return k->message_id ? 0 : -1;
}

static int find_logs(const struct trace_queue *q, struct cli_files *f)
{
    static const char *const usual[] = {
        "/var/log/mail.log", "/var/log/maillog", "/var/log/exim4/mainlog",
        "/var/log/exim/main.log", "/var/log/syslog"};
    size_t i;
    int rc = 0;

    for (i = 0; i < q->nmaillogs; i++) {
        if (cli_files_rotated(f, q->maillog[i], NULL) <= 0 &&
            cli_files_glob(f, q->maillog[i], NULL) <= 0) {
            mo_error("--maillog %s: %s", q->maillog[i],
                     strerror(errno ? errno : ENOENT));
            rc = -1;
        }
    }
    for (i = 0; !q->nmaillogs && i < sizeof(usual) / sizeof(usual[0]); i++) {
        cli_files_rotated(f, usual[i], NULL);
    }
    cli_files_sort(f);
    return rc;
}

int trace_queue_cases(struct cli *c, struct trace_queue *q,
                      struct cli_cases *cs)
{
    struct in_queue s = {.c = c, .cs = cs, .o = &q->pick};
    struct cli_files f = {0};
    unsigned i;
    int rc = 0;

    if (q->pick.nids == 0) {
        return 0;
    }
    for (i = 0; i < q->pick.nids; i++) {
        size_t n = strlen(q->pick.id[i]);

        if (n < 5 || n >= QUEUE_ID_MAX ||
            strspn(q->pick.id[i], "0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz") != n) {
            mo_error("--queue-id '%s' is no queue id of Postfix, Exim or "
                     "Sendmail: letters, digits and '-'",
                     q->pick.id[i]);
            return -1;
        }
    }
    s.left = q->pick.nids;
    if (has_queue(c, &q->pick) && from_queue(&s) != 0) {
        rc = -1;
    }
    if (s.left == 0) {
        return rc;
    }
    if (find_logs(q, &f) != 0) {
        rc = -1;
    }
    for (i = 0; i < q->pick.nids; i++) {
        if (!s.found[i] && from_log(c, &f, q->pick.id[i], cs) != 0) {
            rc = -1;
        }
    }
    cli_files_free(&f);
    return rc;
}
