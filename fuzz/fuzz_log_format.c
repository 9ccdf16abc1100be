/*
 * The first line is a LogFormat, the rest lines of a log: compiled, parsed,
 * guessed; the parts of a line lie within it.  The time alone, as the quick
 * reader finds it, is the parsed line's where both find one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void lines(struct log_format *f, const char *p, const char *end)
{
    struct log_line l;
    const char *nl;
    uint64_t us;
    int i;

    for (; p < end; p = nl + 1) {
        nl = memchr(p, '\n', (size_t)(end - p));
        nl = nl ? nl : end;
        log_format_time(f, p, (size_t)(nl - p), &us);
        if (log_format_parse(f, p, (size_t)(nl - p), 0, &l) == 0)
            for (i = 0; i < LOG_PARTS; i++)
                if (l.part[i].p &&
                    (l.part[i].p < p || l.part[i].p + l.part[i].n > nl))
                    abort();
        log_format_parse(f, p, (size_t)(nl - p), 1, &l);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *nl, err[256];
    struct log_format *f;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    nl = memchr(text, '\n', size);
    if (nl) {
        *nl = 0;
        f = log_format_compile(text, err, sizeof err);
        if (f)
            lines(f, nl + 1, text + size);
        else if (!memchr(err, 0, sizeof err))
            abort();
        log_format_free(f);
        f = log_format_guess(nl + 1, (size_t)(text + size - nl - 1));
        if (f)
            lines(f, nl + 1, text + size);
        log_format_free(f);
    }
    free(text);
    return 0;
}
