/*
 * LogFormats and their lines; times as people and as httpd write them; the
 * layout file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli.h"
#include "log_format.h"
#include "mo_layout.h"

#define T0 1795507200000000ull /* 2026-11-24 08:00 UTC */

static int parse(const char *format, const char *line, struct log_line *l)
{
    char err[256];
    struct log_format *f = log_format_compile(format, err, sizeof err);
    int rc;

    assert_non_null(f);
    rc = log_format_parse(f, line, strlen(line), 1, l);
    log_format_free(f);
    return rc;
}

static void part_is(const struct log_line *l, enum log_part p, const char *s)
{
    assert_int_equal(l->part[p].n, strlen(s));
    assert_memory_equal(l->part[p].p, s, strlen(s));
}

static void test_lines(void **state)
{
    struct log_line l;

    (void)state;
    assert_int_equal(
        parse("combined",
              "h - a b [24/Nov/2026:09:00:00 +0100] \"GET /\\\"x HTTP/1.1\" "
              "200 - \"-\" \"A (b; \\\"c\\\")\"",
              &l),
        0);
    part_is(&l, LOG_HOST, "h");
    part_is(&l, LOG_USER, "a b");
    part_is(&l, LOG_REQUEST, "GET /\\\"x HTTP/1.1");
    part_is(&l, LOG_STATUS, "200");
    assert_true(l.has_time && !l.is_end);
    assert_int_equal(l.time_us, T0);
    assert_int_equal(
        parse("%v:%p %m %U%q %H %{end:%Y-%m-%dT%H:%M:%S}t.%{end:usec_frac}t"
              "%{end:%z}t %{MAILORIGIN_ID}e",
              "a.example:443 POST /x?y=1 HTTP/2.0 "
              "2026-11-24T08:00:00.000123+0000 -",
              &l),
        0);
    part_is(&l, LOG_URI, "/x");
    part_is(&l, LOG_QUERY, "?y=1");
    part_is(&l, LOG_ID, "-");
    assert_true(l.is_end);
    assert_int_equal(l.time_us, T0 + 123);
    assert_int_equal(l.unit, 1);
    assert_int_equal(parse("%{msec}t %>s", "1795507200123 404", &l), 0);
    assert_int_equal(l.time_us, T0 + 123000);
    assert_int_equal(parse("common", "h - - [24/Nov/2026] \"x\" 200 5", &l),
                     -1);
    assert_int_equal(parse("common", "", &l), -1);
    assert_int_equal(parse("%h %b", "h 12x", &l), -1);
}

static void test_bad_formats(void **state)
{
    static const char *const bad[] = {"",   "words", "%{x",     "%",
                                      "%!", "%^t",   "a %{b}c%"};
    char err[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        err[0] = 0;
        assert_null(log_format_compile(bad[i], err, sizeof err));
        assert_true(err[0] && !strchr(err, '\n'));
    }
}

/* Whatever a line holds, the work on it is bounded. */
static void test_hostile_line(void **state)
{
    static char line[200001];
    struct log_line l;
    clock_t t = clock();

    (void)state;
    memset(line, ' ', sizeof line - 1);
    assert_int_equal(
        parse("%h %l %u %a %v %V %m %U %H %t \"%r\" %>s", line, &l), -1);
    memset(line, '"', sizeof line - 1);
    assert_int_equal(parse("vhost_combined", line, &l), -1);
    assert_true((clock() - t) / CLOCKS_PER_SEC < 5);
}

static void test_dst(void **state)
{
    struct log_line l;

    (void)state;
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    assert_int_equal(
        parse("%{%d/%b/%Y:%T}t %>s", "25/Oct/2026:02:30:00 200", &l), 0);
    assert_int_equal(l.other_us > l.time_us ? l.other_us - l.time_us
                                            : l.time_us - l.other_us,
                     3600000000ull);
    setenv("TZ", "UTC", 1);
    tzset();
}

static void test_people(void **state)
{
    static const struct {
        const char *text;
        int64_t s; /* from T0 on; -1000000000: it is none */
    } times[] = {
        {"now", 0},
        {"2026-11-24 08:00", 0},
        {"2026-11-24T08:00:00Z", 0},
        {"2026-11-24T09:00:00+01:00", 0},
        {"Tue 2026-11-24 08:00:01", 1},
        {"2026-11-24", -28800},
        {"today", -28800},
        {"yesterday", -115200},
        {"yesterday 08:00", -86400},
        {"tomorrow", 57600},
        {"07:30", -1800},
        {"-2h", -7200},
        {"2 hours ago", -7200},
        {"+1d", 86400},
        {"1w 2d ago", -777600},
        {"-1m", -60},
        {"-1M", -2629800},
        {"@1795507200", 0},
        {"", -1000000000},
        {"soon", -1000000000},
        {"-", -1000000000},
        {"25:00", -1000000000},
        {"2026-13-01", -1000000000},
        {"2 hours", -1000000000},
        {"-2 fortnights", -1000000000},
        {"@", -1000000000},
        {"2026-11-24 08:00 Mars", -1000000000},
        {"99999999999999999999 years ago", -1000000000},
    };
    uint64_t us, s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof times / sizeof *times; i++) {
        int rc = cli_time(times[i].text, T0, &us);

        if (times[i].s == -1000000000) {
            if (rc != -1)
                print_error("%s\n", times[i].text);
            assert_int_equal(rc, -1);
            continue;
        }
        if (rc != 0 || (int64_t)(us - T0) != times[i].s * 1000000)
            print_error("%s: %d %lld\n", times[i].text, rc,
                        (long long)(us - T0));
        assert_int_equal(rc, 0);
        assert_true((int64_t)(us - T0) == times[i].s * 1000000);
    }
    assert_int_equal(cli_period("1d 2h", &s), 0);
    assert_int_equal(s, 93600);
    assert_int_equal(cli_period("90", &s), 0);
    assert_int_equal(s, 90);
    assert_int_equal(cli_period("2x", &s), -1);
    assert_int_equal(cli_period("", &s), -1);
}

static struct mo_layout *layout(const char *text, char *err, size_t size)
{
    char path[] = "/tmp/mo-unit.XXXXXX";
    int fd = mkstemp(path);
    struct mo_layout *l;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    l = mo_layout_read(path, err, size);
    unlink(path);
    return l;
}

static void test_layout(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"version\":2}",
                                      "{\"version\":\"1\"}",
                                      "{\"version\":1}{",
                                      "null"};
    static const char *const odd[] = {
        "{\"version\":1}", "{\"version\":1,\"vhosts\":7}",
        "{\"version\":1,\"vhosts\":[7,null,{},{\"name\":[],\"logs\":{}}]}",
        "{\"version\":1,\"vhosts\":[{\"name\":\"a\",\"aliases\":[1,\"b\"],"
        "\"logs\":[1,{},{\"file\":2}]}],\"global_logs\":[[]]}"};
    char err[512];
    struct mo_layout *l;
    size_t i;

    (void)state;
    l = layout("{\"version\":1,\"pid\":7,\"server_root\":\"/etc/x\",\"mpm\":"
               "\"event\",\"vhosts\":[{\"name\":\"a\",\"aliases\":[\"b\",\"c\"]"
               ",\"port\":80,\"main\":true,\"mailorigin\":true,\"logs\":[{"
               "\"file\":\"/l\",\"format\":\"%h\",\"condition\":\"env=x\"}],"
               "\"php\":[7,{\"directive\":\"SetEnv\"},{\"directive\":"
               "\"SetEnv\",\"value\":\"v\",\"defined\":\"f:1\"}]}],"
               "\"global_logs\":[{\"pipe\":\"|x\",\"format\":\"%t\"}]}",
               err, sizeof err);
    assert_non_null(l);
    assert_int_equal(l->nvhosts, 1);
    assert_int_equal(l->vhosts[0].naliases, 2);
    assert_string_equal(l->vhosts[0].aliases[1], "c");
    assert_string_equal(l->vhosts[0].logs[0].condition, "env=x");
    assert_null(l->vhosts[0].logs[0].pipe);
    assert_int_equal(l->vhosts[0].nphp, 1);
    assert_string_equal(l->vhosts[0].php[0].value, "v");
    assert_null(l->vhosts[0].php[0].section);
    assert_string_equal(l->global[0].pipe, "|x");
    mo_layout_free(l);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        err[0] = 0;
        assert_null(layout(bad[i], err, sizeof err));
        assert_non_null(strstr(err, "layout file /tmp/mo-unit."));
    }
    for (i = 0; i < sizeof odd / sizeof *odd; i++) {
        l = layout(odd[i], err, sizeof err);
        mo_layout_free(l); /* read as far as it goes, or refused */
    }
    assert_null(mo_layout_read("/nonexistent/x", err, sizeof err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),        cmocka_unit_test(test_bad_formats),
        cmocka_unit_test(test_hostile_line), cmocka_unit_test(test_dst),
        cmocka_unit_test(test_people),       cmocka_unit_test(test_layout),
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
