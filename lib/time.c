/*
 * RFC 3339 times in UTC, without the C library's time zones (and their
 * lock).  libc only.
 */
#include "mo_record.h"

/* days since 1970-01-01 of a day in the Gregorian calendar */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    int64_t era;
    unsigned yoe, doy, doe;

    y -= m <= 2;
    era = y / 400;
    yoe = (unsigned)(y - era * 400);
    doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

/* v in n digits, then what follows them */
static void put(char *out, unsigned v, int n, char after)
{
    out[n] = after;
    while (n-- > 0) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void mo_time_format(uint64_t us, char out[32])
{
    uint64_t s = us / 1000000, z, era, doe, yoe, y;
    unsigned doy, mp, d, m, rest;

    if (s > 253402300799ull) { /* the end of 9999 */
        s = 253402300799ull;
        us = 999999;
    }
    rest = (unsigned)(s % 86400);
    z = s / 86400 + 719468;
    era = z / 146097;
    doe = z - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = (unsigned)(doe - (365 * yoe + yoe / 4 - yoe / 100));
    mp = (5 * doy + 2) / 153;
    d = doy - (153 * mp + 2) / 5 + 1;
    m = mp < 10 ? mp + 3 : mp - 9;
    y = yoe + era * 400 + (m <= 2);
    put(out, (unsigned)y, 4, '-');
    put(out + 5, m, 2, '-');
    put(out + 8, d, 2, 'T');
    put(out + 11, rest / 3600, 2, ':');
    put(out + 14, rest / 60 % 60, 2, ':');
    put(out + 17, rest % 60, 2, '.');
    put(out + 20, (unsigned)(us % 1000000), 6, 'Z');
    out[27] = '\0';
}

/* n digits at *s as a number, moving *s past them; -1 where they are none */
static int digits(const char **s, int n)
{
    int v = 0;

    while (n-- > 0) {
        if (**s < '0' || **s > '9') {
            return -1;
        }
        v = v * 10 + (*(*s)++ - '0');
    }
    return v;
}

int mo_time_parse(const char *s, uint64_t *us)
{
    static const unsigned char month[] = {31, 29, 31, 30, 31, 30,
                                          31, 31, 30, 31, 30, 31};
    int y, mo, d, h, mi, sec, oh = 0, om = 0, sign = 0;
    int64_t t;
    unsigned frac = 0, scale = 100000;

    if ((y = digits(&s, 4)) < 1970 || *s++ != '-' || (mo = digits(&s, 2)) < 1 ||
        mo > 12 || *s++ != '-' || (d = digits(&s, 2)) < 1 ||
        d > month[mo - 1] || (*s != 'T' && *s != 't' && *s != ' ')) {
        return -1;
    }
    if (mo == 2 && d == 29 && (y % 4 || (y % 100 == 0 && y % 400))) {
        return -1;
    }
    s++;
    if ((h = digits(&s, 2)) < 0 || h > 23 || *s++ != ':' ||
        (mi = digits(&s, 2)) < 0 || mi > 59 || *s++ != ':' ||
        (sec = digits(&s, 2)) < 0 || sec > 60) {
        return -1;
    }
    if (*s == '.') {
        int n = 0;

        for (s++; *s >= '0' && *s <= '9'; s++, n++) {
            frac += (unsigned)(*s - '0') * scale;
            scale /= 10;
        }
        if (n > 9) {
            return -1;
        }
    }
    if (*s == 'Z' || *s == 'z') {
        s++;
    }
    else if (*s == '+' || *s == '-') {
        sign = *s++ == '+' ? 1 : -1;
        if ((oh = digits(&s, 2)) < 0 || oh > 23 || *s++ != ':' ||
            (om = digits(&s, 2)) < 0 || om > 59) {
            return -1;
        }
    }
    else {
        return -1;
    }
    if (*s != '\0') {
        return -1;
    }
    t = days_of(y, (unsigned)mo, (unsigned)d) * 86400 + h * 3600 + mi * 60 +
        sec - sign * (oh * 3600 + om * 60);
    if (t < 0) {
        return -1;
    }
    *us = (uint64_t)t * 1000000 + frac;
    return 0;
}
