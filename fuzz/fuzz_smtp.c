/*
 * The -bs proxy's reading of a dialogue: the input is both what a client and
 * what a server sends, its first byte how large the pieces are.  A message
 * must end at the same byte whatever the pieces, a reply be found at the
 * same, and EHLO's reply keep all lines but the hidden ones.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t end_of(const char *in, size_t len, size_t piece,
                     struct sm_data_end *end)
{
    struct sm_data d = {0, 0, 0};
    size_t from = 0, have = 0;

    for (;;) {
        /* of its exact size, so that a step past its end is seen */
        char *copy = malloc(have - from + 1);
        size_t n;

        memcpy(copy, in + from, have - from);
        n = sm_data_scan(&d, copy, have - from, end);
        free(copy);
        if (n > have - from)
            abort();
        from += n;
        if (end->len || have == len)
            return from;
        if (have - from > 2)
            abort();
        have += have + piece > len ? len - have : piece;
    }
}

static void message(const char *in, size_t len, size_t piece)
{
    struct sm_data_end a, b;
    size_t x = end_of(in, len, len + 1, &a), y = end_of(in, len, piece, &b);

    if (x != y || a.len != b.len || (a.len && a.loose != b.loose))
        abort();
    if (a.len == 0)
        return;
    if (in[x] != '.' || in[x + a.len - 1] != '\n' ||
        (a.len == 3 && in[x + 1] != '\r') || a.len > 3 ||
        (x && in[x - 1] != '\n'))
        abort();
}

static void replies(const char *in, size_t len)
{
    size_t pos = 0, n, now, i;
    char *copy;

    while (pos < len) {
        int code = 0;

        n = sm_smtp_reply(in + pos, len - pos, &code);
        if (n == 0)
            break;
        if (n > len - pos || in[pos + n - 1] != '\n' || code < 200 ||
            code > 599)
            abort();
        copy = malloc(n);
        memcpy(copy, in + pos, n);
        now = sm_smtp_ehlo(copy, n);
        if (now == 0 || now > n)
            abort();
        /* a second time there is nothing to hide */
        i = sm_smtp_ehlo(copy, now);
        if (i != now)
            abort();
        free(copy);
        pos += n;
    }
}

static void commands(const char *in, size_t len)
{
    size_t pos = 0, n;
    char out[40];

    while (pos < len) {
        const char *nl = memchr(in + pos, '\n', len - pos);
        char *line;

        n = nl ? (size_t)(nl + 1 - (in + pos)) : len - pos;
        line = malloc(n);
        memcpy(line, in + pos, n);
        switch (sm_smtp_command(line, n)) {
        case SM_CMD_BDAT:
            if (sm_smtp_bdat(line, n) > 1ULL << 62)
                abort();
            break;
        case SM_CMD_MAIL:
        case SM_CMD_RCPT:
            sm_smtp_path(line, n, out, sizeof(out));
            if (strlen(out) >= sizeof(out) || strpbrk(out, "\r\n"))
                abort();
            break;
        default:
            break;
        }
        free(line);
        pos += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *in = (const char *)data + 1;

    if (size < 2)
        return 0;
    message(in, size - 1, data[0] % 40 + 1);
    replies(in, size - 1);
    commands(in, size - 1);
    return 0;
}
