/*
 * The Mail-Origin field, written and read back (mo_header.h).
 */
#include "mo_header.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FOLD_AT 72

/* ---- writing the field */

struct fold {
    char *out;
    size_t size, len, column;
};

static int fold_put(struct fold *f, const char *s, size_t n)
{
    if (f->size - f->len <= n)
        return -1;
    memcpy(f->out + f->len, s, n);
    f->len += n;
    f->column += n;
    return 0;
}

static int fold_line(struct fold *f)
{
    while (f->len && f->out[f->len - 1] == ' ')
        f->len--;
    if (fold_put(f, "\n\t", 2) < 0)
        return -1;
    f->column = 1;
    return 0;
}

/* Text that may be broken anywhere. */
static int fold_text(struct fold *f, const char *s)
{
    size_t n = strlen(s);

    while (n) {
        size_t room = f->column < FOLD_AT ? FOLD_AT - f->column : 0;

        if (room == 0) {
            if (fold_line(f) < 0)
                return -1;
            while (n && *s == ' ') {
                s++;
                n--;
            }
            continue;
        }
        if (room > n)
            room = n;
        if (fold_put(f, s, room) < 0)
            return -1;
        s += room;
        n -= room;
    }
    return 0;
}

/* Text that stays whole if a line can hold it. */
static int fold_word(struct fold *f, const char *s)
{
    if (f->column > 1 && f->column + strlen(s) > FOLD_AT) {
        if (fold_line(f) < 0)
            return -1;
        s += strspn(s, " ");
    }
    return fold_text(f, s);
}

size_t mo_header_format(char *out, size_t size, const char *name,
                        const char *id, const char *extra, char tag,
                        const char *seal)
{
    struct fold f = {out, size, 0, 0};
    char key[] = " s=", word[64];

    if (fold_put(&f, name, strlen(name)) < 0 || fold_put(&f, ": v=1;", 6) < 0)
        return 0;
    if (id && *id) {
        snprintf(word, sizeof(word), " id=%.32s;", id);
        if (fold_word(&f, word) < 0)
            return 0;
    }
    if (extra && *extra &&
        (fold_put(&f, " ", 1) < 0 || fold_text(&f, extra) < 0))
        return 0;
    while (f.len && out[f.len - 1] == ' ') {
        f.len--;
        f.column--;
    }
    if (seal && *seal) {
        key[1] = tag;
        if (fold_word(&f, key) < 0 || fold_text(&f, seal) < 0)
            return 0;
    }
    else if (out[f.len - 1] == ';')
        f.len--;
    if (fold_put(&f, "\n", 2) < 0) /* with its NUL */
        return 0;
    return f.len - 1;
}

/* ---- reading the field */

static int is_seal(char c)
{
    static const unsigned char yes[256] = {['A' ... 'Z'] = 1,
                                           ['a' ... 'z'] = 1,
                                           ['0' ... '9'] = 1,
                                           ['-'] = 1,
                                           ['_'] = 1};

    return yes[(unsigned char)c];
}

/* The seal's characters that stand together at p, which are nearly all of a
 * field, moved to out; how many, max at most. */
static size_t seal_run(const char *p, size_t max, char *out)
{
    size_t n = 0;

    for (; n < max && is_seal(p[n]); n++)
        out[n] = p[n];
    return n;
}

/* The next byte of body that counts, from *pos; -1 at the end.  '>' is what
 * a reply puts before a quoted line. */
static int next_byte(const char *body, size_t len, size_t *pos)
{
    while (*pos < len) {
        char c = body[*pos];
        size_t p = *pos + 1;

        if (c == '=') { /* a soft break of quoted-printable */
            while (p < len && (body[p] == ' ' || body[p] == '\r'))
                p++;
            if (p < len && body[p] == '\n') {
                *pos = p + 1;
                continue;
            }
            p = *pos + 1;
        }
        *pos = p;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '>' ||
            c == '\0')
            continue;
        return (unsigned char)c;
    }
    return -1;
}

int mo_header_parse(const char *body, size_t len, struct mo_header *h)
{
    size_t pos = 0, n = 0;
    int c, qp = 0;

    memset(h, 0, offsetof(struct mo_header, seal));
    h->seal[0] = '\0';
    for (;;) {
        char key[16];
        size_t klen = 0;
        int ok;

        while ((c = next_byte(body, len, &pos)) >= 0 && c != '=' && c != ';')
            if (klen < sizeof(key) - 1)
                key[klen++] = (char)c;
        if (c < 0)
            break;
        if (c == ';')
            continue;
        key[klen] = '\0';
        if (qp) { /* "=3D" stands for "=" */
            size_t p = pos;

            if (next_byte(body, len, &p) == '3' &&
                next_byte(body, len, &p) == 'D')
                pos = p;
        }
        if (strcmp(key, "v") == 0) {
            size_t p = pos;

            if (next_byte(body, len, &p) == '3' &&
                next_byte(body, len, &p) == 'D' &&
                next_byte(body, len, &p) == '1') {
                qp = 1;
                pos = p;
            }
            while ((c = next_byte(body, len, &pos)) >= 0 && c != ';')
                ;
        }
        else if (strcmp(key, "id") == 0 && !h->id[0]) {
            n = 0;
            ok = 1;
            while ((c = next_byte(body, len, &pos)) >= 0 && c != ';') {
                ok &= n < 16 && is_seal((char)c);
                if (ok)
                    h->id[n++] = (char)c;
            }
            h->id[ok && n == 16 ? 16 : 0] = '\0';
        }
        else if ((strcmp(key, "s") == 0 || strcmp(key, "t") == 0) && !h->tag) {
            n = 0;
            while ((c = next_byte(body, len, &pos)) >= 0 && is_seal((char)c) &&
                   n < sizeof(h->seal) - 1) {
                size_t run, room = sizeof(h->seal) - 2 - n;

                h->seal[n++] = (char)c;
                run = seal_run(body + pos, len - pos < room ? len - pos : room,
                               h->seal + n);
                n += run;
                pos += run;
            }
            h->seal[n] = '\0';
            if (n)
                h->tag = key[0];
            while (c >= 0 && c != ';')
                c = next_byte(body, len, &pos);
        }
        else
            while ((c = next_byte(body, len, &pos)) >= 0 && c != ';')
                ;
        if (c < 0)
            break;
    }
    return h->id[0] || h->tag ? 0 : -1;
}
