/*
 * The command's frame: verbs as data, the options that all share, and how
 * things are printed.  Each verb is a file cmd_NAME.c that defines one
 * struct cli_verb; verbs.c lists them.
 */
#ifndef MO_CLI_H
#define MO_CLI_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "mo_conf.h"
#include "mo_record.h"
#include "mo_seal.h"

/* exit statuses, as ripgrep's */
#define CLI_FOUND 0
#define CLI_NOTHING 1
#define CLI_TROUBLE 2

/* what a verb needs read before it runs */
#define CLI_NEEDS_CONF 1u /* c->conf; a missing file is all defaults */
#define CLI_NEEDS_KEYRING 2u /* c->keys; without it c->keys.n is 0, said once */
#define CLI_NO_FILTERS 4u /* --vhost, --script … are not taken (but own ones) */

/* Filters over records, set by --vhost, --script, …; all must match. */
struct cli_filter {
    enum mo_field field;
    int is_prefix; /* the value ended with '*' (uri, script, exe, cwd): a
                      prefix, without the '*'; "\*" at the end is a star */
    const char *value;
};
#define CLI_FILTERS 32

struct cli {
    const struct cli_verb *verb;
    /* common options */
    int json;
    int verbose;
    int colour; /* stdout is a terminal and NO_COLOR is not set */
    int progress; /* stderr is a terminal */
    const char *log[64]; /* --log; none: the conf's and its rotated ones */
    unsigned nlogs;
    const char *access_log[64]; /* --access-log GLOB */
    unsigned naccess_logs;
    const char *log_format; /* --log-format; NULL: layout, conf, guess */
    const char *keyring; /* --keyring; default MO_KEYRING_PATH */
    uint64_t fields; /* of records, that the verb looks at, by bit; 0: all */
    unsigned threads; /* 0: as there are CPUs, but 4 at most */
    uint64_t since, until; /* us since the epoch; 0: not given */
    struct cli_filter filter[CLI_FILTERS];
    unsigned nfilters;
    /* read for the verb */
    struct mo_conf conf;
    struct mo_keyring keys;
};

struct cli_option {
    const char *name; /* without "--" */
    const char *arg; /* "FILE", or NULL: a flag */
    const char *help;
};

struct cli_verb {
    const char *name;
    unsigned needs;
    /* argv[0] is the verb; common options are taken out already.  Returns an
     * exit status. */
    int (*run)(struct cli *c, int argc, char **argv);
    const char *synopsis; /* "[FILE…|-] [--id ID] …" */
    const char *summary; /* one line for --help */
    const struct cli_option *options; /* of its own; ends with a NULL name */
};

extern const struct cli_verb *const cli_verbs[]; /* NULL past the last */

/*
 * The verb's own options: calls like getopt_long.  Returns the index in
 * c->verb->options and sets *value (NULL for a flag), -1 at the end of
 * options, with *next the index of the next operand (options and operands may
 * be mixed; "--" ends options), or -2 after it has said what is wrong
 * (return CLI_TROUBLE then).
 */
int cli_getopt(struct cli *c, int argc, char **argv, int *next,
               const char **value);

/*
 * All of them, for a verb without operands: take(arg, index, value) returns 0,
 * or -1 after it has said what is wrong.  0, or -1: return CLI_TROUBLE.
 */
int cli_take_options(struct cli *c, int argc, char **argv,
                     int (*take)(void *arg, int o, const char *value),
                     void *arg);

/* journalctl's time grammar: "2026-11-24 08:00[:00]", "08:00", "today",
 * "yesterday", "now", "-2h", "2 hours ago", "@epoch"; local time.
 * 0, or -1. */
int cli_time(const char *text, uint64_t now_us, uint64_t *us);
/* "2h", "30m", "1d 2h" to seconds; 0, or -1 */
int cli_period(const char *text, uint64_t *seconds);

/* An array of n elements of size bytes, made to have room for one more: p, or
 * where it is now; *cap is what it has room for.  Out of memory ends us. */
void *cli_grown(void *p, size_t n, size_t *cap, size_t size);

/* Prints text to a terminal or pipe with no raw control byte: all outside
 * printable ASCII and valid UTF-8 as \xHH. */
void cli_print_safe(FILE *f, const char *s, size_t len);
/* "name":"value" with a comma before it when *first is 0; "" prints nothing */
void cli_json_str(FILE *f, int *first, const char *name, const char *value);
/* a JSON string of any length, with its quotes */
void cli_json_text(FILE *f, const char *value);
void cli_json_num(FILE *f, int *first, const char *name, uint64_t n);
/* all members of a record, without braces */
void cli_json_record(FILE *f, int *first, const struct mo_record *r);
/* v as one word of a POSIX shell; nothing in it can be an option, a pattern
 * or a command */
void cli_print_quoted(FILE *f, const char *v);
/* ESC sequences where c->colour, else nothing */
const char *cli_bold(const struct cli *c);
const char *cli_red(const struct cli *c);
const char *cli_plain(const struct cli *c);

/*
 * Walks all records of the mail logs (c->log, or the conf's log and its
 * rotated, .gz and .zst ones, oldest first) that pass since, until and the
 * filters.  fn returns 0 to go on, 1 to stop.  Lines that are no record are
 * counted into *bad (NULL: no matter).  Returns 0, or -1 after saying why no
 * log could be read.
 */
int cli_records(struct cli *c, int (*fn)(void *arg, struct mo_record *r),
                void *arg, unsigned long *bad);
int cli_match(const struct cli *c, const struct mo_record *r);

/* A reader of lines over plain, .gz and .zst files; read(), no mmap. */
struct cli_lines;
/* NULL after errno; path "-" is stdin */
struct cli_lines *cli_lines_open(const char *path);
/* The next line without "\n", NUL-terminated, writable, good until the next
 * call; NULL at the end or after an error (cli_lines_error).  Lines over
 * 1 MiB come in pieces. */
char *cli_lines_next(struct cli_lines *l, size_t *len);
const char *cli_lines_error(const struct cli_lines *l); /* NULL: none */
uint64_t cli_lines_pos(const struct cli_lines *l); /* bytes of the file read */
void cli_lines_close(struct cli_lines *l);

/* Progress on a terminal's stderr: bytes, percent, rate, time left; at most
 * 5 times a second; nothing where c->progress is 0. */
void cli_progress(struct cli *c, const char *what, uint64_t done,
                  uint64_t total);
void cli_progress_end(struct cli *c);

#endif
