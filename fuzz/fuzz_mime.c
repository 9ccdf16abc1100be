/*
 * Mail in any form: the scan ends, reads nothing past the mail, and what it
 * gives is within it or a copy of its own.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/mime.h"
#include "mo_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int field(void *arg, const struct mime_msg *m, const char *body,
                 size_t n)
{
    struct mo_header h;

    if (!memchr(m->message_id, 0, sizeof m->message_id) ||
        !memchr(m->return_path, 0, sizeof m->return_path) ||
        !memchr(m->date, 0, sizeof m->date) || !m->where || m->depth < 0)
        abort();
    if (body && mo_header_parse(body, n, &h) == 0 &&
        (!memchr(h.id, 0, sizeof h.id) || !memchr(h.seal, 0, sizeof h.seal)))
        abort();
    return ++*(unsigned *)arg > 10000 ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"X-Origin", MO_HEADER_NAME, NULL};
    char *mail = malloc(size + 1);
    unsigned n = 0;

    if (!mail)
        return 0;
    memcpy(mail, data, size);
    mail[size] = 0;
    mime_scan(mail, size, names, field, &n);
    free(mail);
    return 0;
}
