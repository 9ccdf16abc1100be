/*
 * Fields of a tag, a length and bytes; the contract is in mo_tlv.h.  The
 * wrapper links this, so: libc only.
 */
#include "mo_tlv.h"

#include <string.h>

void mo_tlv_start(struct mo_tlv_out *out, void *buf, size_t cap)
{
    out->buf = buf;
    out->cap = cap;
    out->len = 0;
    out->overflow = 0;
}

void mo_tlv_put(struct mo_tlv_out *out, unsigned char tag, const void *data,
                size_t len)
{
    unsigned char *p;

    if (out->overflow)
        return;
    if (len > 65535 || out->len > out->cap ||
        MO_TLV_SIZE(len) > out->cap - out->len) {
        out->overflow = 1;
        return;
    }
    p = out->buf + out->len;
    p[0] = tag;
    p[1] = len & 0xff;
    p[2] = len >> 8;
    if (len)
        memcpy(p + 3, data, len);
    out->len += MO_TLV_SIZE(len);
}

void mo_tlv_put_str(struct mo_tlv_out *out, unsigned char tag, const char *s)
{
    if (s && *s)
        mo_tlv_put(out, tag, s, strlen(s));
}

void mo_tlv_put_num(struct mo_tlv_out *out, unsigned char tag, uint64_t n)
{
    unsigned char b[8];
    size_t len = 0;

    if (!n)
        return;
    while (n) {
        b[len++] = n & 0xff;
        n >>= 8;
    }
    mo_tlv_put(out, tag, b, len);
}

int mo_tlv_next(const void *buf, size_t len, size_t *pos, struct mo_tlv *f)
{
    const unsigned char *p = buf;
    size_t room, n;

    if (*pos >= len)
        return *pos == len ? 0 : -1;
    p += *pos;
    room = len - *pos;
    if (room < 3 || !p[0])
        return -1;
    n = p[1] | (size_t)p[2] << 8;
    if (n > room - 3)
        return -1;
    f->tag = p[0];
    f->len = (uint16_t)n;
    f->data = p + 3;
    *pos += MO_TLV_SIZE(n);
    return 1;
}

int mo_tlv_num(const struct mo_tlv *f, uint64_t *n)
{
    uint64_t v = 0;
    unsigned i;

    if (f->len > 8)
        return -1;
    for (i = f->len; i > 0; i--)
        v = v << 8 | f->data[i - 1];
    *n = v;
    return 0;
}
