/*
 * What a field of ours says: the mail's id, and the origin that is sealed in
 * it.
 */
#ifndef MO_CLI_STAMP_H
#define MO_CLI_STAMP_H

#include "cli.h"
#include "mo_header.h"
#include "mo_origin.h"

enum stamp_state {
    STAMP_NONE, /* the field has no seal, only an id */
    STAMP_OPEN, /* origin holds what the recorder sealed */
    STAMP_TOKEN, /* the token as it was: no recorder answered */
    STAMP_NO_KEY,
    STAMP_FORGED,
    STAMP_MALFORMED
};

struct stamp {
    char id[17]; /* of the field, not authenticated; "" */
    enum stamp_state state;
    struct mo_origin origin;
};

/* Reads a field's body, mangled or not.  0, or -1: it is none of ours. */
int stamp_read(const struct mo_keyring *keys, const char *body, size_t len,
               struct stamp *s);
/* The same of a field that is parsed already. */
void stamp_open(const struct mo_keyring *keys, const struct mo_header *h,
                struct stamp *s);
/* in words, for the admin */
const char *stamp_words(enum stamp_state s);
/* A record's members out of an origin; text (4 KiB at least) holds what
 * has to be formatted. */
void stamp_record(const struct stamp *s, struct mo_record *r, char *text,
                  size_t size);

#endif
