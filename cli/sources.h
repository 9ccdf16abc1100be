/*
 * Which access logs there are, and which vhosts' requests each can hold.
 */
#ifndef MO_CLI_SOURCES_H
#define MO_CLI_SOURCES_H

#include "cli.h"
#include "files.h"
#include "log_format.h"

struct source {
    char *name; /* the path or pattern, or the pipe's command */
    char *format_text; /* NULL: to be guessed */
    struct log_format *format;
    int all; /* any vhost's requests may be in it */
    char **vhost; /* else these names' */
    size_t nvhosts, vhost_cap;
    struct cli_files files; /* oldest first */
    char *note; /* why it can't be searched, NULL: it can */
};
struct sources {
    struct source *s;
    size_t n, cap;
};

/*
 * --access-log with --log-format; else every httpd's layout file and the
 * conf's access-log lines.  Returns 0, or -1 after saying what is wrong.
 */
int sources_find(struct cli *c, struct sources *out);
void sources_free(struct sources *s);

/* Sets s->format by the first lines of that file of it; 0, or -1: they are of
 * none that is known. */
int source_guess(struct source *s, const char *path);

/*
 * The pattern of the files that a piped logger writes (rotatelogs, cronolog),
 * in out; without one in it, rotation puts a time or number behind it, or
 * nothing.  0, or -1: not such a one.
 */
int sources_pipe(const char *command, const char *server_root, char *out,
                 size_t size);

#endif
