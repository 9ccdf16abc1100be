/*
 * A log and its rotated ones, oldest first.
 */
#ifndef MO_CLI_FILES_H
#define MO_CLI_FILES_H

#include <stddef.h>
#include <stdint.h>

struct cli_file {
    char *path;
    uint64_t mtime_us; /* of its last line, or later */
    uint64_t size;
    uint64_t dev, inode;
    void *user; /* the caller's: what the file was found for */
};

struct cli_files {
    struct cli_file *file;
    size_t n, cap;
    /* rotated ones that are compressed in a way that is not read: the one
     * written last */
    char *unread;
    uint64_t unread_us;
    size_t nunread;
};

/*
 * Adds path and what log rotation makes of it: PATH.1, PATH.2.gz,
 * PATH-20261124, PATH.2026-11-24, PATH.1795507200, each also .gz or .zst;
 * beside PATH.1 a PATH.1.gz (one that is being made) is left out.  A file
 * that is there already is not added again.  Returns how many were added, or
 * -1 with errno where nothing could be looked at.
 */
int cli_files_rotated(struct cli_files *f, const char *path, void *user);
/* Adds what the pattern matches (glob(3)), but for what is being made of
 * another there; a plain name likewise. */
int cli_files_glob(struct cli_files *f, const char *pattern, void *user);
/* Adds just that file; 1, 0 where it is there already, or -1 with errno. */
int cli_files_one(struct cli_files *f, const char *path, void *user);
/* Where that file of such a log is now, to be freed; NULL: it is gone. */
char *cli_files_again(const char *path, uint64_t dev, uint64_t inode);
/* The length of that path without what rotation put behind it. */
size_t cli_files_base(const char *path);
/* oldest first */
void cli_files_sort(struct cli_files *f);
void cli_files_free(struct cli_files *f);

#endif
