/*
 * Wire messages and the fields in them: no packet leads past its end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mo_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

/* What was read, written again, is the same to the byte. */
static void again(const uint8_t *data, size_t size, size_t pos, int type)
{
    unsigned char *buf = malloc(size);
    struct mo_tlv_out out;
    struct mo_tlv f;

    check(buf != NULL);
    mo_wire_start(&out, buf, size, (enum mo_wire_type)type);
    while (mo_tlv_next(data, size, &pos, &f) > 0)
        mo_tlv_put(&out, f.tag, f.data, f.len);
    check(!out.overflow && out.len == size && !memcmp(buf, data, size));
    free(buf);
}

static unsigned char sum(const unsigned char *p, size_t len)
{
    unsigned char n = 0;

    while (len--)
        n += *p++;
    return n;
}

static volatile unsigned char all; /* so that every byte is read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t pos = 0, first;
    struct mo_tlv f;
    uint64_t n;
    int type, more;

    type = mo_wire_type(data, size, &pos);
    if (type < 0)
        return 0;
    check(pos == 4 && type >= MO_W_HELLO && type <= MO_W_REPLY);
    first = pos;
    while ((more = mo_tlv_next(data, size, &pos, &f)) > 0) {
        check(f.tag != 0 && f.data + f.len <= data + size);
        all = (unsigned char)(all + sum(f.data, f.len));
        check(mo_tlv_num(&f, &n) == (f.len > 8 ? -1 : 0));
    }
    if (!more)
        again(data, size, first, type);
    return 0;
}
