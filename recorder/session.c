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
#define RCPTS_TEXT 4096
#define TEXT 1024

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
    /* a parent that ends meanwhile leaves its child to another */
    for (tries = 0; tries < 3; tries++) {
        rec_chain_read(&r->proc, c, s->pid);
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

struct mail {
    const unsigned char *nonce;
    char sender[TEXT];
    char subject[TEXT];
    char message_id[TEXT];
    char rcpt_list[RCPTS_TEXT];
    uint64_t rcpts;
    uint64_t size;
};

static int parse_mail(struct mail *m, const unsigned char *msg, size_t len,
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

/* What the evidence comes to, with the requests it names decoded. */
struct judged {
    struct rec_verdict v;
    const struct mo_origin *origin; /* NULL: nobody */
    const struct mo_origin *claimed; /* NULL: none */
    struct mo_origin candidate[REC_CANDIDATES];
    unsigned kept;
    struct mo_origin token;
};

/*
 * May the token pick a request?  Not where it stands in the caller's own
 * environment only, and another process of the script's put it there: that
 * is how one lies with a token that was found.  The caller's parent gave it
 * as the web server's worker if it is older than the requests.
 */
static int given(const struct rec_evidence *e, unsigned token)
{
    const struct mo_proc *parent = &e->chain.p[1];
    unsigned i;

    if (e->unpicked)
        return 0;
    if (e->above >> token & 1)
        return 1;
    if (e->chain.n < 2)
        return 0;
    for (i = 0; i < e->n && i < REC_CANDIDATES; i++)
        if (mo_began_after(parent->start, parent->pid, e->cand[i]->start,
                           e->cand[i]->last_pid))
            return 0;
    return 1;
}

static void judge(const struct rec_evidence *e, struct judged *j)
{
    static struct rec_name name[REC_CANDIDATES];
    static struct rec_fact_token token[REC_TOKENS];
    static struct mo_origin scratch;
    struct rec_facts f;
    unsigned i;

    memset(&f, 0, sizeof f);
    f.kind = e->kind;
    f.web = e->web;
    f.worker = e->worker;
    f.sure = e->sure;
    f.n = e->n;
    j->kept = f.kept = e->n < REC_CANDIDATES ? e->n : REC_CANDIDATES;
    for (i = 0; i < f.kept; i++) {
        const struct rec_request *q = e->cand[i];
        struct mo_origin *o = &j->candidate[i];

        name[i].named =
            q->len > 0 && mo_origin_decode(q->origin, q->len, o) == 0;
        if (!name[i].named)
            o->id[0] = '\0';
        snprintf(name[i].id, sizeof name[i].id, "%s", o->id);
        name[i].time_us = name[i].named ? o->time_us : 0;
    }
    for (i = 0; i < e->ntokens; i++) {
        const struct rec_token *t = &e->token[i];

        memset(&token[i], 0, sizeof token[i]);
        if (t->open != MO_OPEN_OK ||
            mo_origin_decode(t->origin, t->len, &scratch) != 0)
            continue;
        token[i].authentic = 1;
        token[i].given = given(e, i);
        token[i].state = t->state;
        token[i].pid = scratch.pid;
        token[i].name.named = 1;
        snprintf(token[i].name.id, sizeof token[i].name.id, "%s", scratch.id);
        token[i].name.time_us = scratch.time_us;
    }
    f.cand = name;
    f.ntokens = e->ntokens;
    f.token = token;
    rec_decide(&f, &j->v);
    j->origin = j->claimed = NULL;
    if (j->v.token >= 0 && (j->v.claimed || j->v.origin == REC_BY_TOKEN)) {
        const struct rec_token *t = &e->token[j->v.token];

        mo_origin_decode(t->origin, t->len, &j->token);
        if (j->v.claimed)
            j->claimed = &j->token;
    }
    if (j->v.origin >= 0)
        j->origin = &j->candidate[j->v.origin];
    else if (j->v.origin == REC_BY_TOKEN)
        j->origin = &j->token;
    /* the nameless are no candidates that a record can list */
    for (i = 0; i < j->kept; i++)
        if (!name[i].named)
            memset(&j->candidate[i], 0, sizeof j->candidate[i]);
}

static void rule(struct rec *r, const struct rec_session *s,
                 const struct judged *j, uint64_t now,
                 struct rec_ruling *ruling)
{
    static struct mo_subject subject[REC_CANDIDATES];
    struct rec_who who;
    unsigned n = 0;
    unsigned i;

    memset(&who, 0, sizeof who);
    who.uid = s->uid;
    if (j->origin != NULL && j->v.verdict != MO_V_CLAIMED) {
        who.counts = 1;
        who.vhost = j->origin->vhost;
        who.script = j->origin->script;
        who.client = j->origin->client;
    }
    memset(subject, 0, sizeof subject);
    if (j->origin == NULL && j->v.verdict == MO_V_AMBIGUOUS)
        n = j->kept;
    for (i = 0; i < n || i == 0; i++) {
        const struct mo_origin *o = n > 0 ? &j->candidate[i] : j->origin;

        subject[i].uid = s->uid;
        if (o == NULL)
            continue;
        subject[i].vhost = o->vhost;
        subject[i].script = o->script;
        subject[i].uri = o->uri;
        subject[i].client = o->client;
    }
    rec_policy_rule(&r->policy, &r->conf, &who, subject, n > 0 ? n : 1, now,
                    ruling);
}

static const char *const kinds[] = {"none", "ancestry", "connection", "token"};
static const char *const states[] = {"", "in_progress", "late", "old"};
static const char *const actions[] = {"", "passed", "refused", "limited",
                                      "held"};

/* "vhost uri script id; …" */
static void list_candidates(const struct judged *j, unsigned n, char *out,
                            size_t size)
{
    size_t len = 0;
    unsigned i;

    out[0] = '\0';
    for (i = 0; i < j->kept; i++) {
        const struct mo_origin *o = &j->candidate[i];
        int k;

        if (o->id[0] == '\0')
            k = snprintf(out + len, size - len, "%s(not recorded)",
                         i > 0 ? "; " : "");
        else
            k = snprintf(out + len, size - len, "%s%s %s %s %s",
                         i > 0 ? "; " : "", o->vhost, o->uri, o->script, o->id);
        if (k < 0 || (size_t)k >= size - len) {
            out[len] = '\0';
            break;
        }
        len += (size_t)k;
    }
    if (i < n)
        snprintf(out + len, size - len, "; and %u more", n - i);
}

static size_t record(struct rec *r, const struct rec_session *s,
                     const struct mail *m, const struct judged *j,
                     const char *id, uint64_t now,
                     const struct rec_ruling *ruling, char *line)
{
    static char parents[1500];
    static char candidates[4096];
    char time[32], request_time[32], uid[12], gid[12], pid[12];
    char rcpts[24], size[24], hash[2 * (MO_KEYID_LEN + MO_HASH_LEN) + 2];
    char reason[512];
    struct mo_record rec;
    const struct mo_origin *o = j->origin;
    unsigned bits = o != NULL ? o->record : 0;
    int i;

    memset(&rec, 0, sizeof rec);
    mo_time_format(now, time);
    rec.value[MO_F_TIME] = time;
    rec.value[MO_F_ID] = id;
    rec.value[MO_F_HOST] = r->host;
    rec.value[MO_F_VERDICT] = mo_verdict_name(j->v.verdict);
    rec.value[MO_F_EVIDENCE] = kinds[j->v.evidence];
    rec.value[MO_F_STATE] = states[j->v.state];
    rec.value[MO_F_ACTION] = actions[ruling->action];
    snprintf(reason, sizeof reason, "%s%s%s", ruling->reason,
             ruling->reason[0] != '\0' && j->v.reason != NULL ? "; " : "",
             j->v.reason != NULL ? j->v.reason : "");
    rec.value[MO_F_REASON] = reason;
    if (o != NULL) {
        rec.value[MO_F_REQUEST_ID] = o->id;
        mo_time_format(o->time_us, request_time);
        rec.value[MO_F_REQUEST_TIME] = request_time;
        if (o->has_hash) {
            char *h = hash;

            for (i = 0; i < MO_KEYID_LEN; i++)
                h += sprintf(h, "%02x", o->keyid[i]);
            *h++ = ':';
            for (i = 0; i < MO_HASH_LEN; i++)
                h += sprintf(h, "%02x", o->hash[i]);
            rec.value[MO_F_REQUEST_HASH] = hash;
        }
        rec.value[MO_F_CLIENT] = o->client;
        rec.value[MO_F_VHOST] = o->vhost;
        rec.value[MO_F_METHOD] = o->method;
        rec.value[MO_F_URI] = o->uri;
        rec.value[MO_F_QUERY] = bits & MO_RECORD_QUERY ? o->query : NULL;
        rec.value[MO_F_SCRIPT] = o->script;
        rec.value[MO_F_HANDLER] = o->handler;
        rec.value[MO_F_USER] = o->user;
    }
    snprintf(uid, sizeof uid, "%u", s->uid);
    snprintf(gid, sizeof gid, "%u", s->gid);
    snprintf(pid, sizeof pid, "%d", (int)s->pid);
    rec.value[MO_F_UID] = uid;
    rec.value[MO_F_GID] = gid;
    rec.value[MO_F_PID] = pid;
    rec.value[MO_F_EXE] = s->exe;
    rec.value[MO_F_CWD] = s->cwd;
    rec_chain_parents(&s->ev->chain, parents, sizeof parents);
    rec.value[MO_F_PARENTS] = parents;
    rec.value[MO_F_MODE] = s->mode;
    rec.value[MO_F_ENVELOPE_FROM] = m->sender;
    if (m->rcpts > 0) {
        snprintf(rcpts, sizeof rcpts, "%llu", (unsigned long long)m->rcpts);
        rec.value[MO_F_RECIPIENTS] = rcpts;
    }
    if (bits & MO_RECORD_RECIPIENTS)
        rec.value[MO_F_RECIPIENT_LIST] = m->rcpt_list;
    if (bits & MO_RECORD_SUBJECT)
        rec.value[MO_F_SUBJECT] = m->subject;
    rec.value[MO_F_MESSAGE_ID] = m->message_id;
    if (m->size > 0) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)m->size);
        rec.value[MO_F_SIZE] = size;
    }
    if (j->v.verdict == MO_V_AMBIGUOUS) {
        list_candidates(j, s->ev->n, candidates, sizeof candidates);
        rec.value[MO_F_CANDIDATES] = candidates;
    }
    if (j->claimed != NULL) {
        rec.value[MO_F_CLAIMED_VHOST] = j->claimed->vhost;
        rec.value[MO_F_CLAIMED_URI] = j->claimed->uri;
        rec.value[MO_F_CLAIMED_SCRIPT] = j->claimed->script;
        rec.value[MO_F_CLAIMED_ID] = j->claimed->id;
    }
    return mo_record_format(&rec, line, MO_RECORD_LINE);
}

static void alerts(struct rec *r, const struct rec_session *s,
                   const struct judged *j, uint64_t now, const char *line,
                   size_t len)
{
    struct rec_who who;
    char buf[16];
    unsigned i;

    memset(&who, 0, sizeof who);
    who.uid = s->uid;
    if (j->origin != NULL && j->v.verdict != MO_V_CLAIMED) {
        who.counts = 1;
        who.vhost = j->origin->vhost;
        who.script = j->origin->script;
        who.client = j->origin->client;
    }
    for (i = 0; i < r->conf.nalerts && i < MO_CONF_RULES; i++) {
        const struct mo_alert *a = &r->conf.alert[i];
        const char *key = rec_who_key(&who, a->by, buf);

        if (key != NULL &&
            rec_rate_wave(&r->policy.alert[i], a->n, a->period, key, now))
            rec_alert_run(&r->alerts, a->program, line, len);
    }
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

static int mail(struct rec *r, struct rec_session *s, const unsigned char *msg,
                size_t len, size_t pos)
{
    static struct mail m;
    static struct judged j;
    static char line[MO_RECORD_LINE + 1];
    static char header[REC_SEEN_SIZE - 320];
    struct rec_seen_entry *seen;
    struct rec_ruling ruling;
    char id[17];
    uint64_t now = now_us();
    size_t header_len;
    size_t n;

    if (!s->hello || parse_mail(&m, msg, len, pos) != 0)
        return -1;
    seen = rec_seen_find(r->seen, s->uid, m.nonce);
    if (seen != NULL) {
        int rc = answer_again(r, s, seen);

        if (rc <= 0)
            return rc;
    }
    judge(s->ev, &j);
    rule(r, s, &j, now, &ruling);
    if (seen != NULL)
        memcpy(id, seen->id, sizeof id);
    else
        mo_random_id(id);
    header_len =
        rec_stamp(&r->conf, &r->keys, r->host, j.origin, j.v.verdict, id, now,
                  s->uid, ruling.action == MO_HELD, header, sizeof header);
    n = record(r, s, &m, &j, id, now, &ruling, line);
    if (seen == NULL)
        seen = rec_seen_add(r->seen, s->uid, m.nonce);
    if (seen != NULL) {
        memcpy(seen->id, id, sizeof id);
        seen->action = (uint32_t)ruling.action;
        snprintf(seen->reason, sizeof seen->reason, "%s", ruling.reason);
        memcpy(seen->header, header, header_len);
        seen->header_len = (uint32_t)header_len;
        seen->when = now;
        __atomic_store_n(&seen->state, 1, __ATOMIC_RELEASE);
    }
    rec_log_write(&r->log, line, n);
    if (seen != NULL)
        __atomic_store_n(&seen->state, 2, __ATOMIC_RELEASE);
    if (r->conf.nalerts > 0)
        alerts(r, s, &j, now, line, n);
    return answer(s, ruling.action, ruling.reason, id, header, header_len);
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
