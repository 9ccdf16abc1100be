/*
 * lib/rcpts.c: whom To, Cc and Bcc name, of every form that RFC 5322 allows
 * and some that it does not, in pieces of every size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mo_head.h"

static int put(void *arg, const char *p, size_t n)
{
    (void)arg;
    (void)p;
    (void)n;
    return 0;
}

/* The recipients that a message's head names, "|" between them. */
static const char *named(const char *message, struct mo_rcpts *r)
{
    static char out[sizeof(r->text) + 1];
    static char first[sizeof(out)];
    size_t len = strlen(message), piece, i;

    for (piece = 1; piece <= len; piece++) {
        struct mo_head h;
        size_t pos = 0, used;
        int state = MO_HEAD_MORE;

        mo_head_start(&h, "Mail-Origin");
        memset(r, 0, sizeof(*r));
        h.rcpts = r;
        while (pos < len && state == MO_HEAD_MORE) {
            size_t n = len - pos < piece ? len - pos : piece;

            state = mo_head_feed(&h, message + pos, n, &used, put, NULL);
            pos += used;
        }
        mo_head_end(&h, put, NULL);
        for (i = 0; i < r->used; i++)
            out[i] = r->text[i] ? r->text[i] : '|';
        out[i > 0 ? i - 1 : 0] = '\0';
        if (piece == 1)
            strcpy(first, out);
        assert_string_equal(out, first);
    }
    return out;
}

static const struct {
    const char *head;
    unsigned n;
    const char *list;
} cases[] = {
    {"To: a@x\n\n", 1, "a@x"},
    {"To: a@x, b@x,c@x\n\n", 3, "a@x|b@x|c@x"},
    {"tO : a@x\r\ncC\t:b@x\r\nBCC:c@x\r\n\r\n", 3, "a@x|b@x|c@x"},
    {"To: a@x\n\nCc: body@x\n", 1, "a@x"},
    {"To: a@x,\n b@x,\n\tc@x\nSubject: d@x\n\n", 3, "a@x|b@x|c@x"},
    {"To: a@x\nTo: b@x", 2, "a@x|b@x"},
    {"Subject: to\nFrom: me@x\nReply-To: you@x\nX-To: he@x\nTo-X: s@x\n\n", 0,
     ""},
    /* phrases, quotes, comments */
    {"To: John Doe <a@x>, \"Doe, John\" <b@x>\n\n", 2, "a@x|b@x"},
    {"To: a@x (John, Doe), b@x (one (two, \\) three))\n\n", 2, "a@x|b@x"},
    {"To: \"john, doe\"@x, \"q\\\"u,ote\"@x\n\n", 2,
     "\"john, doe\"@x|\"q\\\"u,ote\"@x"},
    {"To: (nobody) , , <>, \n\n", 0, ""},
    {"To: a (c) @ (d) x\n\n", 1, "a@x"},
    {"To: =?utf-8?q?J=C3=B6rg?= <a@x>\n\n", 1, "a@x"},
    {"To: J\303\266rg <j\303\266rg@x>\n\n", 1, "j\303\266rg@x"},
    {"To: <a@x> and more, b@x\n\n", 2, "a@x|b@x"},
    {"To: <  a@x\n >, < b . c @ x >\n\n", 2, "a@x|b.c@x"},
    {"To: a@[192.0.2.1], b@[IPv6:2001:db8::1]\n\n", 2,
     "a@[192.0.2.1]|b@[IPv6:2001:db8::1]"},
    /* groups and routes */
    {"To: undisclosed-recipients:;\n\n", 0, ""},
    {"To: friends: a@x, B <b@x>;, c@x\n\n", 3, "a@x|b@x|c@x"},
    {"To: a@x; b@x\n\n", 2, "a@x|b@x"},
    {"To: <@one,@two:a@x>, b@x\n\n", 2, "a@x|b@x"},
    /* what is no address list */
    {"To: root\n\n", 1, "root"},
    {"To: <a@x, b@x\n\n", 2, "a@x|b@x"},
    {"To: \"never closed, a@x\nCc: b@x\n\n", 2, "\"never closed, a@x|b@x"},
    {"To: a@x (never closed, b@x\nCc: c@x\n\n", 2, "a@x|c@x"},
    {"To: a@x\\\nCc: b@x\n\n", 2, "a@x\\|b@x"},
    {"To:\n\n", 0, ""},
    {"To", 0, ""},
    /* a forwarded mail goes to whom it is sent again */
    {"To: a@x\nResent-To: b@x\nCc: c@x\nResent-Cc: d@x\n\n", 2, "b@x|d@x"},
    {"Resent-From: a@x\nTo: b@x\n\n", 1, "b@x"},
    {"Resent-Bcc: a@x\nTo: b@x\n\n", 1, "a@x"},
};

static void test_cases(void **state)
{
    static struct mo_rcpts r;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *list = named(cases[i].head, &r);

        if (r.n != cases[i].n || strcmp(list, cases[i].list) != 0)
            fail_msg("%s: %u, %s", cases[i].head, r.n, list);
    }
}

/* Many, and long ones: all are counted, the first are kept, whole. */
static void test_full(void **state)
{
    static struct mo_rcpts r;
    static char value[200000];
    size_t n = 0, kept = 0, at;
    int i;

    (void)state;
    memset(&r, 0, sizeof(r));
    assert_true(mo_rcpts_field(&r, "To:", 3));
    for (i = 0; i < 10000; i++)
        n += (size_t)sprintf(value + n, "user%d@example, ", i);
    mo_rcpts_value(&r, value, n);
    mo_rcpts_end(&r);
    assert_int_equal(r.n, 10000);
    for (at = 0; at < r.used; at += strlen(r.text + at) + 1, kept++) {
        char want[40];

        sprintf(want, "user%zu@example", kept);
        assert_string_equal(r.text + at, want);
    }
    assert_int_equal(at, r.used);
    assert_true(kept > 200 && r.used <= sizeof(r.text));

    memset(&r, 0, sizeof(r));
    assert_true(mo_rcpts_field(&r, "Bcc:", 4));
    memset(value, 'x', sizeof(value));
    mo_rcpts_value(&r, value, sizeof(value));
    mo_rcpts_value(&r, "@y, short@y, \"", 14);
    mo_rcpts_value(&r, value, sizeof(value));
    mo_rcpts_value(&r, "\" <phrase@y>", 12);
    mo_rcpts_end(&r);
    assert_int_equal(r.n, 3);
    assert_memory_equal(r.text, "short@y\0phrase@y", 17);
    assert_int_equal(r.used, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_full),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
