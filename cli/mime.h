/*
 * Mail as trace wants it: every message in it (the mail itself, returned
 * messages and headers, nested to any sane depth), with our field's body
 * wherever one is, whole or mangled by a mail client.
 */
#ifndef MO_CLI_MIME_H
#define MO_CLI_MIME_H

#include <stddef.h>

struct mime_msg {
    const char *where; /* "mail", "returned message", "returned headers",
                          "text" */
    int depth; /* 0: the mail itself */
    /* unfolded, "" where absent */
    char message_id[512];
    char return_path[512];
    char from[512];
    char date[128];
    char subject[512];
};

/*
 * Reads buf[0..len) and calls fn for each field of one of the names that is
 * found (body is not NUL-terminated), and once with body NULL for each
 * message without one.  names ends with NULL.  fn returns 0 to go on.
 * Returns what fn returned last, or -1 when out of memory.
 */
int mime_scan(const char *buf, size_t len, const char *const *names,
              int (*fn)(void *arg, const struct mime_msg *m, const char *body,
                        size_t n),
              void *arg);

/* Decode into a new buffer (NUL-terminated); NULL: no memory. */
char *mime_base64(const char *s, size_t len, size_t *n);
char *mime_quoted(const char *s, size_t len, size_t *n);
char *mime_html(const char *s, size_t len, size_t *n); /* its text */

#endif
