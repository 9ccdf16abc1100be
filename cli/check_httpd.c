/*
 * check: the module, for which vhosts it is on, whether their access_logs lead
 * to the line exactly or by time, and what they tell PHP.
 */
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "mo_layout.h"
#include "mo_paths.h"
#include "wrap.h"

static int has_id(const char *format)
{
    return format != NULL && (strstr(format, "{MAILORIGIN_ID}e") != NULL ||
                              strstr(format, "{UNIQUE_ID}e") != NULL);
}

static void check_logs(struct check *k, const struct mo_layout *l,
                       const struct mo_layout_vhost *v)
{
    size_t exact = 0, bytime = 0, pipes = 0;

    for (size_t i = 0; i < v->nlogs + l->nglobal; i++) {
        const struct mo_layout_log *g =
            i < v->nlogs ? &v->logs[i] : &l->global[i - v->nlogs];

        if (g->file == NULL)
            pipes++;
        else if (has_id(g->format))
            exact++;
        else
            bytime++;
    }
    if (exact > 0)
        check_say(k, CHECK_OK, "access_log", NULL,
                  "%s: lines carry the request's id", v->name);
    else if (bytime > 0)
        check_say(k, CHECK_OK, "access_log", NULL,
                  "%s: lines are found by time, client and request line "
                  "(%%{MAILORIGIN_ID}e in LogFormat makes it exact)",
                  v->name);
    else if (pipes > 0)
        check_say(k, CHECK_WARN, "access_log",
                  "name the files with access-log in " MO_CONF_PATH,
                  "%s: logs only to a pipe, whose files are not known",
                  v->name);
    else
        check_say(k, CHECK_WARN, "access_log", "add a CustomLog",
                  "%s: has no access_log: no line can be found", v->name);
}

static void check_layout(struct check *k, const char *path)
{
    char err[512];
    struct mo_layout *l = mo_layout_read(path, err, sizeof err);
    size_t on = 0;
    int php = 0;

    if (l == NULL) {
        check_say(k, CHECK_BROKEN, "layout", "systemctl reload apache2", "%s",
                  err);
        return;
    }
    if (l->pid <= 0 || (kill((pid_t)l->pid, 0) != 0 && errno == ESRCH)) {
        check_say(k, CHECK_WARN, "httpd", "rm the file",
                  "%s is of an httpd that is gone", path);
        mo_layout_free(l);
        return;
    }
    check_cage(k, "httpd", l->pid);
    k->httpds++;
    for (size_t i = 0; i < l->nvhosts; i++)
        on += l->vhosts[i].mailorigin != 0;
    if (on == 0)
        check_say(k, CHECK_BROKEN, "httpd", "MailOrigin On in its conf",
                  "pid %ld has the module, but MailOrigin is Off everywhere",
                  l->pid);
    else
        check_say(k, CHECK_OK, "httpd", NULL,
                  "pid %ld (%s): MailOrigin is On in %zu of %zu vhosts", l->pid,
                  l->mpm != NULL ? l->mpm : "?", on, l->nvhosts);
    for (size_t i = 0; i < l->nvhosts; i++) {
        const struct mo_layout_vhost *v = &l->vhosts[i];

        if (v->mailorigin)
            check_logs(k, l, v);
        else if (on > 0)
            check_say(k, CHECK_WARN, "vhost",
                      "MailOrigin On there, unless it is meant",
                      "%s: MailOrigin is Off", v->name);
        for (size_t j = 0; j < v->nphp; j++)
            php |= check_php_httpd(k, v, &v->php[j]);
    }
    k->httpds_php += php;
    mo_layout_free(l);
}

/* suexec keeps a list of variables' names in itself */
static void check_suexec(struct check *k)
{
    static const char path[] = "/usr/lib/apache2/suexec";
    size_t len;
    char *text = wrap_read_bytes(path, &len);

    if (text == NULL)
        return;
    if (memmem(text, len, "SSL_", 4) != NULL)
        check_say(k, CHECK_OK, "suexec", NULL,
                  "%s lets SSL_MAILORIGIN_TOKEN through", path);
    else
        check_say(k, CHECK_WARN, "suexec",
                  "use httpd's own suexec, which lets SSL_ names through",
                  "%s lets no token through: a script's background jobs have "
                  "no origin",
                  path);
    free(text);
}

void check_httpd(struct check *k)
{
    DIR *d = opendir(MO_LAYOUT_DIR);
    const struct dirent *e;
    int n = 0;

    while (d != NULL && (e = readdir(d)) != NULL) {
        char path[PATH_MAX];
        size_t len = strlen(e->d_name);

        if (len < 6 || strcmp(e->d_name + len - 5, ".json") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", MO_LAYOUT_DIR, e->d_name);
        check_layout(k, path);
        n++;
    }
    if (d != NULL)
        closedir(d);
    if (n == 0)
        check_say(k, CHECK_BROKEN, "httpd",
                  "a2enmod mailorigin && systemctl restart apache2",
                  "no httpd with mod_mailorigin is running (%s is empty)",
                  MO_LAYOUT_DIR);
    check_suexec(k);
}
