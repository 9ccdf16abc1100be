/*
 * What the tests of the board share: a board of its own in a new folder for
 * each test.
 */
#ifndef T_BOARD_H
#define T_BOARD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mo_board.h"

static char dir[64];
static char path[128];

static inline int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/mo-board.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/4711", dir);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails where a temporary file was left */
}

static inline void make(struct mo_board *b, uint32_t nslots)
{
    assert_int_equal(mo_board_create(path, nslots, getpid(), (unsigned)-1), 0);
    assert_int_equal(mo_board_map(b, path, 1, geteuid()), 0);
}

static inline struct mo_slot *raw(const struct mo_board *b, uint32_t i)
{
    return (struct mo_slot *)(b->slots + (size_t)i * MO_SLOT_SIZE);
}

static inline unsigned in_use(const struct mo_board *b)
{
    unsigned n = 0;
    uint32_t i;

    for (i = 0; i < b->nslots; i++)
        n += b->owner[i] != 0;
    return n;
}

#endif
