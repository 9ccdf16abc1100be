/*
 * mailorigin.conf, a line at a time: every value that is taken must be one
 * that the parts may rely on, and every refusal one printable line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mo_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct mo_conf *c)
{
    unsigned i;

    if (c->sendmail[0] && c->sendmail[0] != '/')
        abort();
    if (c->log[0] != '/' || !c->header[0] || strpbrk(c->header, " \t:\r\n"))
        abort();
    if (c->timeout_ms < 10 || c->timeout_ms > 60000)
        abort();
    if (c->nlimits > MO_CONF_RULES || c->nalerts > MO_CONF_RULES ||
        c->naccess_logs > MO_CONF_RULES)
        abort();
    for (i = 0; i < c->nlimits; i++)
        if (!c->limit[i].n || !c->limit[i].period || c->limit[i].by < 1)
            abort();
    for (i = 0; i < c->nalerts; i++)
        if (!c->alert[i].n || !c->alert[i].period ||
            c->alert[i].program[0] != '/')
            abort();
    for (i = 0; i < c->naccess_logs; i++)
        if (c->access_log[i].glob[0] != '/' || !c->access_log[i].format[0])
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mo_conf c;
    const char *p = (const char *)data, *end = p + size;

    mo_conf_defaults(&c);
    check(&c);
    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        char *line = malloc(n + 1), err[300];
        int rv;

        memcpy(line, p, n);
        line[n] = '\0';
        err[0] = 'x';
        rv = mo_conf_line(&c, line, err, sizeof(err));
        if (rv == 0 ? err[0] != '\0' : !err[0] || strchr(err, '\n'))
            abort();
        check(&c);
        free(line);
        p += n + 1;
    }
    return 0;
}
