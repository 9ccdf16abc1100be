/*
 * Where lines carry the request's id, one line settles a request: what lies
 * between it and the place of the next one need not be read.
 *
 * A place is guessed by the bytes a second of late, and taken only if the
 * lines there are of before the next request.  What a jump may have passed
 * over, because its line was written much later or lies in another part, is
 * marked HUNT_LEFT and looked for again without jumps.
 */
#ifndef MO_CLI_JUMP_H
#define MO_CLI_JUMP_H

#include "lines.h"
#include "log_format.h"
#include "search.h"

struct jump {
    struct part *p;
    struct log_format *f;
    int on;
    /* of the part's list: all before open are done with, the second of all
     * before begun is reached */
    size_t open, begun;
    uint64_t latest; /* the latest time of a line; the caller's to raise */
    uint64_t at[2], us[2]; /* two places of late, and their times */
    size_t chunk; /* bytes to read at a time */
    uint64_t near; /* up to there few */
};

void jump_start(struct jump *j, struct part *p, struct log_format *f,
                struct cli_lines *l);
/* After the lines up to where l is: l may jump; 0: nothing is left to find. */
int jump_on(struct jump *j, struct cli_lines *l);
/* The part's bytes are over, its wants may not be. */
void jump_end(struct jump *j);

#endif
