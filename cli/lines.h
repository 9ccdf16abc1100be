/*
 * More of the line reader than verbs need: places in plain files, for
 * seeking by time and for following a log.
 */
#ifndef MO_CLI_LINES_H
#define MO_CLI_LINES_H

#include "cli.h"

/* takes over fd, also when it fails */
struct cli_lines *cli_lines_fd(int fd);
int cli_lines_seekable(const struct cli_lines *l); /* a plain regular file */
uint64_t cli_lines_size(const struct cli_lines *l); /* 0: not a file */
/* Is it that file? */
int cli_lines_is(const struct cli_lines *l, uint64_t dev, uint64_t inode);
/* Goes on at that byte of a plain file. */
int cli_lines_seek(struct cli_lines *l, uint64_t offset);
/* where the next line begins, in a plain file */
uint64_t cli_lines_at(const struct cli_lines *l);
/*
 * All lines that are at hand, as they stand in the file, the last one with its
 * "\n" unless the file ends without; good until the next call.  NULL at the
 * end.
 */
char *cli_lines_block(struct cli_lines *l, size_t *len);
/* did the line given last end with "\n"? */
int cli_lines_whole(const struct cli_lines *l);
/* the end was reached, but the file may have grown */
void cli_lines_again(struct cli_lines *l);
int cli_lines_fileno(const struct cli_lines *l);
/* So many bytes are read at a time. */
void cli_lines_chunk(struct cli_lines *l, size_t n);

/*
 * Goes, by bisection, to a place in a plain file before which all lines are
 * of before us; time(arg, line, len, &t) tells a line's (0, or -1: it has
 * none).  Lines may be out of order: a place counts as before us only if the
 * latest of the lines there is more than slack us earlier.
 */
int cli_lines_find(struct cli_lines *l, uint64_t us, uint64_t slack,
                   int (*time)(void *arg, const char *line, size_t len,
                               uint64_t *us),
                   void *arg);

#endif
