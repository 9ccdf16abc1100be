#include "gunzip.h"

#include <stdint.h>
#include <stdlib.h>

#ifndef __has_include
#define __has_include(x) 0
#endif
#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>

struct gunzip {
    struct inflate_state z;
};

static void begin(struct gunzip *g)
{
    isal_inflate_init(&g->z);
    g->z.crc_flag = ISAL_GZIP; /* header and checksum too */
}

struct gunzip *gunzip_new(void)
{
    /* damaged data can refer to what its history buffer never held */
    struct gunzip *g = calloc(1, sizeof(*g));

    if (g) {
        begin(g);
    }
    return g;
}

void gunzip_free(struct gunzip *g)
{
    free(g);
}

int gunzip_run(struct gunzip *g, const unsigned char *in, size_t *n, char *out,
               size_t *size, const char **why)
{
    int rc;

    g->z.next_in = (uint8_t *)(uintptr_t)in;
    g->z.avail_in = (uint32_t)*n;
    g->z.next_out = (uint8_t *)out;
    g->z.avail_out = (uint32_t)*size;
    rc = isal_inflate(&g->z);
    *n -= g->z.avail_in;
    *size -= g->z.avail_out;
    if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT) {
        *why = rc == ISAL_INCORRECT_CHECKSUM ? "its checksum is wrong"
                                             : "the compressed data is damaged";
        return -1;
    }
    if (g->z.block_state == ISAL_BLOCK_FINISH) {
        begin(g);
        return 1;
    }
    return 0;
}

#else
#include <zlib.h>

struct gunzip {
    z_stream z;
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = calloc(1, sizeof(*g));

    if (g && inflateInit2(&g->z, 15 + 16) != Z_OK) {
        free(g);
        g = NULL;
    }
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (g) {
        inflateEnd(&g->z);
    }
    free(g);
}

int gunzip_run(struct gunzip *g, const unsigned char *in, size_t *n, char *out,
               size_t *size, const char **why)
{
    int rc;

    g->z.next_in = (unsigned char *)(uintptr_t)in;
    g->z.avail_in = (uInt)*n;
    g->z.next_out = (unsigned char *)out;
    g->z.avail_out = (uInt)*size;
    rc = inflate(&g->z, Z_NO_FLUSH);
    *n -= g->z.avail_in;
    *size -= g->z.avail_out;
    if (rc == Z_STREAM_END) {
        inflateReset(&g->z);
        return 1;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        *why = g->z.msg ? g->z.msg : "the compressed data is damaged";
        return -1;
    }
    return 0;
}
#endif
