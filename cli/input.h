/*
 * The mails that an operand names.
 */
#ifndef MO_CLI_INPUT_H
#define MO_CLI_INPUT_H

#include <stddef.h>

/* bytes of one mail that are read; the rest is passed over */
#define INPUT_MAIL_MAX (64u * 1024 * 1024)

/*
 * path is a file with one mail, an mbox, a Maildir, a folder of mails, or
 * "-"; files may be .gz or .zst.  Calls fn with each mail and a name for it;
 * fn returns 0 to go on.  Returns what fn returned last, or -1 after saying
 * what could not be read.
 */
int input_mails(const char *path,
                int (*fn)(void *arg, const char *name, const char *mail,
                          size_t len),
                void *arg);

#endif
