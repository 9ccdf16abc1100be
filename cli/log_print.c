/*
 * A record as the verb log prints it.
 */
#include "log_print.h"
#include "records.h"

#include <string.h>
#include <time.h>

/* One value, quoted where it must be. */
void log_csv_value(const char *v, size_t len)
{
    size_t i, n;

    if (memchr(v, ',', len) == NULL && memchr(v, '"', len) == NULL) {
        cli_print_safe(stdout, v, len);
        return;
    }
    putchar('"');
    for (i = 0; i < len; i += n) {
        const char *quote = memchr(v + i, '"', len - i);

        n = quote ? (size_t)(quote - v) - i : len - i;
        cli_print_safe(stdout, v + i, n);
        if (quote) {
            fputs("\"\"", stdout);
            n++;
        }
    }
    putchar('"');
}

void log_csv(const struct mo_record *r)
{
    int i;

    for (i = 0; i < MO_F_COUNT; i++) {
        if (i > 0) {
            putchar(',');
        }
        if (r->value[i]) {
            log_csv_value(r->value[i], strlen(r->value[i]));
        }
    }
}

void log_csv_head(void)
{
    int i;

    for (i = 0; i < MO_F_COUNT; i++) {
        printf("%s%s", i ? "," : "", mo_field_name((enum mo_field)i));
    }
}

static void column(const char *v, int width)
{
    int n = v && *v ? (int)strnlen(v, 20) : 1;

    cli_print_safe(stdout, v && *v ? v : "-", (size_t)n);
    printf("%*s", n < width ? width - n : 0, "");
}

void log_text(const struct cli *c, const struct mo_record *r)
{
    static const enum mo_field shown[] = {MO_F_VHOST, MO_F_URI, MO_F_SCRIPT};
    uint64_t us = cli_record_time(r);
    const char *verdict = r->value[MO_F_VERDICT];
    const char *action = r->value[MO_F_ACTION];
    time_t t = (time_t)(us / 1000000);
    struct tm tm;
    char when[32] = "-";
    unsigned i;
    int bad = verdict && (strcmp(verdict, "verified") != 0 &&
                          strcmp(verdict, "none") != 0);

    if (us && localtime_r(&t, &tm)) {
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
    }
    printf("%s %s ", when, r->value[MO_F_ID] ? r->value[MO_F_ID] : "-");
    fputs(bad ? cli_red(c) : "", stdout);
    column(verdict, 9);
    fputs(bad ? cli_plain(c) : "", stdout);
    putchar(' ');
    column(action, 7);
    for (i = 0; i < 3; i++) {
        const char *v = r->value[shown[i]];

        putchar(' ');
        cli_print_safe(stdout, v ? v : "-", v ? strlen(v) : 1);
    }
    fputs(" from=", stdout);
    if (r->value[MO_F_ENVELOPE_FROM]) {
        cli_print_safe(stdout, r->value[MO_F_ENVELOPE_FROM],
                       strlen(r->value[MO_F_ENVELOPE_FROM]));
    }
    if (r->value[MO_F_RECIPIENTS]) {
        printf(" to=%s", r->value[MO_F_RECIPIENTS]);
    }
    if (r->value[MO_F_UID]) {
        printf(" uid=%s", r->value[MO_F_UID]);
    }
    if (r->value[MO_F_REASON]) {
        fputs(" reason=", stdout);
        cli_print_safe(stdout, r->value[MO_F_REASON],
                       strlen(r->value[MO_F_REASON]));
    }
}
