/*
 * Requests in progress, off httpd's boards.
 */
#ifndef MO_CLI_NOW_H
#define MO_CLI_NOW_H

#include "cli.h"
#include "mo_origin.h"

#include <uthash.h>

struct now_req {
    UT_hash_handle hh; /* by request id, in struct now_list; the caller's */
    struct mo_origin o;
    char key[48]; /* which use of which slot of which board */
    int32_t pid, tid;
    uint64_t ms; /* so long already */
    unsigned long mails;
    int nameless;
};
struct now_list {
    struct now_req **r;
    size_t n, cap;
    struct now_req *by_id;
};

/* What is in progress; how many boards could be read, or -1 and it was said
 * why there is none. */
int now_boards(struct now_list *l);
void now_free(struct now_list *l);
/* Is the request of that id in progress, as far as can be read? */
int now_has(const char *id);
/* does it pass the filters? */
int now_wanted(const struct cli *c, const struct now_req *r);
/* who mails most first, then the oldest; for qsort over pointers */
int now_order(const void *a, const void *b);
/* A line of text or JSON; change: what has become of it, or NULL. */
void now_print(const struct cli *c, const struct now_req *r,
               const char *change);
/* As it goes on, until a signal ends it; an exit status. */
int now_follow(struct cli *c);

#endif
