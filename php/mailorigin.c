/*
 * mailorigin, a PHP extension: hands the token of mod_mailorigin to the
 * programs that a PHP script runs, where no kernel fact can name the request.
 *
 * httpd gives the token to PHP-FPM and php-cgi as a FastCGI parameter, which
 * PHP shows the script ($_SERVER) but not the script's children: mail() and
 * proc_open() hand them the process environment.  At the start of a request
 * this puts MAILORIGIN_TOKEN there, and takes it out after the request's last
 * shutdown function, so that no later request finds it.
 *
 * It helps where mail leaves after fastcgi_finish_request(), where FPM is in
 * a container or on another host, and under mod_fcgid.  A token is a claim:
 * this can make no mail look more certain than it is.
 *
 * And it gives those programs the FastCGI connection, by which the recorder
 * knows the request: up to PHP 8.2 they have it anyway, PHP 8.4 closes it
 * when they begin.
 *
 * PHP 7.4 to 8.4, with and without threads.  The environment is the whole
 * process's, so that in a server of threads this does nothing.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "php.h"
#include "SAPI.h"
#include "ext/standard/info.h"

#define PHP_MAILORIGIN_VERSION "0.1.0"
#define TOKEN "MAILORIGIN_TOKEN"
/* a token's longest text with its NUL: MO_SEAL_TEXT_MAX in mo_seal.h */
#define TOKEN_MAX 5560

/*
 * putenv() keeps the pointer, and PHP's own putenv() may give it back to the
 * environment when it undoes a script's change: this is never freed.
 */
static char entry[sizeof TOKEN "=" + TOKEN_MAX];
static char *before; /* the environment's own entry while ours stands there */
static int standing;
static const char *source = "none";

static int one_thread(void)
{
#ifdef ZTS
    static const char *const single[] = {"fpm-fcgi", "cgi-fcgi", "cli",
                                         "cli-server", "litespeed"};
    size_t i;

    for (i = 0; i < sizeof single / sizeof *single; i++) {
        if (!strcmp(sapi_module.name, single[i])) {
            return 1;
        }
    }
    return 0;
#else
    return 1;
#endif
}

/* base64url only: whatever else a web server may have passed is no token */
static int is_token(const char *s)
{
    size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "abcdefghijklmnopqrstuvwxyz0123456789-_");

    return len && !s[len] && len < TOKEN_MAX;
}

/* what the web server gave for this request; to be freed with efree() */
static char *given(const char *name)
{
    char *value = sapi_getenv((char *)name, strlen(name));

    if (value && !is_token(value)) {
        efree(value);
        value = NULL;
    }
    return value;
}

/* ---- the connection */

static int listener = -1, accepted = -1; /* where they were the last time */

static int of_kind(int fd, int listens, struct sockaddr_storage *name,
                   socklen_t *len)
{
    int on = 0, type = 0;
    socklen_t n = sizeof on;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) || !on != !listens) {
        return 0;
    }
    n = sizeof type;
    memset(name, 0, sizeof *name);
    *len = sizeof *name;
    return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) &&
           type == SOCK_STREAM &&
           !getsockname(fd, (struct sockaddr *)name, len);
}

/* was fd accepted from one that listens?  Then it has its address. */
static int is_accepted(int fd)
{
    struct sockaddr_storage a, b;
    socklen_t n, m;

    if (!of_kind(fd, 0, &a, &n) || !of_kind(listener, 1, &b, &m) ||
        a.ss_family != b.ss_family) {
        return 0;
    }
    switch (a.ss_family) {
    case AF_UNIX:
        return n == m && n > sizeof a.ss_family && !memcmp(&a, &b, n);
    case AF_INET:
        return ((struct sockaddr_in *)&a)->sin_port ==
               ((struct sockaddr_in *)&b)->sin_port;
    case AF_INET6:
        return ((struct sockaddr_in6 *)&a)->sin6_port ==
               ((struct sockaddr_in6 *)&b)->sin6_port;
    default:
        return 0;
    }
}

/* the first of this process's sockets that test() takes; -1: none */
static int find(int (*test)(int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *d;
    int fd = -1;

    while (dir && (d = readdir(dir)) != NULL) {
        if (d->d_name[0] != '.' && test(atoi(d->d_name))) {
            fd = atoi(d->d_name);
            break;
        }
    }
    if (dir) {
        closedir(dir);
    }
    return fd;
}

static int listens(int fd)
{
    struct sockaddr_storage a;
    socklen_t n;

    return of_kind(fd, 1, &a, &n);
}

/* Before the script, so that there is one such and the script's are none. */
static void keep_connection(void)
{
    int flags;

    if (strcmp(sapi_module.name, "fpm-fcgi") &&
        strcmp(sapi_module.name, "cgi-fcgi")) {
        return;
    }
    if (listener < 0 || !listens(listener)) {
        listener = find(listens);
    }
    if (listener < 0) {
        return; /* plain CGI */
    }
    if (accepted < 0 || !is_accepted(accepted)) {
        accepted = find(is_accepted);
    }
    if (accepted >= 0 && (flags = fcntl(accepted, F_GETFD)) > 0 &&
        flags & FD_CLOEXEC) {
        fcntl(accepted, F_SETFD, flags & ~FD_CLOEXEC);
    }
}

/* ---- a request */

static PHP_RINIT_FUNCTION(mailorigin)
{
    char *token, *old;

    keep_connection();
    source = "none";
    if (!one_thread()) {
        source = "left alone: this server has threads";
        return SUCCESS;
    }
    token = given(TOKEN);
    if (!token) {
        /* the name that suexec lets through */
        token = given("SSL_" TOKEN);
    }
    if (!token) {
        return SUCCESS;
    }
    old = getenv(TOKEN);
    if (old && !strcmp(old, token)) {
        /* CGI, or the module wrote it there itself (mod_php) */
        source = "in the environment already";
    }
    else {
        before = old ? old - strlen(TOKEN "=") : NULL;
        strcpy(entry, TOKEN "=");
        strcat(entry, token);
        standing = !putenv(entry);
        source = "from the web server";
    }
    efree(token);
    return SUCCESS;
}

/*
 * After all RSHUTDOWN, in which PHP undoes the script's own putenv() calls:
 * before them, it would put our entry back.
 */
static ZEND_MODULE_POST_ZEND_DEACTIVATE_D(mailorigin)
{
    if (standing) {
        if (before) {
            putenv(before);
        }
        else {
            unsetenv(TOKEN);
        }
        memset(entry, 0, sizeof entry);
        standing = 0;
    }
    return SUCCESS;
}

static PHP_MINFO_FUNCTION(mailorigin)
{
    php_info_print_table_start();
    php_info_print_table_row(2, "mailorigin", "enabled");
    php_info_print_table_row(2, "Version", PHP_MAILORIGIN_VERSION);
    php_info_print_table_row(2, "Token of this request", source);
    php_info_print_table_end();
}

zend_module_entry mailorigin_module_entry = {
    STANDARD_MODULE_HEADER,
    "mailorigin",
    NULL,
    NULL,
    NULL,
    PHP_RINIT(mailorigin),
    NULL,
    PHP_MINFO(mailorigin),
    PHP_MAILORIGIN_VERSION,
    NO_MODULE_GLOBALS,
    ZEND_MODULE_POST_ZEND_DEACTIVATE_N(mailorigin),
    STANDARD_MODULE_PROPERTIES_EX};

#ifdef COMPILE_DL_MAILORIGIN
ZEND_GET_MODULE(mailorigin)
#endif
