/*
 * The variables: in r->subprocess_env for programs that httpd starts, and in
 * the process environment for what an interpreter inside of httpd (mod_php,
 * mod_perl, mod_lua) starts, which never sees the table.
 *
 * The process has one environment, so that is for MPMs without threads only.
 * No setenv(): glibc leaks the old value, 467 bytes a request.  Memory that is
 * got once a child is put in once (putenv) and rewritten in place; an empty
 * value means that there is none.  It is malloc'd, not static, since exit
 * handlers may read the environment when this module is unloaded already.
 */
#include "mod_mailorigin.h"

#include "ap_mpm.h"
#include "apr_lib.h"

#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *name;
    apr_size_t room; /* for "NAME=value" and its NUL; longer ones are cut */
} vars[MO_VARS] = {
    [MO_VAR_ID] = {"MAILORIGIN_ID", 128},
    [MO_VAR_URI] = {"MAILORIGIN_URI", 8320},
    [MO_VAR_VHOST] = {"MAILORIGIN_VHOST", 512},
    [MO_VAR_SCRIPT] = {"MAILORIGIN_SCRIPT", 4224},
    [MO_VAR_TOKEN] = {"MAILORIGIN_TOKEN", MO_SEAL_TEXT_MAX + 64},
    [MO_VAR_SSL_TOKEN] = {"SSL_MAILORIGIN_TOKEN", MO_SEAL_TEXT_MAX + 64},
};

const char *mo_env_name(enum mo_var v)
{
    return vars[v].name;
}

/* ---- r->subprocess_env */

/*
 * Would a program see it as one of ours?  httpd writes every character that
 * is no letter or digit as '_', so MAILORIGIN-TOKEN is another's name for
 * MAILORIGIN_TOKEN; and a table keeps the case of the first.
 */
static int is_ours(const char *key)
{
    static const char ours[] = "MAILORIGIN_", ssl[] = "SSL_MAILORIGIN_TOKEN";
    const char *want;
    apr_size_t i;

    if (*key == 'M' || *key == 'm')
        want = ours;
    else if (*key == 'S' || *key == 's')
        want = ssl;
    else
        return 0;
    for (i = 0; want[i]; i++) {
        char c = apr_isalnum(key[i]) ? (char)apr_toupper(key[i]) : '_';

        if (!key[i] || c != want[i])
            return 0;
    }
    return want == ours || !key[i];
}

void mo_env_table(request_rec *r, const struct mo_run *run)
{
    const apr_array_header_t *a = apr_table_elts(r->subprocess_env);
    const apr_table_entry_t *e = (const apr_table_entry_t *)a->elts;
    int i, v;

    for (i = a->nelts - 1; i >= 0; i--)
        if (is_ours(e[i].key)) {
            /* all of that name go, so that what follows has moved */
            apr_table_unset(r->subprocess_env, e[i].key);
            if (i > a->nelts)
                i = a->nelts;
        }
    for (v = 0; v < MO_VARS; v++)
        if (run->var[v])
            apr_table_addn(r->subprocess_env, vars[v].name, run->var[v]);
}

/* ---- the process environment */

static char *entry[MO_VARS]; /* "NAME=value"; NULL: threads, not ours to do */
static apr_size_t place[MO_VARS]; /* where it last stood in environ */
static apr_size_t namelen[MO_VARS]; /* with '=' */
static apr_size_t filled[MO_VARS]; /* length of the value in it */
static struct mo_run *top; /* whose variables are in it */

void mo_env_child_init(void)
{
    int threaded = AP_MPMQ_NOT_SUPPORTED, v;
    char *p;
    apr_size_t all = 0;

    if (ap_mpm_query(AP_MPMQ_IS_THREADED, &threaded) != APR_SUCCESS ||
        threaded != AP_MPMQ_NOT_SUPPORTED)
        return;
    for (v = 0; v < MO_VARS; v++)
        all += vars[v].room;
    p = malloc(all);
    if (!p)
        return;
    for (v = 0; v < MO_VARS; v++) {
        namelen[v] = strlen(vars[v].name) + 1;
        memcpy(p, vars[v].name, namelen[v] - 1);
        p[namelen[v] - 1] = '=';
        p[namelen[v]] = '\0';
        entry[v] = p;
        p += vars[v].room;
    }
}

/* How many places there are, as far as ours go. */
static apr_size_t places(void)
{
    apr_size_t last = 0, n;
    int v;

    for (v = 0; v < MO_VARS; v++)
        if (place[v] > last)
            last = place[v];
    for (n = 0; environ && n <= last && environ[n]; n++)
        ;
    return n;
}

/* A script's putenv() or an interpreter's copy may have displaced it. */
static void keep_place(int v, apr_size_t n)
{
    apr_size_t i;

    if (place[v] < n && environ[place[v]] == entry[v])
        return;
    putenv(entry[v]);
    for (i = 0; environ && environ[i]; i++)
        if (environ[i] == entry[v])
            place[v] = i;
}

static void show(const struct mo_run *run)
{
    apr_size_t n = places();
    int v;

    for (v = 0; v < MO_VARS; v++) {
        const char *value = run && run->var[v] ? run->var[v] : "";
        apr_size_t len = strlen(value);
        char *dst = entry[v] + namelen[v];

        if (len > vars[v].room - namelen[v] - 1)
            len = vars[v].room - namelen[v] - 1;
        memcpy(dst, value, len);
        /* no byte of a longer value before stays */
        if (filled[v] > len)
            memset(dst + len, 0, filled[v] - len);
        dst[len] = '\0';
        filled[v] = len;
        keep_place(v, n);
    }
}

void mo_env_enter(struct mo_run *run)
{
    if (!entry[0])
        return;
    /* A pipelined request begins before the pool of the one before it is
     * gone; that one has no claim any more. */
    if (top && top->request != run->request) {
        for (; top; top = top->env_below)
            top->in_env = 0;
    }
    run->env_below = top;
    run->in_env = 1;
    top = run;
    show(run);
}

void mo_env_leave(struct mo_run *run)
{
    struct mo_run **link;

    if (!run->in_env)
        return;
    run->in_env = 0;
    if (top == run) {
        top = run->env_below;
        show(top);
        return;
    }
    for (link = &top; *link; link = &(*link)->env_below)
        if (*link == run) {
            *link = run->env_below;
            return;
        }
}
