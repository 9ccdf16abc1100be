/*
 * The table of verdicts, row by row: what the facts amount to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rec.h"

/* requests, by a letter: none is '-' (MailOrigin Off) */
static struct rec_name named(char c)
{
    struct rec_name n;

    memset(&n, 0, sizeof n);
    n.named = c != '-';
    if (n.named) {
        n.id[0] = c;
        n.time_us = 1000 + (uint64_t)c;
    }
    return n;
}

/*
 * Tokens, outermost last: a letter is that request's, given by the web
 * server; in upper case another process put it there; '?' does not
 * authenticate.
 */
static void decide(enum rec_kind kind, int sure, const char *candidates,
                   const char *tokens, int web, int worker,
                   struct rec_verdict *v)
{
    static struct rec_name cand[8];
    static struct rec_fact_token token[8];
    struct rec_facts f;

    memset(&f, 0, sizeof f);
    memset(token, 0, sizeof token);
    f.kind = kind;
    f.sure = sure;
    f.web = web;
    f.worker = worker;
    f.cand = cand;
    f.token = token;
    for (; *candidates != '\0'; candidates++)
        cand[f.n++] = named(*candidates);
    f.kept = f.n;
    for (; *tokens != '\0'; tokens++) {
        struct rec_fact_token *t = &token[f.ntokens++];
        char c = *tokens;

        t->authentic = c != '?';
        t->given = c >= 'a' && c <= 'z';
        t->state = REC_IN_PROGRESS;
        t->pid = 100;
        t->name = named(c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    rec_decide(&f, v);
}

/* verdict, the origin (index, REC_NOBODY, REC_BY_TOKEN), is a claim kept? */
#define ROW(kind, sure, cand, tokens, web, worker, want, org, claim)           \
    do {                                                                       \
        struct rec_verdict v;                                                  \
        decide(kind, sure, cand, tokens, web, worker, &v);                     \
        assert_int_equal(v.verdict, want);                                     \
        assert_int_equal(v.origin, org);                                       \
        assert_int_equal(v.claimed, claim);                                    \
    } while (0)

static void one_beyond_doubt(void **state)
{
    (void)state;
    ROW(REC_ANCESTRY, 1, "a", "", 1, 9, MO_V_VERIFIED, 0, 0);
    ROW(REC_ANCESTRY, 1, "a", "a", 1, 9, MO_V_VERIFIED, 0, 0);
    ROW(REC_CONNECTION, 1, "a", "A", 1, 0, MO_V_VERIFIED, 0, 0);
    /* another's token frames nobody, and is kept beside */
    ROW(REC_ANCESTRY, 1, "a", "b", 1, 9, MO_V_CONFLICT, 0, 1);
    ROW(REC_ANCESTRY, 1, "a", "B", 1, 9, MO_V_CONFLICT, 0, 1);
    /* one that does not authenticate takes nothing away */
    ROW(REC_ANCESTRY, 1, "a", "?", 1, 9, MO_V_VERIFIED, 0, 0);
    ROW(REC_ANCESTRY, 1, "a", "?b", 1, 9, MO_V_CONFLICT, 0, 1);
    /* MailOrigin Off: not named, whatever is shown */
    ROW(REC_ANCESTRY, 1, "-", "", 1, 9, MO_V_HIDDEN, REC_NOBODY, 0);
    ROW(REC_ANCESTRY, 1, "-", "b", 1, 9, MO_V_HIDDEN, REC_NOBODY, 1);
}

static void several(void **state)
{
    (void)state;
    ROW(REC_ANCESTRY, 0, "ab", "", 1, 9, MO_V_AMBIGUOUS, REC_NOBODY, 0);
    ROW(REC_ANCESTRY, 0, "ab", "b", 1, 9, MO_V_VERIFIED, 1, 0);
    ROW(REC_ANCESTRY, 0, "ab", "a", 1, 9, MO_V_VERIFIED, 0, 0);
    /* a token that the script put there picks nobody */
    ROW(REC_ANCESTRY, 0, "ab", "B", 1, 9, MO_V_AMBIGUOUS, REC_NOBODY, 1);
    /* one of another request adds none */
    ROW(REC_ANCESTRY, 0, "ab", "c", 1, 9, MO_V_AMBIGUOUS, REC_NOBODY, 1);
    ROW(REC_CONNECTION, 0, "ab", "?", 1, 0, MO_V_AMBIGUOUS, REC_NOBODY, 0);
    /* the outermost counts: below it a script may have put in another's */
    ROW(REC_ANCESTRY, 0, "ab", "ba", 1, 9, MO_V_CONFLICT, 0, 1);
    ROW(REC_ANCESTRY, 0, "ab", "Ba", 1, 9, MO_V_CONFLICT, 0, 1);
    /* where one may not be named, a token can't say that it is another */
    ROW(REC_ANCESTRY, 0, "a-", "a", 1, 9, MO_V_AMBIGUOUS, REC_NOBODY, 1);
    ROW(REC_ANCESTRY, 0, "--", "a", 1, 9, MO_V_HIDDEN, REC_NOBODY, 1);
    /* a sole candidate with doubt is one of several */
    ROW(REC_CONNECTION, 0, "a", "", 1, 0, MO_V_AMBIGUOUS, REC_NOBODY, 0);
    ROW(REC_CONNECTION, 0, "a", "a", 1, 0, MO_V_VERIFIED, 0, 0);
}

static void no_kernel_fact(void **state)
{
    (void)state;
    ROW(REC_NONE, 0, "", "", 0, 0, MO_V_NONE, REC_NOBODY, 0);
    ROW(REC_NONE, 0, "", "", 1, 0, MO_V_HIDDEN, REC_NOBODY, 0);
    ROW(REC_NONE, 0, "", "?", 0, 0, MO_V_FORGED, REC_NOBODY, 0);
    ROW(REC_NONE, 0, "", "?", 1, 0, MO_V_FORGED, REC_NOBODY, 0);
    ROW(REC_NONE, 0, "", "a", 0, 0, MO_V_CLAIMED, REC_BY_TOKEN, 0);
    ROW(REC_NONE, 0, "", "A", 1, 0, MO_V_CLAIMED, REC_BY_TOKEN, 0);
    ROW(REC_NONE, 0, "", "?a", 0, 0, MO_V_CLAIMED, REC_BY_TOKEN, 0);
    /* below a worker whose requests are known, none of which it is: a token
     * of another worker's, or of one in progress, is not its own */
    ROW(REC_NONE, 0, "", "a", 1, 9, MO_V_HIDDEN, REC_NOBODY, 1);
    ROW(REC_NONE, 0, "", "a", 1, 100, MO_V_HIDDEN, REC_NOBODY, 1);
}

static void more_than_kept(void **state)
{
    struct rec_name cand[2] = {named('a'), named('b')};
    struct rec_fact_token t = {.authentic = 1,
                               .given = 1,
                               .state = REC_IN_PROGRESS,
                               .name = named('b')};
    struct rec_facts f = {.kind = REC_ANCESTRY,
                          .web = 1,
                          .worker = 9,
                          .n = 40,
                          .kept = 2,
                          .cand = cand,
                          .ntokens = 1,
                          .token = &t};
    struct rec_verdict v;

    (void)state;
    /* of those that are not listed, who knows whether one may be named */
    rec_decide(&f, &v);
    assert_int_equal(v.verdict, MO_V_AMBIGUOUS);
    assert_int_equal(v.origin, REC_NOBODY);
}

static void late(void **state)
{
    struct rec_fact_token t = {.authentic = 1,
                               .given = 1,
                               .state = REC_LATE,
                               .pid = 100,
                               .name = named('a')};
    struct rec_facts f = {.web = 1, .worker = 100, .ntokens = 1, .token = &t};
    struct rec_verdict v;

    (void)state;
    /* a background job below the worker that served its request */
    rec_decide(&f, &v);
    assert_int_equal(v.verdict, MO_V_CLAIMED);
    assert_int_equal(v.state, REC_LATE);
    f.worker = 101; /* below another */
    rec_decide(&f, &v);
    assert_int_equal(v.verdict, MO_V_HIDDEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_beyond_doubt),
        cmocka_unit_test(several),
        cmocka_unit_test(no_kernel_fact),
        cmocka_unit_test(more_than_kept),
        cmocka_unit_test(late),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
