/*
 * The head filter, whom its fields name, and our field's reader.  The first byte says how large the
 * pieces are.  Whatever the pieces, the result must be the same, nothing of
 * the body may go, and what stays must be found in the input in order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mo_head.h"
#include "mo_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sink {
    char *buf;
    size_t n, cap;
};

static int put(void *arg, const char *p, size_t n)
{
    struct sink *s = arg;

    if (n > s->cap - s->n)
        abort();
    memcpy(s->buf + s->n, p, n);
    s->n += n;
    return 0;
}

static void filter(const char *in, size_t len, size_t piece, struct mo_head *h,
                   struct mo_rcpts *r, struct sink *s)
{
    size_t pos = 0, used;
    int state = MO_HEAD_MORE;

    s->n = 0;
    s->cap = len;
    mo_head_start(h, "Mail-Origin");
    memset(r, 0, sizeof(*r));
    h->rcpts = r;
    while (pos < len && state == MO_HEAD_MORE) {
        size_t n = len - pos < piece ? len - pos : piece;

        state = mo_head_feed(h, in + pos, n, &used, put, s);
        if (state == MO_HEAD_MORE && used != n)
            abort();
        pos += used;
    }
    if (state == MO_HEAD_MORE)
        mo_head_end(h, put, s);
    put(s, in + pos, len - pos);
    if (h->insert > s->n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mo_head a, b;
    static struct mo_rcpts ra, rb;
    static struct mo_header f;
    struct sink sa, sb;
    const char *in = (const char *)data + 1;
    size_t len, i, j;

    if (size < 1)
        return 0;
    len = size - 1;
    sa.buf = malloc(size);
    sb.buf = malloc(size);
    filter(in, len, len + 1, &a, &ra, &sa);
    filter(in, len, data[0] % 40 + 1, &b, &rb, &sb);
    if (sa.n != sb.n || memcmp(sa.buf, sb.buf, sa.n) != 0 ||
        a.insert != b.insert || a.crlf != b.crlf ||
        a.blank_after != b.blank_after || a.dropped != b.dropped ||
        a.break_before != b.break_before || strcmp(a.subject, b.subject) != 0 ||
        strcmp(a.message_id, b.message_id) != 0)
        abort();
    if (ra.n != rb.n || ra.used != rb.used || ra.used > sizeof(ra.text) ||
        memcmp(ra.text, rb.text, ra.used) != 0)
        abort();
    for (i = j = 0; i < ra.used; i += strlen(ra.text + i) + 1)
        j++;
    if (i != ra.used || j > ra.n)
        abort();
    for (i = j = 0; i < sa.n && j < len; j++)
        if (sa.buf[i] == in[j])
            i++;
    if (i < sa.n || (a.dropped == 0 && sa.n != len))
        abort();
    mo_header_parse(in, len, &f);
    if (strlen(f.id) != 0 && strlen(f.id) != 16)
        abort();
    free(sa.buf);
    free(sb.buf);
    return 0;
}
