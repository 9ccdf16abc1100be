/*
 * The layout file, MO_LAYOUT_DIR/PARENTPID.json: which logs httpd writes, so
 * that the command finds a request's line.  The module writes it; the
 * command reads it (jansson).
 *
 * {"version":1,"pid":N,"start":TICKS,"server":"Apache/2.4…","mpm":"event",
 *  "server_root":"/etc/apache2","time_zone":"…",
 *  "vhosts":[{"name":"www.example.org","aliases":["example.org"],"port":80,
 *             "addresses":["*:80"],"defined":"/etc/…/x.conf:3","main":false,
 *             "mailorigin":true,
 *             "logs":[LOG…],"php":[PHP…]}],
 *  "global_logs":[LOG…]}
 * LOG: {"directive":"CustomLog","file":"/abs/path"  (or "pipe":"command"),
 *       "format":"%h %l …" (nicknames resolved),"condition":"env=!x" or
 *       "expr=…" (absent: none),"defined":"file:line"}
 * PHP: {"directive":"php_admin_value" (mod_php's; any other sets PHP_ADMIN_VALUE
 *       or PHP_VALUE, which PHP-FPM reads),"value":"sendmail_path=…" (a word in
 *       PHP's ini syntax, with sendmail_path or disable_functions in it),
 *       "section":"<Directory …>" (absent: all of it),"defined":"file:line"}
 * A vhost has none of the main server's, though they hold in it, too.
 * A vhost without CustomLog or TransferLog of its own has the main server's
 * logs, as httpd does.  Strings are escaped as in mo_record.h.
 */
#ifndef MO_LAYOUT_H
#define MO_LAYOUT_H

#include <stddef.h>

#define MO_LAYOUT_VERSION 1

struct mo_layout_log {
    char *file; /* NULL: a pipe */
    char *pipe;
    char *format;
    char *condition; /* NULL: none */
    char *directive;
    char *defined;
};
struct mo_layout_php {
    char *directive;
    char *value;
    char *section; /* NULL: all of the vhost */
    char *defined;
};
struct mo_layout_vhost {
    char *name;
    char **aliases;
    size_t naliases;
    int port;
    int main;
    int mailorigin;
    char *defined;
    struct mo_layout_log *logs;
    size_t nlogs;
    struct mo_layout_php *php;
    size_t nphp;
};
struct mo_layout {
    long pid;
    char *server_root;
    char *mpm;
    struct mo_layout_vhost *vhosts;
    size_t nvhosts;
    struct mo_layout_log *global;
    size_t nglobal;
};

/*
 * Reads a layout file.  Returns it, to be freed with mo_layout_free, or NULL
 * with one line in err.
 */
struct mo_layout *mo_layout_read(const char *path, char *err, size_t errsize);
void mo_layout_free(struct mo_layout *l);

#endif
