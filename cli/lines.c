/*
 * Lines of plain, .gz and .zst files: read() into one buffer, memchr() for
 * the ends.  A .gz of several members and a .zst of several frames are read
 * to their end; a truncated one gives its whole lines, then an error.
 */
#include "cli.h"
#include "gunzip.h"
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define RAW (256 * 1024) /* of the file at a time, when it is compressed */
#define LONGEST (1024 * 1024)
#define CHUNK (128 * 1024) /* read at a time: what the CPU's cache holds */
#define PROBE 8192 /* the same, when looking for a place */
#define SAMPLE 32 /* lines read at a place to tell its time */
#define BUFFER (LONGEST + 256 * 1024)

enum kind { PLAIN, GZIP, ZSTD };

struct cli_lines {
    int fd;
    enum kind kind;
    int eof; /* nothing more will come into buf */
    const char *error;
    char what[128];
    uint64_t pos; /* bytes of the file that were read */
    size_t chunk; /* bytes to read at a time */
    uint64_t base; /* file offset of buf[0], plain files only */
    char *buf; /* buf[start .. end) is not yet given out */
    size_t start, end;
    int held; /* the byte at start was overwritten with NUL: it is kept */
    char kept;
    int whole; /* the line given last had its "\n" */
    unsigned char *raw;
    size_t rawpos, rawlen;
    int raweof;
    int mid; /* inside a member or frame */
    struct gunzip *z;
    ZSTD_DStream *zd;
};

static enum kind kind_of(const unsigned char *p, size_t n)
{
    if (n >= 2 && p[0] == 0x1F && p[1] == 0x8B) {
        return GZIP;
    }
    if (n >= 4 && p[0] == 0x28 && p[1] == 0xB5 && p[2] == 0x2F &&
        p[3] == 0xFD) {
        return ZSTD;
    }
    return PLAIN;
}

static ssize_t take(int fd, void *buf, size_t n)
{
    ssize_t got;

    do {
        got = read(fd, buf, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

static int start_decoder(struct cli_lines *l, const char *head, size_t n)
{
    if (l->kind == PLAIN) {
        return 0;
    }
    if ((l->raw = malloc(RAW)) == NULL) {
        return -1;
    }
    memcpy(l->raw, head, n);
    l->rawlen = n;
    if (l->kind == GZIP) {
        if ((l->z = gunzip_new()) == NULL) {
            errno = ENOMEM;
            return -1;
        }
    }
    else if ((l->zd = ZSTD_createDStream()) == NULL) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

struct cli_lines *cli_lines_fd(int fd)
{
    struct cli_lines *l = calloc(1, sizeof(*l));
    size_t n = 0;
    ssize_t got;

    if (l == NULL || (l->buf = malloc(BUFFER + 1)) == NULL) {
        free(l);
        close(fd);
        return NULL;
    }
    l->fd = fd;
    l->chunk = CHUNK;
    while (n < 4) { /* a pipe may give less at a time */
        got = take(fd, l->buf + n, 4096);
        if (got < 0) {
            cli_lines_close(l);
            return NULL;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    l->pos = n;
    l->kind = kind_of((unsigned char *)l->buf, n);
    if (start_decoder(l, l->buf, n) != 0) {
        cli_lines_close(l);
        return NULL;
    }
    l->end = l->kind == PLAIN ? n : 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return l;
}

struct cli_lines *cli_lines_open(const char *path)
{
    struct stat st;
    int fd;

    if (strcmp(path, "-") == 0) {
        fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    }
    else {
        /* a FIFO in a log folder must not hang us */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
            close(fd);
            errno = EISDIR;
            return NULL;
        }
        if (fd >= 0) {
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
        }
    }
    return fd < 0 ? NULL : cli_lines_fd(fd);
}

static void fail(struct cli_lines *l, const char *what)
{
    snprintf(l->what, sizeof(l->what), "%s", what);
    l->error = l->what;
    l->eof = 1;
}

static int more_raw(struct cli_lines *l)
{
    ssize_t got;

    if (l->rawpos < l->rawlen || l->raweof) {
        return 0;
    }
    got = take(l->fd, l->raw, RAW);
    if (got < 0) {
        fail(l, strerror(errno));
        return -1;
    }
    l->raweof = got == 0;
    l->rawpos = 0;
    l->rawlen = (size_t)got;
    l->pos += (uint64_t)got;
    return 0;
}

static void fill_gzip(struct cli_lines *l)
{
    const char *why;
    size_t n, size;
    int rc;

    if (more_raw(l) != 0) {
        return;
    }
    if (l->rawpos == l->rawlen && !l->mid) {
        l->eof = 1;
        return;
    }
    if (!l->mid && l->raw[l->rawpos] == 0) {
        l->rawpos++; /* padding after a member, as gzip allows */
        return;
    }
    l->mid = 1;
    n = l->rawlen - l->rawpos;
    size = BUFFER - l->end;
    if (size > 2 * CHUNK) {
        size = 2 * CHUNK;
    }
    rc = gunzip_run(l->z, l->raw + l->rawpos, &n, l->buf + l->end, &size, &why);
    l->end += size;
    l->rawpos += n;
    if (rc > 0) {
        l->mid = 0;
    }
    else if (rc < 0) {
        fail(l, why);
    }
    else if (n == 0 && size == 0 && l->rawpos == l->rawlen && l->raweof) {
        fail(l, "the compressed data ends too early");
    }
}

static void fill_zstd(struct cli_lines *l)
{
    ZSTD_inBuffer in;
    ZSTD_outBuffer out;
    size_t rc;

    if (more_raw(l) != 0) {
        return;
    }
    in.src = l->raw;
    in.pos = l->rawpos;
    in.size = l->rawlen;
    out.dst = l->buf;
    out.pos = l->end;
    out.size = BUFFER;
    if (in.pos == in.size && !l->mid) {
        l->eof = 1;
        return;
    }
    rc = ZSTD_decompressStream(l->zd, &out, &in);
    if (ZSTD_isError(rc)) {
        fail(l, ZSTD_getErrorName(rc));
        return;
    }
    if (l->raweof && in.pos == l->rawpos && out.pos == l->end) {
        fail(l, "the compressed data ends too early");
        return;
    }
    l->mid = rc != 0;
    l->rawpos = in.pos;
    l->end = out.pos;
}

static void fill(struct cli_lines *l)
{
    size_t before;
    ssize_t got;

    if (l->start > 0) {
        memmove(l->buf, l->buf + l->start, l->end - l->start);
        l->base += l->start;
        l->end -= l->start;
        l->start = 0;
    }
    before = l->end;
    while (l->end == before && !l->eof) {
        if (l->kind == GZIP) {
            fill_gzip(l);
        }
        else if (l->kind == ZSTD) {
            fill_zstd(l);
        }
        else {
            got = take(l->fd, l->buf + l->end,
                       BUFFER - l->end < l->chunk ? BUFFER - l->end : l->chunk);
            if (got < 0) {
                fail(l, strerror(errno));
            }
            else if (got == 0) {
                l->eof = 1;
            }
            else {
                l->end += (size_t)got;
                l->pos += (uint64_t)got;
            }
        }
    }
}

char *cli_lines_next(struct cli_lines *l, size_t *len)
{
    size_t from = 0;
    char *nl, *line;

    if (l->held) {
        l->buf[l->start] = l->kept;
        l->held = 0;
    }
    for (;;) {
        nl = memchr(l->buf + l->start + from, '\n', l->end - l->start - from);
        if (nl) {
            line = l->buf + l->start;
            *len = (size_t)(nl - line);
            *nl = '\0';
            l->start += *len + 1;
            l->whole = 1;
            return line;
        }
        from = l->end - l->start;
        if (from >= LONGEST || l->eof) {
            break;
        }
        fill(l);
    }
    if (from == 0) {
        return NULL;
    }
    /* the last line, or a piece of one that is too long */
    *len = from < LONGEST ? from : LONGEST;
    line = l->buf + l->start;
    l->start += *len;
    l->whole = 0;
    if (l->start < l->end) {
        l->kept = l->buf[l->start];
        l->held = 1;
    }
    line[*len] = '\0';
    return line;
}

char *cli_lines_block(struct cli_lines *l, size_t *len)
{
    char *nl, *block;

    if (l->held) {
        l->buf[l->start] = l->kept;
        l->held = 0;
    }
    for (;;) {
        nl = memrchr(l->buf + l->start, '\n', l->end - l->start);
        if (nl || l->end - l->start >= LONGEST || l->eof) {
            break;
        }
        fill(l);
    }
    block = l->buf + l->start;
    *len = nl ? (size_t)(nl + 1 - block) : l->end - l->start;
    l->start += *len;
    l->whole = nl != NULL;
    return *len ? block : NULL;
}

int cli_lines_whole(const struct cli_lines *l)
{
    return l->whole;
}

void cli_lines_again(struct cli_lines *l)
{
    l->eof = 0;
}

int cli_lines_seekable(const struct cli_lines *l)
{
    struct stat st;

    return l->kind == PLAIN && fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode);
}

uint64_t cli_lines_size(const struct cli_lines *l)
{
    struct stat st;

    return fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                                         : 0;
}

int cli_lines_is(const struct cli_lines *l, uint64_t dev, uint64_t inode)
{
    struct stat st;

    return fstat(l->fd, &st) == 0 && st.st_dev == dev && st.st_ino == inode;
}

int cli_lines_seek(struct cli_lines *l, uint64_t offset)
{
    if (lseek(l->fd, (off_t)offset, SEEK_SET) < 0) {
        return -1;
    }
    l->start = l->end = 0;
    l->held = 0;
    l->eof = 0;
    l->base = l->pos = offset;
    return 0;
}

uint64_t cli_lines_at(const struct cli_lines *l)
{
    return l->base + l->start;
}

int cli_lines_find(struct cli_lines *l, uint64_t us, uint64_t slack,
                   int (*time)(void *arg, const char *line, size_t len,
                               uint64_t *us),
                   void *arg)
{
    uint64_t lo = 0, hi = cli_lines_size(l), mid, at, t, latest;
    const char *line;
    size_t len;
    int n;

    l->chunk = PROBE;
    while (hi > lo && hi - lo > 128 * 1024) {
        mid = lo + (hi - lo) / 2;
        if (cli_lines_seek(l, mid) != 0) {
            l->chunk = CHUNK;
            return -1;
        }
        cli_lines_next(l, &len); /* the rest of a line */
        at = cli_lines_at(l);
        latest = 0;
        for (n = 0; n < SAMPLE && cli_lines_at(l) < hi &&
                    (line = cli_lines_next(l, &len)) != NULL;) {
            if (time(arg, line, len, &t) == 0) {
                n++;
                latest = t > latest ? t : latest;
            }
        }
        if (latest > 0 && latest + slack < us) {
            lo = at;
        }
        else {
            hi = mid;
        }
    }
    l->chunk = CHUNK;
    return cli_lines_seek(l, lo);
}

void cli_lines_chunk(struct cli_lines *l, size_t n)
{
    l->chunk = n;
}

int cli_lines_fileno(const struct cli_lines *l)
{
    return l->fd;
}

const char *cli_lines_error(const struct cli_lines *l)
{
    return l->error;
}

uint64_t cli_lines_pos(const struct cli_lines *l)
{
    return l->pos;
}

void cli_lines_close(struct cli_lines *l)
{
    if (l == NULL) {
        return;
    }
    gunzip_free(l->z);
    if (l->zd) {
        ZSTD_freeDStream(l->zd);
    }
    close(l->fd);
    free(l->raw);
    free(l->buf);
    free(l);
}
