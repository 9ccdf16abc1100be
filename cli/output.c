/*
 * How the command prints: nothing that a log, a mail or a name holds reaches
 * a terminal or a pipe as a raw control byte.
 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mo_msg.h"

/* Bytes of the UTF-8 character at s that may be printed as they are; 0: none
 * (controls, C1 too, and characters that turn the writing direction or break
 * lines, with which a name could show as another). */
static size_t printable(const unsigned char *s, size_t n)
{
    unsigned cp;

    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] < 0x7F;
    }
    if (s[0] >= 0xC2 && s[0] <= 0xDF && n >= 2 && (s[1] & 0xC0) == 0x80) {
        return s[0] == 0xC2 && s[1] < 0xA0 ? 0 : 2;
    }
    if (s[0] >= 0xE0 && s[0] <= 0xEF && n >= 3 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80) {
        cp = (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
        if (cp < 0x800 || (cp >= 0xD800 && cp <= 0xDFFF) ||
            (cp >= 0x200B && cp <= 0x200F) || (cp >= 0x2028 && cp <= 0x202E) ||
            (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF || cp >= 0xFFF0) {
            return 0;
        }
        return 3;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4 && n >= 4 && (s[1] & 0xC0) == 0x80 &&
        (s[2] & 0xC0) == 0x80 && (s[3] & 0xC0) == 0x80) {
        cp = (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 |
             (s[3] & 0x3Fu);
        return cp >= 0x10000 && cp < 0xE0000 ? 4 : 0;
    }
    return 0;
}

void cli_print_safe(FILE *f, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0, done = 0, n;

    while (i < len) {
        n = printable(p + i, len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        fwrite(p + done, 1, i - done, f);
        fprintf(f, "\\x%02x", p[i++]);
        done = i;
    }
    fwrite(p + done, 1, i - done, f);
}

void cli_print_quoted(FILE *f, const char *v)
{
    const unsigned char *p = (const unsigned char *)v;
    size_t len = strlen(v), i, n;
    int plain = len > 0, odd = 0;

    for (i = 0; i < len; i += n) {
        n = printable(p + i, len - i);
        if (n == 0) {
            odd = 1;
            n = 1;
        }
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789_./:@%+,-",
                   p[i]) == NULL) {
            plain = 0;
        }
    }
    if (plain) {
        fputs(v, f);
        return;
    }
    if (!odd) {
        putc('\'', f);
        for (i = 0; i < len; i++) {
            if (p[i] == '\'') {
                fputs("'\\''", f);
            }
            else {
                putc(p[i], f);
            }
        }
        putc('\'', f);
        return;
    }
    fputs("$'", f); /* bash, zsh, ksh and POSIX of 2024 */
    for (i = 0; i < len; i += n) {
        n = printable(p + i, len - i);
        if (n == 0) {
            fprintf(f, "\\%03o", p[i]);
            n = 1;
        }
        else {
            if (p[i] == '\'' || p[i] == '\\') {
                putc('\\', f);
            }
            fwrite(p + i, 1, n, f);
        }
    }
    putc('\'', f);
}

static void json_name(FILE *f, int *first, const char *name)
{
    /* (not by fprintf: a record has twenty of them) */
    if (!*first) {
        putc_unlocked(',', f);
    }
    putc_unlocked('"', f);
    fputs_unlocked(name, f);
    fputs_unlocked("\":", f);
    *first = 0;
}

void cli_json_text(FILE *f, const char *value)
{
    size_t len, n, w = 1;
    char out[4096];

    out[0] = '"';
    for (len = strlen(value); len > 0; len -= n, value += n) {
        int cut = 0;

        /* in pieces that always fit, each of whole characters */
        n = len;
        if (n > 600) {
            n = 600;
            while (n > 596 && ((unsigned char)value[n] & 0xC0) == 0x80) {
                n--;
            }
        }
        w += mo_json_escape(value, n, out + w, sizeof(out) - w, &cut);
        if (n < len) {
            fwrite_unlocked(out, 1, w, f);
            w = 0;
        }
    }
    out[w++] = '"';
    fwrite_unlocked(out, 1, w, f);
}

void cli_json_str(FILE *f, int *first, const char *name, const char *value)
{
    if (value && value[0]) {
        json_name(f, first, name);
        cli_json_text(f, value);
    }
}

void cli_json_num(FILE *f, int *first, const char *name, uint64_t n)
{
    json_name(f, first, name);
    fprintf(f, "%llu", (unsigned long long)n);
}

void cli_json_record(FILE *f, int *first, const struct mo_record *r)
{
    int i;

    for (i = 0; i < MO_F_COUNT; i++) {
        const char *v = r->value[i], *name = mo_field_name((enum mo_field)i);

        if (v == NULL || v[0] == '\0') {
            continue;
        }
        if (i == MO_F_TRUNCATED) {
            json_name(f, first, name);
            fputs("true", f);
        }
        else if (mo_field_is_number((enum mo_field)i) &&
                 v[strspn(v, "0123456789")] == '\0') {
            json_name(f, first, name);
            fputs(v[0] == '0' && v[1] ? "0" : v, f);
        }
        else {
            cli_json_str(f, first, name, v);
        }
    }
}

void *cli_grown(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return p;
    }
    *cap = *cap ? 2 * *cap : 64;
    if ((p = reallocarray(p, *cap, size)) == NULL) {
        mo_fatal(CLI_TROUBLE, "out of memory");
    }
    return p;
}

const char *cli_bold(const struct cli *c)
{
    return c->colour ? "\033[1m" : "";
}

const char *cli_red(const struct cli *c)
{
    return c->colour ? "\033[1;31m" : "";
}

const char *cli_plain(const struct cli *c)
{
    return c->colour ? "\033[0m" : "";
}

/* ---- progress */

static struct {
    uint64_t start_ms, last_ms;
    int shown;
} bar;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const char *bytes(uint64_t n, char out[32])
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)n;
    unsigned u = 0;

    while (v >= 1000 && u < 4) {
        v /= 1000;
        u++;
    }
    snprintf(out, 32, "%.*f %s", u > 0 && v < 100, v, unit[u]);
    return out;
}

void cli_progress(struct cli *c, const char *what, uint64_t done,
                  uint64_t total)
{
    uint64_t now, spent;
    char a[32], b[32], rate[32];

    if (!c->progress) {
        return;
    }
    now = now_ms();
    if (bar.start_ms == 0) {
        bar.start_ms = now;
        bar.last_ms = now;
    }
    if (now - bar.last_ms < 200) {
        return;
    }
    bar.last_ms = now;
    bar.shown = 1;
    spent = now - bar.start_ms ? now - bar.start_ms : 1;
    fprintf(stderr, "\r%s: %s", what, bytes(done, a));
    if (total > 0) {
        fprintf(stderr, " of %s, %u %%", bytes(total, b),
                (unsigned)(done >= total ? 100 : done * 100 / total));
    }
    fprintf(stderr, ", %s/s", bytes(done * 1000 / spent, rate));
    if (total > done && done > 0) {
        uint64_t left = (uint64_t)((double)(total - done) * (double)spent /
                                   (double)done / 1000);

        fprintf(stderr, ", %llu:%02u left", (unsigned long long)left / 60,
                (unsigned)(left % 60));
    }
    fputs("\033[K", stderr);
    fflush(stderr);
}

void cli_progress_end(struct cli *c)
{
    (void)c;
    if (bar.shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    memset(&bar, 0, sizeof(bar));
}
