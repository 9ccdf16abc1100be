/*
 * Seals and what goes with them; the contract is in mo_seal.h.
 *
 * Plaintexts are padded to a few sizes, so that a seal's length tells little
 * of the URI in it.
 */
#include "mo_seal.h"

#include <string.h>

#include <sodium.h>

#define SEAL_VERSION 1
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_LEN (1 + MO_KEYID_LEN + NONCE_LEN)
#define PADDED_MAX 4096

_Static_assert(HEAD_LEN == 29 && TAG_LEN == 16, "the seal's form is fixed");
_Static_assert(MO_SEAL_PLAIN_MAX + 2 == PADDED_MAX, "a length goes before");
_Static_assert((HEAD_LEN + PADDED_MAX + TAG_LEN) * 4 / 3 + 3 < MO_SEAL_TEXT_MAX,
               "the largest seal has room");

static size_t padded(size_t len)
{
    size_t n = 128;

    while (n < len + 2)
        n *= 2;
    return n;
}

/* purpose, version, key id */
static void associate(unsigned char ad[2 + MO_KEYID_LEN],
                      enum mo_purpose purpose, const unsigned char *id)
{
    ad[0] = (unsigned char)purpose;
    ad[1] = SEAL_VERSION;
    memcpy(ad + 2, id, MO_KEYID_LEN);
}

size_t mo_seal(const struct mo_keyring *kr, enum mo_purpose purpose,
               const void *plain, size_t len, char *out, size_t size)
{
    unsigned char text[PADDED_MAX], ad[2 + MO_KEYID_LEN];
    unsigned char bin[HEAD_LEN + PADDED_MAX + TAG_LEN];
    unsigned char *nonce = bin + 1 + MO_KEYID_LEN;
    unsigned long long n = 0;
    size_t pad;

    if (kr->n < 1 || len > MO_SEAL_PLAIN_MAX)
        return 0;
    pad = padded(len);
    text[0] = len & 0xff;
    text[1] = (unsigned char)(len >> 8);
    if (len)
        memcpy(text + 2, plain, len);
    memset(text + 2 + len, 0, pad - 2 - len);

    bin[0] = SEAL_VERSION;
    memcpy(bin + 1, kr->key[0].id, MO_KEYID_LEN);
    randombytes_buf(nonce, NONCE_LEN);
    associate(ad, purpose, kr->key[0].id);
    crypto_aead_xchacha20poly1305_ietf_encrypt(bin + HEAD_LEN, &n, text, pad,
                                               ad, sizeof ad, NULL, nonce,
                                               kr->key[0].sub[purpose]);
    return mo_base64url(bin, HEAD_LEN + (size_t)n, out, size);
}

enum mo_open mo_unseal(const struct mo_keyring *kr, enum mo_purpose purpose,
                       const char *text, size_t len, unsigned char *plain,
                       size_t size, size_t *plainlen)
{
    unsigned char bin[HEAD_LEN + PADDED_MAX + TAG_LEN];
    unsigned char open[PADDED_MAX], ad[2 + MO_KEYID_LEN];
    unsigned long long n = 0;
    const struct mo_key *k;
    size_t binlen, pad, want;

    binlen = mo_base64url_decode(text, len, bin, sizeof bin);
    if (binlen < HEAD_LEN + 128 + TAG_LEN || bin[0] != SEAL_VERSION)
        return MO_OPEN_MALFORMED;
    pad = binlen - HEAD_LEN - TAG_LEN;
    if (pad > PADDED_MAX || (pad & (pad - 1)))
        return MO_OPEN_MALFORMED;
    k = mo_keyring_find(kr, bin + 1);
    if (!k)
        return MO_OPEN_NO_KEY;
    associate(ad, purpose, k->id);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            open, &n, NULL, bin + HEAD_LEN, pad + TAG_LEN, ad, sizeof ad,
            bin + 1 + MO_KEYID_LEN, k->sub[purpose]))
        return MO_OPEN_FORGED;
    want = open[0] | (size_t)open[1] << 8;
    if (n != pad || want > pad - 2 || want > size)
        return MO_OPEN_MALFORMED;
    memcpy(plain, open + 2, want);
    *plainlen = want;
    return MO_OPEN_OK;
}

void mo_request_hash(const struct mo_key *k, const char *line, size_t len,
                     unsigned char hash[MO_HASH_LEN])
{
    crypto_generichash(hash, MO_HASH_LEN, (const unsigned char *)line, len,
                       k->sub[MO_SEAL_HASH], sizeof k->sub[MO_SEAL_HASH]);
}

void mo_random_id(char id[17])
{
    unsigned char b[12];

    randombytes_buf(b, sizeof b);
    mo_base64url(b, sizeof b, id, 17);
}

/*
 * By table: what is encoded is ciphertext or a public id, and libsodium's
 * constant-time encoder takes several times the instructions, on every
 * dynamic request.  Keys are encoded in keyring.c, by libsodium.
 */
size_t mo_base64url(const void *data, size_t len, char *out, size_t size)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *p = data;
    size_t n, i;
    char *to = out;
    uint32_t v;

    if (len > (SIZE_MAX - 3) / 4)
        return 0;
    n = len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
    if (!len || n >= size)
        return 0;
    for (i = 0; i + 2 < len; i += 3) {
        v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        *to++ = digit[v >> 18];
        *to++ = digit[v >> 12 & 63];
        *to++ = digit[v >> 6 & 63];
        *to++ = digit[v & 63];
    }
    if (i < len) {
        v = (uint32_t)p[i] << 16;
        if (i + 1 < len)
            v |= (uint32_t)p[i + 1] << 8;
        *to++ = digit[v >> 18];
        *to++ = digit[v >> 12 & 63];
        if (i + 1 < len)
            *to++ = digit[v >> 6 & 63];
    }
    *to = '\0';
    return n;
}

/* What is decoded is public (a stamp, a token), so that a plain table will do:
 * sodium_base642bin(), which takes the same time for whatever it is given,
 * was a third of what a queue's listing took. */
#define CHAR(c, v) [c] = (v) + 1
#define FOUR(c, v)                                                             \
    CHAR(c, v), CHAR(c + 1, v + 1), CHAR(c + 2, v + 2), CHAR(c + 3, v + 3)
static const unsigned char value[256] = {
    FOUR('A', 0),  FOUR('E', 4),  FOUR('I', 8),  FOUR('M', 12), FOUR('Q', 16),
    FOUR('U', 20), CHAR('Y', 24), CHAR('Z', 25), FOUR('a', 26), FOUR('e', 30),
    FOUR('i', 34), FOUR('m', 38), FOUR('q', 42), FOUR('u', 46), CHAR('y', 50),
    CHAR('z', 51), FOUR('0', 52), FOUR('4', 56), CHAR('8', 60), CHAR('9', 61),
    CHAR('-', 62), CHAR('_', 63)};
#undef FOUR
#undef CHAR

size_t mo_base64url_decode(const char *text, size_t len, void *out, size_t size)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char *to = out;
    size_t n = 0, i;
    unsigned bits = 0, have = 0, a, b, c, d;

    if (len % 4 == 1 || len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0) > size)
        return 0;
    for (i = 0; i + 4 <= len; i += 4) {
        a = value[p[i]];
        b = value[p[i + 1]];
        c = value[p[i + 2]];
        d = value[p[i + 3]];
        if (!a || !b || !c || !d)
            return 0;
        bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        to[n++] = (unsigned char)(bits >> 16);
        to[n++] = (unsigned char)(bits >> 8);
        to[n++] = (unsigned char)bits;
    }
    for (bits = 0; i < len; i++) {
        if (!value[p[i]])
            return 0;
        bits = bits << 6 | (value[p[i]] - 1u);
        have += 6;
        if (have >= 8) {
            have -= 8;
            to[n++] = (unsigned char)(bits >> have);
        }
    }
    /* each text has one form only: what is left over is zero */
    return bits & ((1u << have) - 1) ? 0 : n;
}
