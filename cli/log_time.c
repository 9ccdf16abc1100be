/*
 * Reads the times that httpd writes: %t by a fast path, %{strftime}t and
 * %{sec}t and its like item by item.  Every number is bounded before it is
 * used.
 */
#include "log_time.h"

#include <string.h>
#include <strings.h>
#include <time.h>

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int64_t days_of(int y, int m, int d)
{
    int64_t era;
    int yoe, doy, doe;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - (int)era * 400;
    doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static int month_of(const char *p)
{
    int m;

    for (m = 0; m < 12; m++) {
        if (strncasecmp(p, months + 3 * m, 3) == 0) {
            return m + 1;
        }
    }
    return -1;
}

static int two(const char *p)
{
    unsigned a = (unsigned char)p[0] - '0', b = (unsigned char)p[1] - '0';

    return a > 9 || b > 9 ? -1 : (int)(a * 10 + b);
}

int log_clf_time(struct log_clock *k, const char *p, uint64_t *us)
{
    int h, m, s, a, b;
    int64_t t;

    if (memcmp(k->day, p, 12) != 0) {
        int d = two(p), mon, c = two(p + 7), y = two(p + 9);

        if (d < 1 || d > 31 || p[2] != '/' || (mon = month_of(p + 3)) < 0 ||
            p[6] != '/' || c < 0 || y < 0 || p[11] != ':') {
            return -1;
        }
        k->day_s = days_of(c * 100 + y, mon, d) * 86400;
        memcpy(k->day, p, 12);
    }
    h = two(p + 12);
    m = two(p + 15);
    s = two(p + 18);
    if (h < 0 || h > 23 || p[14] != ':' || m < 0 || m > 59 || p[17] != ':' ||
        s < 0 || s > 60 || p[20] != ' ') {
        return -1;
    }
    if (memcmp(k->zone, p + 21, 5) != 0) {
        a = two(p + 22);
        b = two(p + 24);
        if ((p[21] != '+' && p[21] != '-') || a < 0 || a > 23 || b < 0 ||
            b > 59) {
            return -1;
        }
        k->zone_s = (p[21] == '-' ? -1 : 1) * (a * 3600 + b * 60);
        memcpy(k->zone, p + 21, 5);
    }
    t = k->day_s + h * 3600 + m * 60 + s - k->zone_s;
    if (t < 0) {
        return -1;
    }
    *us = (uint64_t)t * 1000000;
    return 0;
}

void log_when_start(struct log_when *w)
{
    memset(w, 0, sizeof(*w));
    w->year = w->mon = w->day = w->hour = w->min = w->sec = w->pm = -1;
    w->zone = -10000;
    w->unit = 1000000;
}

/* A number of at most max digits at *p; -1: none or out of range. */
static int number(const char **p, const char *end, int max, int from, int to)
{
    int n = 0, v = 0;

    while (n < max && *p < end && **p >= '0' && **p <= '9') {
        v = v * 10 + (*(*p)++ - '0');
        n++;
    }
    return n == 0 || v < from || v > to ? -1 : v;
}

static const char *read_epoch(struct log_when *w, const char *p,
                              const char *end, uint64_t unit)
{
    uint64_t v = 0;
    int n = 0;

    /* a fraction may follow a second at once */
    while (p < end && *p >= '0' && *p <= '9' && (unit < 1000000 || n < 10)) {
        if (++n > 17) {
            return NULL;
        }
        v = v * 10 + (uint64_t)(*p++ - '0');
    }
    if (n == 0) {
        return NULL;
    }
    w->has_epoch = 1;
    w->epoch = v * unit / 1000000;
    if (unit < 1000000) {
        w->us = (uint32_t)(v % (1000000 / unit) * unit);
        w->unit = unit;
    }
    return w->epoch > 253402300799ull ? NULL : p;
}

static const char *read_frac(struct log_when *w, const char *p, const char *end,
                             int digits)
{
    int v = 0, i;

    for (i = 0; i < digits; i++) {
        if (p >= end || *p < '0' || *p > '9') {
            return NULL;
        }
        v = v * 10 + (*p++ - '0');
    }
    w->us = (uint32_t)(digits == 3 ? v * 1000 : v);
    w->unit = digits == 3 ? 1000 : 1;
    return p;
}

static const char *read_zone(struct log_when *w, const char *p, const char *end)
{
    int sign, h, m;

    if (p < end && (*p == 'Z' || *p == 'z')) {
        w->zone = 0;
        return p + 1;
    }
    if (p >= end || (*p != '+' && *p != '-')) {
        return NULL;
    }
    sign = *p++ == '-' ? -1 : 1;
    if (end - p < 2 || (h = number(&p, end, 2, 0, 23)) < 0) {
        return NULL;
    }
    if (p < end && *p == ':') {
        p++;
    }
    if ((m = number(&p, end, 2, 0, 59)) < 0) {
        return NULL;
    }
    w->zone = sign * (h * 60 + m);
    return p;
}

/* A name of letters, such as a day's or a zone's. */
static const char *word(const char *p, const char *end)
{
    const char *start = p;

    while (p < end && ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z'))) {
        p++;
    }
    return p == start ? NULL : p;
}

static const char *one(struct log_when *w, char c, const char *p,
                       const char *end)
{
    int v;

    switch (c) {
    case 'Y':
        return (w->year = number(&p, end, 4, 1970, 9999)) < 0 ? NULL : p;
    case 'y':
        if ((v = number(&p, end, 2, 0, 99)) < 0) {
            return NULL;
        }
        w->year = v < 69 ? v + 2000 : v + 1900;
        return p;
    case 'm':
        return (w->mon = number(&p, end, 2, 1, 12)) < 0 ? NULL : p;
    case 'b':
    case 'h':
    case 'B':
        if (end - p < 3 || (w->mon = month_of(p)) < 0) {
            return NULL;
        }
        return c == 'B' ? word(p, end) : p + 3;
    case 'd':
    case 'e':
        p += p < end && *p == ' ';
        return (w->day = number(&p, end, 2, 1, 31)) < 0 ? NULL : p;
    case 'H':
    case 'k':
        p += p < end && *p == ' ';
        return (w->hour = number(&p, end, 2, 0, 23)) < 0 ? NULL : p;
    case 'I':
    case 'l':
        p += p < end && *p == ' ';
        return (w->hour = number(&p, end, 2, 1, 12)) < 0 ? NULL : p;
    case 'p':
    case 'P':
        if (end - p < 2 || (p[1] | 0x20) != 'm') {
            return NULL;
        }
        w->pm = (p[0] | 0x20) == 'p';
        return p + 2;
    case 'M':
        return (w->min = number(&p, end, 2, 0, 59)) < 0 ? NULL : p;
    case 'S':
        return (w->sec = number(&p, end, 2, 0, 60)) < 0 ? NULL : p;
    case 'j':
        return number(&p, end, 3, 1, 366) < 0 ? NULL : p;
    case 'u':
    case 'w':
        return number(&p, end, 1, 0, 7) < 0 ? NULL : p;
    case 's':
        return read_epoch(w, p, end, 1000000);
    case 'z':
        return read_zone(w, p, end);
    case 'Z':
        /* a zone's name says too little, but for UTC's */
        if (end - p >= 3 &&
            (strncmp(p, "UTC", 3) == 0 || strncmp(p, "GMT", 3) == 0)) {
            w->zone = 0;
        }
        return word(p, end);
    case 'a':
    case 'A':
        return word(p, end);
    case 'n':
    case 't':
        return p < end ? p + 1 : NULL;
    case '%':
        return p < end && *p == '%' ? p + 1 : NULL;
    default:
        return NULL;
    }
}

static const char *expansion(char c)
{
    switch (c) {
    case 'T':
        return "%H:%M:%S";
    case 'F':
        return "%Y-%m-%d";
    case 'R':
        return "%H:%M";
    case 'D':
        return "%m/%d/%y";
    case 'r':
        return "%I:%M:%S %p";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    case 'x':
        return "%m/%d/%y";
    case 'X':
        return "%H:%M:%S";
    default:
        return NULL;
    }
}

static const char *strptime_like(struct log_when *w, const char *f,
                                 const char *p, const char *end, int depth)
{
    const char *sub;

    for (; *f && p; f++) {
        if (*f != '%' || f[1] == '\0') {
            p = p < end && *p == *f ? p + 1 : NULL;
            continue;
        }
        f++;
        if ((*f == 'E' || *f == 'O' || *f == '-') && f[1]) {
            f++;
        }
        sub = depth == 0 ? expansion(*f) : NULL;
        p = sub ? strptime_like(w, sub, p, end, 1) : one(w, *f, p, end);
    }
    return p;
}

const char *log_when_read(struct log_when *w, const char *format, const char *p,
                          const char *end)
{
    if (strcmp(format, "sec") == 0) {
        return read_epoch(w, p, end, 1000000);
    }
    if (strcmp(format, "msec") == 0) {
        return read_epoch(w, p, end, 1000);
    }
    if (strcmp(format, "usec") == 0) {
        return read_epoch(w, p, end, 1);
    }
    if (strcmp(format, "msec_frac") == 0) {
        return read_frac(w, p, end, 3);
    }
    if (strcmp(format, "usec_frac") == 0) {
        return read_frac(w, p, end, 6);
    }
    return strptime_like(w, format, p, end, 0);
}

/* Local time with that DST flag; -1: it is no time then. */
static time_t local(const struct tm *tm, int dst)
{
    struct tm t = *tm;
    time_t v;

    t.tm_isdst = dst;
    v = mktime(&t);
    return v >= 0 && t.tm_hour == tm->tm_hour && t.tm_min == tm->tm_min ? v
                                                                        : -1;
}

int log_when_end(const struct log_when *w, uint64_t *us, uint64_t *other)
{
    int hour = w->hour;
    time_t a, b;
    int64_t t;

    if (w->has_epoch) {
        *us = *other = w->epoch * 1000000 + w->us;
        return 0;
    }
    if (w->year < 0 || w->mon < 0 || w->day < 0 || hour < 0 || w->min < 0 ||
        w->sec < 0) {
        return -1;
    }
    if (w->pm >= 0) {
        hour = hour % 12 + (w->pm ? 12 : 0);
    }
    if (w->zone != -10000) {
        t = days_of(w->year, w->mon, w->day) * 86400 + hour * 3600 +
            w->min * 60 + w->sec - (int64_t)w->zone * 60;
        if (t < 0) {
            return -1;
        }
        *us = *other = (uint64_t)t * 1000000 + w->us;
        return 0;
    }
    {
        struct tm tm = {.tm_year = w->year - 1900,
                        .tm_mon = w->mon - 1,
                        .tm_mday = w->day,
                        .tm_hour = hour,
                        .tm_min = w->min,
                        .tm_sec = w->sec};

        a = local(&tm, 0);
        b = local(&tm, 1);
    }
    if (a < 0 && b < 0) {
        return -1;
    }
    *us = (uint64_t)(a < 0 ? b : a) * 1000000 + w->us;
    *other = (uint64_t)(b < 0 ? a : b) * 1000000 + w->us;
    return 0;
}
