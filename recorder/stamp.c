/*
 * The stamp: what a mail carries of its origin, sealed, cut to fit.
 */
#include "rec.h"

#include <stdio.h>
#include <string.h>

#include "mo_header.h"

#define DISCLOSE_MAX 600 /* characters of a disclosed value */

/* "vhost=www.example.org; ", percent-encoded; "" where there is none */
static void disclosed(enum mo_disclose what, const struct mo_origin *o,
                      char *out, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char *const name[] = {"", "vhost", "script", "uri"};
    const char *value = "";
    size_t n;

    out[0] = '\0';
    if (o == NULL || what == MO_DISCLOSE_NONE || what > MO_DISCLOSE_URI)
        return;
    if (what == MO_DISCLOSE_VHOST)
        value = o->vhost;
    else
        value = what == MO_DISCLOSE_SCRIPT ? o->script : o->uri;
    if (value[0] == '\0')
        return;
    n = (size_t)snprintf(out, size, "%s=", name[what]);
    for (; *value != '\0' && n < DISCLOSE_MAX; value++) {
        unsigned char c = (unsigned char)*value;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || strchr("._~/-", c) != NULL) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    snprintf(out + n, size - n, "; ");
}

size_t rec_stamp(const struct mo_conf *conf, const struct mo_keyring *keys,
                 const char *host, const struct mo_origin *origin,
                 enum mo_verdict verdict, const char *id, uint64_t now_us,
                 uint32_t uid, int hold, char *out, size_t size)
{
    static struct mo_origin o;
    unsigned char plain[MO_STAMP_MAX];
    char seal[1024];
    char extra[DISCLOSE_MAX + 50];
    size_t marked = 0;
    size_t n;

    if (origin != NULL)
        o = *origin;
    else
        memset(&o, 0, sizeof o);
    o.query[0] = '\0';
    o.verdict = (int)verdict;
    o.when_us = now_us;
    o.uid = uid;
    snprintf(o.mail, sizeof o.mail, "%s", id);
    snprintf(o.host, sizeof o.host, "%s", host);
    n = mo_origin_encode(&o, plain, sizeof plain);
    if (n == 0 ||
        mo_seal(keys, MO_SEAL_STAMP, plain, n, seal, sizeof seal) == 0)
        seal[0] = '\0';
    if (hold)
        marked = (size_t)sprintf(extra, "%s", MO_HEADER_HOLD "; ");
    /* a claim is shown to nobody as if it were so */
    disclosed(verdict == MO_V_VERIFIED || verdict == MO_V_CONFLICT
                  ? conf->disclose
                  : MO_DISCLOSE_NONE,
              origin, extra + marked, sizeof extra - marked);
    return mo_header_format(out, size, conf->header, id,
                            extra[0] != '\0' ? extra : NULL, 's',
                            seal[0] != '\0' ? seal : NULL);
}
