/*
 * One client's messages.  HELLO: evidence is taken there and then, while the
 * script is still there.  MAIL: verdict, policy, record, stamp, answer; in
 * that order, so that no mail leaves before its record.
 */
#include "rec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define FDS_MAX 1024 /* of one client: more are not looked at */
#define PATH_TEXT 1024 /* of exe and cwd that is kept */

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* a field as a string, cut to fit; NUL bytes become '?' */
static void text_of(const struct mo_tlv *f, char *out, size_t size)
{
    size_t n = f->len < size ? f->len : size - 1;
    size_t i;

    memcpy(out, f->data, n);
    for (i = 0; i < n; i++)
        if (out[i] == '\0')
            out[i] = '?';
    out[n] = '\0';
}

static char *kept(const struct mo_tlv *f)
{
    size_t n = f->len < PATH_TEXT ? f->len : PATH_TEXT;
    char *s = malloc(n + 1);

    if (s != NULL)
        text_of(f, s, n + 1);
    return s;
}

void rec_session_clear(struct rec_session *s)
{
    rec_evidence_free(s->ev);
    free(s->exe);
    free(s->cwd);
    s->ev = NULL;
    s->exe = s->cwd = NULL;
}

/* ---- HELLO */

/* Has the process that connected ended?  Then its pid may be another's. */
static int connector_gone(const struct rec_session *s, int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    if (pidfd < 0) { /* an older kernel: at least nobody hung up */
        p.fd = s->source.fd;
        p.events = 0;
    }
    return poll(&p, 1, 0) != 0;
}

static void read_chain(struct rec *r, struct rec_session *s)
{
    struct rec_chain *c = &s->ev->chain;
    socklen_t len = sizeof(int);
    int pidfd = -1;
    int tries;

    if (getsockopt(s->source.fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) != 0)
        pidfd = -1;
    /* a parent that ends meanwhile leaves its child to another: what was read
     * before does not tell */
    for (tries = 0; tries < 3; tries++) {
        rec_chain_read(&r->proc, c, s->pid, tries > 0);
        if (!c->gone)
            break;
    }
    if (connector_gone(s, pidfd)) {
        c->n = 0;
        c->gone = 1;
    }
    if (pidfd >= 0)
        close(pidfd);
}

static void sockets(struct rec *r, struct rec_session *s, const int *fds,
                    unsigned nfds)
{
    unsigned i;

    for (i = 0; i < nfds && s->fds < FDS_MAX; i++, s->fds++)
        rec_evidence_connection(r, s->ev, fds[i]);
}

static int hello(struct rec *r, struct rec_session *s, const unsigned char *msg,
                 size_t len, size_t pos, const int *fds, unsigned nfds)
{
    static const char *const modes[] = {"t", "args", "bs", "other"};
    struct mo_tlv f;
    unsigned i;
    int rc;

    if (s->hello)
        return -1;
    s->hello = 1;
    s->ev = rec_evidence_new();
    if (s->ev == NULL)
        return -1;
    rec_boards_refresh(r);
    read_chain(r, s);
    if (s->ev->chain.n > 0)
        rec_evidence_ancestry(r, s->ev);
    sockets(r, s, fds, nfds);
    while ((rc = mo_tlv_next(msg, len, &pos, &f)) == 1) {
        switch (f.tag) {
        case MO_W_MODE:
            for (i = 0; i < 4; i++)
                if (f.len == strlen(modes[i]) &&
                    memcmp(f.data, modes[i], f.len) == 0)
                    snprintf(s->mode, sizeof s->mode, "%s", modes[i]);
            break;
        case MO_W_TOKEN:
            rec_evidence_token(r, s->ev, (const char *)f.data, f.len);
            break;
        case MO_W_ABOVE:
            if (mo_tlv_num(&f, &s->ev->above) != 0)
                return -1;
            break;
        case MO_W_EXE:
            if (s->exe == NULL)
                s->exe = kept(&f);
            break;
        case MO_W_CWD:
            if (s->cwd == NULL)
                s->cwd = kept(&f);
            break;
        default:
            break; /* a newer wrapper's */
        }
    }
    return rc;
}

/* ---- MAIL */

static int parse_mail(struct rec_mail *m, const unsigned char *msg, size_t len,
                      size_t pos)
{
    struct mo_tlv f;
    size_t n = 0;
    int rc;

    m->nonce = NULL;
    m->sender[0] = m->subject[0] = m->message_id[0] = m->rcpt_list[0] = '\0';
    m->rcpts = m->size = 0;
    while ((rc = mo_tlv_next(msg, len, &pos, &f)) == 1) {
        switch (f.tag) {
        case MO_W_NONCE:
            if (f.len != MO_NONCE_LEN)
                return -1;
            m->nonce = f.data;
            break;
        case MO_W_SENDER:
            text_of(&f, m->sender, sizeof m->sender);
            break;
        case MO_W_SUBJECT:
            text_of(&f, m->subject, sizeof m->subject);
            break;
        case MO_W_MESSAGE_ID:
            text_of(&f, m->message_id, sizeof m->message_id);
            break;
        case MO_W_RCPT:
            if (n + f.len + 3 > sizeof m->rcpt_list)
                break;
            if (n > 0) {
                memcpy(m->rcpt_list + n, ", ", 2);
                n += 2;
            }
            text_of(&f, m->rcpt_list + n, sizeof m->rcpt_list - n);
            n += strlen(m->rcpt_list + n);
            break;
        case MO_W_RCPTS:
            if (mo_tlv_num(&f, &m->rcpts) != 0)
                return -1;
            break;
        case MO_W_SIZE:
            if (mo_tlv_num(&f, &m->size) != 0)
                return -1;
            break;
        default:
            break;
        }
    }
    return rc == 0 && m->nonce != NULL ? 0 : -1;
}

static int answer(struct rec_session *s, enum mo_action action,
                  const char *reason, const char *id, const char *header,
                  size_t header_len)
{
    unsigned char buf[8192];
    struct mo_tlv_out out;

    mo_wire_start(&out, buf, sizeof buf, MO_W_VERDICT);
    mo_tlv_put_num(&out, MO_W_ACTION, (uint64_t)action);
    mo_tlv_put_str(&out, MO_W_REASON, reason);
    if (header_len > 0)
        mo_tlv_put(&out, MO_W_HEADER, header, header_len);
    mo_tlv_put_str(&out, MO_W_ID, id);
    if (out.overflow ||
        send(s->source.fd, buf, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -1;
    return 0;
}

/* An answer that was under way when we ended: is its record written? */
static int answer_again(struct rec *r, struct rec_session *s,
                        struct rec_seen_entry *e)
{
    if (e->state == 1 && rec_log_has(&r->log, e->id))
        e->state = 2;
    if (e->state != 2)
        return 1;
    return answer(s, (enum mo_action)e->action, e->reason, e->id, e->header,
                  e->header_len);
}

static void alerts(struct rec *r, const struct rec_session *s,
                   const struct rec_judged *j, uint64_t now, const char *line,
                   size_t len)
{
    struct rec_who who;
    char buf[16];
    unsigned i;

    rec_who_of(s, j, &who);
    for (i = 0; i < r->conf.nalerts && i < MO_CONF_RULES; i++) {
        const struct mo_alert *a = &r->conf.alert[i];
        const char *key = rec_who_key(&who, a->by, buf);

        if (key != NULL &&
            rec_rate_wave(&r->policy.alert[i], a->n, a->period, key, now))
            rec_alert_run(&r->alerts, a->program, line, len);
    }
}

/*
 * Writes the record.  Where it can't be written, the mail is one without the
 * recorder, for which the conf says what to do: it goes with a line in
 * syslog, or does not go now.
 */
static void keep_record(struct rec *r, const struct rec_session *s,
                        const struct rec_mail *m, const struct rec_judged *j,
                        const char *id, const char *line, size_t len,
                        struct rec_ruling *ruling)
{
    int refuse = r->conf.on_failure == MO_FAIL_REFUSE;
    const char *why;

    if (rec_log_write(&r->log, line, len, refuse) == 0)
        return;
    why = strerror(errno);
    if (refuse && (ruling->action == MO_PASSED || ruling->action == MO_HELD)) {
        ruling->action = MO_LIMITED;
        snprintf(ruling->reason, sizeof ruling->reason,
                 "the mail log can't be written (%s), and on-failure is refuse",
                 why);
    }
    rec_unrecorded(s, m, j, id, ruling->action, why);
}

static int mail(struct rec *r, struct rec_session *s, const unsigned char *msg,
                size_t len, size_t pos)
{
    static struct rec_mail m;
    static struct rec_judged j;
    static char line[MO_RECORD_LINE + 1];
    static char header[REC_SEEN_SIZE - 320];
    struct rec_seen_entry *seen;
    struct rec_ruling ruling;
    char id[17];
    uint64_t now = now_us();
    size_t header_len;
    size_t n;
    int rc;

    if (!s->hello || parse_mail(&m, msg, len, pos) != 0)
        return -1;
    seen = rec_seen_find(r->seen, s->uid, m.nonce);
    if (seen != NULL) {
        rc = answer_again(r, s, seen);
        if (rc <= 0)
            return rc;
    }
    rec_judge(s->ev, &j);
    rec_rule(r, s, &j, now, &ruling);
    if (seen != NULL)
        memcpy(id, seen->id, sizeof id);
    else
        mo_random_id(id);
    header_len =
        rec_stamp(&r->conf, &r->keys, r->host, j.origin, j.v.verdict, id, now,
                  s->uid, ruling.action == MO_HELD, header, sizeof header);
    n = rec_record(r, s, &m, &j, id, now, &ruling, line);
    if (seen == NULL)
        seen = rec_seen_add(r->seen, s->uid, m.nonce);
    if (seen != NULL) {
        memcpy(seen->id, id, sizeof id);
        memcpy(seen->header, header, header_len);
        seen->header_len = (uint32_t)header_len;
        seen->when = now;
        __atomic_store_n(&seen->state, 1, __ATOMIC_RELEASE);
    }
    keep_record(r, s, &m, &j, id, line, n, &ruling);
    if (seen != NULL) {
        seen->action = (uint32_t)ruling.action;
        snprintf(seen->reason, sizeof seen->reason, "%s", ruling.reason);
        __atomic_store_n(&seen->state, 2, __ATOMIC_RELEASE);
    }
    rc = answer(s, ruling.action, ruling.reason, id, header, header_len);
    if (r->conf.nalerts > 0)
        alerts(r, s, &j, now, line, n); /* no mail waits for a program */
    return rc;
}

/* ---- the rest */

static int reply(struct rec_session *s, enum mo_wire_type type,
                 const char *text, unsigned status)
{
    static unsigned char buf[MO_WIRE_MAX];
    struct mo_tlv_out out;

    mo_wire_start(&out, buf, sizeof buf, type);
    mo_tlv_put_str(&out, MO_W_TEXT, text);
    mo_tlv_put_num(&out, MO_W_STATUS, status);
    return send(s->source.fd, buf, out.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0
               ? -1
               : 0;
}

#define WORDS 16
static int admin(struct rec *r, struct rec_session *s, const unsigned char *msg,
                 size_t len, size_t pos)
{
    static char words[WORDS][MO_BLOCK_LINE / 2];
    static char text[MO_WIRE_MAX - 64];
    char *word[WORDS];
    struct mo_tlv f;
    unsigned n = 0;
    unsigned status;
    int rc;

    if (s->uid != 0 && s->uid != geteuid())
        return reply(s, MO_W_REPLY,
                     "only root may do that, by the kernel's word\n", 3);
    while ((rc = mo_tlv_next(msg, len, &pos, &f)) == 1) {
        if (f.tag != MO_W_TEXT)
            continue;
        if (n == WORDS)
            return -1;
        text_of(&f, words[n], sizeof words[n]);
        word[n] = words[n];
        n++;
    }
    if (rc != 0)
        return -1;
    status = rec_blocks_admin(&r->policy, MO_BLOCKS_PATH, word, n,
                              (int64_t)(now_us() / 1000000), text, sizeof text);
    return reply(s, MO_W_REPLY, text, status);
}

int rec_session_message(struct rec *r, struct rec_session *s,
                        const unsigned char *msg, size_t len, const int *fds,
                        unsigned nfds)
{
    size_t pos;

    switch (mo_wire_type(msg, len, &pos)) {
    case MO_W_HELLO:
        return hello(r, s, msg, len, pos, fds, nfds);
    case MO_W_MORE:
        if (!s->hello)
            return -1;
        sockets(r, s, fds, nfds);
        return 0;
    case MO_W_MAIL:
        return mail(r, s, msg, len, pos);
    case MO_W_PING:
        return reply(s, MO_W_PONG, MO_VERSION, 0);
    case MO_W_ADMIN:
        return admin(r, s, msg, len, pos);
    default:
        return -1;
    }
}
