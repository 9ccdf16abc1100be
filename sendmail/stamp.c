/*
 * From a mail's facts to what is to be done with it, and the field in the
 * message's own line ending.  Where no recorder answers and the mail is to go
 * on, its one trace is a line in syslog, with the id that the field carries.
 */
#include "wrapper.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mo_msg.h"

static int is_token(const char *s, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (!((s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z') ||
              (s[i] >= '0' && s[i] <= '9') || s[i] == '-' || s[i] == '_'))
            return 0;
    return len > 0;
}

/* 16 of A-Za-z0-9_- */
static void random_id(char id[17])
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                              "uvwxyz0123456789-_";
    unsigned char r[MO_NONCE_LEN];
    int i;

    sm_nonce(r);
    for (i = 0; i < 16; i++)
        id[i] = set[r[i] & 63];
    id[16] = '\0';
}

static size_t unrecorded(char *field, size_t size, const struct sm_recorder *r,
                         const struct mo_conf *conf, const struct sm_mail *m,
                         int hold)
{
    const struct sm_evidence *e = r->evidence;
    const char *token = NULL;
    char id[17];
    unsigned i;

    random_id(id);
    for (i = 0; i < e->ntokens && !token; i++)
        if (is_token(e->token[i], e->tokenlen[i]))
            token = e->token[i];
    mo_msg_syslog(1);
    mo_warn("mail without a record (%s): id=%s mode=%s uid=%d pid=%d ppid=%d "
            "from=<%.100s> recipients=%u message-id=%.120s size=%llu "
            "token=%s exe=%.100s cwd=%.200s",
            r->why, id, r->mode, (int)getuid(), (int)getpid(), (int)getppid(),
            m->sender ? m->sender : "", m->nrcpts, m->message_id,
            (unsigned long long)m->size, token ? "yes" : "no", e->exe, e->cwd);
    mo_msg_syslog(0);
    return mo_header_format(field, size, conf->header, id,
                            hold ? MO_HEADER_HOLD "; " : NULL, 't', token);
}

/* the field in the message's line ending, and what must stand around it */
static void lay_out(struct sm_stamp *s, const struct mo_head *h,
                    const char *field, size_t len)
{
    size_t i, n = 0;

    if (h->break_before) {
        if (h->crlf)
            s->text[n++] = '\r';
        s->text[n++] = '\n';
    }
    for (i = 0; i < len && n + 5 < sizeof(s->text); i++) {
        if (field[i] == '\n' && h->crlf)
            s->text[n++] = '\r';
        s->text[n++] = field[i];
    }
    if (h->blank_after) {
        if (h->crlf)
            s->text[n++] = '\r';
        s->text[n++] = '\n';
    }
    s->len = n;
}

void sm_stamp(struct sm_stamp *s, struct sm_recorder *r,
              const struct mo_conf *conf, const struct sm_mail *m,
              const struct mo_head *h)
{
    static struct sm_verdict v;
    static char field[MO_HEADER_MAX];
    int hold = 0;

    s->len = 0;
    s->reason[0] = '\0';
    if (sm_recorder_ask(r, m, conf->header, &v) == 0) {
        s->action = v.action;
        snprintf(s->reason, sizeof(s->reason), "%.300s",
                 v.reason[0]               ? v.reason
                 : s->action == MO_REFUSED ? "refused by this server's policy"
                 : s->action == MO_HELD    ? "held by this server's policy"
                                           : "over a limit, try later");
        if (s->action == MO_HELD && v.headerlen > 0)
            s->action = MO_PASSED; /* its field tells the MTA */
        if (s->action != MO_PASSED)
            return;
        if (v.headerlen == 0)
            v.headerlen = mo_header_format(v.header, sizeof(v.header),
                                           conf->header, v.id, NULL, 's', NULL);
        lay_out(s, h, v.header, v.headerlen);
        return;
    }
    s->action = sm_blocked(s->reason, sizeof(s->reason));
    if (s->action == MO_HELD)
        hold = conf->hold == MO_HOLD_HEADER;
    if (s->action != MO_PASSED && !hold)
        return;
    if (conf->on_failure == MO_FAIL_REFUSE) {
        s->action = MO_LIMITED;
        snprintf(s->reason, sizeof(s->reason),
                 "no answer from the recorder (%.100s), and on-failure is "
                 "refuse",
                 r->why);
        return;
    }
    s->action = MO_PASSED;
    lay_out(s, h, field, unrecorded(field, sizeof(field), r, conf, m, hold));
}
