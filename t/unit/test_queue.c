/*
 * The readers of queue files, over files that real MTAs wrote
 * (t/data/queues), over hand-made ones with what those don't have, and over
 * each of them cut short at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "queue.h"

static char data[1024];

static struct queue setup(enum mo_mta mta, const char *dir, const char *dir2)
{
    struct queue q;

    memset(&q, 0, sizeof q);
    q.mta = mta;
    q.want.header = "Mail-Origin";
    q.want.bounces = 1;
    snprintf(q.dir[0], sizeof q.dir[0], "%.400s/%s", data, dir);
    if (dir2)
        snprintf(q.dir[1], sizeof q.dir[1], "%.400s/%s", data, dir2);
    return q;
}

struct found {
    int n, stamped, bounces, held, one, two, cron, recipients;
};

static int count(void *arg, struct queue_mail *m)
{
    struct found *f = arg;

    f->n++;
    f->held += m->held;
    assert_true(queue_id_ok(m->mta, m->id));
    assert_true(m->time_us > 1795510000000000ULL);
    assert_true(m->time_us < 1795520000000000ULL);
    assert_true(m->size > 100 && m->size < 10000);
    if (m->bounce) {
        f->bounces++;
        assert_string_equal(m->sender, "");
        assert_string_equal(m->rcpts, "x@far.example");
        assert_string_equal(m->stamp.id, "AAAAAAAAAAAAAAA2");
        assert_string_equal(m->subject, "Undelivered Mail Returned to Sender");
        return 0;
    }
    f->stamped += m->has_stamp;
    if (!m->has_stamp && !m->sender[0])
        return 0; /* a bounce that was not searched */
    if (!m->has_stamp) {
        f->cron++;
        assert_string_equal(m->subject, "cron");
        assert_non_null(strstr(m->sender, "root"));
        assert_string_equal(m->rcpts, "root@far.example");
        return 0;
    }
    assert_int_equal(m->stamp.tag, 's');
    assert_true(strlen(m->stamp.seal) > 300);
    if (strcmp(m->stamp.id, "AAAAAAAAAAAAAAA1") == 0) {
        f->one++;
        assert_string_equal(m->sender, "shop@site1.example");
        assert_string_equal(m->rcpts, "alice@far.example");
        assert_string_equal(m->subject, "Your order");
        assert_string_equal(m->message_id, "<one@site1.example>");
        assert_int_equal(m->nrcpt, 1);
    }
    else {
        f->two++;
        assert_string_equal(m->stamp.id, "AAAAAAAAAAAAAAA2");
        assert_string_equal(m->sender, "x@hacked.example");
        assert_string_equal(m->subject, "=?utf-8?Q?Pill=C3=A4s?=  folded");
        assert_string_equal(m->message_id, "<two@hacked.example>");
        assert_int_equal(m->nrcpt, 4);
        assert_non_null(strstr(m->rcpts, "b4@far.example"));
        assert_int_equal(strlen(m->rcpts), 4 * 14 + 3 * 2);
    }
    return 0;
}

static void test_postfix(void **state)
{
    struct queue q = setup(MO_MTA_POSTFIX, "postfix", NULL);
    struct queue_stats st;
    struct found f = {0};

    (void)state;
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.n, 5);
    assert_int_equal(f.one, 2); /* maildrop and deferred */
    assert_int_equal(f.two, 1);
    assert_int_equal(f.cron, 1);
    assert_int_equal(f.bounces, 1);
    assert_int_equal(f.held, 1);
    assert_int_equal(st.bad, 0);
    assert_int_equal(st.seen, 5);
    q.want.bounces = 0;
    memset(&f, 0, sizeof f);
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.bounces, 0);
    assert_int_equal(st.seen, 5);
}

static void test_exim(void **state)
{
    struct queue q = setup(MO_MTA_EXIM, "exim", NULL);
    struct queue_stats st;
    struct found f = {0};

    (void)state;
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.n, 4);
    assert_int_equal(f.one, 1);
    assert_int_equal(f.two, 1);
    assert_int_equal(f.bounces, 1);
    assert_int_equal(f.held, 0);
    q = setup(MO_MTA_EXIM, "exim-split", NULL);
    memset(&f, 0, sizeof f);
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.one, 1);
    assert_int_equal(f.two, 1);
    q = setup(MO_MTA_EXIM, "exim-frozen", NULL);
    memset(&f, 0, sizeof f);
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.held, 1);
    q = setup(MO_MTA_EXIM, "no-such", NULL);
    assert_int_equal(queue_scan(&q, &st, count, &f), -1);
}

static void test_sendmail(void **state)
{
    struct queue q =
        setup(MO_MTA_SENDMAIL, "sendmail/mqueue", "sendmail/mqueue-client");
    struct queue_stats st;
    struct found f = {0};

    (void)state;
    assert_int_equal(queue_scan(&q, &st, count, &f), 0);
    assert_int_equal(f.n, 8);
    assert_int_equal(f.one, 2);
    assert_int_equal(f.two, 2);
    assert_int_equal(f.bounces, 2);
    assert_int_equal(f.cron, 2);
    assert_int_equal(f.held, 1);
    assert_int_equal(st.bad, 0);
}

static int parse(enum mo_mta mta, const void *p, size_t n, struct queue_mail *m)
{
    static const struct queue_want want = {"Mail-Origin", 1};
    struct queue_src s;

    queue_mail_init(m, mta);
    queue_src_mem(&s, p, n);
    if (mta == MO_MTA_POSTFIX)
        return queue_postfix_parse(&s, &want, m);
    if (mta == MO_MTA_EXIM)
        return queue_exim_parse(&s, NULL, &want, m);
    return queue_sendmail_parse(&s, NULL, &want, m);
}

static int cut(void *arg, struct queue_mail *m)
{
    struct queue_mail other;
    char *buf = malloc(20000), *part;
    FILE *f = fopen(m->path, "r");
    size_t n, i;

    (void)arg;
    assert_non_null(f);
    n = fread(buf, 1, 20000, f);
    fclose(f);
    for (i = 0; i < n; i++) {
        part = malloc(i ? i : 1); /* so that ASan sees a byte too many */
        memcpy(part, buf, i);
        if (parse(m->mta, part, i, &other) == 0) {
            /* Exim's and Sendmail's heads may end early, never Postfix's */
            assert_int_not_equal(m->mta, MO_MTA_POSTFIX);
            assert_string_equal(other.sender, m->sender);
        }
        free(part);
        /* and each byte changed */
        part = malloc(n);
        memcpy(part, buf, n);
        part[i] ^= (char)(0x80 | (i & 0x7f));
        parse(m->mta, part, n, &other);
        free(part);
    }
    free(buf);
    return 0;
}

static void test_damaged(void **state)
{
    struct queue q = setup(MO_MTA_POSTFIX, "postfix", NULL);
    struct queue_stats st;

    (void)state;
    queue_scan(&q, &st, cut, NULL);
    q = setup(MO_MTA_EXIM, "exim", NULL);
    queue_scan(&q, &st, cut, NULL);
    q = setup(MO_MTA_SENDMAIL, "sendmail/mqueue", NULL);
    queue_scan(&q, &st, cut, NULL);
}

static const char exim_rich[] = "1xVmMA-00007j-15-H\n"
                                "www-data 33 33\n"
                                "<\"a b\"@site.example>\n"
                                "1795510710 0\n"
                                "-received_time_usec .475023\n"
                                "--helo_name evil\n"
                                "-aclm 0 12\n"
                                "YN trap\nXX\n\n\n"
                                "-aclc _name 3\n"
                                "x\ny\n"
                                "-frozen 1795510800\n"
                                "YY done2@far.example\n"
                                "NN done1@far.example\n"
                                "NN done3@far.example\n"
                                "3\n"
                                "done1@far.example\n"
                                "\"b c\"@far.example bounce@x.example 16,-1#1\n"
                                "plain@far.example\n"
                                "\n"
                                "019* Mail-Origin: old=1\n"
                                "038  Mail-Origin: v=1; id=AbCdEfGhIjKlMnOp\n"
                                "012  Subject: hi\n";

static void test_exim_rich(void **state)
{
    struct queue_mail m;

    (void)state;
    assert_int_equal(parse(MO_MTA_EXIM, exim_rich, sizeof exim_rich - 1, &m),
                     0);
    assert_string_equal(m.sender, "\"a b\"@site.example");
    assert_int_equal(m.time_us, 1795510710475023);
    assert_true(m.held);
    assert_int_equal(m.nrcpt, 3);
    assert_string_equal(m.rcpts, "done1@far.example, \"b c\"@far.example, "
                                 "plain@far.example");
    assert_true(m.has_stamp);
    assert_string_equal(m.stamp.id, "AbCdEfGhIjKlMnOp");
    /* under another mail's name */
    queue_mail_init(&m, MO_MTA_EXIM);
    strcpy(m.id, "1xVmMA-00007j-16");
    {
        struct queue_src s;
        struct queue_want w = {"Mail-Origin", 0};
        queue_src_mem(&s, exim_rich, sizeof exim_rich - 1);
        assert_int_equal(queue_exim_parse(&s, NULL, &w, &m), -1);
    }
}

/* a Postfix file with a pointer in the head, as a milter leaves it, and one
 * that points to itself */
static void test_postfix_pointer(void **state)
{
    struct queue_mail m;
    unsigned char b[512];
    size_t n = 0, at;

    (void)state;
#define REC(t, s)                                                              \
    do {                                                                       \
        b[n++] = (t);                                                          \
        b[n++] = (unsigned char)strlen(s);                                     \
        memcpy(b + n, s, strlen(s));                                           \
        n += strlen(s);                                                        \
    } while (0)
    REC('T', "1795510710 5");
    REC('S', "a@b.example");
    REC('R', "c@d.example");
    REC('M', "");
    at = n + 2;
    REC('p', "           0000");
    REC('N', "");
    REC('N', "body");
    REC('X', "");
    REC('E', "");
    {
        char off[32];
        size_t target = n;
        snprintf(off, sizeof off, "%15zu", target);
        memcpy(b + at, off, 15);
        REC('N', "Mail-Origin: v=1; id=AbCdEfGhIjKlMnOp");
        snprintf(off, sizeof off, "%15zu", at + 15);
        REC('p', off);
    }
    assert_int_equal(parse(MO_MTA_POSTFIX, b, n, &m), 0);
    assert_true(m.has_stamp);
    assert_string_equal(m.rcpts, "c@d.example");
    /* round and round */
    {
        char off[32];
        snprintf(off, sizeof off, "%15zu", at - 2);
        memcpy(b + at, off, 15);
    }
    assert_int_equal(parse(MO_MTA_POSTFIX, b, n, &m), -1);
}

/* many recipients: all are counted, whole addresses are shown */
static void test_many(void **state)
{
    struct queue_mail m;
    int i;

    (void)state;
    queue_mail_init(&m, MO_MTA_POSTFIX);
    for (i = 0; i < 1000; i++)
        queue_mail_rcpt(&m, "someone@far.example", 19);
    assert_int_equal(m.nrcpt, 1000);
    assert_true(m.rcpts_cut);
    assert_int_equal((strlen(m.rcpts) + 2) % 21, 0);
}

static void test_ids(void **state)
{
    (void)state;
    assert_true(queue_id_ok(MO_MTA_POSTFIX, "3FD6BA72192"));
    assert_true(queue_id_ok(MO_MTA_POSTFIX, "4Pq9Lh2vGcz1x2V"));
    assert_false(queue_id_ok(MO_MTA_POSTFIX, "ALL"));
    assert_false(queue_id_ok(MO_MTA_POSTFIX, "-rf"));
    assert_false(queue_id_ok(MO_MTA_POSTFIX, "3FD6BA72192\n"));
    assert_false(queue_id_ok(MO_MTA_POSTFIX, "../3FD6BA72192"));
    assert_true(queue_id_ok(MO_MTA_EXIM, "1xVmMA-00007j-15"));
    assert_true(queue_id_ok(MO_MTA_EXIM, "1xVmMA-00000000Abc-1234"));
    assert_false(queue_id_ok(MO_MTA_EXIM, "--------------15"));
    assert_false(queue_id_ok(MO_MTA_EXIM, "1xVmMA00007j15"));
    assert_true(queue_id_ok(MO_MTA_SENDMAIL, "6AO8waJG000869"));
    assert_false(queue_id_ok(MO_MTA_SENDMAIL, "6AO8wa*"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_postfix),
        cmocka_unit_test(test_exim),
        cmocka_unit_test(test_sendmail),
        cmocka_unit_test(test_exim_rich),
        cmocka_unit_test(test_postfix_pointer),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_damaged),
    };
    const char *src = getenv("MO_SRC");

    snprintf(data, sizeof data, "%.800s/t/data/queues", src ? src : ".");
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
