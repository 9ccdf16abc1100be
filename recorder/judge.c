/*
 * From a caller's evidence to the verdict on its mail, the requests decoded,
 * and to what policy says to it.
 */
#include "rec.h"

#include <stdio.h>
#include <string.h>

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

void rec_judge(const struct rec_evidence *e, struct rec_judged *j)
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

/* the value that all candidates share; NULL: there is none */
static const char *shared(const struct rec_judged *j, size_t member)
{
    const char *first = (const char *)&j->candidate[0] + member;
    unsigned i;

    for (i = 1; i < j->kept; i++)
        if (strcmp((const char *)&j->candidate[i] + member, first) != 0)
            return NULL;
    return first[0] != '\0' ? first : NULL;
}

void rec_who_of(const struct rec_session *s, const struct rec_judged *j,
                struct rec_who *who)
{
    memset(who, 0, sizeof *who);
    who->uid = s->uid;
    if (j->origin != NULL && j->v.verdict != MO_V_CLAIMED) {
        who->vhost = j->origin->vhost;
        who->script = j->origin->script;
        who->client = j->origin->client;
    }
    else if (j->v.verdict == MO_V_AMBIGUOUS && s->ev->n == j->kept) {
        /* whichever it is */
        who->vhost = shared(j, offsetof(struct mo_origin, vhost));
        who->script = shared(j, offsetof(struct mo_origin, script));
        who->client = shared(j, offsetof(struct mo_origin, client));
    }
}

void rec_rule(struct rec *r, const struct rec_session *s,
              const struct rec_judged *j, uint64_t now,
              struct rec_ruling *ruling)
{
    static struct mo_subject subject[REC_CANDIDATES];
    struct rec_who who;
    unsigned n = 0;
    unsigned i;

    rec_who_of(s, j, &who);
    /* candidates that are not listed may be no block's */
    if (j->v.verdict == MO_V_AMBIGUOUS && s->ev->n == j->kept)
        n = j->kept;
    for (i = 0; i < n || i == 0; i++) {
        const struct mo_origin *o = n > 0 ? &j->candidate[i] : j->origin;

        memset(&subject[i], 0, sizeof subject[i]);
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
