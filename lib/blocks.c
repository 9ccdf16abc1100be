/*
 * The blocks file: see mo_blocks.h.  Whatever it holds, reading it never
 * fails as a whole: a line that is none is passed over and named.
 */
#include "mo_blocks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)

static const char *const types[] = {"",           "vhost",  "script", "dir",
                                    "uri-prefix", "client", "uid"};

const char *mo_block_type_name(enum mo_block_type t)
{
    return t >= MO_BLOCK_VHOST && t <= MO_BLOCK_UID ? types[t] : "";
}

int mo_block_type_find(const char *name)
{
    int i;

    for (i = MO_BLOCK_VHOST; i <= MO_BLOCK_UID; i++)
        if (strcmp(name, types[i]) == 0)
            return i;
    return 0;
}

/* IPv4 as ::ffff:a.b.c.d; returns the offset of its bits, or -1 */
static int address(const char *text, unsigned char addr[16])
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0,    0,
                                             0, 0, 0, 0, 0xff, 0xff};

    if (inet_pton(AF_INET, text, addr + 12) == 1) {
        memcpy(addr, mapped, sizeof mapped);
        return 96;
    }
    if (inet_pton(AF_INET6, text, addr) == 1)
        return memcmp(addr, mapped, sizeof mapped) == 0 ? 96 : 0;
    return -1;
}

static int set_client(struct mo_block *b, const char *value)
{
    char text[64];
    char name[INET6_ADDRSTRLEN];
    const char *slash = strchr(value, '/');
    size_t len = slash != NULL ? (size_t)(slash - value) : strlen(value);
    int base;
    unsigned bits;
    unsigned i;
    char *end;

    if (len >= sizeof text)
        return -1;
    memcpy(text, value, len);
    text[len] = '\0';
    base = address(text, b->addr);
    if (base < 0)
        return -1;
    if (base == 96 && strchr(text, ':') != NULL)
        base = 0; /* ::ffff:1.2.3.4/120 counts all bits */
    bits = 128 - (unsigned)base;
    if (slash != NULL) {
        if (slash[1] < '0' || slash[1] > '9')
            return -1;
        bits = (unsigned)strtoul(slash + 1, &end, 10);
        if (*end != '\0' || end - slash > 4 || bits > 128 - (unsigned)base)
            return -1;
    }
    b->bits = bits + (unsigned)base;
    for (i = b->bits; i < 128; i++)
        b->addr[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
    if (base == 96)
        inet_ntop(AF_INET, b->addr + 12, name, sizeof name);
    else
        inet_ntop(AF_INET6, b->addr, name, sizeof name);
    if (b->bits < 128)
        snprintf(b->value, sizeof b->value, "%s/%u", name, bits);
    else
        snprintf(b->value, sizeof b->value, "%s", name);
    return 0;
}

int mo_block_set(struct mo_block *b, enum mo_block_type type, const char *value,
                 char *err, size_t errsize)
{
    size_t len = strlen(value);
    char *end;
    unsigned long n;

    if (len == 0 || len >= sizeof b->value) {
        snprintf(err, errsize,
                 "block %s: a value of %zu bytes; 1 to %zu are "
                 "allowed",
                 mo_block_type_name(type), len, sizeof b->value - 1);
        return -1;
    }
    switch (type) {
    case MO_BLOCK_CLIENT:
        if (set_client(b, value) != 0) {
            snprintf(err, errsize,
                     "block client %.80s: allowed are an IPv4 "
                     "or IPv6 address, or ADDRESS/BITS",
                     value);
            return -1;
        }
        break;
    case MO_BLOCK_UID:
        errno = 0;
        n = strtoul(value, &end, 10);
        if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
            n >= UINT32_MAX) {
            snprintf(err, errsize, "block uid %.80s: a number is allowed",
                     value);
            return -1;
        }
        b->uid = (int64_t)n;
        snprintf(b->value, sizeof b->value, "%lu", n);
        break;
    case MO_BLOCK_SCRIPT:
    case MO_BLOCK_DIR:
    case MO_BLOCK_URI_PREFIX:
        if (value[0] != '/') {
            snprintf(err, errsize, "block %s %.80s: it must begin with '/'",
                     mo_block_type_name(type), value);
            return -1;
        }
        memcpy(b->value, value, len + 1);
        while (type == MO_BLOCK_DIR && len > 1 && b->value[len - 1] == '/')
            b->value[--len] = '\0';
        break;
    case MO_BLOCK_VHOST:
        memcpy(b->value, value, len + 1);
        break;
    default:
        snprintf(err, errsize, "block: no type %d", (int)type);
        return -1;
    }
    b->type = type;
    b->len = strlen(b->value);
    return 0;
}

static size_t encode(const char *s, char *out, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;

    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (n + 4 > size)
            return 0;
        if (c < 0x20 || c > 0x7e || c == '%') {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
        else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

static int hexval(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static int decode(const char *s, size_t len, char *out, size_t size)
{
    size_t i;
    size_t n = 0;

    for (i = 0; i < len; i++) {
        int c = (unsigned char)s[i];

        if (c == '%') {
            if (len - i < 3 || hexval(s[i + 1]) < 0 || hexval(s[i + 2]) < 0)
                return -1;
            c = hexval(s[i + 1]) << 4 | hexval(s[i + 2]);
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return -1;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return 0;
}

static int64_t whole(const char *s)
{
    char *end;
    long long n;

    if (*s < '0' || *s > '9')
        return -1;
    errno = 0;
    n = strtoll(s, &end, 10);
    return *end != '\0' || errno != 0 ? -1 : n;
}

int mo_block_parse(const char *line, size_t len, struct mo_block *b, char *err,
                   size_t errsize)
{
    char field[8][32];
    char value[sizeof b->value];
    const char *s = line;
    const char *end;
    int64_t n[4];
    int type;
    int i;

    memset(b, 0, sizeof *b);
    if (len > 0 && line[len - 1] == '\n')
        len--;
    end = line + len;
    for (i = 0; i < 8; i++) {
        const char *tab = i < 7 ? memchr(s, '\t', (size_t)(end - s)) : end;

        if (tab == NULL) {
            snprintf(err, errsize, "%d fields; 8 are allowed", i + 1);
            return -1;
        }
        if (i == 2) {
            if (decode(s, (size_t)(tab - s), value, sizeof value) != 0) {
                snprintf(err, errsize, "VALUE is not as it is written");
                return -1;
            }
        }
        else if (i == 7) {
            if (decode(s, (size_t)(tab - s), b->reason, sizeof b->reason) !=
                0) {
                snprintf(err, errsize, "REASON is not as it is written");
                return -1;
            }
        }
        else {
            if (tab - s >= (ptrdiff_t)sizeof field[i]) {
                snprintf(err, errsize, "field %d is too long", i + 1);
                return -1;
            }
            memcpy(field[i], s, (size_t)(tab - s));
            field[i][tab - s] = '\0';
        }
        s = tab + 1;
    }
    n[0] = whole(field[0]);
    n[1] = whole(field[4]);
    n[2] = whole(field[5]);
    n[3] = whole(field[6]);
    type = mo_block_type_find(field[1]);
    if (n[0] <= 0 || n[1] < 0 || n[1] > 1 || n[2] < 0 || n[3] < 0 ||
        type == 0 ||
        (strcmp(field[3], "refuse") != 0 && strcmp(field[3], "hold") != 0)) {
        snprintf(err, errsize, "no ID TYPE VALUE ACTION HTTP UNTIL CREATED");
        return -1;
    }
    if (mo_block_set(b, (enum mo_block_type)type, value, err, errsize) != 0)
        return -1;
    b->id = (unsigned long)n[0];
    b->http = (int)n[1];
    b->until = n[2];
    b->created = n[3];
    b->action = field[3][0] == 'r' ? MO_REFUSED : MO_HELD;
    return 0;
}

size_t mo_block_format(const struct mo_block *b, char *out, size_t size)
{
    char value[3 * sizeof b->value + 4];
    char reason[3 * sizeof b->reason + 4];
    int n;

    if (encode(b->value, value, sizeof value) == 0)
        return 0;
    reason[0] = '\0';
    encode(b->reason, reason, sizeof reason);
    n = snprintf(out, size, "%lu\t%s\t%s\t%s\t%d\t%lld\t%lld\t%s\n", b->id,
                 mo_block_type_name(b->type), value,
                 b->action == MO_HELD ? "hold" : "refuse", b->http != 0,
                 (long long)b->until, (long long)b->created, reason);
    return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

static int some(const char *s)
{
    return s != NULL && s[0] != '\0';
}

int mo_block_hits(const struct mo_block *b, const struct mo_subject *s,
                  int64_t now)
{
    unsigned char addr[16];
    unsigned whole_bytes;

    if (b->until != 0 && b->until <= now)
        return 0;
    switch (b->type) {
    case MO_BLOCK_VHOST:
        return some(s->vhost) && strcasecmp(s->vhost, b->value) == 0;
    case MO_BLOCK_SCRIPT:
        return some(s->script) && strcmp(s->script, b->value) == 0;
    case MO_BLOCK_DIR:
        return some(s->script) && strncmp(s->script, b->value, b->len) == 0 &&
               (b->len == 1 || s->script[b->len] == '/');
    case MO_BLOCK_URI_PREFIX:
        return some(s->uri) && strncmp(s->uri, b->value, b->len) == 0;
    case MO_BLOCK_CLIENT:
        if (!some(s->client) || address(s->client, addr) < 0)
            return 0;
        whole_bytes = b->bits / 8;
        if (memcmp(addr, b->addr, whole_bytes) != 0)
            return 0;
        return b->bits % 8 == 0 ||
               ((addr[whole_bytes] ^ b->addr[whole_bytes]) >>
                (8 - b->bits % 8)) == 0;
    case MO_BLOCK_UID:
        return s->uid >= 0 && s->uid == b->uid;
    }
    return 0;
}

static char *read_all(const char *path, size_t *len)
{
    struct stat st;
    char *buf;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (size_t)st.st_size > FILE_MAX) {
        close(fd);
        errno = EINVAL;
        return NULL;
    }
    buf = malloc((size_t)st.st_size + 1);
    *len = 0;
    while (buf != NULL && *len < (size_t)st.st_size) {
        n = read(fd, buf + *len, (size_t)st.st_size - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *len += (size_t)n;
    }
    close(fd);
    if (buf != NULL)
        buf[*len] = '\0';
    return buf;
}

int mo_blocks_read(struct mo_blocks *b, const char *path, char *err,
                   size_t errsize)
{
    size_t len;
    size_t room = 0;
    unsigned lineno = 0;
    char *text;
    char *s;
    char *end;

    b->n = 0;
    b->block = NULL;
    err[0] = '\0';
    text = read_all(path, &len);
    if (text == NULL) {
        if (errno == ENOENT)
            return 0;
        snprintf(err, errsize, "%s: %s", path, strerror(errno));
        return -1;
    }
    for (s = text; s < text + len; s = end + 1) {
        char why[200];

        end = memchr(s, '\n', (size_t)(text + len - s));
        if (end == NULL)
            end = text + len;
        lineno++;
        if (s == end || *s == '#')
            continue;
        if (b->n == room) {
            struct mo_block *more;

            if (b->n >= MO_BLOCKS_MAX)
                break;
            room = room == 0 ? 16 : room * 2;
            more = realloc(b->block, room * sizeof *more);
            if (more == NULL) {
                free(text);
                mo_blocks_free(b);
                snprintf(err, errsize, "%s: out of memory", path);
                errno = ENOMEM;
                return -1;
            }
            b->block = more;
        }
        if (mo_block_parse(s, (size_t)(end - s), &b->block[b->n], why,
                           sizeof why) == 0)
            b->n++;
        else if (err[0] == '\0')
            snprintf(err, errsize, "%s: line %u: %s", path, lineno, why);
    }
    free(text);
    return 0;
}

const struct mo_block *mo_blocks_match(const struct mo_blocks *b,
                                       const struct mo_subject *s, int64_t now)
{
    const struct mo_block *found = NULL;
    size_t i;

    for (i = 0; i < b->n; i++) {
        if (!mo_block_hits(&b->block[i], s, now))
            continue;
        if (b->block[i].action == MO_REFUSED)
            return &b->block[i];
        if (found == NULL)
            found = &b->block[i];
    }
    return found;
}

void mo_blocks_free(struct mo_blocks *b)
{
    free(b->block);
    b->block = NULL;
    b->n = 0;
}
