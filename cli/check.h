/*
 * What `mailorigin check` looks at: each function says one line a fact.
 */
#ifndef MO_CLI_CHECK_H
#define MO_CLI_CHECK_H

#include <sys/types.h>

#include "cli.h"
#include "mo_layout.h"

enum check_state { CHECK_OK, CHECK_WARN, CHECK_BROKEN };

struct check {
    struct cli *cli;
    int warned;
    int broken;
    /* httpds that run, and those whose main server names mod_php's sendmail */
    int httpds;
    int httpds_php;
};

/*
 * One fact: check is a short fixed word ("recorder"), mend what the admin can
 * do ("" or NULL for CHECK_OK); fmt is the message, one line.
 */
void check_say(struct check *k, enum check_state s, const char *check,
               const char *mend, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* check_httpd.c: the module, its vhosts, their access_logs */
void check_httpd(struct check *k);
/* check_php.c: which sendmail each PHP would call, FPM pools, FPM's cage */
void check_php(struct check *k);
/* what one of httpd's directives tells the PHP of a vhost; 1: it names
 * mod_php's sendmail for the whole server */
int check_php_httpd(struct check *k, const struct mo_layout_vhost *v,
                    const struct mo_layout_php *p);
/* what systemd may have put around a process whose scripts mail */
void check_cage(struct check *k, const char *what, long pid);
/* check_host.c: /proc, disk, files' modes, an open relay */
void check_proc(struct check *k);
void check_files(struct check *k);
void check_relay(struct check *k);
/* check_hold.c: `hold header` has its rule in the MTA */
void check_hold(struct check *k);
/* check_send.c: the chain end to end; dir: where url leads to, for a script
 * of our own that mails to address, or NULL */
void check_send(struct check *k, const char *address, const char *url,
                const char *dir);

/* Asks the recorder; 0, or -1 with errno.  *uid: who made its socket. */
int check_ping(uid_t *uid);

#endif
