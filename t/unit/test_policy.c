/*
 * Policy by itself, with the clock in our hands: limits with their burst,
 * budgets, what counts for whom, waves of alerts, blocks of several
 * candidates, and what a new conf leaves standing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rec.h"

#define S 1000000ull

static struct rec_policy p;
static struct mo_conf conf;
static uint64_t now;

static int set_up(void **state)
{
    (void)state;
    rec_policy_open(&p, "/nonexistent/blocks");
    mo_conf_defaults(&conf);
    now = 1700000000 * S;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rec_policy_close(&p);
    return 0;
}

static void line(const char *text)
{
    char err[256];

    assert_int_equal(mo_conf_line(&conf, text, err, sizeof err), 0);
}

static enum mo_action ask(uint32_t uid, const char *vhost, const char *script,
                          const char *client)
{
    struct rec_who who = {uid, vhost, script, client};
    struct mo_subject subject = {vhost, script, NULL, client, uid};
    struct rec_ruling out;

    rec_policy_rule(&p, &conf, &who, &subject, 1, now, &out);
    return out.action;
}

/* how many of n pass */
static unsigned passes(unsigned n, uint32_t uid, const char *vhost)
{
    unsigned ok = 0;

    while (n-- > 0)
        ok += ask(uid, vhost, "/s.php", "192.0.2.1") == MO_PASSED;
    return ok;
}

static void limit_and_time(void **state)
{
    (void)state;
    line("limit 60/hour by vhost");
    assert_int_equal(passes(100, 33, "a"), 60);
    assert_int_equal(passes(100, 33, "b"), 60);
    now += 59 * S;
    assert_int_equal(passes(100, 33, "a"), 0);
    now += 1 * S;
    assert_int_equal(passes(100, 33, "a"), 1); /* one a minute */
    now += 600 * S;
    assert_int_equal(passes(100, 33, "a"), 10);
    now += 86400 * S;
    assert_int_equal(passes(100, 33, "a"), 60); /* no more than the burst */
    now -= 7200 * S; /* the clock was set back: nothing is taken or given */
    assert_int_equal(passes(100, 33, "a"), 0);
    now += 60 * S;
    assert_int_equal(passes(100, 33, "a"), 1);
}

static void burst(void **state)
{
    (void)state;
    line("limit 3600/hour by uid burst 5");
    assert_int_equal(passes(100, 33, "a"), 5);
    now += 2 * S;
    assert_int_equal(passes(100, 33, "a"), 2);
    now += 3600 * S;
    assert_int_equal(passes(100, 33, "a"), 5);
}

static void keys(void **state)
{
    (void)state;
    line("limit 1/hour by vhost");
    line("limit 2/hour by script");
    line("limit 3/hour by client");
    assert_int_equal(ask(33, "a", "/x", "c"), MO_PASSED);
    assert_int_equal(ask(33, "a", "/x", "c"), MO_LIMITED);
    assert_int_equal(ask(33, "b", "/x", "c"), MO_PASSED);
    assert_int_equal(ask(33, "c", "/x", "c"), MO_LIMITED); /* the script's */
    assert_int_equal(ask(33, "c", "/y", "c"), MO_PASSED);
    assert_int_equal(ask(33, "d", "/z", "c"), MO_LIMITED); /* the client's */
    assert_int_equal(ask(33, "d", "/z", "d"), MO_PASSED);
    /* of whom nothing is known beyond doubt */
    assert_int_equal(ask(33, NULL, NULL, NULL), MO_PASSED);
    assert_int_equal(ask(33, "", "", ""), MO_PASSED);
    assert_int_equal(ask(33, NULL, NULL, NULL), MO_PASSED);
}

static void budget(void **state)
{
    (void)state;
    line("budget 10");
    assert_int_equal(passes(50, 33, "a"), 10);
    assert_int_equal(passes(50, 34, "a"), 10);
    assert_int_equal(passes(50, 0, "a"), 50); /* root has none */
    now += 6 * S;
    assert_int_equal(passes(50, 33, "a"), 1);
}

/* What one rule keeps back takes from no other, whichever is first. */
static void kept_back_is_free(void **state)
{
    (void)state;
    line("budget 10");
    line("limit 1/hour by vhost");
    line("limit 10/hour by uid");
    assert_int_equal(passes(100, 33, "a"), 1);
    assert_int_equal(ask(33, "b", NULL, NULL), MO_PASSED);
    assert_int_equal(ask(33, "c", NULL, NULL), MO_PASSED);
    assert_int_equal(passes(100, 33, NULL), 7); /* of ten, three are gone */
}

/* A flood of names takes the places of quiet ones, and never more memory. */
static void many_keys(void **state)
{
    char name[32];
    unsigned i;

    (void)state;
    line("limit 2/hour by vhost");
    assert_int_equal(passes(3, 33, "busy"), 2);
    for (i = 0; i < 200000; i++) {
        now += 10;
        if (i % 1000 == 0)
            assert_int_equal(ask(33, "busy", NULL, NULL), MO_LIMITED);
        snprintf(name, sizeof name, "v%u", i);
        assert_int_equal(ask(33, name, NULL, NULL), MO_PASSED);
    }
}

static void new_conf(void **state)
{
    static struct mo_conf other;

    (void)state;
    line("budget 5");
    line("limit 3/hour by vhost");
    line("limit 4/hour by uid");
    assert_int_equal(passes(9, 33, "a"), 3);
    rec_policy_reset(&p, &conf, &conf);
    assert_int_equal(passes(9, 33, "a"), 0); /* read anew, the same */
    other = conf;
    other.limit[0].n = 2;
    rec_policy_reset(&p, &conf, &other);
    conf = other;
    assert_int_equal(passes(9, 33, "a"), 1); /* the uid had one left */
    other.limit[1].n = 50;
    other.budget = 50;
    rec_policy_reset(&p, &conf, &other);
    conf = other;
    assert_int_equal(passes(9, 33, "a"), 1); /* the vhost had one left */
    assert_int_equal(passes(9, 33, "b"), 2);
}

static unsigned waves(struct rec_rate *rate, unsigned n, uint64_t step)
{
    unsigned count = 0;

    while (n-- > 0) {
        count += (unsigned)rec_rate_wave(rate, 10, 600, "k", now);
        now += step;
    }
    return count;
}

static void alerts(void **state)
{
    struct rec_rate *rate = &p.alert[0];

    (void)state;
    assert_int_equal(waves(rate, 9, 0), 0);
    assert_int_equal(waves(rate, 1, 0), 1); /* the tenth */
    assert_int_equal(waves(rate, 1000, S), 0); /* it goes on: the same wave */
    now += 1200 * S;
    assert_int_equal(waves(rate, 9, S), 0);
    assert_int_equal(waves(rate, 1, S), 1); /* the next */
    now += 1200 * S;
    assert_int_equal(waves(rate, 500, 120 * S), 0); /* five a period: never */
    now += 1200 * S;
    /* a little faster than N/PERIOD, in no bursts: within two periods */
    assert_int_equal(waves(rate, 22, 55 * S), 1);
    assert_int_equal(waves(rate, 100, 55 * S), 0);
    assert_int_equal(rec_rate_wave(rate, 1, 600, "other", now), 1);
}

static void block(const char *type, const char *value, const char *action)
{
    char *word[] = {(char *)"block", (char *)"add", (char *)type, (char *)value,
                    (char *)action};
    char path[] = "/tmp/mo-policy.XXXXXX";
    char out[512];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(
        rec_blocks_admin(&p, path, word, 5, 1700000000, out, sizeof out), 0);
    remove(path);
}

static enum mo_action among(const char *a, const char *b, char *reason)
{
    struct rec_who who = {33, NULL, NULL, NULL};
    struct mo_subject subject[2] = {{a, NULL, NULL, NULL, 33},
                                    {b, NULL, NULL, NULL, 33}};
    struct rec_ruling out;

    rec_policy_rule(&p, &conf, &who, subject, 2, now, &out);
    if (reason != NULL)
        strcpy(reason, out.reason);
    return out.action;
}

/* Of several requests that it may be, all must be blocked. */
static void candidates(void **state)
{
    char reason[256];

    (void)state;
    conf.hold = MO_HOLD_HEADER;
    block("vhost", "a", "action=refuse");
    block("vhost", "h", "action=hold");
    assert_int_equal(among("a", "b", NULL), MO_PASSED);
    assert_int_equal(among("b", "a", NULL), MO_PASSED);
    assert_int_equal(among("a", NULL, NULL), MO_PASSED);
    assert_int_equal(among("a", "a", reason), MO_REFUSED);
    assert_string_equal(reason, "block 1: vhost");
    assert_int_equal(among("A", "a", NULL), MO_REFUSED);
    assert_int_equal(among("a", "h", NULL), MO_HELD); /* the milder */
    assert_int_equal(among("h", "a", NULL), MO_HELD);
    conf.hold = MO_HOLD_DEFER;
    assert_int_equal(among("h", "a", NULL), MO_LIMITED);
    block("uid", "33", "action=refuse");
    assert_int_equal(among("b", "c", NULL), MO_REFUSED);
}

/* A mail that is refused takes from no limit. */
static void refused_is_free(void **state)
{
    (void)state;
    line("limit 2/hour by uid");
    block("vhost", "a", "action=refuse");
    assert_int_equal(passes(50, 33, "a"), 0);
    assert_int_equal(passes(50, 33, "b"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(limit_and_time),    T(burst),           T(keys),     T(budget),
        T(kept_back_is_free), T(many_keys),       T(new_conf), T(alerts),
        T(candidates),        T(refused_is_free),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
