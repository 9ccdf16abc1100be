/*
 * Boards as a scribbler leaves them.  The first byte says what the others
 * are: a whole file ('f'), or scribbles over a good board of four slots,
 * each: offset (2 bytes, in fours), how many bytes, those bytes.
 * Whatever stands there, readers and writers stay on the board, and no copy
 * says more than it holds.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mo_board.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS 4

static void check(int good)
{
    if (!good)
        abort();
}

static void use_it(struct mo_board *b)
{
    struct mo_board_use use;
    struct mo_slot s;
    uint32_t i = 0, n = 0;

    while (mo_board_next(b, 0, &i, &s)) {
        check(s.origin_len <= MO_ORIGIN_MAX && s.serial != 0);
        n++;
    }
    check(n <= b->nslots);
    for (i = 0; mo_board_next(b, 1, &i, &s);)
        check(s.pid == 1);
    if (mo_board_find(b, 1, 1, &s))
        check(s.pid == 1 && s.tid == 1);
    mo_board_is_listener(b, 1, 1);
    if (!b->writable)
        return;
    mo_board_listener(b, 77, 0, 1);
    mo_board_begin(b, 1, geteuid(), 1, 1, "o", 1, &use);
    if (use.serial) {
        check(use.index < b->nslots);
        check(mo_board_find(b, (int32_t)getpid(), (int32_t)gettid(), &s));
        mo_board_origin(b, &use, "other", 5);
        mo_board_conn(b, &use, NULL);
    }
    mo_board_reclaim(b, 1);
    mo_board_end(b, &use);
}

static void file(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/mo-fuzz-board.XXXXXX";
    struct mo_board b;
    int fd = mkstemp(path);

    check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    if (mo_board_map(&b, path, 0, geteuid()) == 0) {
        check(b.size == size && b.nslots > 0);
        use_it(&b);
        mo_board_unmap(&b);
    }
    unlink(path);
}

static void scribble(char *at, size_t room, const uint8_t *data, size_t size)
{
    size_t offset, n;

    while (size > 3) {
        offset = (data[0] | (size_t)data[1] << 8) * 4;
        n = data[2];
        data += 3;
        size -= 3;
        if (n > size)
            n = size;
        if (offset + n <= room)
            memcpy(at + offset, data, n);
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mo_board b = {.nslots = SLOTS, .writable = 1};
    char *memory;

    if (!size)
        return 0;
    if (data[0] == 'f') {
        file(data + 1, size - 1);
        return 0;
    }
    /* no map around it, so that ASan sees each step beside it */
    b.size = mo_board_size(SLOTS);
    memory = aligned_alloc(4096, b.size);
    check(memory != NULL);
    memset(memory, 0, b.size);
    b.head = (struct mo_board_head *)memory;
    b.owner = (uint64_t *)(memory + MO_BOARD_HEAD);
    b.slots = memory + 2 * MO_BOARD_HEAD;
    scribble(memory, b.size, data + 1, size - 1);
    use_it(&b);
    free(memory);
    return 0;
}
