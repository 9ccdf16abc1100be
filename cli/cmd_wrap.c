/*
 * mailorigin wrap, unwrap: puts the wrapper where sendmail stands, and back.
 *
 * What is done to a path P (/usr/sbin/sendmail, and /usr/lib/sendmail where
 * that is not merely a link to it):
 *   1. the state file, MO_STATEDIR/wrap, gets a line of what is going to be
 *      done, so that an interrupted wrap can be undone;
 *   2. dpkg is told (dpkg-divert), so that an MTA's upgrade writes P.real;
 *   3. P gets a second name, P.real (a hard link, of a link too);
 *   4. mailorigin.conf is told of P.real and of the MTA;
 *   5. a link to the wrapper is renamed over P; where P is a link into
 *      /etc/alternatives, a copy, since update-alternatives puts its link
 *      back over any link but leaves a file alone.
 * There is no moment without a working sendmail, and unwrap is one rename of
 * P.real over P: the very file that was there.
 *
 * Refused: what is no MTA that we know, a script, a path that somebody else
 * has diverted, a P.real that is not ours.
 */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"
#include "mta.h"
#include "wrap.h"

#define DPKG_DIVERT "/usr/bin/dpkg-divert"
#define INI_NAME "99-mailorigin.ini"

static const char *const php_dirs[] = {"/etc/php/*/*/conf.d", "/etc/php.d",
                                       "/usr/local/etc/php/conf.d",
                                       "/etc/php*/conf.d", NULL};

const char *const wrap_paths[] = {"/usr/sbin/sendmail", "/usr/lib/sendmail",
                                  NULL};

static void real_name(const char *path, char real[PATH_MAX])
{
    snprintf(real, PATH_MAX, "%s.real", path);
}

/* Is path a copy of the wrapper, of this version or another? */
static int is_copy(const char *path)
{
    struct stat st;
    char *text;
    size_t len;
    int r;

    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) ||
        !wrap_state_has("path", path))
        return 0;
    text = wrap_read_bytes(path, &len);
    r = text != NULL && memmem(text, len, MO_CONF_PATH, strlen(MO_CONF_PATH));
    free(text);
    return r;
}

/* Does path lead to the wrapper? */
static int leads_to_wrapper(const char *path)
{
    struct stat a, b;

    if (stat(path, &a) == 0 && stat(MO_WRAPPER_PATH, &b) == 0 &&
        a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return 1;
    return is_copy(path);
}

static int is_alternative(const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target);

    return n > 18 && strncmp(target, "/etc/alternatives/", 18) == 0;
}

/* Makes new the wrapper: a link or, where a link would not last, a copy. */
static int make_wrapper(const char *new, int copy)
{
    char *text;
    size_t len;
    int r;

    unlink(new);
    if (!copy)
        return symlink(MO_WRAPPER_PATH, new);
    text = wrap_read_bytes(MO_WRAPPER_PATH, &len);
    r = text != NULL ? wrap_write_file(new, text, len) : -1;
    free(text);
    return r == 0 ? chmod(new, 0755) : -1;
}

/* Does the link at path go through first, so that it needs nothing itself? */
static int is_link_to(const char *path, const char *first)
{
    char target[PATH_MAX], full[PATH_MAX], dir[PATH_MAX], want[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    char *slash;

    if (n < 0)
        return 0;
    target[n] = '\0';
    if (target[0] == '/')
        snprintf(full, sizeof full, "%s", target);
    else if ((size_t)snprintf(full, sizeof full, "%.*s/%s",
                              (int)(strrchr(path, '/') - path), path,
                              target) >= sizeof full)
        return 0;
    /* compare the directories resolved and the last names as they are */
    slash = strrchr(full, '/');
    if (slash == NULL || strcmp(slash + 1, strrchr(first, '/') + 1) != 0)
        return 0;
    *slash = '\0';
    snprintf(want, sizeof want, "%.*s", (int)(strrchr(first, '/') - first),
             first);
    char dir2[PATH_MAX];
    return realpath(full, dir) != NULL && realpath(want, dir2) != NULL &&
           strcmp(dir, dir2) == 0;
}

/* Runs a program, its output to stderr; 0 if it exits 0. */
static int run(const char *const argv[])
{
    int status;
    pid_t pid = fork();

    if (pid < 0) {
        mo_error("cannot fork: %s", strerror(errno));
        return -1;
    }
    if (pid == 0) {
        dup2(2, 1);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        mo_error("%s %s %s ended with status %d", argv[0], argv[1],
                 argv[2] != NULL ? argv[2] : "",
                 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
        return -1;
    }
    return 0;
}

/* To whom path is diverted: -1 trouble, 0 not at all, 1 by us, 2 by others */
static int diverted(const char *path)
{
    char command[PATH_MAX + 80], line[PATH_MAX], real[PATH_MAX];
    FILE *f;
    int r = 0;

    if (access(DPKG_DIVERT, X_OK) != 0)
        return 0;
    real_name(path, real);
    /* the paths are the constants above: nothing to quote */
    snprintf(command, sizeof command, "%s --truename %s 2>/dev/null",
             DPKG_DIVERT, path);
    f = popen(command, "re");
    if (f == NULL)
        return -1;
    if (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, path) != 0)
            r = strcmp(line, real) == 0 ? 1 : 2;
    }
    pclose(f);
    return r;
}

static int divert(const char *path, int add)
{
    char real[PATH_MAX];

    if (access(DPKG_DIVERT, X_OK) != 0)
        return 0;
    real_name(path, real);
    const char *const a[] = {DPKG_DIVERT,
                             "--quiet",
                             "--local",
                             "--no-rename",
                             "--divert",
                             real,
                             add ? "--add" : "--remove",
                             path,
                             NULL};
    return run(a);
}

/* ---- one path */

static int wrap_one(const char *path)
{
    char real[PATH_MAX], new[PATH_MAX];
    int by;

    real_name(path, real);
    snprintf(new, sizeof new, "%s.mailorigin", path);
    by = diverted(path);
    if (by < 0 || by == 2) {
        mo_error("%s is diverted by somebody else (dpkg-divert --list %s): "
                 "remove that diversion first",
                 path, path);
        return -1;
    }
    if (access(real, F_OK) == 0 && !wrap_state_has("path", path)) {
        mo_error("%s exists already and is not ours: move it away first", real);
        return -1;
    }
    if (wrap_state_change("path", path, 1) != 0)
        return -1;
    if (by == 0 && divert(path, 1) != 0)
        goto undo_state;
    if (link(path, real) != 0 && errno != EEXIST) {
        mo_error("cannot link %s to %s: %s", path, real, strerror(errno));
        goto undo_divert;
    }
    if (make_wrapper(new, is_alternative(path)) != 0 ||
        rename(new, path) != 0) {
        mo_error("cannot put the wrapper at %s: %s", path, strerror(errno));
        unlink(new);
        unlink(real);
        goto undo_divert;
    }
    return 0;
undo_divert:
    if (by == 0)
        divert(path, 0);
undo_state:
    wrap_state_change("path", path, 0);
    return -1;
}

/* After an upgrade of ours a copy is of the old version: a new one. */
static int refresh(const char *path)
{
    char new[PATH_MAX];
    struct stat st;

    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    snprintf(new, sizeof new, "%s.mailorigin", path);
    if (make_wrapper(new, 1) == 0 && rename(new, path) == 0)
        return 0;
    mo_error("cannot renew the wrapper at %s: %s", path, strerror(errno));
    unlink(new);
    return -1;
}

static int unwrap_one(const char *path)
{
    char real[PATH_MAX], target[PATH_MAX];
    struct stat st;
    int had_real;

    real_name(path, real);
    had_real = lstat(real, &st) == 0;
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n >= 0)
        target[n] = '\0';
    if ((n >= 0 && strcmp(target, MO_WRAPPER_PATH) == 0) || is_copy(path)) {
        if (had_real ? rename(real, path) != 0 : unlink(path) != 0) {
            mo_error("cannot put %s back to %s: %s", real, path,
                     strerror(errno));
            return -1;
        }
        if (!had_real)
            mo_warn("%s is gone (its package was removed?): %s is taken away",
                    real, path);
    }
    else if (lstat(path, &st) != 0 && had_real) {
        if (rename(real, path) != 0) {
            mo_error("cannot put %s back to %s: %s", real, path,
                     strerror(errno));
            return -1;
        }
    }
    else if (had_real) {
        struct stat own;

        /* an interrupted wrap leaves two names of one file */
        if (lstat(path, &own) == 0 && lstat(real, &st) == 0 &&
            own.st_dev == st.st_dev && own.st_ino == st.st_ino) {
            unlink(real);
        }
        else {
            mo_error("%s is no longer our link to %s, and %s is there too: "
                     "put the right one at %s, remove the other, and try "
                     "again",
                     path, MO_WRAPPER_PATH, real, path);
            return -1;
        }
    }
    if (diverted(path) == 1 && divert(path, 0) != 0)
        return -1;
    return wrap_state_change("path", path, 0);
}

/* ---- PHP */

static int php_each(int (*fn)(const char *ini))
{
    int n = 0;

    for (int i = 0; php_dirs[i] != NULL; i++) {
        glob_t g;

        if (glob(php_dirs[i], GLOB_ONLYDIR, NULL, &g) != 0)
            continue;
        for (size_t k = 0; k < g.gl_pathc; k++) {
            char ini[PATH_MAX];

            snprintf(ini, sizeof ini, "%s/" INI_NAME, g.gl_pathv[k]);
            if (fn(ini) != 0)
                n = -1;
            else if (n >= 0)
                n++;
        }
        globfree(&g);
    }
    return n;
}

static int php_add(const char *ini)
{
    static const char text[] =
        "; made by mailorigin wrap --php, removed by mailorigin unwrap\n"
        "sendmail_path = \"" MO_WRAPPER_PATH " -t -i\"\n";

    return wrap_state_change("php", ini, 1) == 0
               ? wrap_write_file(ini, text, sizeof text - 1)
               : -1;
}

/* Removes the files that the state file names, wherever PHP is now. */
static int php_remove_all(void)
{
    char *text = wrap_read_file(WRAP_STATE_PATH), *save = NULL;
    int r = 0;

    if (text == NULL)
        return -1;
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "php ", 4) != 0)
            continue;
        if (unlink(line + 4) != 0 && errno != ENOENT) {
            mo_error("cannot remove %s: %s", line + 4, strerror(errno));
            r = -1;
        }
        else if (wrap_state_change("php", line + 4, 0) != 0) {
            r = -1;
        }
    }
    free(text);
    return r;
}

static int php_exists(const char *ini)
{
    if (access(ini, F_OK) != 0)
        return -1;
    printf("%s\n", ini);
    return 0;
}

/* ---- the verbs */

static int must_be_root(void)
{
    if (geteuid() == 0)
        return 0;
    mo_error("only root can do that");
    return -1;
}

int wrap_is_on(const char *path)
{
    return leads_to_wrapper(path);
}

static int status(const struct cli *c)
{
    int on = 0, broken = 0;

    for (int i = 0; wrap_paths[i] != NULL; i++) {
        const char *p = wrap_paths[i], *say;
        char real[PATH_MAX], resolved[PATH_MAX], seen[PATH_MAX + 64] = "";
        int wrapped = leads_to_wrapper(p), first = 1, mta;
        struct stat st;

        real_name(p, real);
        if (lstat(p, &st) != 0) {
            say = "absent";
        }
        else if (wrapped && (i > 0 && is_link_to(p, wrap_paths[0]))) {
            say = "wrapped";
            snprintf(seen, sizeof seen, "a link to %s", wrap_paths[0]);
        }
        else if (wrapped && lstat(real, &st) != 0) {
            say = "broken";
            snprintf(seen, sizeof seen, "%s is missing", real);
            broken = 1;
        }
        else {
            mta = mta_find(wrapped ? real : p, resolved, sizeof resolved, seen,
                           sizeof seen);
            say = wrapped ? "wrapped" : "plain";
            if (mta < 0)
                snprintf(seen, sizeof seen, "%s", strerror(errno));
            else if (mta > 0) {
                size_t n = strlen(seen);

                snprintf(seen + n, sizeof seen - n, " (%s)",
                         mta_name((enum mo_mta)mta));
            }
        }
        on |= wrapped;
        if (c->json) {
            putchar('{');
            cli_json_str(stdout, &first, "path", p);
            cli_json_str(stdout, &first, "state", say);
            cli_json_str(stdout, &first, "real", wrapped ? real : "");
            cli_json_str(stdout, &first, "message", seen);
            puts("}");
        }
        else {
            printf("%s: %s%s%s\n", p, say, *seen ? ": " : "", seen);
        }
    }
    if (!c->json && php_each(php_exists) > 0)
        on = 1;
    return broken ? CLI_TROUBLE : on ? CLI_FOUND : CLI_NOTHING;
}

static int wrap(void)
{
    char real[PATH_MAX], resolved[PATH_MAX], seen[PATH_MAX + 64];
    const char *p = wrap_paths[0];
    int mta;

    if (access(MO_WRAPPER_PATH, X_OK) != 0) {
        mo_error("there is no wrapper at %s: %s; install it first",
                 MO_WRAPPER_PATH, strerror(errno));
        return CLI_TROUBLE;
    }
    if (leads_to_wrapper(p)) {
        if (refresh(p) != 0)
            return CLI_TROUBLE;
        printf("%s is wrapped already\n", p);
    }
    else {
        mta = mta_find(p, resolved, sizeof resolved, seen, sizeof seen);
        if (mta < 0) {
            mo_error("%s: %s; is a mail server installed?", p, strerror(errno));
            return CLI_TROUBLE;
        }
        if (mta == MO_MTA_UNKNOWN) {
            mo_error("%s is %s; wrap knows Postfix, Exim, Sendmail, "
                     "OpenSMTPD, msmtp, dma, nullmailer and ssmtp, and "
                     "replaces nothing else",
                     p, seen);
            return CLI_TROUBLE;
        }
        real_name(p, real);
        if (wrap_conf_change("sendmail", real) != 0 ||
            wrap_conf_change("mta", mta_name((enum mo_mta)mta)) != 0)
            return CLI_TROUBLE;
        if (wrap_one(p) != 0) {
            wrap_conf_change("sendmail", NULL);
            wrap_conf_change("mta", NULL);
            return CLI_TROUBLE;
        }
        printf("%s: wrapped, the real one (%s) is %s\n", p,
               mta_name((enum mo_mta)mta), real);
    }
    for (int i = 1; wrap_paths[i] != NULL; i++) {
        struct stat st;

        p = wrap_paths[i];
        if (lstat(p, &st) != 0 || is_link_to(p, wrap_paths[0]))
            continue;
        if (leads_to_wrapper(p)) {
            if (refresh(p) != 0)
                return CLI_TROUBLE;
            continue;
        }
        mta = mta_find(p, resolved, sizeof resolved, seen, sizeof seen);
        if (mta <= 0) {
            mo_error("%s is %s: left as it is; mail sent through it has no "
                     "stamp",
                     p, mta < 0 ? strerror(errno) : seen);
            return CLI_TROUBLE;
        }
        if (wrap_one(p) != 0)
            return CLI_TROUBLE;
        printf("%s: wrapped\n", p);
    }
    return CLI_FOUND;
}

static int run_wrap(struct cli *c, int argc, char **argv)
{
    int next = 1, o, want_status = 0, php = 0;
    const char *value;

    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        if (strcmp(c->verb->options[o].name, "status") == 0)
            want_status = 1;
        else
            php = 1;
    }
    if (o == -2)
        return CLI_TROUBLE;
    if (next < argc) {
        mo_error("wrap takes no operand, but got \"%s\"", argv[next]);
        return CLI_TROUBLE;
    }
    if (want_status)
        return status(c);
    if (must_be_root() != 0)
        return CLI_TROUBLE;
    if (!php)
        return wrap();
    int n = php_each(php_add);
    if (n == 0)
        mo_error("no PHP was found (looked for /etc/php/*/*/conf.d, "
                 "/etc/php.d, /usr/local/etc/php/conf.d)");
    else if (n > 0)
        printf("sendmail_path is set in %d places; restart PHP-FPM and "
               "Apache\n",
               n);
    return n > 0 ? CLI_FOUND : n == 0 ? CLI_NOTHING : CLI_TROUBLE;
}

static int run_unwrap(struct cli *c, int argc, char **argv)
{
    int next = 1, trouble = 0, was = 0;
    const char *value;

    if (cli_getopt(c, argc, argv, &next, &value) == -2)
        return CLI_TROUBLE;
    if (next < argc) {
        mo_error("unwrap takes no operand, but got \"%s\"", argv[next]);
        return CLI_TROUBLE;
    }
    if (must_be_root() != 0)
        return CLI_TROUBLE;
    /* the last first: the main path is the one that conf names */
    for (int i = 1; i >= 0; i--) {
        if (!wrap_state_has("path", wrap_paths[i]))
            continue;
        was = 1;
        if (unwrap_one(wrap_paths[i]) != 0)
            trouble = 1;
        else
            printf("%s: unwrapped\n", wrap_paths[i]);
    }
    if (was && !trouble &&
        (wrap_conf_change("mta", NULL) != 0 ||
         wrap_conf_change("sendmail", NULL) != 0))
        trouble = 1;
    if (access(WRAP_STATE_PATH, F_OK) == 0) {
        was = 1;
        if (php_remove_all() != 0)
            trouble = 1;
    }
    if (!was)
        printf("nothing is wrapped\n");
    return trouble ? CLI_TROUBLE : CLI_FOUND;
}

static const struct cli_option wrap_options[] = {
    {"status", NULL, "says what stands in sendmail's place; changes nothing"},
    {"php", NULL, "sets sendmail_path of every PHP here instead"},
    {NULL, NULL, NULL}};
static const struct cli_option unwrap_options[] = {{NULL, NULL, NULL}};

const struct cli_verb cli_wrap = {"wrap",
                                  CLI_NEEDS_CONF,
                                  run_wrap,
                                  "[--php | --status]",
                                  "put the wrapper in sendmail's place",
                                  wrap_options};
const struct cli_verb cli_unwrap = {
    "unwrap",      CLI_NEEDS_CONF, run_unwrap, "", "put the real sendmail back",
    unwrap_options};
