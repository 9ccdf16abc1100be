/*
 * The record of a mail: a line of the mail log, or where that can't be
 * written, of syslog.
 */
#include "rec.h"

#include <stdio.h>
#include <string.h>

#include "mo_msg.h"

static const char *const kinds[] = {"none", "ancestry", "connection", "token"};
static const char *const states[] = {"", "in_progress", "late", "old"};
static const char *const actions[] = {"", "passed", "refused", "limited",
                                      "held"};

/* "vhost uri script id; …" */
static void list_candidates(const struct rec_judged *j, unsigned n, char *out,
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

static char *put_hex(char *to, const unsigned char *from, size_t n)
{
    static const char digit[] = "0123456789abcdef";

    for (; n > 0; n--, from++) {
        *to++ = digit[*from >> 4];
        *to++ = digit[*from & 15];
    }
    return to;
}

size_t rec_decimal(uint64_t n, char *out)
{
    char digit[20];
    size_t len = 0;
    size_t i;

    do
        digit[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    for (i = 0; i < len; i++)
        out[i] = digit[len - 1 - i];
    out[len] = '\0';
    return len;
}

size_t rec_record(struct rec *r, const struct rec_session *s,
                  const struct rec_mail *m, const struct rec_judged *j,
                  const char *id, uint64_t now, const struct rec_ruling *ruling,
                  char *line)
{
    static char parents[1500];
    static char candidates[4096];
    char time[32], request_time[32], uid[12], gid[12], pid[12];
    char rcpts[24], size[24], hash[2 * (MO_KEYID_LEN + MO_HASH_LEN) + 2];
    char reason[512];
    struct mo_record rec;
    const struct mo_origin *o = j->origin;
    unsigned bits = o != NULL ? o->record : 0;

    memset(&rec, 0, sizeof rec);
    mo_time_format(now, time);
    rec.value[MO_F_TIME] = time;
    rec.value[MO_F_ID] = id;
    rec.value[MO_F_HOST] = r->host;
    rec.value[MO_F_VERDICT] = mo_verdict_name(j->v.verdict);
    rec.value[MO_F_EVIDENCE] = kinds[j->v.evidence];
    rec.value[MO_F_STATE] = states[j->v.state];
    rec.value[MO_F_ACTION] = actions[ruling->action];
    reason[0] = '\0';
    if (ruling->reason[0] != '\0' || j->v.reason != NULL)
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

            h = put_hex(h, o->keyid, MO_KEYID_LEN);
            *h++ = ':';
            h = put_hex(h, o->hash, MO_HASH_LEN);
            *h = '\0';
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
        if (o->cut)
            rec.value[MO_F_TRUNCATED] = "true";
    }
    rec_decimal(s->uid, uid);
    rec_decimal(s->gid, gid);
    rec_decimal((uint32_t)s->pid, pid);
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
        rec_decimal(m->rcpts, rcpts);
        rec.value[MO_F_RECIPIENTS] = rcpts;
    }
    if (bits & MO_RECORD_RECIPIENTS)
        rec.value[MO_F_RECIPIENT_LIST] = m->rcpt_list;
    if (bits & MO_RECORD_SUBJECT)
        rec.value[MO_F_SUBJECT] = m->subject;
    rec.value[MO_F_MESSAGE_ID] = m->message_id;
    if (m->size > 0) {
        rec_decimal(m->size, size);
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

void rec_unrecorded(const struct rec_session *s, const struct rec_mail *m,
                    const struct rec_judged *j, const char *id,
                    enum mo_action action, const char *why)
{
    static const struct mo_origin nobody;
    const struct mo_origin *o = j->origin != NULL ? j->origin : &nobody;

    mo_msg_syslog(1);
    mo_warn("mail without a record (%s): id=%s verdict=%s action=%s "
            "request-id=%s client=%s vhost=%.100s uri=%.200s script=%.200s "
            "mode=%s uid=%u pid=%d from=<%.100s> recipients=%llu "
            "message-id=%.120s",
            why, id, mo_verdict_name(j->v.verdict), actions[action], o->id,
            o->client, o->vhost, o->uri, o->script, s->mode, s->uid,
            (int)s->pid, m->sender, (unsigned long long)m->rcpts,
            m->message_id);
    mo_msg_syslog(0);
}
