/*
 * peek - what tests of the module look through:
 *   peek token KEYRING TOKEN   the origin in it, a line of JSON
 *   peek hash KEYRING          the hash of the line on standard input, as
 *                              mail log and origin name it: KEYID:HASH
 *   peek subkeys KEYRING       the newest key's, as httpd derives them: lines
 *                              of a name and hexadecimal digits
 *   peek board FILE...         a line of JSON for each slot in use
 *   peek free FILE             "FREE of ALL": slots that nobody has taken
 *   peek fill FILE N           takes all free slots but N, for this process's
 *                              parent
 * A file that can't be read is an exit status of 1 and a line on stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mo_board.h"
#include "mo_origin.h"
#include "mo_record.h"
#include "mo_seal.h"

static int die(const char *what, const char *why)
{
    fprintf(stderr, "peek: %s: %s\n", what, why);
    return 1;
}

static void hex(const unsigned char *p, size_t n)
{
    while (n--)
        printf("%02x", *p++);
}

static void str(const char *name, const char *v)
{
    char buf[13000];
    int cut = 0;

    if (!*v)
        return;
    mo_json_escape(v, strlen(v), buf, sizeof(buf), &cut);
    printf(",\"%s\":\"%s\"", name, buf);
}

static int print_origin(const void *p, size_t len)
{
    static struct mo_origin o;

    if (mo_origin_decode(p, len, &o))
        return -1;
    printf("\"time\":%llu,\"pid\":%d,\"record\":%u,\"cut\":%d",
           (unsigned long long)o.time_us, o.pid, o.record, o.cut);
    str("id", o.id);
    str("client", o.client);
    str("vhost", o.vhost);
    str("method", o.method);
    str("user", o.user);
    str("handler", o.handler);
    str("uri", o.uri);
    str("query", o.query);
    str("script", o.script);
    if (o.has_hash) {
        printf(",\"hash\":\"");
        hex(o.keyid, sizeof(o.keyid));
        putchar(':');
        hex(o.hash, sizeof(o.hash));
        putchar('"');
    }
    return 0;
}

static int read_keys(struct mo_keyring *kr, const char *path)
{
    char err[512];

    if (mo_keyring_read(kr, path,
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_HASH),
                        err, sizeof(err)))
        return die(path, err);
    return 0;
}

static int token(const char *keyring, const char *text)
{
    static struct mo_keyring kr;
    unsigned char plain[MO_SEAL_PLAIN_MAX];
    size_t len;

    if (read_keys(&kr, keyring))
        return 1;
    if (mo_unseal(&kr, MO_SEAL_TOKEN, text, strlen(text), plain, sizeof(plain),
                  &len) != MO_OPEN_OK)
        return die(text, "does not open");
    putchar('{');
    if (print_origin(plain, len))
        return die(text, "holds no origin");
    puts("}");
    return 0;
}

static int hash(const char *keyring)
{
    static struct mo_keyring kr;
    unsigned char h[MO_HASH_LEN];
    static char line[65536];
    size_t n = fread(line, 1, sizeof(line), stdin);

    if (read_keys(&kr, keyring))
        return 1;
    mo_request_hash(&kr.key[0], line, n, h);
    hex(kr.key[0].id, MO_KEYID_LEN);
    putchar(':');
    hex(h, sizeof(h));
    putchar('\n');
    return 0;
}

static int subkeys(const char *keyring)
{
    static struct mo_keyring kr;

    if (read_keys(&kr, keyring))
        return 1;
    printf("token ");
    hex(kr.key[0].sub[MO_SEAL_TOKEN], sizeof(kr.key[0].sub[0]));
    printf("\nhash ");
    hex(kr.key[0].sub[MO_SEAL_HASH], sizeof(kr.key[0].sub[0]));
    putchar('\n');
    return 0;
}

static int board(const char *path)
{
    struct mo_board b;
    struct mo_slot s;
    uint32_t i = 0, at;

    if (mo_board_map(&b, path, 0, geteuid()))
        return die(path, strerror(errno));
    while (mo_board_next(&b, 0, &i, &s)) {
        at = i - 1;
        printf("{\"slot\":%u,\"slot_pid\":%d,\"slot_tid\":%d,\"child\":%d,"
               "\"parent\":%d,\"serial\":%llu,\"start\":%llu,"
               "\"last_pid\":%d,\"conn\":%d,\"nameless\":%d",
               at, s.pid, s.tid, s.child, b.head->parent_pid,
               (unsigned long long)s.serial, (unsigned long long)s.start,
               s.last_pid, s.conn.kind, !s.origin_len);
        if (s.origin_len) {
            putchar(',');
            if (print_origin(s.origin, s.origin_len))
                return die(path, "a slot holds no origin");
        }
        puts("}");
    }
    mo_board_unmap(&b);
    return 0;
}

static int count_free(const char *path)
{
    struct mo_board b;
    uint32_t i, n = 0;

    if (mo_board_map(&b, path, 0, geteuid()))
        return die(path, strerror(errno));
    for (i = 0; i < b.nslots; i++)
        n += !b.owner[i];
    printf("%u of %u\n", n, b.nslots);
    mo_board_unmap(&b);
    return 0;
}

static int fill(const char *path, unsigned leave)
{
    struct mo_board b;
    uint32_t i, n = 0;

    if (mo_board_map(&b, path, 1, geteuid()))
        return die(path, strerror(errno));
    for (i = 0; i < b.nslots; i++)
        if (!b.owner[i] && n++ >= leave)
            b.owner[i] = (uint64_t)getppid() << 32 | (uint32_t)getppid();
    printf("%u\n", b.nslots);
    mo_board_unmap(&b);
    return 0;
}

int main(int argc, char **argv)
{
    int i, status = 0;

    if (argc == 4 && !strcmp(argv[1], "token"))
        return token(argv[2], argv[3]);
    if (argc == 3 && !strcmp(argv[1], "hash"))
        return hash(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "subkeys"))
        return subkeys(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "free"))
        return count_free(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "fill"))
        return fill(argv[2], (unsigned)atoi(argv[3]));
    if (argc < 3 || strcmp(argv[1], "board") != 0) {
        fputs(
            "usage: peek token KEYRING TOKEN | hash KEYRING | subkeys KEYRING "
            "| board FILE... | fill FILE N\n",
            stderr);
        return 2;
    }
    for (i = 2; i < argc; i++)
        status |= board(argv[i]);
    return status;
}
