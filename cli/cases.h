/*
 * What trace was asked about: each case is one mail, by its stamp, its id or
 * its Message-ID, with the record that the mail log has of it.
 */
#ifndef MO_CLI_CASES_H
#define MO_CLI_CASES_H

#include "cli.h"
#include "mime.h"
#include "stamp.h"

struct cli_case {
    char *source; /* the file, or what was asked for */
    const char *where; /* in it */
    int has_stamp; /* a field of ours was there */
    struct stamp stamp;
    char id[17]; /* the mail's; "" */
    char *request_id; /* asked for by --id; NULL */
    char *message_id; /* without <>; NULL */
    char *return_path; /* likewise */
    char *date;
    int has_record;
    unsigned long nrecords; /* that match: a request may send many mails */
    struct mo_record record; /* its bytes are ours: line */
    char *line;
    struct mo_record shown; /* the record, else the stamp's members */
    char text[512];
};

struct cli_cases {
    struct cli_case *c;
    size_t n, cap;
};

/* A new case, all empty; NULL: no memory, said. */
struct cli_case *cases_add(struct cli_cases *cs, const char *source);
/* All fields of ours in the mails of path; the last message without one
 * where there is none.  -1: trouble, said. */
int cases_mails(struct cli *c, struct cli_cases *cs, const char *path);
/* Finds the cases' records in the mail logs; then fills in shown. */
int cases_records(struct cli *c, struct cli_cases *cs);
/*
 * Where mail and record (or stamp) differ, in words into out: the stamp may
 * have been copied from another mail.  0: they do not.
 */
int cases_replay(const struct cli_case *k, char *out, size_t size);
void cases_free(struct cli_cases *cs);

#endif
