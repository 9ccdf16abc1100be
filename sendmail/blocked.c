/*
 * Blocks while the recorder is gone.  Of the origin we know our uid, and what
 * the web server put into the environment, which a script may have changed:
 * less than the recorder knows, but who merely goes on as before stays
 * blocked.
 */
#include "wrapper.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "mo_blocks.h"
#include "mo_paths.h"

int sm_blocked(char *reason, size_t size)
{
    struct mo_subject who = {.vhost = getenv("MAILORIGIN_VHOST"),
                             .script = getenv("MAILORIGIN_SCRIPT"),
                             .uri = getenv("MAILORIGIN_URI"),
                             .client = getenv("REMOTE_ADDR"),
                             .uid = (int64_t)geteuid()};
    const struct mo_block *b;
    struct mo_blocks all;
    char err[512];
    int action = MO_PASSED;

    if (mo_blocks_read(&all, MO_BLOCKS_PATH, err, sizeof(err)) < 0)
        return action;
    b = mo_blocks_match(&all, &who, (int64_t)time(NULL));
    if (b != NULL) {
        action = b->action;
        snprintf(reason, size, "block %lu: %s%s%s", b->id,
                 mo_block_type_name(b->type), b->reason[0] ? ": " : "",
                 b->reason);
    }
    mo_blocks_free(&all);
    return action;
}
