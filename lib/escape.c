/*
 * JSON string escaping: what leaves our programs as JSON holds only printable
 * ASCII.  libc only; any bytes may come in.
 */
#include "mo_record.h"

#include <string.h>

/* The character at s, of n bytes left: its length and *cp, or 0 where it is
 * no UTF-8 (overlong forms, surrogates and beyond U+10FFFF are none). */
static unsigned utf8(const unsigned char *s, size_t n, unsigned *cp)
{
    unsigned c = s[0];

    if (c >= 0xC2 && c <= 0xDF && n >= 2 && (s[1] & 0xC0) == 0x80) {
        *cp = (c & 0x1F) << 6 | (s[1] & 0x3F);
        return 2;
    }
    if (c >= 0xE0 && c <= 0xEF && n >= 3 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80) {
        *cp = (c & 0x0F) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        return *cp >= 0x800 && (*cp < 0xD800 || *cp > 0xDFFF) ? 3 : 0;
    }
    if (c >= 0xF0 && c <= 0xF4 && n >= 4 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80 && (s[3] & 0xC0) == 0x80) {
        *cp = (c & 0x07) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 |
              (s[3] & 0x3Fu);
        return *cp >= 0x10000 && *cp <= 0x10FFFF ? 4 : 0;
    }
    return 0;
}

static char *put_u(char *out, unsigned v)
{
    static const char hex[] = "0123456789abcdef";

    *out++ = '\\';
    *out++ = 'u';
    *out++ = hex[v >> 12 & 15];
    *out++ = hex[v >> 8 & 15];
    *out++ = hex[v >> 4 & 15];
    *out++ = hex[v & 15];
    return out;
}

/* One character's escape into out (12 bytes); *used bytes of s are it. */
static size_t escape_one(const unsigned char *s, size_t n, char *out,
                         unsigned *used)
{
    char *p = out;
    unsigned cp;

    *used = 1;
    if (*s == '"' || *s == '\\') {
        *p++ = '\\';
        *p++ = (char)*s;
    }
    else if (*s >= 0x20 && *s < 0x7F) {
        *p++ = (char)*s;
    }
    else if (*s < 0x80) {
        p = put_u(p, *s);
    }
    else if ((*used = utf8(s, n, &cp)) == 0) {
        *used = 1;
        p = put_u(p, *s);
    }
    else if (cp >= 0x10000) {
        p = put_u(p, 0xD800 + ((cp - 0x10000) >> 10));
        p = put_u(p, 0xDC00 + ((cp - 0x10000) & 0x3FF));
    }
    else {
        p = put_u(p, cp);
    }
    return (size_t)(p - out);
}

/* printable ASCII but '"' and '\\' */
static int is_plain(unsigned char c)
{
    static const unsigned char yes[256] = {
        [' ' ... '!'] = 1, ['#' ... '['] = 1, [']' ... '~'] = 1};

    return yes[c];
}

size_t mo_json_escape(const char *s, size_t len, char *out, size_t size,
                      int *cut)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0, n = 0, w;
    unsigned used;
    char one[12];

    if (size == 0) {
        *cut |= len > 0;
        return 0;
    }
    while (i < len) {
        for (w = i; w < len && is_plain(p[w]); w++) {
        }
        if (w > i) { /* most text has nothing to escape */
            w = w - i < size - n - 1 ? w - i : size - n - 1;
            memcpy(out + n, p + i, w);
            n += w;
            i += w;
            if (i < len && is_plain(p[i])) {
                *cut = 1;
                break;
            }
            continue;
        }
        w = escape_one(p + i, len - i, one, &used);
        if (w >= size - n) {
            *cut = 1;
            break;
        }
        memcpy(out + n, one, w);
        n += w;
        i += used;
    }
    out[n] = '\0';
    return n;
}
