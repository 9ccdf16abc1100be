/*
 * The keyring file; the contract is in mo_seal.h.  Masters are in memory only
 * while a line is read.
 */
#include "mo_seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define FILE_MAX 16384
#define MASTER_LEN crypto_kdf_KEYBYTES
#define MASTER_TEXT 43
#define CONTEXT "mailorig"
#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(MASTER_LEN == 32, "43 characters hold a master");

static int hex_id(const char *s, size_t len, unsigned char id[MO_KEYID_LEN])
{
    size_t n = 0;

    return len == 2 * MO_KEYID_LEN &&
           !sodium_hex2bin(id, MO_KEYID_LEN, s, len, NULL, &n, NULL) &&
           n == MO_KEYID_LEN;
}

static int is_created(const char *s, size_t len)
{
    static const char form[] = "0000-00-00T00:00:00";
    size_t i;

    if (len < sizeof form || len >= sizeof(((struct mo_key *)0)->created))
        return 0;
    for (i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
            return 0;
    for (; i < len; i++)
        if (!strchr("0123456789.:+-Z", s[i]))
            return 0;
    return 1;
}

/* What is wrong with the line, or NULL.  No message shows the line itself:
 * it may hold a key. */
static const char *take_line(struct mo_keyring *kr, const char *line,
                             size_t len, unsigned purposes)
{
    unsigned char master[MASTER_LEN];
    const char *word[4];
    size_t wordlen[4], n = 0, i = 0;
    struct mo_key *k;
    unsigned p;
    int bad;

    while (i < len && n < 4) {
        while (i < len && (line[i] == ' ' || line[i] == '\t'))
            i++;
        if (i == len)
            break;
        word[n] = line + i;
        while (i < len && line[i] != ' ' && line[i] != '\t')
            i++;
        wordlen[n] = (size_t)(line + i - word[n]);
        n++;
    }
    if (!n || *word[0] == '#')
        return NULL;
    if (n != 3)
        return "not the three words KEYID MASTER CREATED";
    if (kr->n >= MO_KEYS_MAX)
        return "one key too many; at most 16 are allowed";
    k = &kr->key[kr->n];
    memset(k, 0, sizeof *k);
    if (!hex_id(word[0], wordlen[0], k->id))
        return "the key id is not 8 hex digits";
    if (mo_keyring_find(kr, k->id))
        return "the key id stands on an earlier line already";
    if (!is_created(word[2], wordlen[2]))
        return "the time of creation is not like 2026-11-24T08:00:00Z";
    memcpy(k->created, word[2], wordlen[2]);
    bad = wordlen[1] != MASTER_TEXT ||
          sodium_base642bin(master, sizeof master, word[1], wordlen[1], NULL,
                            &n, NULL, BASE64) ||
          n != MASTER_LEN;
    for (p = MO_SEAL_TOKEN; !bad && p <= MO_SEAL_HASH; p++)
        if (purposes & MO_PURPOSE_BIT(p))
            crypto_kdf_derive_from_key(k->sub[p], sizeof k->sub[p], p, CONTEXT,
                                       master);
    sodium_memzero(master, sizeof master);
    sodium_stackzero(2048); /* BLAKE2b leaves its result there */
    if (bad)
        return "the master is not 43 characters of base64url";
    kr->n++;
    return NULL;
}

static int take_text(struct mo_keyring *kr, const char *path, const char *text,
                     size_t len, unsigned purposes, char *err, size_t errsize)
{
    const char *p = text, *end = text + len, *nl, *wrong;
    unsigned long number = 1;

    for (; p < end; p = nl + 1, number++) {
        nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            nl = end;
        wrong = take_line(kr, p, (size_t)(nl - p), purposes);
        if (wrong) {
            snprintf(err, errsize, "%s: line %lu: %s", path, number, wrong);
            return -1;
        }
    }
    if (!kr->n) {
        snprintf(err, errsize,
                 "%s: no key in it; \"mailorigin key init\" makes one", path);
        return -1;
    }
    return 0;
}

/* Opens and judges the file; the descriptor, or -1 with err and errno set. */
static int open_ring(const char *path, char *err, size_t errsize)
{
    struct stat st;
    int fd, e;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        e = errno;
        snprintf(err, errsize, "%s: %s%s", path, strerror(e),
                 e == ENOENT ? "; \"mailorigin key init\" makes it" : "");
        errno = e;
        return -1;
    }
    e = fstat(fd, &st) ? errno : 0;
    if (e)
        snprintf(err, errsize, "%s: %s", path, strerror(e));
    else if (!S_ISREG(st.st_mode))
        snprintf(err, errsize, "%s: not a regular file", path);
    else if (st.st_mode & 0027)
        snprintf(err, errsize,
                 "%s: mode %04o lets others at the keys; at most 0640 is "
                 "allowed",
                 path, (unsigned)(st.st_mode & 07777));
    else if (st.st_size > FILE_MAX)
        snprintf(err, errsize, "%s: %lld bytes; at most %d are allowed", path,
                 (long long)st.st_size, FILE_MAX);
    else
        return fd;
    close(fd);
    errno = e;
    return -1;
}

int mo_keyring_read(struct mo_keyring *kr, const char *path, unsigned purposes,
                    char *err, size_t errsize)
{
    char text[FILE_MAX];
    size_t len = 0;
    ssize_t n;
    int fd, e, result;

    kr->n = 0;
    if (sodium_init() < 0) {
        snprintf(err, errsize, "libsodium: no source of random bytes");
        errno = 0;
        return -1;
    }
    fd = open_ring(path, err, errsize);
    if (fd < 0)
        return -1;
    do {
        n = read(fd, text + len, sizeof text - len);
        if (n > 0)
            len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    e = n < 0 ? errno : 0;
    close(fd);
    if (e) {
        snprintf(err, errsize, "%s: %s", path, strerror(e));
        result = -1;
    }
    else
        result = take_text(kr, path, text, len, purposes, err, errsize);
    sodium_memzero(text, sizeof text);
    if (result)
        mo_keyring_wipe(kr);
    errno = e;
    return result;
}

void mo_keyring_wipe(struct mo_keyring *kr)
{
    sodium_memzero(kr, sizeof *kr);
}

const struct mo_key *mo_keyring_find(const struct mo_keyring *kr,
                                     const unsigned char id[MO_KEYID_LEN])
{
    int i;

    for (i = 0; i < kr->n; i++)
        if (!memcmp(kr->key[i].id, id, MO_KEYID_LEN))
            return &kr->key[i];
    return NULL;
}

void mo_keyring_new_line(char *line, size_t size, int64_t now)
{
    unsigned char id[MO_KEYID_LEN], master[MASTER_LEN];
    char hex[2 * MO_KEYID_LEN + 1], text[MASTER_TEXT + 1], when[32] = "";
    time_t t = (time_t)now;
    struct tm tm;

    randombytes_buf(id, sizeof id);
    randombytes_buf(master, sizeof master);
    sodium_bin2hex(hex, sizeof hex, id, sizeof id);
    sodium_bin2base64(text, sizeof text, master, sizeof master, BASE64);
    if (gmtime_r(&t, &tm))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(line, size, "%s %s %s\n", hex, text, when);
    sodium_memzero(master, sizeof master);
    sodium_memzero(text, sizeof text);
}
