/*
 * Opens stamps.  A pasted one may have lost what ended it, so that words of
 * the next line hang on it: seals have few lengths, and each that fits is
 * tried.
 */
#include "stamp.h"

#include <string.h>

#include "mo_seal.h"

/* characters of a seal with 128, 256 … 4096 bytes in it */
static const size_t lengths[] = {5522, 2791, 1426, 743, 402, 231};

static int open_seal(const struct mo_keyring *keys, enum mo_purpose purpose,
                     const char *seal, size_t len, struct mo_origin *o)
{
    unsigned char plain[MO_SEAL_PLAIN_MAX + 1];
    size_t n;
    int rc = mo_unseal(keys, purpose, seal, len, plain, sizeof(plain), &n);

    if (rc == MO_OPEN_OK && mo_origin_decode(plain, n, o) != 0) {
        rc = MO_OPEN_MALFORMED;
    }
    return rc;
}

int stamp_read(const struct mo_keyring *keys, const char *body, size_t len,
               struct stamp *s)
{
    struct mo_header h;

    memset(s, 0, sizeof(*s));
    s->origin.uid = -1;
    if (mo_header_parse(body, len, &h) != 0) {
        return -1;
    }
    stamp_open(keys, &h, s);
    return 0;
}

void stamp_open(const struct mo_keyring *keys, const struct mo_header *h,
                struct stamp *s)
{
    enum mo_purpose purpose;
    size_t n, i;
    int rc, worst = MO_OPEN_MALFORMED;

    memset(s, 0, sizeof(*s));
    s->origin.uid = -1;
    memcpy(s->id, h->id, sizeof(s->id));
    n = strlen(h->seal);
    if (h->tag == 0 || n == 0) {
        s->state = STAMP_NONE;
        return;
    }
    purpose = h->tag == 't' ? MO_SEAL_TOKEN : MO_SEAL_STAMP;
    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (lengths[i] > n) {
            continue;
        }
        rc = open_seal(keys, purpose, h->seal, lengths[i], &s->origin);
        if (rc == MO_OPEN_OK) {
            s->state = h->tag == 't' ? STAMP_TOKEN : STAMP_OPEN;
            /* what is sealed counts, not what stands beside it */
            if (h->tag == 's' && s->origin.mail[0]) {
                memcpy(s->id, s->origin.mail, sizeof(s->id) - 1);
            }
            return;
        }
        /* an unknown key or a failed check says more than a bad length */
        if (lengths[i] == n || worst == MO_OPEN_MALFORMED) {
            worst = rc;
        }
    }
    memset(&s->origin, 0, sizeof(s->origin));
    s->origin.uid = -1;
    s->state = worst == MO_OPEN_NO_KEY   ? STAMP_NO_KEY
               : worst == MO_OPEN_FORGED ? STAMP_FORGED
                                         : STAMP_MALFORMED;
}

const char *stamp_words(enum stamp_state s)
{
    switch (s) {
    case STAMP_NONE:
        return "the field holds an id but no stamp";
    case STAMP_OPEN:
        return "the stamp is authentic";
    case STAMP_TOKEN:
        return "no recorder answered when it was sent; the request's own "
               "token, which is authentic, stands in for the stamp";
    case STAMP_NO_KEY:
        return "the stamp was sealed with a key that is not in the keyring";
    case STAMP_FORGED:
        return "the stamp does not authenticate: it was changed or forged";
    case STAMP_MALFORMED:
        break;
    }
    return "the stamp is cut or damaged";
}

/* Takes n bytes of the text, NULL when there are none left. */
static char *take(char **text, size_t *size, size_t n)
{
    char *p = *text;

    if (n > *size) {
        return NULL;
    }
    *text += n;
    *size -= n;
    return p;
}

static void hex(const unsigned char *s, size_t n, char *out)
{
    while (n-- > 0) {
        *out++ = "0123456789abcdef"[*s >> 4];
        *out++ = "0123456789abcdef"[*s++ & 15];
    }
    *out = '\0';
}

static void put_number(struct mo_record *r, enum mo_field f, long long v,
                       char **text, size_t *size)
{
    char *p = take(text, size, 24);

    if (p) {
        snprintf(p, 24, "%lld", v);
        r->value[f] = p;
    }
}

void stamp_record(const struct stamp *s, struct mo_record *r, char *text,
                  size_t size)
{
    const struct mo_origin *o = &s->origin;
    char *p;

    memset(r, 0, sizeof(*r));
    r->value[MO_F_ID] = o->mail[0] ? o->mail : s->id;
    if (s->state != STAMP_OPEN && s->state != STAMP_TOKEN) {
        return;
    }
    r->value[MO_F_HOST] = o->host;
    r->value[MO_F_VERDICT] =
        mo_verdict_name(s->state == STAMP_TOKEN ? MO_V_CLAIMED : o->verdict);
    r->value[MO_F_REQUEST_ID] = o->id;
    r->value[MO_F_CLIENT] = o->client;
    r->value[MO_F_VHOST] = o->vhost;
    r->value[MO_F_METHOD] = o->method;
    r->value[MO_F_URI] = o->uri;
    r->value[MO_F_QUERY] = o->query;
    r->value[MO_F_SCRIPT] = o->script;
    r->value[MO_F_HANDLER] = o->handler;
    r->value[MO_F_USER] = o->user;
    if (o->cut) {
        r->value[MO_F_TRUNCATED] = "true";
    }
    if (o->when_us && (p = take(&text, &size, 32)) != NULL) {
        mo_time_format(o->when_us, p);
        r->value[MO_F_TIME] = p;
    }
    if (o->time_us && (p = take(&text, &size, 32)) != NULL) {
        mo_time_format(o->time_us, p);
        r->value[MO_F_REQUEST_TIME] = p;
    }
    if (o->has_hash &&
        (p = take(&text, &size, 2 * MO_KEYID_LEN + 2 * MO_HASH_LEN + 2)) !=
            NULL) {
        hex(o->keyid, MO_KEYID_LEN, p);
        p[2 * MO_KEYID_LEN] = ':';
        hex(o->hash, MO_HASH_LEN, p + 2 * MO_KEYID_LEN + 1);
        r->value[MO_F_REQUEST_HASH] = p;
    }
    if (o->uid >= 0) {
        put_number(r, MO_F_UID, (long long)o->uid, &text, &size);
    }
}
