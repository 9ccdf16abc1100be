/*
 * Seals and keyrings.  The first byte says what the others are: a seal's
 * text ('s'), a seal's bytes behind a good head ('b'), a keyring ('k').
 * Nothing but what was sealed with the key may open.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY                                                                    \
    "00010203 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8 "                    \
    "2026-11-24T08:00:00Z\n"
#define ALL (MO_PURPOSE_BIT(MO_SEAL_TOKEN) | MO_PURPOSE_BIT(MO_SEAL_STAMP))

static void check(int good)
{
    if (!good)
        abort();
}

static int read_ring(struct mo_keyring *kr, const void *text, size_t len)
{
    char path[64], err[256] = "";
    int fd = memfd_create("ring", MFD_CLOEXEC), r;

    check(fd >= 0 && !fchmod(fd, 0600));
    check(write(fd, text, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    r = mo_keyring_read(kr, path, ALL, err, sizeof err);
    close(fd);
    check(r ? *err && !strchr(err, '\n') && kr->n == 0
            : kr->n > 0 && kr->n <= MO_KEYS_MAX);
    return r;
}

static enum mo_open opens(const struct mo_keyring *kr, const char *text,
                          size_t len)
{
    unsigned char plain[MO_SEAL_PLAIN_MAX];
    size_t n;

    return mo_unseal(kr, MO_SEAL_TOKEN, text, len, plain, sizeof plain, &n);
}

static void bytes(const struct mo_keyring *kr, const uint8_t *data, size_t size)
{
    unsigned char bin[8192];
    char text[2 * sizeof bin];
    size_t n;

    if (size > sizeof bin - 5)
        size = sizeof bin - 5;
    bin[0] = 1;
    memcpy(bin + 1, "\0\1\2\3", 4);
    memcpy(bin + 5, data, size);
    n = mo_base64url(bin, size + 5, text, sizeof text);
    check(n > 0 && opens(kr, text, n) != MO_OPEN_OK);
}

static void ring(const uint8_t *data, size_t size)
{
    char out[MO_SEAL_TEXT_MAX];
    struct mo_keyring kr;
    size_t n;

    if (read_ring(&kr, data, size))
        return;
    n = mo_seal(&kr, MO_SEAL_TOKEN, "x", 1, out, sizeof out);
    check(n > 0 && opens(&kr, out, n) == MO_OPEN_OK);
    n = mo_seal(&kr, MO_SEAL_STAMP, "x", 1, out, sizeof out);
    check(n > 0 && opens(&kr, out, n) == MO_OPEN_FORGED);
    mo_keyring_wipe(&kr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mo_keyring kr;

    if (!kr.n)
        check(read_ring(&kr, KEY, strlen(KEY)) == 0);
    if (!size)
        return 0;
    if (data[0] == 's')
        check(opens(&kr, (const char *)data + 1, size - 1) != MO_OPEN_OK);
    else if (data[0] == 'b')
        bytes(&kr, data + 1, size - 1);
    else if (data[0] == 'k')
        ring(data + 1, size - 1);
    return 0;
}
