/*
 * Records: any line is parsed without a byte read past it; what was parsed is
 * written, and what was read of that is written the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mo_record.h"

#define SOME                                                                   \
    (1ull << MO_F_TIME | 1ull << MO_F_ACTION | 1ull << MO_F_URI |              \
     1ull << MO_F_UID | 1ull << MO_F_TRUNCATED)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char out[MO_RECORD_LINE], back[MO_RECORD_LINE],
        twice[MO_RECORD_LINE], some[MO_RECORD_LINE];
    struct mo_record r, again, part;
    char *line = malloc(size + 1);
    size_t n, i;

    if (!line)
        return 0;
    memcpy(line, data, size);
    line[size] = 0;
    mo_record_parse_some(line, size, 1ull << MO_F_TIME | 1ull << MO_F_UID, &r);
    memcpy(line, data, size);
    if (mo_record_parse(line, size, &r) == 0) {
        for (i = 0; i < MO_F_COUNT; i++)
            if (r.value[i] && strlen(r.value[i]) > r.len[i])
                abort();
        n = mo_record_format(&r, out, sizeof out);
        if (n > sizeof out || (n && out[n - 1] != '\n'))
            abort();
        for (i = 0; n && i < n - 1; i++)
            if (out[i] < 0x20 || out[i] > 0x7E)
                abort();
        memcpy(back, out, n);
        if (n && mo_record_parse(back, n, &again) != 0)
            abort();
        /* a part of it says what all of it does */
        memcpy(some, out, n);
        if (n && mo_record_parse_some(some, n, SOME, &part) != 0)
            abort();
        for (i = 0; n && i < MO_F_COUNT; i++)
            if ((SOME >> i & 1) &&
                strcmp(part.value[i] ? part.value[i] : "",
                       again.value[i] ? again.value[i] : "") != 0)
                abort();
        /* (a byte that is no UTF-8 is read back as a character) */
        if (n && !again.value[MO_F_TRUNCATED] &&
            (mo_record_format(&again, twice, sizeof twice) != n ||
             memcmp(out, twice, n) != 0))
            abort();
    }
    free(line);
    return 0;
}
