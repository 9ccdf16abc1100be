/*
 * The client of a `sendmail -bs`, for programs that start one: says the lines
 * of a file, CR LF, each when the last was answered, what follows DATA to its
 * dot at once.  No answer may be a refusal.
 */
#ifndef MO_BENCH_DIALOGUE_H
#define MO_BENCH_DIALOGUE_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The last line of the reply: 0 where it refuses nothing. */
static int reply(int from)
{
    static char buf[65536]; /* one answer at a time: nothing is left over */
    size_t have = 0;

    for (;;) {
        char *line, *nl;
        ssize_t n = read(from, buf + have, sizeof(buf) - 1 - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
        for (line = buf; (nl = memchr(line, '\n', have - (size_t)(line - buf)));
             line = nl + 1) {
            if (nl - line < 4 || line[3] != '-') {
                if (line[0] == '2' || line[0] == '3')
                    return 0;
                *nl = '\0';
                fprintf(stderr, "refused: %s\n", line);
                return -1;
            }
        }
    }
    fputs("no answer\n", stderr);
    return -1;
}

static int dialogue(const char *in, size_t len, int to, int from)
{
    const char *end = in + len;
    int data = 0;

    if (reply(from) < 0)
        return -1;
    while (in < end) {
        const char *next = data ? memmem(in, (size_t)(end - in), "\r\n.\r\n", 5)
                                : memmem(in, (size_t)(end - in), "\r\n", 2);
        const char *line = in;

        next = next ? next + (data ? 5 : 2) : end;
        while (in < next) {
            ssize_t n = write(to, in, (size_t)(next - in));

            if (n < 0 && errno != EINTR)
                return -1;
            if (n > 0)
                in += n;
        }
        if (reply(from) < 0)
            return -1;
        data = !data && next - line == 6 && memcmp(line, "DATA", 4) == 0;
    }
    return 0;
}

#endif
