/*
 * Times as people give them: journalctl's grammar, in local time; and
 * periods.  A time of day that DST skips or doubles is taken as mktime()
 * does with an unknown tm_isdst.
 */
#include "cli.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct {
    const char *name;
    uint64_t seconds;
} units[] = {
    {"s", 1},           {"sec", 1},          {"second", 1},
    {"seconds", 1},     {"m", 60},           {"min", 60},
    {"minute", 60},     {"minutes", 60},     {"h", 3600},
    {"hr", 3600},       {"hour", 3600},      {"hours", 3600},
    {"d", 86400},       {"day", 86400},      {"days", 86400},
    {"w", 604800},      {"week", 604800},    {"weeks", 604800},
    {"month", 2629800}, {"months", 2629800}, {"y", 31557600},
    {"year", 31557600}, {"years", 31557600}, {"M", 2629800},
};

/* A period at *p, which is moved to what is no part of it. */
static int period(const char **p, uint64_t *seconds)
{
    uint64_t sum = 0;
    int any = 0;

    for (;;) {
        const char *s = *p, *word;
        uint64_t n = 0;
        size_t len, i;

        while (*s == ' ') {
            s++;
        }
        if (!isdigit((unsigned char)*s)) {
            break;
        }
        while (isdigit((unsigned char)*s)) {
            if (n > 100000000000ull) {
                return -1;
            }
            n = n * 10 + (uint64_t)(*s++ - '0');
        }
        while (*s == ' ') {
            s++;
        }
        for (word = s; isalpha((unsigned char)*s); s++) {
        }
        len = (size_t)(s - word);
        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strlen(units[i].name) == len &&
                (len == 1 ? *units[i].name == *word
                          : strncasecmp(units[i].name, word, len) == 0)) {
                break; /* m is a minute, M a month */
            }
        }
        if (i == sizeof(units) / sizeof(units[0])) {
            if (len > 0 || any || *s != '\0') {
                return -1;
            }
            sum += n; /* a bare number is seconds */
        }
        else {
            if (n > 100000000000ull / units[i].seconds) {
                return -1;
            }
            sum += n * units[i].seconds;
        }
        any = 1;
        *p = s;
    }
    *seconds = sum;
    return any ? 0 : -1;
}

int cli_period(const char *text, uint64_t *seconds)
{
    uint64_t n;

    if (period(&text, &n) != 0) {
        return -1;
    }
    while (*text == ' ') {
        text++;
    }
    if (*text != '\0') {
        return -1;
    }
    *seconds = n;
    return 0;
}

static int number(const char **p, int min, int max, int from, int to)
{
    int n = 0, v = 0;

    while (n < max && isdigit((unsigned char)**p)) {
        v = v * 10 + (*(*p)++ - '0');
        n++;
    }
    return n < min || v < from || v > to ? -1 : v;
}

/* "HH:MM[:SS[.frac]]" at *p into tm */
static int clock_time(const char **p, struct tm *tm, uint64_t *frac)
{
    uint64_t scale = 100000;

    if ((tm->tm_hour = number(p, 1, 2, 0, 23)) < 0 || *(*p)++ != ':' ||
        (tm->tm_min = number(p, 2, 2, 0, 59)) < 0) {
        return -1;
    }
    tm->tm_sec = 0;
    if (**p == ':') {
        ++*p;
        if ((tm->tm_sec = number(p, 2, 2, 0, 60)) < 0) {
            return -1;
        }
        if (**p == '.') {
            for (++*p; isdigit((unsigned char)**p); ++*p, scale /= 10) {
                *frac += (uint64_t)(**p - '0') * scale;
            }
        }
    }
    return 0;
}

static int finish(struct tm *tm, uint64_t frac, int utc, uint64_t *us)
{
    int day = tm->tm_mday, month = tm->tm_mon;
    time_t t;

    tm->tm_isdst = -1;
    t = utc ? timegm(tm) : mktime(tm);
    if (t < 0 || (day >= 1 && (tm->tm_mday != day || tm->tm_mon != month))) {
        return -1; /* 30 February */
    }
    *us = (uint64_t)t * 1000000 + frac;
    return 0;
}

static int relative(const char *p, uint64_t now, uint64_t *us)
{
    uint64_t n;
    int back = 1, sign = *p == '-' || *p == '+';

    if (sign) {
        back = *p++ == '-';
    }
    if (period(&p, &n) != 0) {
        return -1;
    }
    while (*p == ' ') {
        p++;
    }
    if (!sign) {
        if (strcasecmp(p, "ago") == 0) {
            p += 3;
        }
        else {
            return -1;
        }
    }
    if (*p != '\0') {
        return -1;
    }
    n *= 1000000;
    *us = back ? (n < now ? now - n : 1) : now + n;
    return 0;
}

/* "Tue 2026-11-24 08:00": past the day's name, which journalctl prints */
static const char *weekday(const char *p)
{
    static const char *const names[] = {"monday",   "tuesday", "wednesday",
                                        "thursday", "friday",  "saturday",
                                        "sunday"};
    size_t n = strcspn(p, " ,"), i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((n == 3 || n == strlen(names[i])) &&
            strncasecmp(p, names[i], n) == 0 && p[n] != '\0') {
            p += n + (p[n] == ',');
            return p + strspn(p, " ");
        }
    }
    return p;
}

int cli_time(const char *text, uint64_t now_us, uint64_t *us)
{
    static const struct {
        const char *name;
        int days;
    } words[] = {{"today", 0}, {"yesterday", -1}, {"tomorrow", 1}};
    time_t now = (time_t)(now_us / 1000000);
    const char *p = text;
    uint64_t frac = 0, n;
    struct tm tm;
    size_t i;
    int utc = 0;

    while (*p == ' ') {
        p++;
    }
    if (mo_time_parse(p, us) == 0) {
        return 0;
    }
    if (strcasecmp(p, "now") == 0) {
        *us = now_us;
        return 0;
    }
    if (*p == '@') {
        for (n = 0, i = 1; isdigit((unsigned char)p[i]); i++) {
            if (n > 100000000000ull) {
                return -1;
            }
            n = n * 10 + (uint64_t)(p[i] - '0');
        }
        if (i == 1 || p[i] != '\0') {
            return -1;
        }
        *us = n * 1000000;
        return 0;
    }
    if (relative(p, now_us, us) == 0) {
        return 0;
    }
    p = weekday(p);
    if (localtime_r(&now, &tm) == NULL) {
        return -1;
    }
    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i].name);

        if (strncasecmp(p, words[i].name, len) != 0) {
            continue;
        }
        p += len;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        tm.tm_mday += words[i].days;
        if (*p == ' ') {
            p++;
            if (clock_time(&p, &tm, &frac) != 0) {
                return -1;
            }
        }
        if (*p != '\0') {
            return -1;
        }
        tm.tm_isdst = -1;
        now = mktime(&tm);
        *us = (uint64_t)now * 1000000 + frac;
        return now < 0 ? -1 : 0;
    }
    if (strlen(p) > 4 && p[4] == '-') {
        if ((tm.tm_year = number(&p, 4, 4, 1970, 9999)) < 0 || *p++ != '-' ||
            (tm.tm_mon = number(&p, 1, 2, 1, 12)) < 0 || *p++ != '-' ||
            (tm.tm_mday = number(&p, 1, 2, 1, 31)) < 0) {
            return -1;
        }
        tm.tm_year -= 1900;
        tm.tm_mon--;
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        if (*p == ' ' || *p == 'T') {
            p++;
            if (clock_time(&p, &tm, &frac) != 0) {
                return -1;
            }
        }
    }
    else if (clock_time(&p, &tm, &frac) != 0) {
        return -1;
    }
    while (*p == ' ') {
        p++;
    }
    if (strcmp(p, "UTC") == 0 || strcmp(p, "Z") == 0) {
        utc = 1;
        p += strlen(p);
    }
    return *p ? -1 : finish(&tm, frac, utc, us);
}
