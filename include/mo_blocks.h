/*
 * Blocks: mail (and, with http, requests) refused from now on.  The recorder
 * alone writes MO_BLOCKS_PATH, 0644, by rename; recorder, module and (while
 * the recorder is gone) wrapper read it.  Text, a line a block, tabs between:
 *   ID TYPE VALUE ACTION HTTP UNTIL CREATED REASON
 * TYPE: vhost script dir uri-prefix client uid.  ACTION: refuse hold.  HTTP:
 * 1: its requests are answered 403 too, 0.  UNTIL, CREATED: s since the
 * epoch; UNTIL 0: for good.  VALUE and REASON: bytes outside printable ASCII
 * and '%' as %XX.  '#' begins a comment line.
 *
 * Root changes them through the recorder's socket (MO_W_ADMIN), words:
 *   block add TYPE VALUE [action=refuse|hold] [http=1] [until=EPOCH]
 *             [reason=TEXT]
 *        answers with the new line; the same TYPE and VALUE are replaced
 *   block del ID           or    block del TYPE VALUE
 *        answers with the line that went; STATUS 1 + 1 where there was none
 *   block list
 *        answers with all lines that have not run out
 * libc only.
 */
#ifndef MO_BLOCKS_H
#define MO_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "mo_wire.h"

enum mo_block_type {
    MO_BLOCK_VHOST = 1, /* without regard to case */
    MO_BLOCK_SCRIPT, /* the whole path */
    MO_BLOCK_DIR, /* the script is below it */
    MO_BLOCK_URI_PREFIX,
    MO_BLOCK_CLIENT, /* an address, or CIDR */
    MO_BLOCK_UID
};

#define MO_BLOCK_LINE 8192 /* bytes of a line, at most */
#define MO_BLOCKS_MAX 10000

struct mo_block {
    unsigned long id;
    enum mo_block_type type;
    enum mo_action action; /* MO_REFUSED or MO_HELD */
    int http;
    int64_t until, created;
    char value[2049];
    char reason[201];
    /* worked out of value by mo_block_set */
    size_t len;
    int64_t uid;
    unsigned char addr[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
};

/* Whom a block may hit; NULL or "": not known. */
struct mo_subject {
    const char *vhost, *script, *uri, *client;
    int64_t uid; /* -1: not known */
};

const char *mo_block_type_name(enum mo_block_type t);
int mo_block_type_find(const char *name); /* 0: none such */
/*
 * Sets type and value (checked, and made canonical: a dir without its
 * trailing slash, an address as inet_ntop writes it); the rest is as it was.
 * 0, or -1 with one line in err.
 */
int mo_block_set(struct mo_block *b, enum mo_block_type type, const char *value,
                 char *err, size_t errsize);
/* One line, with or without "\n".  0, or -1: none (err as above). */
int mo_block_parse(const char *line, size_t len, struct mo_block *b, char *err,
                   size_t errsize);
/* The line with "\n" and NUL; its length, 0 if it does not fit. */
size_t mo_block_format(const struct mo_block *b, char *out, size_t size);
/* Does it hit, at now (s since the epoch)? */
int mo_block_hits(const struct mo_block *b, const struct mo_subject *s,
                  int64_t now);

struct mo_blocks {
    size_t n;
    struct mo_block *block; /* malloc'ed */
};
/* Reads path; a missing file is no block.  Bad lines are passed over; the
 * first is named in err ("" : none).  0, or -1 with errno and err. */
int mo_blocks_read(struct mo_blocks *b, const char *path, char *err,
                   size_t errsize);
/* The strictest block that hits: refuse before hold; NULL: none. */
const struct mo_block *mo_blocks_match(const struct mo_blocks *b,
                                       const struct mo_subject *s, int64_t now);
void mo_blocks_free(struct mo_blocks *b);

#endif
