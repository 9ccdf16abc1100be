/*
 * stamp KEYRING NAME=VALUE... - prints a Mail-Origin field as the recorder
 * makes it, for tests that need stamped mail without a recorder.
 * Names: mail (the mail's id, 16 characters), verdict, when and time (seconds
 * since the epoch), uid, id (the request's), host, client, vhost, method,
 * uri, script; request (the request line as access_log writes it, which is
 * hashed); header (the field's name); token=1 seals a token instead of a stamp;
 * hash=1 prints request_hash instead, as a record has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mo_header.h"
#include "mo_origin.h"
#include "mo_record.h"
#include "mo_seal.h"

static void str(char *out, size_t size, const char *v)
{
    snprintf(out, size, "%s", v);
}

int main(int argc, char **argv)
{
    static struct mo_origin o;
    static char seal[MO_SEAL_TEXT_MAX], field[MO_HEADER_MAX];
    unsigned char buf[MO_ORIGIN_MAX];
    struct mo_keyring kr;
    char err[256];
    size_t n;
    const char *header = MO_HEADER_NAME;
    int i, token = 0, hash = 0;

    if (argc < 3) {
        fprintf(stderr, "usage: stamp KEYRING NAME=VALUE...\n");
        return 2;
    }
    if (mo_keyring_read(&kr, argv[1],
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_STAMP) |
                            MO_PURPOSE_BIT(MO_SEAL_HASH),
                        err, sizeof err) < 0) {
        fprintf(stderr, "stamp: %s\n", err);
        return 2;
    }
    o.uid = -1;
    o.verdict = MO_V_VERIFIED;
    str(o.mail, sizeof o.mail, "AAAAAAAAAAAAAAAA");
    for (i = 2; i < argc; i++) {
        char *v = strchr(argv[i], '=');

        if (!v) {
            fprintf(stderr, "stamp: %s is not NAME=VALUE\n", argv[i]);
            return 2;
        }
        *v++ = 0;
        if (!strcmp(argv[i], "mail"))
            str(o.mail, sizeof o.mail, v);
        else if (!strcmp(argv[i], "verdict"))
            o.verdict = mo_verdict_find(v);
        else if (!strcmp(argv[i], "when"))
            o.when_us = strtoull(v, NULL, 10) * 1000000;
        else if (!strcmp(argv[i], "time"))
            o.time_us = strtoull(v, NULL, 10) * 1000000;
        else if (!strcmp(argv[i], "uid"))
            o.uid = atol(v);
        else if (!strcmp(argv[i], "id"))
            str(o.id, sizeof o.id, v);
        else if (!strcmp(argv[i], "host"))
            str(o.host, sizeof o.host, v);
        else if (!strcmp(argv[i], "client"))
            str(o.client, sizeof o.client, v);
        else if (!strcmp(argv[i], "vhost"))
            str(o.vhost, sizeof o.vhost, v);
        else if (!strcmp(argv[i], "method"))
            str(o.method, sizeof o.method, v);
        else if (!strcmp(argv[i], "uri"))
            str(o.uri, sizeof o.uri, v);
        else if (!strcmp(argv[i], "script"))
            str(o.script, sizeof o.script, v);
        else if (!strcmp(argv[i], "request")) {
            mo_request_hash(&kr.key[0], v, strlen(v), o.hash);
            memcpy(o.keyid, kr.key[0].id, sizeof o.keyid);
            o.has_hash = 1;
        }
        else if (!strcmp(argv[i], "header"))
            header = v;
        else if (!strcmp(argv[i], "token"))
            token = atoi(v);
        else if (!strcmp(argv[i], "hash"))
            hash = atoi(v);
        else {
            fprintf(stderr, "stamp: there is no name %s\n", argv[i]);
            return 2;
        }
    }
    if (hash) {
        for (i = 0; i < MO_KEYID_LEN; i++)
            printf("%02x", o.keyid[i]);
        putchar(':');
        for (i = 0; i < MO_HASH_LEN; i++)
            printf("%02x", o.hash[i]);
        putchar('\n');
        return 0;
    }
    n = mo_origin_encode(&o, buf, token ? sizeof buf : MO_STAMP_MAX);
    if (!n ||
        !mo_seal(&kr, token ? MO_SEAL_TOKEN : MO_SEAL_STAMP, buf, n, seal,
                 sizeof seal) ||
        !mo_header_format(field, sizeof field, header, o.mail, NULL,
                          token ? 't' : 's', seal)) {
        fprintf(stderr, "stamp: it does not fit\n");
        return 2;
    }
    fputs(field, stdout);
    return fflush(stdout) != 0;
}
