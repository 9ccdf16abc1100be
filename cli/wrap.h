/*
 * What stands in sendmail's place.
 */
#ifndef MO_CLI_WRAP_H
#define MO_CLI_WRAP_H

#include <stddef.h>

#include "mo_paths.h"

#define WRAP_STATE_PATH MO_STATEDIR "/wrap"

/* /usr/sbin/sendmail, /usr/lib/sendmail; NULL past the last */
extern const char *const wrap_paths[];
/* 1: path leads to our wrapper */
int wrap_is_on(const char *path);

/*
 * Below: 0, or -1 after saying what is wrong.
 */
/* Replaces path by text[0..len), keeping mode and owner of the old file. */
int wrap_write_file(const char *path, const char *text, size_t len);
/* The text, NUL-terminated, the caller's; "" where there is no file; NULL:
 * trouble. */
char *wrap_read_file(const char *path);
/* The bytes and a NUL, the caller's; NULL with errno. */
char *wrap_read_bytes(const char *path, size_t *len);
/* Does the state file have that line? */
int wrap_state_has(const char *what, const char *path);
int wrap_state_change(const char *what, const char *path, int add);
/* Sets a key of mailorigin.conf; value NULL puts back what was before. */
int wrap_conf_change(const char *key, const char *value);

#endif
