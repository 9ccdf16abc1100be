/*
 * Which of the common formats is a log of?
 */
#include "log_format.h"

#include <stdio.h>
#include <string.h>

#define LINES 40 /* looked at */

struct log_format *log_format_guess(const char *text, size_t len)
{
    static const char *const base[] = {"vhost_combined", "combined",
                                       "vhost_common", "common"};
    static const char *const suffix[] = {
        "",
        " %D",
        " %{MAILORIGIN_ID}e",
        " \"%{MAILORIGIN_ID}e\"",
        " %D %{MAILORIGIN_ID}e",
        " %{MAILORIGIN_ID}e %D",
    };
    const char *p, *nl, *end = text + len;
    struct log_line line;
    unsigned b, s, good, all;
    char format[256], err[256];

    for (b = 0; b < sizeof(base) / sizeof(base[0]); b++) {
        for (s = 0; s < sizeof(suffix) / sizeof(suffix[0]); s++) {
            struct log_format *f = log_format_compile(base[b], err, 256);

            if (f && suffix[s][0]) {
                snprintf(format, sizeof(format), "%s%s", log_format_text(f),
                         suffix[s]);
                log_format_free(f);
                f = log_format_compile(format, err, sizeof(err));
            }
            good = all = 0;
            for (p = text; f && p < end && all < LINES; p = nl + 1) {
                nl = memchr(p, '\n', (size_t)(end - p));
                if (nl == NULL) {
                    break;
                }
                all++;
                if (log_format_parse(f, p, (size_t)(nl - p), 1, &line) == 0 &&
                    (line.part[LOG_ID].p == NULL ||
                     memchr(line.part[LOG_ID].p, ' ', line.part[LOG_ID].n) ==
                         NULL)) {
                    good++;
                }
            }
            if (all > 0 && good * 2 > all) {
                return f;
            }
            log_format_free(f);
        }
    }
    return NULL;
}
