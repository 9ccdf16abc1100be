/*
 * sendmail/smtp.c: commands, paths, replies, what EHLO may offer, and where a
 * message ends, whatever the pieces it comes in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp.h"

#define L(s) (s), sizeof(s) - 1

static void test_commands(void **state)
{
    (void)state;
    assert_int_equal(sm_smtp_command(L("EHLO x\r\n")), SM_CMD_HELO);
    assert_int_equal(sm_smtp_command(L("lhlo x\n")), SM_CMD_HELO);
    assert_int_equal(sm_smtp_command(L("Mail From:<>\r\n")), SM_CMD_MAIL);
    assert_int_equal(sm_smtp_command(L(" \tdata\r\n")), SM_CMD_DATA);
    assert_int_equal(sm_smtp_command(L("DATA")), SM_CMD_DATA);
    assert_int_equal(sm_smtp_command(L("DATA\v\f\n")), SM_CMD_DATA);
    assert_int_equal(sm_smtp_command(L("DATAX\r\n")), SM_CMD_OTHER);
    assert_int_equal(sm_smtp_command(L("DAT\r\n")), SM_CMD_OTHER);
    assert_int_equal(sm_smtp_command(L("\r\n")), SM_CMD_OTHER);
    assert_int_equal(sm_smtp_command(L("")), SM_CMD_OTHER);
    assert_int_equal(sm_smtp_command(L("BDAT 5 LAST\r\n")), SM_CMD_BDAT);
    assert_int_equal(sm_smtp_command(L("STARTTLS\n")), SM_CMD_STARTTLS);
    assert_int_equal(sm_smtp_command(L("\vSTARTTLS\0x\n")), SM_CMD_STARTTLS);
    assert_int_equal(sm_smtp_command(L("RSET\r\n")), SM_CMD_RSET);
    assert_int_equal(sm_smtp_command(L("quit\n")), SM_CMD_QUIT);
    assert_int_equal(sm_smtp_bdat(L("BDAT 5 LAST\r\n")), 5);
    assert_int_equal(sm_smtp_bdat(L(" bdat   070\r\n")), 70);
    assert_int_equal(sm_smtp_bdat(L("BDAT\r\n")), 0);
    assert_int_equal(sm_smtp_bdat(L("BDAT -1\r\n")), 0);
    assert_true(sm_smtp_bdat(L("BDAT 99999999999999999999999\n")) == 1ULL
                                                                         << 62);
}

static void path(const char *line, size_t size, const char *want)
{
    char out[64];

    memset(out, 'x', sizeof(out));
    sm_smtp_path(line, strlen(line), out, size);
    assert_string_equal(out, want);
    assert_int_equal(out[size], 'x');
}

static void test_path(void **state)
{
    char out[16];

    (void)state;
    path("MAIL FROM:<a@b.example> SIZE=5\r\n", 40, "a@b.example");
    path("MAIL FROM: <a b@c>\r\n", 40, "a b@c");
    path("MAIL FROM:a@b BODY=8BITMIME\r\n", 40, "a@b");
    path("MAIL FROM:<>\r\n", 40, "");
    path("MAIL FROM:<never closed\r\n", 40, "never closed");
    path("MAIL\r\n", 40, "");
    path("RCPT TO:<abcdefghij@x>\r\n", 8, "abcdefg");
    sm_smtp_path(L("RCPT TO:<a\0b>\r\n"), out, sizeof(out));
    assert_string_equal(out, "a?b");
}

static void test_reply(void **state)
{
    int code = 0;

    (void)state;
    assert_int_equal(sm_smtp_reply(L("250 Ok\r\nmore"), &code), 8);
    assert_int_equal(code, 250);
    assert_int_equal(sm_smtp_reply(L("250-a\r\n250-b\r\n250 c\r\n"), &code),
                     21);
    assert_int_equal(sm_smtp_reply(L("250-a\r\n250-b\r\n250 c"), &code), 0);
    assert_int_equal(sm_smtp_reply(L("354\r\n"), &code), 5);
    assert_int_equal(code, 354);
    assert_int_equal(sm_smtp_reply(L("050 x\r\n550 5.7.1 y\n"), &code), 19);
    assert_int_equal(code, 550);
    assert_int_equal(sm_smtp_reply(L(""), &code), 0);
    assert_int_equal(sm_smtp_reply(L("220"), &code), 0);
    assert_int_equal(sm_smtp_reply(L("words\n"), &code), 0);
}

static void ehlo(const char *in, const char *want)
{
    char buf[256];
    size_t n = strlen(in);

    memcpy(buf, in, n);
    n = sm_smtp_ehlo(buf, n);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(buf, want, n);
}

static void test_ehlo(void **state)
{
    (void)state;
    ehlo("250-x\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 SIZE 5\r\n",
         "250-x\r\n250-PIPELINING\r\n250 SIZE 5\r\n");
    ehlo("250-x\r\n250-SIZE\r\n250-chunking\r\n250 STARTTLS\r\n",
         "250-x\r\n250 SIZE\r\n");
    ehlo("250-x\r\n250 starttls\r\n", "250 x\r\n");
    ehlo("250-x BINARYMIME\r\n250-BINARYMIME\n250 STARTTLS=1\n",
         "250 x BINARYMIME\r\n");
    ehlo("250 STARTTLS\r\n", "250 STARTTLS\r\n");
    ehlo("250-x\r\n250-CHUNKINGS\r\n250 XSTARTTLS\r\n",
         "250-x\r\n250-CHUNKINGS\r\n250 XSTARTTLS\r\n");
    ehlo("500 what?\r\n", "500 what?\r\n");
}

/* Where in text a message ends, read in pieces; -1: nowhere. */
static long scan(const char *text, size_t len, size_t piece, size_t *dot,
                 int *loose)
{
    struct sm_data d = {0, 0, 0};
    size_t from = 0, have = 0;

    for (;;) {
        struct sm_data_end end;
        size_t n = sm_data_scan(&d, text + from, have - from, &end);

        assert_true(n <= have - from);
        from += n;
        if (end.len) {
            assert_true(from + end.len <= have);
            *dot = end.len;
            *loose = end.loose;
            return (long)from;
        }
        /* only the beginning of a dot's line may be kept back */
        assert_true(have - from <= 2);
        assert_true(have == from || text[from] == '.');
        if (have == len)
            return -1;
        have += have + piece > len ? len - have : piece;
    }
}

static void end_of(const char *text, size_t len, long want, size_t dot,
                   int loose)
{
    size_t piece, d = 0;
    int l = 0;

    for (piece = 1; piece <= len; piece++) {
        assert_int_equal(scan(text, len, piece, &d, &l), want);
        if (want >= 0) {
            assert_int_equal(d, dot);
            assert_int_equal(l, loose);
        }
    }
}

static void test_data(void **state)
{
    (void)state;
    end_of(L(".\r\n"), 0, 3, 0);
    end_of(L("a\r\n.\r\nQUIT\r\n"), 3, 3, 0);
    end_of(L("a\r\n..\r\n.b\r\n.\rc\r\n. \r\n.\r\n"), 20, 3, 0);
    end_of(L("a\n.\r\n"), 2, 3, 1);
    end_of(L("a\r\n.\n"), 3, 2, 1);
    end_of(L("a\n.\n"), 2, 2, 1);
    end_of(L("a.\r\n"), -1, 0, 0);
    end_of(L("a\r.\r\n"), -1, 0, 0);
    end_of(L("a\r\n.\r"), -1, 0, 0);
    end_of(L("a\r\n.\r\r\n"), -1, 0, 0);
    end_of(L("\r\n\r\n.\r\n.\r\n"), 4, 3, 0);
    end_of(L("\0.\0\r\n.\0\r\n.\r\n"), 9, 3, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands), cmocka_unit_test(test_path),
        cmocka_unit_test(test_reply),    cmocka_unit_test(test_ehlo),
        cmocka_unit_test(test_data),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
