/*
 * Records: written and read again, cut to fit, in any order, partly read;
 * and what is no record.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mo_record.h"

static int parse(const char *text, struct mo_record *r)
{
    static char line[MO_RECORD_LINE + 1];
    size_t n = strlen(text);

    memcpy(line, text, n + 1);
    return mo_record_parse(line, n, r);
}

static void test_all_fields(void **state)
{
    struct mo_record r = {{NULL}, {0}}, back;
    char value[MO_F_COUNT][64], line[MO_RECORD_LINE];
    size_t n;
    int i;

    (void)state;
    for (i = 0; i < MO_F_COUNT; i++) {
        snprintf(value[i], sizeof value[i], "%s%d",
                 mo_field_is_number((enum mo_field)i) ? ""
                                                      : "\"\\\n\x7f\xc3\xa9 ",
                 100 + i);
        r.value[i] = value[i];
    }
    n = mo_record_format(&r, line, sizeof line);
    assert_true(n > 0 && line[n - 1] == '\n');
    for (i = 0; i + 1 < (int)n; i++)
        assert_true(line[i] >= 0x20 && line[i] < 0x7F);
    assert_int_equal(mo_record_parse(line, n, &back), 0);
    for (i = 0; i < MO_F_TRUNCATED; i++) {
        assert_string_equal(back.value[i], value[i]);
        assert_int_equal(back.len[i], strlen(value[i]));
    }
    assert_string_equal(back.value[MO_F_TRUNCATED], "true");
}

static void test_cut(void **state)
{
    static char uri[20000], script[3000];
    struct mo_record r = {{NULL}, {0}}, back;
    char line[MO_RECORD_LINE];
    size_t n;

    (void)state;
    memset(uri, '\x01', sizeof uri - 1);
    memset(script, 's', sizeof script - 1);
    r.value[MO_F_ID] = "AAAAAAAAAAAAAAAA";
    r.value[MO_F_URI] = uri;
    r.value[MO_F_SCRIPT] = script;
    n = mo_record_format(&r, line, sizeof line);
    assert_in_range(n, MO_RECORD_LINE - 64, MO_RECORD_LINE);
    assert_int_equal(mo_record_parse(line, n, &back), 0);
    assert_string_equal(back.value[MO_F_ID], "AAAAAAAAAAAAAAAA");
    assert_int_equal(strlen(back.value[MO_F_SCRIPT]), sizeof script - 1);
    assert_in_range(strlen(back.value[MO_F_URI]), 500, 2000);
    assert_string_equal(back.value[MO_F_TRUNCATED], "true");
}

static void test_any_order(void **state)
{
    struct mo_record r;

    (void)state;
    assert_int_equal(parse(" { \"uid\" : 7 , \"new\":\"x\\\"y\",\"n\":-1.5E+3,"
                           "\"script\":\"/a\\/b\",\"uri\" :\"/\\u00e9\","
                           "\"gid\":null,\"time\":\"t\" } \r\n",
                           &r),
                     0);
    assert_string_equal(r.value[MO_F_UID], "7");
    assert_string_equal(r.value[MO_F_SCRIPT], "/a/b");
    assert_string_equal(r.value[MO_F_URI], "/\xc3\xa9");
    assert_string_equal(r.value[MO_F_TIME], "t");
    assert_null(r.value[MO_F_GID]);
    assert_int_equal(
        parse("{\"vhost\":\"b\\ud83d\\ude00\\ud800\",\"id\":\"\"}", &r), 0);
    assert_string_equal(r.value[MO_F_VHOST], "b\xf0\x9f\x98\x80\xef\xbf\xbd");
    assert_null(r.value[MO_F_ID]);
    assert_int_equal(parse("{}", &r), 0);
    /* a name with an escape, and one that only begins as a field's does */
    assert_int_equal(
        parse("{\"\\u0069d\":\"x\",\"idle\":\"y\",\"uri\":\"/\"}", &r), 0);
    assert_string_equal(r.value[MO_F_ID], "x");
    assert_string_equal(r.value[MO_F_URI], "/");
}

static void test_no_record(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "{",
                                      "{\"",
                                      "{\"id\"",
                                      "{\"id\":",
                                      "{\"id\":\"x",
                                      "{\"id\":\"x\"",
                                      "{\"id\":\"x\",",
                                      "{\"id\":\"x\",}",
                                      "{\"id\":\"x\"}}",
                                      "{\"id\":\"x\"} y",
                                      "{\"id\":{}}",
                                      "{\"id\":[\"x\"]}",
                                      "{\"id\":\"\\x\"}",
                                      "{\"id\":\"\\u12g4\"}",
                                      "{\"id\" \"x\"}",
                                      "[\"id\"]",
                                      "{id:\"x\"}"};
    struct mo_record r;
    size_t i;
    int f;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(parse(bad[i], &r), -1);
        for (f = 0; f < MO_F_COUNT; f++)
            assert_null(r.value[f]);
    }
}

static void test_some(void **state)
{
    char line[] = "{\"time\":\"t\",\"id\":\"i\",\"verdict\":\"v\",\"script\":"
                  "\"s\",\"uid\":9,\"size\":10}";
    char torn[] = "{\"time\":\"t\",\"id\":\"i\",\"verdict\":\"v\",\"scr";
    struct mo_record r;

    (void)state;
    assert_int_equal(
        mo_record_parse_some(line, strlen(line),
                             1ull << MO_F_TIME | 1ull << MO_F_VERDICT, &r),
        0);
    assert_string_equal(r.value[MO_F_TIME], "t");
    assert_string_equal(r.value[MO_F_VERDICT], "v");
    assert_null(r.value[MO_F_SCRIPT]);
    assert_int_equal(
        mo_record_parse_some(torn, strlen(torn), 1ull << MO_F_ID, &r), -1);
    assert_null(r.value[MO_F_ID]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_fields), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_any_order),  cmocka_unit_test(test_no_record),
        cmocka_unit_test(test_some),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
