/*
 * check: which sendmail each PHP here would call, and whether FPM's pools can
 * reach the wrapper and the recorder at all.
 *
 * Ini files are read as PHP reads them, the last word counts: php.ini, then
 * conf.d/ *.ini in order; their sections [HOST=…] and [PATH=…] are for FPM and
 * CGI.  Of a pool, php_admin_value counts before php_value, and of equal ones
 * the first; what is disabled anywhere is.  httpd's own configuration comes
 * from the layout file: mod_php's php_admin_value (its php_value can't set
 * sendmail_path, nor can .htaccess or .user.ini), and the variables
 * PHP_ADMIN_VALUE and PHP_VALUE, which FPM takes, from SetEnv and others.
 */
#include "check.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_paths.h"
#include "wrap.h"

struct php {
    char sendmail_path[1024];
    char disabled[4096];
};

/* value without blanks and quotes around it */
static char *trim(char *s)
{
    char *end;

    while (isspace((unsigned char)*s))
        s++;
    end = s + strlen(s);
    while (end > s && isspace((unsigned char)end[-1]))
        *--end = '\0';
    if (end - s >= 2 && (*s == '"' || *s == '\'') && end[-1] == *s) {
        end[-1] = '\0';
        s++;
    }
    return s;
}

static void set(struct php *p, const char *key, const char *value)
{
    if (strcmp(key, "sendmail_path") == 0)
        snprintf(p->sendmail_path, sizeof p->sendmail_path, "%s", value);
    else if (strcmp(key, "disable_functions") == 0)
        snprintf(p->disabled, sizeof p->disabled, "%s", value);
}

static void disable_more(struct php *p, const char *names)
{
    size_t n = strlen(p->disabled);

    snprintf(p->disabled + n, sizeof p->disabled - n, ",%s", names);
}

/* Does the program that sendmail_path begins with lead to the wrapper? */
static int calls_wrapper(const char *sendmail_path)
{
    char program[1024];
    size_t n = strcspn(sendmail_path, " \t");

    snprintf(program, sizeof program, "%.*s", (int)n, sendmail_path);
    return wrap_is_on(program);
}

/* Is name a word of the list, which has commas and blanks between them? */
static int has_name(const char *list, const char *name)
{
    size_t n = strlen(name), len;

    for (; *list != '\0'; list += len) {
        list += strspn(list, ", \t");
        len = strcspn(list, ", \t");
        if (len == n && strncasecmp(list, name, n) == 0)
            return 1;
    }
    return 0;
}

/* mend: of a sendmail_path that is not the wrapper's */
static void say_php(struct check *k, const char *what, const struct php *p,
                    const char *mend)
{
    if (has_name(p->disabled, "mail"))
        check_say(k, CHECK_WARN, "php",
                  "take mail out of disable_functions, or let no process of "
                  "that user connect to other hosts' port 25",
                  "%s has mail() disabled: its scripts mail by SMTP, which has "
                  "no stamp",
                  what);
    else if (calls_wrapper(p->sendmail_path))
        check_say(k, CHECK_OK, "php", NULL, "%s calls the wrapper (%s)", what,
                  p->sendmail_path);
    else
        check_say(k, CHECK_WARN, "php", mend,
                  "%s calls %s, which is not the wrapper", what,
                  p->sendmail_path[0] ? p->sendmail_path : "nothing");
}

static const char wrap_it[] = "mailorigin wrap, or mailorigin wrap --php";

/* what: its name, where sections for a host or path count; or NULL */
static void read_ini(struct check *k, struct php *p, const char *path,
                     const char *what)
{
    char line[8192], section[256] = "";
    FILE *f = fopen(path, "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *key = trim(line), *eq = strchr(key, '=');

        if (*key == '[') {
            snprintf(section, sizeof section, "%.*s",
                     (int)strcspn(key, "]") + 1, key);
            if (strncasecmp(section, "[HOST=", 6) != 0 &&
                strncasecmp(section, "[PATH=", 6) != 0)
                section[0] = '\0';
            continue;
        }
        if (*key == ';' || *key == '#' || eq == NULL)
            continue;
        *eq = '\0';
        key = trim(key);
        if (section[0] == '\0')
            set(p, key, trim(eq + 1));
        else if (what != NULL && strcmp(key, "sendmail_path") == 0) {
            struct php own = {.disabled = ""};
            char where[1024];

            snprintf(where, sizeof where, "%s %s", what, section);
            set(&own, key, trim(eq + 1));
            say_php(k, where, &own, wrap_it);
        }
    }
    if (f != NULL)
        fclose(f);
}

/* ---- httpd's own configuration */

/* The setting of that name in a word of PHP's ini syntax, to the line's end;
 * 0: there is none. */
static int setting(const char *word, const char *name, char *out, size_t size)
{
    const char *p = strstr(word, name);
    char value[1024], *end;

    if (p == NULL)
        return 0;
    p += strlen(name);
    p += strspn(p, " \t");
    if (*p != '=')
        return 0;
    snprintf(value, sizeof value, "%s", p + 1);
    value[strcspn(value, "\r\n")] = '\0';
    /* ProxyFCGISetEnvIf's value is an expression, RewriteRule's in [E=…] */
    if ((end = strstr(value, "\\n")) != NULL)
        *end = '\0';
    if (word[0] == '[')
        value[strcspn(value, ",]")] = '\0';
    snprintf(out, size, "%s", trim(value));
    return 1;
}

int check_php_httpd(struct check *k, const struct mo_layout_vhost *v,
                    const struct mo_layout_php *p)
{
    int mod_php = strcasecmp(p->directive, "php_admin_value") == 0;
    struct php php = {.disabled = ""};
    char what[1024], mend[1024];
    int path = setting(p->value, "sendmail_path", php.sendmail_path,
                       sizeof php.sendmail_path);

    setting(p->value, "disable_functions", php.disabled, sizeof php.disabled);
    if (!path && !has_name(php.disabled, "mail"))
        return 0;
    snprintf(what, sizeof what, "%s for %s%s%s (%s)",
             mod_php ? "mod_php" : "PHP-FPM", v->name, p->section ? " " : "",
             p->section ? p->section : "", p->directive);
    snprintf(mend, sizeof mend, "%s %s at %s%s",
             mod_php ? "mend" : "name the wrapper in", p->directive,
             p->defined ? p->defined : "?",
             mod_php ? ""
                     : "; or take it out, since an FPM worker keeps it "
                       "for later requests, of other sites too");
    say_php(k, what, &php, mend);
    return mod_php && v->main && p->section == NULL;
}

/* ---- FPM pools */

struct pool {
    char name[256];
    char chroot[1024];
    struct php php;
    int set; /* sendmail_path, 1: by php_value, 2: by php_admin_value */
};

/* In a chroot a link of the host's leads elsewhere: the file itself counts. */
static int same_content(const char *a, const char *b)
{
    char x[65536], y[65536];
    struct stat st;
    FILE *f, *g;
    size_t n = 0;
    int same;

    if (lstat(a, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    f = fopen(a, "re");
    g = fopen(b, "re");
    same = f != NULL && g != NULL;
    while (same && (n = fread(x, 1, sizeof x, f)) > 0)
        same = fread(y, 1, n, g) == n && memcmp(x, y, n) == 0;
    same = same && getc(g) == EOF;
    if (f != NULL)
        fclose(f);
    if (g != NULL)
        fclose(g);
    return same;
}

static void say_pool(struct check *k, const struct pool *pool,
                     const char *version)
{
    char what[512], path[PATH_MAX];

    if (pool->name[0] == '\0' || strcmp(pool->name, "global") == 0)
        return;
    snprintf(what, sizeof what, "PHP %s FPM pool %s", version, pool->name);
    if (pool->chroot[0] == '\0') {
        say_php(k, what, &pool->php, wrap_it);
        return;
    }
    snprintf(path, sizeof path, "%s%.*s", pool->chroot,
             (int)strcspn(pool->php.sendmail_path, " \t"),
             pool->php.sendmail_path);
    if (!same_content(path, MO_WRAPPER_PATH))
        check_say(k, CHECK_WARN, "chroot",
                  "put " MO_WRAPPER_PATH ", " MO_CONF_PATH " and the real "
                  "sendmail into it",
                  "%s: %s is not the wrapper", what, path);
    if ((size_t)snprintf(path, sizeof path, "%s%s", pool->chroot,
                         MO_SOCKET_PATH) < sizeof path &&
        access(path, F_OK) == 0)
        check_say(k, CHECK_OK, "chroot", NULL,
                  "%s: the recorder's socket is in its chroot %s", what,
                  pool->chroot);
    else
        check_say(k, CHECK_WARN, "chroot",
                  "mount --bind " MO_RUNDIR " CHROOT" MO_RUNDIR,
                  "%s: the recorder's socket is not in its chroot %s", what,
                  pool->chroot);
}

static void read_pools(struct check *k, const char *path, const char *version,
                       const struct php *base)
{
    struct pool pool = {.php = *base};
    char line[8192];
    FILE *f = fopen(path, "re");

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        char *s = trim(line), *eq = strchr(s, '='), *key, *value;

        if (*s == '[') {
            say_pool(k, &pool, version);
            pool.php = *base;
            pool.set = 0;
            pool.chroot[0] = '\0';
            snprintf(pool.name, sizeof pool.name, "%.*s",
                     (int)strcspn(s + 1, "]"), s + 1);
            continue;
        }
        if (*s == ';' || *s == '#' || eq == NULL)
            continue;
        *eq = '\0';
        key = trim(s);
        value = trim(eq + 1);
        if (strcmp(key, "chroot") == 0)
            snprintf(pool.chroot, sizeof pool.chroot, "%s", value);
        else if (strncmp(key, "php_admin_value[", 16) == 0 ||
                 strncmp(key, "php_value[", 10) == 0) {
            int rank = key[4] == 'a' ? 2 : 1;

            key = strchr(key, '[') + 1;
            key[strcspn(key, "]")] = '\0';
            if (strcmp(key, "disable_functions") == 0)
                disable_more(&pool.php, value);
            else if (strcmp(key, "sendmail_path") == 0 && rank > pool.set) {
                set(&pool.php, key, value);
                pool.set = rank;
            }
        }
    }
    if (f != NULL)
        fclose(f);
    say_pool(k, &pool, version);
}

/* ---- running masters: what systemd has put around them */

static int status_is_set(long pid, const char *key)
{
    char path[64], line[512];
    int r = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/status", pid);
    f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0)
            r = atoi(line + strlen(key)) != 0;
    }
    if (f != NULL)
        fclose(f);
    return r;
}

void check_cage(struct check *k, const char *what, long pid)
{
    char path[PATH_MAX];

    if (status_is_set(pid, "NoNewPrivs:"))
        check_say(k, CHECK_BROKEN, "cage", "NoNewPrivileges=no in its unit",
                  "%s (pid %ld) runs with NoNewPrivileges: Postfix's postdrop "
                  "cannot work below it",
                  what, pid);
    snprintf(path, sizeof path, "/proc/%ld/root%s", pid, MO_SOCKET_PATH);
    if (access(path, F_OK) != 0 && access(MO_SOCKET_PATH, F_OK) == 0)
        check_say(k, CHECK_BROKEN, "cage",
                  "BindPaths=" MO_RUNDIR " in its unit",
                  "%s (pid %ld) does not see %s", what, pid, MO_SOCKET_PATH);
}

static void check_masters(struct check *k)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        char path[PATH_MAX], title[256] = "";
        FILE *f;
        size_t n;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
        f = fopen(path, "re");
        if (f == NULL)
            continue;
        n = fread(title, 1, sizeof title - 1, f);
        fclose(f);
        if (n == 0 || strncmp(title, "php-fpm: master", 15) != 0)
            continue;
        check_cage(k, "php-fpm", atol(e->d_name));
    }
    if (d != NULL)
        closedir(d);
}

void check_php(struct check *k)
{
    glob_t g, ini;
    int n = 0;

    if (glob("/etc/php/*/*", GLOB_ONLYDIR, NULL, &g) == 0) {
        for (size_t i = 0; i < g.gl_pathc; i++) {
            const char *dir = g.gl_pathv[i];
            char path[PATH_MAX], what[512], version[64] = "";
            const char *sapi = strrchr(dir, '/') + 1;
            int cgi;
            struct php p = {.sendmail_path = "/usr/sbin/sendmail -t -i"};

            snprintf(path, sizeof path, "%s/php.ini", dir);
            if (access(path, F_OK) != 0)
                continue;
            n++;
            snprintf(version, sizeof version, "%.*s",
                     (int)(sapi - 1 - (dir + 9)), dir + 9);
            snprintf(what, sizeof what, "PHP %s %s", version, sapi);
            cgi = strcmp(sapi, "fpm") == 0 || strcmp(sapi, "cgi") == 0;
            read_ini(k, &p, path, cgi ? what : NULL);
            snprintf(path, sizeof path, "%s/conf.d/*.ini", dir);
            if (glob(path, 0, NULL, &ini) == 0) {
                for (size_t j = 0; j < ini.gl_pathc; j++)
                    read_ini(k, &p, ini.gl_pathv[j], cgi ? what : NULL);
                globfree(&ini);
            }
            if (strcmp(sapi, "apache2") == 0 && k->httpds > 0 &&
                k->httpds_php >= k->httpds && !has_name(p.disabled, "mail")) {
                check_say(k, CHECK_OK, "php", NULL,
                          "%s takes httpd's own configuration, not its ini "
                          "files (%s)",
                          what, p.sendmail_path);
                continue;
            }
            if (strcmp(sapi, "fpm") != 0) {
                say_php(k, what, &p, wrap_it);
                continue;
            }
            snprintf(path, sizeof path, "%s/pool.d/*.conf", dir);
            if (glob(path, 0, NULL, &ini) == 0) {
                for (size_t j = 0; j < ini.gl_pathc; j++)
                    read_pools(k, ini.gl_pathv[j], version, &p);
                globfree(&ini);
            }
        }
        globfree(&g);
    }
    if (n == 0)
        check_say(k, CHECK_OK, "php", NULL, "no PHP below /etc/php");
    check_masters(k);
}
