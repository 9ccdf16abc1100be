/*
 * mo_seal.h: what a seal promises (its form, which an independent reading
 * with libsodium checks; no bit of it can change; each key and purpose opens
 * its own only), and what a keyring may be.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "mo_seal.h"

#define ALL                                                                    \
    (MO_PURPOSE_BIT(MO_SEAL_TOKEN) | MO_PURPOSE_BIT(MO_SEAL_STAMP) |           \
     MO_PURPOSE_BIT(MO_SEAL_HASH))
#define B64 sodium_base64_VARIANT_URLSAFE_NO_PADDING
/* the master of "00010203 …": bytes 0, 1, … 31 */
#define MASTER "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define LINE1 "00010203 " MASTER " 2026-11-24T08:00:00Z\n"
#define LINE2                                                                  \
    "a0b1c2d3 HBscGxwbHBscGxwbHBscGxwbHBscGxwbHBscGxwbHBs "                    \
    "2025-01-01T00:00:00Z\n"

static char dir[] = "/tmp/mo-seal.XXXXXX";
static char path[64];
static char err[512];

static void write_ring(const char *text, mode_t mode)
{
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void ring(struct mo_keyring *kr, const char *text)
{
    write_ring(text, 0640);
    assert_int_equal(mo_keyring_read(kr, path, ALL, err, sizeof err), 0);
}

static enum mo_open opens(const struct mo_keyring *kr, enum mo_purpose p,
                          const char *text, size_t len)
{
    unsigned char plain[MO_SEAL_PLAIN_MAX];
    size_t n;

    return mo_unseal(kr, p, text, len, plain, sizeof plain, &n);
}

/* ---- seals */

static void round_trip_and_buckets(void **state)
{
    static const size_t lens[] = {0,   1,   125, 126,  127,  253,  254,  255,
                                  509, 510, 511, 1022, 1023, 2046, 2047, 4094};
    unsigned char plain[MO_SEAL_PLAIN_MAX + 1], back[MO_SEAL_PLAIN_MAX];
    char out[MO_SEAL_TEXT_MAX], again[MO_SEAL_TEXT_MAX];
    struct mo_keyring kr;
    size_t i, n, len, bucket;

    (void)state;
    ring(&kr, LINE1);
    for (i = 0; i < sizeof plain; i++)
        plain[i] = (unsigned char)(i * 7);
    for (i = 0; i < sizeof lens / sizeof *lens; i++) {
        len = lens[i];
        for (bucket = 128; bucket < len + 2; bucket *= 2)
            ;
        n = mo_seal(&kr, MO_SEAL_TOKEN, plain, len, out, sizeof out);
        assert_int_equal(n, strlen(out));
        assert_int_equal(n,
                         sodium_base64_encoded_len(29 + bucket + 16, B64) - 1);
        assert_int_equal(
            strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789-_"),
            n);
        memset(back, 0xee, sizeof back);
        assert_int_equal(
            mo_unseal(&kr, MO_SEAL_TOKEN, out, n, back, sizeof back, &bucket),
            MO_OPEN_OK);
        assert_int_equal(bucket, len);
        assert_memory_equal(back, plain, len);
        /* a nonce each */
        mo_seal(&kr, MO_SEAL_TOKEN, plain, len, again, sizeof again);
        assert_string_not_equal(out, again);
    }
    assert_int_equal(mo_seal(&kr, MO_SEAL_TOKEN, plain, MO_SEAL_PLAIN_MAX + 1,
                             out, sizeof out),
                     0);
}

static void room_for_the_text(void **state)
{
    char out[MO_SEAL_TEXT_MAX];
    unsigned char back[8];
    struct mo_keyring kr;
    size_t n, len;

    (void)state;
    ring(&kr, LINE1);
    n = mo_seal(&kr, MO_SEAL_TOKEN, "plain", 5, out, sizeof out);
    assert_true(n > 0);
    assert_int_equal(mo_seal(&kr, MO_SEAL_TOKEN, "plain", 5, out, n), 0);
    assert_int_equal(mo_seal(&kr, MO_SEAL_TOKEN, "plain", 5, out, n + 1), n);
    assert_int_equal(mo_unseal(&kr, MO_SEAL_TOKEN, out, n, back, 4, &len),
                     MO_OPEN_MALFORMED);
    assert_int_equal(mo_unseal(&kr, MO_SEAL_TOKEN, out, n, back, 5, &len),
                     MO_OPEN_OK);
    kr.n = 0;
    assert_int_equal(mo_seal(&kr, MO_SEAL_TOKEN, "plain", 5, out, sizeof out),
                     0);
}

/* What libsodium decodes, and refuses what it refuses */
static void decode(void **state)
{
    static const char from[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                               "uvwxyz0123456789-_A-_A+/= \n\001";
    unsigned char ours[32], theirs[32];
    char text[24];
    unsigned long good = 0, i;
    uint32_t r = 1;

    (void)state;
    for (i = 0; i < 200000; i++) {
        size_t len, size, j, n, want = 0, many;

        r = r * 1664525 + 1013904223;
        len = (r >> 8) % sizeof text;
        size = (r >> 16) % 20;
        many = r >> 31 ? 64 : sizeof from - 1;
        for (j = 0; j < len; j++) {
            r = r * 1664525 + 1013904223;
            text[j] = from[(r >> 8) % many];
        }
        if (!len || sodium_base642bin(theirs, size, text, len, NULL, &want,
                                      NULL, B64) != 0)
            want = 0;
        n = mo_base64url_decode(text, len, ours, size);
        assert_int_equal(n, want);
        assert_memory_equal(ours, theirs, n);
        good += n > 0;
    }
    assert_true(good > 10000);
    assert_int_equal(mo_base64url_decode("AA\377A", 4, ours, 32), 0);
}

/* The form of the header file, taken apart with libsodium alone. */
static void form(void **state)
{
    unsigned char bin[29 + 128 + 16], open[128], sub[32], master[32], ad[6];
    char out[MO_SEAL_TEXT_MAX];
    unsigned long long plainlen;
    struct mo_keyring kr;
    size_t n, i;

    (void)state;
    ring(&kr, LINE1);
    n = mo_seal(&kr, MO_SEAL_STAMP, "hello", 5, out, sizeof out);
    assert_int_equal(
        sodium_base642bin(bin, sizeof bin, out, n, NULL, &n, NULL, B64), 0);
    assert_int_equal(n, sizeof bin);
    assert_int_equal(bin[0], 1);
    assert_memory_equal(bin + 1, "\0\1\2\3", 4);
    for (i = 0; i < 32; i++)
        master[i] = (unsigned char)i;
    crypto_kdf_derive_from_key(sub, 32, 2, "mailorig", master);
    ad[0] = 2; /* purpose */
    ad[1] = 1; /* version */
    memcpy(ad + 2, "\0\1\2\3", 4);
    assert_int_equal(crypto_aead_xchacha20poly1305_ietf_decrypt(
                         open, &plainlen, NULL, bin + 29, 128 + 16, ad,
                         sizeof ad, bin + 5, sub),
                     0);
    assert_memory_equal(open, "\5\0hello", 7);
    for (i = 7; i < 128; i++)
        assert_int_equal(open[i], 0);
}

static void no_bit_can_change(void **state)
{
    unsigned char bin[512], back[MO_SEAL_PLAIN_MAX];
    char out[MO_SEAL_TEXT_MAX], text[MO_SEAL_TEXT_MAX];
    struct mo_keyring kr;
    enum mo_open r;
    size_t n, len, i, k;

    (void)state;
    ring(&kr, LINE1 LINE2);
    n = mo_seal(&kr, MO_SEAL_TOKEN, "uri=/", 5, out, sizeof out);
    /* of the text */
    for (i = 0; i < n * 8; i++) {
        out[i / 8] ^= (char)(1 << i % 8);
        r = mo_unseal(&kr, MO_SEAL_TOKEN, out, n, back, sizeof back, &len);
        if (r == MO_OPEN_OK)
            fail_msg("bit %zu of the text changed, and it opens", i);
        out[i / 8] ^= (char)(1 << i % 8);
    }
    /* of what it encodes: each bit has the answer that its place gives */
    len = mo_base64url_decode(out, n, bin, sizeof bin);
    assert_int_equal(len, 29 + 128 + 16);
    for (i = 0; i < len * 8; i++) {
        bin[i / 8] ^= (unsigned char)(1 << i % 8);
        k = mo_base64url(bin, len, text, sizeof text);
        r = opens(&kr, MO_SEAL_TOKEN, text, k);
        assert_int_equal(r, i < 8    ? MO_OPEN_MALFORMED
                            : i < 40 ? MO_OPEN_NO_KEY
                                     : MO_OPEN_FORGED);
        bin[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    /* the key id of another key that is there */
    memcpy(bin + 1, "\xa0\xb1\xc2\xd3", 4);
    k = mo_base64url(bin, len, text, sizeof text);
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, text, k), MO_OPEN_FORGED);
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, out, n), MO_OPEN_OK);
}

static void cut_and_foreign_texts(void **state)
{
    char out[MO_SEAL_TEXT_MAX], longer[8192];
    struct mo_keyring kr;
    size_t n, i;

    (void)state;
    ring(&kr, LINE1);
    n = mo_seal(&kr, MO_SEAL_TOKEN, "x", 1, out, sizeof out);
    for (i = 0; i < n; i++)
        assert_int_equal(opens(&kr, MO_SEAL_TOKEN, out, i), MO_OPEN_MALFORMED);
    memset(longer, 'A', sizeof longer);
    memcpy(longer, out, n);
    for (i = n + 1; i < sizeof longer; i++)
        assert_true(opens(&kr, MO_SEAL_TOKEN, longer, i) != MO_OPEN_OK);
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, "not base64!", 11),
                     MO_OPEN_MALFORMED);
    memcpy(longer, out, n);
    longer[n] = '\n';
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, longer, n + 1),
                     MO_OPEN_MALFORMED);
    longer[n] = '=';
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, longer, n + 1),
                     MO_OPEN_MALFORMED);
}

static void each_purpose_and_key_its_own(void **state)
{
    char out[MO_SEAL_TEXT_MAX];
    struct mo_keyring kr, other, part;
    unsigned char zero[32] = {0};
    size_t n;

    (void)state;
    ring(&kr, LINE1);
    n = mo_seal(&kr, MO_SEAL_TOKEN, "x", 1, out, sizeof out);
    assert_int_equal(opens(&kr, MO_SEAL_STAMP, out, n), MO_OPEN_FORGED);
    ring(&other, LINE2);
    assert_int_equal(opens(&other, MO_SEAL_TOKEN, out, n), MO_OPEN_NO_KEY);
    /* a new key before it: the old one still opens, the new one seals */
    ring(&other, LINE2 LINE1);
    assert_int_equal(opens(&other, MO_SEAL_TOKEN, out, n), MO_OPEN_OK);
    n = mo_seal(&other, MO_SEAL_TOKEN, "x", 1, out, sizeof out);
    assert_int_equal(opens(&kr, MO_SEAL_TOKEN, out, n), MO_OPEN_NO_KEY);
    assert_int_equal(opens(&other, MO_SEAL_TOKEN, out, n), MO_OPEN_OK);
    /* the same id, another master */
    ring(&other, "00010203 HBscGxwbHBscGxwbHBscGxwbHBscGxwbHBscGxwbHBs "
                 "2025-01-01T00:00:00Z");
    n = mo_seal(&kr, MO_SEAL_TOKEN, "x", 1, out, sizeof out);
    assert_int_equal(opens(&other, MO_SEAL_TOKEN, out, n), MO_OPEN_FORGED);

    /* httpd's children have no key that makes stamps */
    assert_int_equal(mo_keyring_read(&part, path,
                                     MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                                         MO_PURPOSE_BIT(MO_SEAL_HASH),
                                     err, sizeof err),
                     0);
    assert_memory_equal(part.key[0].sub[MO_SEAL_STAMP], zero, 32);
    assert_memory_not_equal(part.key[0].sub[MO_SEAL_TOKEN], zero, 32);
    assert_memory_not_equal(part.key[0].sub[MO_SEAL_HASH], zero, 32);
    assert_memory_not_equal(part.key[0].sub[MO_SEAL_HASH],
                            part.key[0].sub[MO_SEAL_TOKEN], 32);
    mo_keyring_wipe(&part);
    assert_int_equal(part.n, 0);
    assert_memory_equal(part.key[0].sub[MO_SEAL_TOKEN], zero, 32);
}

static void request_hashes(void **state)
{
    unsigned char a[MO_HASH_LEN], b[MO_HASH_LEN], want[MO_HASH_LEN];
    unsigned char master[32], sub[32];
    struct mo_keyring kr;
    size_t i;

    (void)state;
    ring(&kr, LINE1 LINE2);
    mo_request_hash(&kr.key[0], "GET / HTTP/1.1", 14, a);
    for (i = 0; i < 32; i++)
        master[i] = (unsigned char)i;
    crypto_kdf_derive_from_key(sub, 32, 3, "mailorig", master);
    crypto_generichash(want, 16, (const unsigned char *)"GET / HTTP/1.1", 14,
                       sub, 32);
    assert_memory_equal(a, want, MO_HASH_LEN);
    mo_request_hash(&kr.key[0], "GET / HTTP/1.0", 14, b);
    assert_memory_not_equal(a, b, MO_HASH_LEN);
    mo_request_hash(&kr.key[1], "GET / HTTP/1.1", 14, b);
    assert_memory_not_equal(a, b, MO_HASH_LEN);
}

/* ---- base64url and ids */

static void base64url(void **state)
{
    static const char *const vectors[][2] = {
        {"f", "Zg"},         {"fo", "Zm8"},           {"foo", "Zm9v"},
        {"foob", "Zm9vYg"},  {"fooba", "Zm9vYmE"},    {"foobar", "Zm9vYmFy"},
        {"\xfb\xff", "-_8"}, {"\xff\xff\xff", "____"}};
    unsigned char data[300], back[300];
    char out[512], want[512];
    size_t i, n;

    (void)state;
    for (i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        n = mo_base64url(vectors[i][0], strlen(vectors[i][0]), out, sizeof out);
        assert_int_equal(n, strlen(vectors[i][1]));
        assert_string_equal(out, vectors[i][1]);
    }
    for (i = 1; i < sizeof data; i++) {
        randombytes_buf(data, i);
        sodium_bin2base64(want, sizeof want, data, i, B64);
        n = mo_base64url(data, i, out, sizeof out);
        assert_int_equal(n, strlen(want));
        assert_string_equal(out, want);
        assert_int_equal(mo_base64url(data, i, out, n), 0);
        assert_int_equal(mo_base64url_decode(want, n, back, sizeof back), i);
        assert_memory_equal(back, data, i);
        assert_int_equal(mo_base64url_decode(want, n, back, i - 1), 0);
    }
    assert_int_equal(mo_base64url("", 0, out, sizeof out), 0);
    assert_int_equal(mo_base64url_decode("", 0, back, sizeof back), 0);
    assert_int_equal(mo_base64url_decode("Zg==", 4, back, sizeof back), 0);
    assert_int_equal(mo_base64url_decode("Z+", 2, back, sizeof back), 0);
    assert_int_equal(mo_base64url_decode("Zh", 2, back, sizeof back), 0);
}

static void ids(void **state)
{
    char a[17], b[17];
    int i;

    (void)state;
    for (i = 0; i < 100; i++) {
        mo_random_id(a);
        mo_random_id(b);
        assert_int_equal(strlen(a), 16);
        assert_int_equal(
            strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                      "0123456789-_"),
            16);
        assert_string_not_equal(a, b);
    }
}

/* ---- the keyring */

static void what_is_read(void **state)
{
    struct mo_keyring kr;

    (void)state;
    ring(&kr, "# comment\n\n  # another\n \t" LINE1 "\n" LINE2);
    assert_int_equal(kr.n, 2);
    assert_memory_equal(kr.key[0].id, "\0\1\2\3", 4);
    assert_string_equal(kr.key[0].created, "2026-11-24T08:00:00Z");
    assert_memory_equal(kr.key[1].id, "\xa0\xb1\xc2\xd3", 4);
    assert_ptr_equal(mo_keyring_find(&kr, kr.key[1].id), &kr.key[1]);
    assert_null(mo_keyring_find(&kr, (const unsigned char *)"\1\1\1\1"));
    /* no final newline; upper case; blanks at the end */
    ring(&kr, "A0B1C2D3\t" MASTER "  2026-11-24T08:00:00+01:00 ");
    assert_int_equal(kr.n, 1);
    assert_memory_equal(kr.key[0].id, "\xa0\xb1\xc2\xd3", 4);
}

static void new_lines(void **state)
{
    char text[256 + 128];
    struct mo_keyring kr;
    size_t n;

    (void)state;
    mo_keyring_new_line(text, 128, 1795507200);
    n = strlen(text);
    assert_int_equal(text[n - 1], '\n');
    assert_non_null(strstr(text, " 2026-11-24T"));
    mo_keyring_new_line(text + n, 128, 0);
    ring(&kr, text);
    assert_int_equal(kr.n, 2);
    assert_memory_not_equal(kr.key[0].sub[1], kr.key[1].sub[1], 32);
    assert_string_equal(kr.key[1].created, "1970-01-01T00:00:00Z");
}

/* Refused, with its path and says in the message, and no key in it. */
static void refused(const char *text, mode_t mode, const char *says)
{
    struct mo_keyring kr;

    write_ring(text, mode);
    memset(&kr, 0xee, sizeof kr);
    errno = EIO;
    assert_int_equal(mo_keyring_read(&kr, path, ALL, err, sizeof err), -1);
    assert_int_equal(errno, 0);
    assert_int_equal(kr.n, 0);
    if (!strstr(err, says) || !strstr(err, path))
        fail_msg("\"%s\" does not say \"%s\"", err, says);
    assert_null(strchr(err, '\n'));
    assert_null(strstr(err, "AAECAwQF"));
    assert_null(strstr(err, "HBscGxwb"));
}

static void bad_lines(void **state)
{
    char many[17 * 80 + 1] = "";
    int i;

    (void)state;
    refused("", 0640, "no key");
    refused("# nothing\n", 0640, "no key");
    refused(LINE1 "junk\n", 0640, "line 2: not the three words");
    refused("#\n\n00010203 " MASTER "\n", 0640, "line 3: not the three words");
    refused("00010203 " MASTER " 2026-11-24T08:00:00Z x\n", 0640,
            "line 1: not the three words");
    refused("0001020 " MASTER " 2026-11-24T08:00:00Z\n", 0640, "8 hex digits");
    refused("0001020x " MASTER " 2026-11-24T08:00:00Z\n", 0640, "8 hex digits");
    refused("000102030 " MASTER " 2026-11-24T08:00:00Z\n", 0640,
            "8 hex digits");
    refused("00010203 AAECAwQF 2026-11-24T08:00:00Z\n", 0640, "43 characters");
    refused("00010203 " MASTER "A 2026-11-24T08:00:00Z\n", 0640,
            "43 characters");
    refused("00010203 !AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 "
            "2026-11-24T08:00:00Z\n",
            0640, "43 characters");
    refused("00010203 " MASTER " yesterday\n", 0640, "time of creation");
    refused("00010203 " MASTER " 2026-11-24 \n", 0640, "time of creation");
    refused(LINE1 LINE1, 0640, "line 2: the key id stands on an earlier");
    for (i = 0; i < 17; i++)
        sprintf(many + strlen(many), "000000%02x " MASTER " %s\n", i,
                "2026-11-24T08:00:00Z");
    refused(many, 0640, "line 17: one key too many; at most 16");
}

static void modes(void **state)
{
    static const mode_t bad[] = {0644, 0641, 0642, 0660, 0666, 0777, 0604};
    static const mode_t good[] = {0640, 0600, 0400, 0440};
    struct mo_keyring kr;
    char says[32];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(says, sizeof says, "mode %04o", (unsigned)bad[i]);
        refused(LINE1, bad[i], says);
    }
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        write_ring(LINE1, good[i]);
        assert_int_equal(mo_keyring_read(&kr, path, ALL, err, sizeof err), 0);
    }
}

static void no_file(void **state)
{
    char *large = malloc(16386), big[64];
    struct mo_keyring kr;

    (void)state;
    assert_int_equal(
        mo_keyring_read(&kr, "/nonexistent/ring", ALL, err, sizeof err), -1);
    assert_int_equal(errno, ENOENT);
    assert_non_null(strstr(err, "/nonexistent/ring: No such file"));
    assert_int_equal(mo_keyring_read(&kr, dir, ALL, err, sizeof err), -1);
    assert_non_null(strstr(err, "not a regular file"));
    /* one that nobody writes to must not hold httpd up */
    snprintf(big, sizeof big, "%s/fifo", dir);
    assert_int_equal(mkfifo(big, 0600), 0);
    assert_int_equal(mo_keyring_read(&kr, big, ALL, err, sizeof err), -1);
    assert_non_null(strstr(err, "not a regular file"));
    unlink(big);
    memset(large, '#', 16385);
    large[16385] = '\0';
    refused(large, 0600, "16385 bytes; at most 16384");
    free(large);
}

static int set_up(void **state)
{
    (void)state;
    if (sodium_init() < 0 || !mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/keyring", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip_and_buckets),
        cmocka_unit_test(room_for_the_text),
        cmocka_unit_test(decode),
        cmocka_unit_test(form),
        cmocka_unit_test(no_bit_can_change),
        cmocka_unit_test(cut_and_foreign_texts),
        cmocka_unit_test(each_purpose_and_key_its_own),
        cmocka_unit_test(request_hashes),
        cmocka_unit_test(base64url),
        cmocka_unit_test(ids),
        cmocka_unit_test(what_is_read),
        cmocka_unit_test(new_lines),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(modes),
        cmocka_unit_test(no_file),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("seal", tests, set_up, tear_down);
}
