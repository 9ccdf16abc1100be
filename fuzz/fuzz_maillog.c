/*
 * MTA log lines: the first line is a queue id, the others are asked for what
 * they say of it.  And the first line as a time that a person gives.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/trace_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *nl, *end, out[32];
    uint64_t us;
    char *p;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    end = text + size;
    nl = memchr(text, '\n', size);
    if (nl) {
        *nl = 0;
        cli_time(text, 1795507200000000ull, &us);
        cli_period(text, &us);
        for (p = nl + 1; *text && p < end; p = nl + 1) {
            nl = memchr(p, '\n', (size_t)(end - p));
            nl = nl ? nl : end;
            if (trace_maillog_line(p, (size_t)(nl - p), text, out,
                                   sizeof out) &&
                (!memchr(out, 0, sizeof out) || !out[0]))
                abort();
        }
    }
    free(text);
    return 0;
}
