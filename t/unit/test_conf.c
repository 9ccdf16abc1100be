/*
 * lib/conf.c: each key's good and bad values; a bad line stops no other; the
 * message names file, line, key, value and what is allowed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mo_conf.h"
#include "mo_header.h"
#include "mo_paths.h"

static struct mo_conf c;
static char err[1024];

static int line(const char *text)
{
    return mo_conf_line(&c, text, err, sizeof(err));
}

static void good(const char *text)
{
    if (line(text) != 0)
        fail_msg("'%s': %s", text, err);
    assert_string_equal(err, "");
}

static void bad(const char *text)
{
    if (line(text) != -1)
        fail_msg("'%s' was taken", text);
    if (!strstr(err, "allowed"))
        fail_msg("'%s': %s", text, err);
}

static void test_defaults(void **state)
{
    (void)state;
    mo_conf_defaults(&c);
    assert_string_equal(c.sendmail, "");
    assert_int_equal(c.mta, MO_MTA_UNKNOWN);
    assert_int_equal(c.on_failure, MO_FAIL_SEND);
    assert_int_equal(c.timeout_ms, 2000);
    assert_int_equal(c.handover, MO_HANDOVER_MEMFD);
    assert_string_equal(c.header, MO_HEADER_NAME);
    assert_int_equal(c.disclose, MO_DISCLOSE_NONE);
    assert_string_equal(c.log, MO_LOG_PATH);
    assert_int_equal(c.budget, 0);
    assert_int_equal(c.nlimits + c.nalerts + c.naccess_logs, 0);
}

static void test_values(void **state)
{
    (void)state;
    mo_conf_defaults(&c);
    good("");
    good("   ");
    good("# sendmail /x");
    good("\t sendmail \t /usr/sbin/sendmail.real \r");
    assert_string_equal(c.sendmail, "/usr/sbin/sendmail.real");
    good("mta exim");
    assert_int_equal(c.mta, MO_MTA_EXIM);
    good("mta ssmtp");
    assert_int_equal(c.mta, MO_MTA_SSMTP);
    good("on-failure refuse");
    assert_int_equal(c.on_failure, MO_FAIL_REFUSE);
    good("timeout 500ms");
    assert_int_equal(c.timeout_ms, 500);
    good("timeout 3s");
    assert_int_equal(c.timeout_ms, 3000);
    good("handover pipe");
    assert_int_equal(c.handover, MO_HANDOVER_PIPE);
    assert_int_equal(c.hold, MO_HOLD_DEFER);
    good("hold header");
    assert_int_equal(c.hold, MO_HOLD_HEADER);
    good("header Origin-Of-Mail");
    assert_string_equal(c.header, "Origin-Of-Mail");
    good("disclose uri");
    assert_int_equal(c.disclose, MO_DISCLOSE_URI);
    good("log /var/log/x y.log");
    assert_string_equal(c.log, "/var/log/x y.log");
    good("budget 120");
    assert_int_equal(c.budget, 120);
    good("limit 500/hour by vhost");
    good("limit 10/2m by script burst 50");
    assert_int_equal(c.nlimits, 2);
    assert_int_equal(c.limit[0].n, 500);
    assert_int_equal(c.limit[0].period, 3600);
    assert_int_equal(c.limit[0].burst, 0);
    assert_int_equal(c.limit[0].by, MO_BY_VHOST);
    assert_int_equal(c.limit[1].period, 120);
    assert_int_equal(c.limit[1].burst, 50);
    assert_int_equal(c.limit[1].by, MO_BY_SCRIPT);
    good("alert 100/day by uid /usr/local/bin/page me");
    assert_int_equal(c.alert[0].by, MO_BY_UID);
    assert_int_equal(c.alert[0].period, 86400);
    assert_string_equal(c.alert[0].program, "/usr/local/bin/page me");
    good("access-log /var/log/apache2/*.log combined");
    good("access-log /var/log/x.log \"%h %l \\\"%r\\\"\"");
    assert_string_equal(c.access_log[0].glob, "/var/log/apache2/*.log");
    assert_string_equal(c.access_log[0].format, "combined");
    assert_string_equal(c.access_log[1].format, "%h %l \\\"%r\\\"");
}

static void test_refused(void **state)
{
    static const char *const lines[] = {
        "sendmail sendmail",
        "sendmail /",
        "mta qmail",
        "mta Postfix",
        "on-failure drop",
        "timeout 2",
        "timeout 0s",
        "timeout 61s",
        "timeout 9ms",
        "timeout -1s",
        "timeout 99999999999999999999s",
        "handover file",
        "hold",
        "hold yes",
        "header",
        "header X Y",
        "header Subject",
        "header from",
        "header Content-Foo",
        "header -x",
        "header a:b",
        "header "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "disclose all",
        "log mail.log",
        "budget -1",
        "budget 1x",
        "limit 500/hour",
        "limit 0/hour by vhost",
        "limit 5/0s by vhost",
        "limit 5/fortnight by vhost",
        "limit 5/hour by sender",
        "limit 5/hour by vhost burst",
        "limit 5/hour by vhost burst 0",
        "limit 5/hour by vhost now",
        "limit 5/hour byvhost",
        "limit 99999999999/hour by vhost",
        "limit 5/999999999d by vhost",
        "alert 5/hour by vhost",
        "alert 5/hour by vhost page",
        "access-log /x",
        "access-log x common",
        "frobnicate 1",
        "Sendmail /x"};
    size_t i;
    unsigned k;

    (void)state;
    mo_conf_defaults(&c);
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        bad(lines[i]);
    assert_int_equal(c.nlimits + c.nalerts + c.naccess_logs, 0);
    for (k = 0; k < MO_CONF_RULES; k++)
        good("limit 1/hour by uid");
    bad("limit 1/hour by uid");
    for (k = 0; mo_conf_key(k); k++)
        assert_true(strlen(mo_conf_key(k)) > 2);
    assert_int_equal(k, 13);
}

static void test_file(void **state)
{
    char path[] = "/tmp/mo-conf-XXXXXX";
    int fd = mkstemp(path), i;
    FILE *f = fdopen(fd, "w");

    (void)state;
    fprintf(f, "sendmail /a\ntimeout 2\nmta qmail\nlimit 5/hour by uid\n#");
    for (i = 0; i < 9000; i++)
        fputc('x', f);
    fprintf(f, "\nmta dma");
    fclose(f);
    mo_conf_defaults(&c);
    assert_int_equal(mo_conf_read(&c, path, err, sizeof(err)), -1);
    assert_int_equal(errno, 0);
    assert_non_null(strstr(err, path));
    assert_non_null(strstr(err, ":2: timeout is '2'; allowed: 10ms to 60s"));
    assert_string_equal(c.sendmail, "/a");
    assert_int_equal(c.nlimits, 1);
    assert_int_equal(c.mta, MO_MTA_DMA);
    unlink(path);
    assert_int_equal(mo_conf_read(&c, path, err, sizeof(err)), -1);
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(err, path));
    assert_int_equal(mo_conf_read(&c, "/", err, sizeof(err)), -1);
    assert_int_equal(errno, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_file),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
