/*
 * SMTP as text: what the -bs proxy must understand of it.  No input or
 * output here, so that it is tested and fuzzed by itself.
 */
#ifndef MO_SMTP_H
#define MO_SMTP_H

#include <stddef.h>

enum sm_cmd {
    SM_CMD_OTHER,
    SM_CMD_HELO, /* EHLO and LHLO too */
    SM_CMD_MAIL,
    SM_CMD_RCPT,
    SM_CMD_DATA,
    SM_CMD_RSET,
    SM_CMD_BDAT,
    SM_CMD_STARTTLS,
    SM_CMD_QUIT
};
/* line[0..len) ends with its "\n" */
enum sm_cmd sm_smtp_command(const char *line, size_t len);
/* The address of MAIL FROM: or RCPT TO:, without <>, cut to fit. */
void sm_smtp_path(const char *line, size_t len, char *out, size_t size);
/* BDAT's number of octets that follow; 0 where there is none. */
unsigned long long sm_smtp_bdat(const char *line, size_t len);

/*
 * Is there a whole reply at buf's beginning?  Its length, with *code; 0: more
 * is needed.  Lines of another kind ("050 …", or no reply at all) before the
 * last are taken as part of it.
 */
size_t sm_smtp_reply(const char *buf, size_t len, int *code);

/* Takes the extensions that we cannot pass out of a whole EHLO reply, in
 * place; returns its new length. */
size_t sm_smtp_ehlo(char *buf, size_t len);

/* Where a message ends, after 354. */
struct sm_data {
    int in_line; /* 0: at a line's begin */
    int lf; /* the line before ended without CR */
    char last;
};
struct sm_data_end {
    size_t len; /* of the dot's line; 0: the end is not here */
    int loose; /* some servers take it for the end, others for text */
};
/*
 * How many bytes of p are the message's; where end->len is set, the dot's
 * line follows them.  Fewer than n without an end: what is left cannot be told
 * yet, and must stand at the next piece's beginning.
 */
size_t sm_data_scan(struct sm_data *d, const char *p, size_t n,
                    struct sm_data_end *end);

#endif
