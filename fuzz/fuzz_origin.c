/*
 * Origins: any bytes decode or are refused; what was decoded can be encoded
 * into any room, and says the same again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mo_origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good)
        abort();
}

static size_t encode(const struct mo_origin *o, size_t cap,
                     struct mo_origin *back)
{
    unsigned char *buf = malloc(cap);
    size_t n;

    check(buf != NULL);
    n = mo_origin_encode(o, buf, cap);
    check(n <= cap && (cap >= 128 || n == 0));
    if (back)
        check(mo_origin_decode(buf, n, back) == 0);
    free(buf);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mo_origin o, back, again;
    size_t cap, n;

    if (mo_origin_decode(data, size, &o))
        return 0;
    encode(&o, 127, NULL);
    cap = 128 + (size ? data[size - 1] * 16u : 0);
    n = encode(&o, 16384, NULL);
    if (!n) /* nothing in it that we know */
        return 0;
    encode(&o, 16384, &back);
    check(!strcmp(o.uri, back.uri) && !strcmp(o.script, back.script) &&
          !strcmp(o.vhost, back.vhost) && o.time_us == back.time_us &&
          o.uid == back.uid && o.verdict == back.verdict && o.cut == back.cut);
    encode(&o, cap, &back);
    check(back.time_us == o.time_us && back.has_hash == o.has_hash);
    if (n > cap)
        check(back.cut);
    /* what fits once fits again, uncut */
    encode(&back, cap + 4, &again);
    check(!strcmp(back.uri, again.uri) && !strcmp(back.id, again.id));
    return 0;
}
