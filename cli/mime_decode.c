/*
 * The encodings that a part of a mail may have, read forgivingly: what is no
 * base64 is passed over, a "=" that begins no escape stays.
 */
#include "mime.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int b64(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

char *mime_base64(const char *s, size_t len, size_t *n)
{
    char *out = malloc(len / 4 * 3 + 4);
    unsigned v = 0, bits = 0;
    size_t i, k = 0;
    int d;

    for (i = 0; out && i < len; i++) {
        if (s[i] == '=') { /* padding: what follows begins anew */
            v = bits = 0;
            continue;
        }
        if ((d = b64((unsigned char)s[i])) < 0) {
            continue;
        }
        v = (v << 6 | (unsigned)d) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[k++] = (char)(v >> bits & 0xFF);
        }
    }
    if (out) {
        out[k] = '\0';
        *n = k;
    }
    return out;
}

static int hexdigit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *mime_quoted(const char *s, size_t len, size_t *n)
{
    char *out = malloc(len + 1);
    size_t i = 0, k = 0, p;
    int a, b;

    while (out && i < len) {
        if (s[i] != '=') {
            out[k++] = s[i++];
            continue;
        }
        p = i + 1;
        while (p < len && (s[p] == ' ' || s[p] == '\t' || s[p] == '\r')) {
            p++;
        }
        if (p >= len || s[p] == '\n') {
            i = p + 1; /* a soft break */
            continue;
        }
        if (i + 2 < len && (a = hexdigit(s[i + 1])) >= 0 &&
            (b = hexdigit(s[i + 2])) >= 0) {
            out[k++] = (char)(a << 4 | b);
            i += 3;
            continue;
        }
        out[k++] = s[i++];
    }
    if (out) {
        out[k] = '\0';
        *n = k;
    }
    return out;
}

/* Tags out, the entities that quoting needs in: what is left of HTML. */
char *mime_html(const char *s, size_t len, size_t *n)
{
    static const struct {
        const char *name;
        char c;
    } entity[] = {{"&gt;", '>'},   {"&lt;", '<'},   {"&amp;", '&'},
                  {"&quot;", '"'}, {"&nbsp;", ' '}, {"&#61;", '='}};
    char *out = malloc(len + 1);
    size_t i = 0, k = 0, e, l = 0;

    while (out && i < len) {
        if (s[i] == '<') {
            const char *end = memchr(s + i, '>', len - i);

            if (end) {
                i = (size_t)(end - s) + 1;
                out[k++] = ' ';
                continue;
            }
        }
        for (e = 0; s[i] == '&' && e < sizeof(entity) / sizeof(entity[0]);
             e++) {
            l = strlen(entity[e].name);
            if (len - i >= l && strncasecmp(s + i, entity[e].name, l) == 0) {
                break;
            }
        }
        if (s[i] == '&' && e < sizeof(entity) / sizeof(entity[0])) {
            out[k++] = entity[e].c;
            i += l;
            continue;
        }
        out[k++] = s[i++];
    }
    if (out) {
        out[k] = '\0';
        *n = k;
    }
    return out;
}
