/*
 * The reader of lines over plain, gzip and zstd bytes: line by line and block
 * by block it gives the same, and it ends.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../cli/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cli_lines *open_bytes(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
        lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return cli_lines_fd(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_lines *l;
    uint64_t one = 0, two = 0, sum1 = 0, sum2 = 0;
    size_t n, i;
    char *p;

    if ((l = open_bytes(data, size)) == NULL)
        return 0;
    while ((p = cli_lines_next(l, &n)) != NULL && one < 50000000) {
        if (p[n] != 0)
            abort();
        for (i = 0; i < n; i++)
            sum1 += (unsigned char)p[i];
        sum1 += cli_lines_whole(l) ? '\n' : 0;
        one += n + (cli_lines_whole(l) != 0);
    }
    cli_lines_close(l);
    if ((l = open_bytes(data, size)) == NULL)
        return 0;
    while ((p = cli_lines_block(l, &n)) != NULL && two < 50000000) {
        for (i = 0; i < n; i++)
            sum2 += (unsigned char)p[i];
        two += n;
    }
    cli_lines_close(l);
    if (one < 50000000 && (one != two || sum1 != sum2))
        abort();
    return 0;
}
