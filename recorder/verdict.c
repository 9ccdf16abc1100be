/*
 * What the evidence amounts to: a pure function of the facts, so that every
 * row of the table of verdicts is a unit test.
 *
 * Kernel facts come first.  A token never adds a request that they do not
 * allow: it picks one of theirs, or is a claim that is kept beside.
 */
#include "rec.h"

#include <string.h>

static int same(const struct rec_name *a, const struct rec_name *b)
{
    return a->named && b->named && a->id[0] != '\0' &&
           strcmp(a->id, b->id) == 0 && a->time_us == b->time_us;
}

static const char bad_token[] = "a token was shown that does not authenticate";

static const char other_token[] = "its token is another request's";

static const char many_tokens[] = "tokens of several requests were shown";

/*
 * Of authentic tokens the one to believe: of a request in progress rather
 * than of one that has ended, and of these the last, which stands highest
 * among the ancestors; below it a script may have put in another's.
 */
static int believed(const struct rec_facts *f, int *several)
{
    int best = -1;
    unsigned i;

    *several = 0;
    for (i = 0; i < f->ntokens; i++) {
        if (!f->token[i].authentic)
            continue;
        if (best >= 0 && !same(&f->token[best].name, &f->token[i].name))
            *several = 1;
        if (best < 0 || f->token[i].state == REC_IN_PROGRESS ||
            f->token[best].state != REC_IN_PROGRESS)
            best = (int)i;
    }
    return best;
}

/* Several requests, or one with doubt. */
static void among(const struct rec_facts *f, struct rec_verdict *v)
{
    unsigned named = 0;
    unsigned i;
    unsigned t;
    int picked = -1;
    int by = -1;

    v->evidence = f->kind;
    for (i = 0; i < f->kept; i++)
        named += f->cand[i].named != 0;
    /* The last one that fits: tokens come from the caller's own environment
     * first, then from its ancestors' upwards, and the topmost is what httpd
     * gave; below it a script may have put in another's. */
    for (t = 0; t < f->ntokens; t++) {
        for (i = 0; f->token[t].given && i < f->kept; i++) {
            if (same(&f->cand[i], &f->token[t].name)) {
                picked = (int)i;
                by = (int)t;
                break;
            }
        }
    }
    if (named == 0) {
        v->verdict = MO_V_HIDDEN;
        v->claimed = v->token >= 0;
        v->reason = "none of its requests is to be recorded (MailOrigin Off)";
    }
    else if (picked >= 0 && named == f->n) {
        v->verdict = MO_V_VERIFIED;
        v->origin = picked;
        v->state = f->token[by].state;
        if (!same(&f->cand[picked], &f->token[v->token].name)) {
            v->verdict = MO_V_CONFLICT;
            v->claimed = 1;
            v->reason = other_token;
        }
    }
    else {
        v->verdict = MO_V_AMBIGUOUS;
        v->claimed = v->token >= 0;
        if (picked >= 0)
            v->reason = "one of its requests is not to be recorded "
                        "(MailOrigin Off), so that a token can't pick";
        else if (f->n == 1)
            v->reason = "one request may have sent it, but a connection that "
                        "is not known may have been another's";
    }
}

static void nobody(const struct rec_facts *f, int bad, struct rec_verdict *v)
{
    const struct rec_fact_token *t = v->token >= 0 ? &f->token[v->token] : NULL;
    int several;

    v->evidence = REC_NONE;
    if (t != NULL && f->worker != 0 &&
        (t->pid != f->worker || t->state == REC_IN_PROGRESS)) {
        /* The process is below an httpd child, and what that child serves
         * now is known: the token is of another request. */
        v->verdict = MO_V_HIDDEN;
        v->claimed = 1;
        v->reason = t->pid != f->worker
                        ? "its token was made for another web worker"
                        : "its token is of a request that did not start it";
    }
    else if (t != NULL) {
        v->verdict = MO_V_CLAIMED;
        v->evidence = REC_TOKEN;
        v->origin = REC_BY_TOKEN;
        v->token = believed(f, &several);
        v->state = f->token[v->token].state;
        v->reason = several ? many_tokens : bad ? bad_token : NULL;
    }
    else if (bad) {
        v->verdict = MO_V_FORGED;
        v->evidence = REC_TOKEN;
        v->reason = bad_token;
    }
    else {
        v->verdict = f->web ? MO_V_HIDDEN : MO_V_NONE;
    }
}

void rec_decide(const struct rec_facts *f, struct rec_verdict *v)
{
    unsigned i;
    int bad = 0;

    memset(v, 0, sizeof *v);
    v->origin = REC_NOBODY;
    v->token = -1;
    for (i = 0; i < f->ntokens; i++) {
        if (!f->token[i].authentic)
            bad = 1;
        else if (v->token < 0)
            v->token = (int)i;
    }
    if (f->n == 0) {
        nobody(f, bad, v);
        return;
    }
    if (f->n > 1 || !f->sure || f->kept < 1) {
        among(f, v);
        if (bad && v->reason == NULL)
            v->reason = bad_token;
        return;
    }
    v->evidence = f->kind;
    if (!f->cand[0].named) {
        v->verdict = MO_V_HIDDEN;
        v->claimed = v->token >= 0;
        v->reason = "the request is not to be recorded (MailOrigin Off)";
        return;
    }
    v->origin = 0;
    if (v->token >= 0 && !same(&f->cand[0], &f->token[v->token].name)) {
        v->verdict = MO_V_CONFLICT;
        v->state = f->token[v->token].state;
        v->claimed = 1;
        v->reason = other_token;
        return;
    }
    v->verdict = MO_V_VERIFIED;
    if (bad)
        v->reason = bad_token;
}
