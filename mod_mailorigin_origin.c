/*
 * From a request_rec to an origin: which requests can run a program at all,
 * and what the others are called.
 *
 * The origin is the request as access_log shows it: method, URI and time are
 * the first request_rec's, vhost as %v, client as %a (mod_remoteip's, where
 * it is loaded), the hash is of the line as %r writes it.  The script is the
 * one of the request that runs.
 */
#include "mod_mailorigin.h"

#include "util_filter.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "apr_uri.h"

#include <limits.h>
#include <sodium.h>
#include <unistd.h>

/* ---- dynamic? */

/* functions of the output filters that run programs */
#define FILTERS 3
static ap_out_filter_func program_filter[FILTERS];
static int nprogram_filters;

static void add_program_filter(const char *name)
{
    const ap_filter_rec_t *rec = ap_get_output_filter_handle(name);
    int i;

    if (!rec || nprogram_filters == FILTERS)
        return;
    for (i = 0; i < nprogram_filters; i++)
        if (program_filter[i] == rec->filter_func.out_func)
            return;
    program_filter[nprogram_filters++] = rec->filter_func.out_func;
}

/* All filters of mod_ext_filter have one function: that of the first. */
static void find_ext_filter(const ap_directive_t *d, apr_pool_t *p)
{
    for (; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, "ExtFilterDefine")) {
            const char *args = d->args;

            add_program_filter(ap_getword_conf(p, &args));
        }
        find_ext_filter(d->first_child, p);
    }
}

void mo_origin_post_config(apr_pool_t *p)
{
    nprogram_filters = 0;
    add_program_filter("INCLUDES");
    add_program_filter("MODPERL_REQUEST_OUTPUT");
    find_ext_filter(ap_conftree, p);
}

static int runs_programs(const ap_filter_rec_t *rec)
{
    int i;

    for (i = 0; i < nprogram_filters; i++)
        if (rec->filter_func.out_func == program_filter[i])
            return 1;
    /* mod_filter decides later: AddOutputFilterByType names its filter; of
     * any other chain nobody knows. */
    if (rec->providers) {
        if (ap_cstr_casecmpn(rec->name, "BYTYPE:", 7) != 0)
            return 1;
        rec = ap_get_output_filter_handle(rec->name + 7);
        for (i = 0; rec && i < nprogram_filters; i++)
            if (rec->filter_func.out_func == program_filter[i])
                return 1;
    }
    return 0;
}

int mo_plain_handler(const request_rec *r)
{
    const char *h = r->handler, *type = r->content_type;
    apr_size_t len;

    if (!h)
        return 1;
    /* a magic type (AddType application/x-httpd-php .php) runs a program */
    if (!strncmp(h, "application/x-httpd-", 20))
        return 0;
    /* httpd puts the content type here where nothing else is set */
    if (type) {
        if (h == type)
            return 1;
        len = strlen(h);
        if (!strncmp(h, type, len) &&
            (!type[len] || type[len] == ';' || apr_isspace(type[len])))
            return 1;
    }
    return !strcmp(h, AP_DEFAULT_HANDLER_NAME) ||
           !strcmp(h, "redirect-handler") || !strcmp(h, DIR_MAGIC_TYPE);
}

/* Does one of its output filters? */
static int is_filtered(const request_rec *r)
{
    const ap_filter_t *f;

    for (f = r->output_filters; f && f != r->proto_output_filters; f = f->next)
        if (runs_programs(f->frec))
            return 1;
    return 0;
}

int mo_is_dynamic(const request_rec *r)
{
    return !mo_plain_handler(r) || is_filtered(r);
}

/* ---- the origin */

/* an id of our own: the second, big-endian, then random */
static const char *new_id(apr_pool_t *p, apr_time_t when)
{
    unsigned char raw[12];
    apr_uint32_t sec = (apr_uint32_t)apr_time_sec(when);
    char *id = apr_palloc(p, 17);

    raw[0] = (unsigned char)(sec >> 24);
    raw[1] = (unsigned char)(sec >> 16);
    raw[2] = (unsigned char)(sec >> 8);
    raw[3] = (unsigned char)sec;
    randombytes_buf(raw + 4, sizeof(raw) - 4);
    mo_base64url(raw, sizeof(raw), id, 17);
    return id;
}

/* Too long a string loses its middle, as in mo_origin_encode. */
static void put(char *dst, apr_size_t size, const char *src, apr_size_t len,
                int *cut)
{
    if (len >= size) {
        apr_size_t head = (size - 4) / 2, tail = size - 4 - head;

        memcpy(dst, src, head);
        memcpy(dst + head, "...", 3);
        memcpy(dst + head + 3, src + len - tail, tail);
        dst[size - 1] = '\0';
        *cut = 1;
        return;
    }
    memcpy(dst, src, len);
    dst[len] = '\0';
}
#define PUT(o, member, src, len)                                               \
    put((o)->member, sizeof((o)->member), (src), (len), &(o)->cut)
#define PUTS(o, member, src)                                                   \
    do {                                                                       \
        const char *s_ = (src);                                                \
        if (s_)                                                                \
            PUT(o, member, s_, strlen(s_));                                    \
        else                                                                   \
            (o)->member[0] = '\0';                                             \
    } while (0)

/* The request line as access_log's %r writes it. */
static const char *logged_line(request_rec *first)
{
    const char *line = first->the_request;

    if (!line)
        return NULL;
    if (first->parsed_uri.password)
        line = apr_pstrcat(first->pool, first->method, " ",
                           apr_uri_unparse(first->pool, &first->parsed_uri, 0),
                           first->assbackwards ? NULL : " ", first->protocol,
                           NULL);
    return ap_escape_logitem(first->pool, line);
}

/*
 * The method that the client sent: while an ErrorDocument's page is made, httpd
 * has GET in its place.
 */
static const char *logged_method(const request_rec *first)
{
    const char *line = first->the_request, *end;

    if (!line || (end = ap_scan_http_token(line)) == line || *end != ' ')
        return first->method;
    return apr_pstrmemdup(first->pool, line, (apr_size_t)(end - line));
}

/*
 * mod_proxy puts a URL where a script's path stands elsewhere: of FastCGI's
 * and its kin's the path is the script; of others no more than the URL
 * without its query, which may hold secrets.
 */
static const char *script_of(const request_rec *r, apr_size_t *len)
{
    const char *name = r->filename, *scheme, *path;

    if (!name) {
        *len = 0;
        return "";
    }
    *len = strlen(name);
    if (strncmp(name, "proxy:", 6) != 0)
        return name;
    scheme = name + 6;
    if (!strncmp(scheme, "unix:", 5) && (path = strchr(scheme, '|')))
        scheme = path + 1;
    if (!strncmp(scheme, "fcgi://", 7) || !strncmp(scheme, "scgi://", 7) ||
        !strncmp(scheme, "uwsgi://", 8)) {
        path = strchr(strstr(scheme, "://") + 3, '/');
        if (path)
            name = path;
    }
    path = strchr(name, '?');
    *len = path ? (apr_size_t)(path - name) : strlen(name);
    return name;
}

/* Is it all mod_proxy's, which starts no program, and so none by suexec? */
static int is_proxied(const request_rec *r)
{
    return r->handler &&
           (!strcmp(r->handler, "proxy-server") ||
            !strncmp(r->handler, "proxy:", 6)) &&
           !is_filtered(r);
}

/* For simple wrappers, which may write it into a header as it is. */
static const char *printable(apr_pool_t *p, const char *s, apr_size_t len)
{
    char *copy = apr_pstrmemdup(p, s, len), *c;

    for (c = copy; *c; c++)
        if (apr_iscntrl(*c))
            *c = '?';
    return copy;
}

void mo_origin_make(request_rec *r, const struct mo_dir *dir,
                    struct mo_run *run)
{
    const struct mo_keyring *keys = mo_the_keys();
    request_rec *first = mo_first(r);
    struct mo_origin o;
    unsigned char buf[MO_ORIGIN_MAX];
    char seal[MO_SEAL_TEXT_MAX];
    const char *uri = first->unparsed_uri ? first->unparsed_uri : "";
    const char *query = strchr(uri, '?'), *script, *line;
    apr_size_t urilen = query ? (apr_size_t)(query - uri) : strlen(uri);
    apr_size_t scriptlen, seallen;

    if (!run->request->id)
        run->request->id = new_id(first->pool, first->request_time);
    script = script_of(r, &scriptlen);
    o.time_us = (uint64_t)first->request_time;
    o.when_us = 0;
    o.record = dir->record;
    o.pid = (int32_t)getpid();
    o.uid = -1;
    o.verdict = 0;
    o.cut = 0;
    o.has_hash = 0;
    o.mail[0] = o.host[0] = '\0';
    PUTS(&o, id, run->request->id);
    PUTS(&o, client, r->useragent_ip);
    PUTS(&o, vhost, first->server->server_hostname);
    PUTS(&o, method, logged_method(first));
    PUTS(&o, user, r->user ? r->user : first->user);
    PUTS(&o, handler, r->handler);
    PUT(&o, uri, uri, urilen);
    PUT(&o, script, script, scriptlen);
    o.query[0] = '\0';
    if (query && (dir->record & MO_RECORD_QUERY))
        PUTS(&o, query, query + 1);
    if (keys->n && (line = logged_line(first))) {
        o.has_hash = 1;
        memcpy(o.keyid, keys->key[0].id, MO_KEYID_LEN);
        mo_request_hash(&keys->key[0], line, strlen(line), o.hash);
    }

    run->origin_len = mo_origin_encode(&o, buf, sizeof(buf));
    run->origin = apr_pmemdup(r->pool, buf, run->origin_len);
    run->var[MO_VAR_ID] = run->request->id;
    run->var[MO_VAR_URI] = printable(r->pool, uri, urilen);
    run->var[MO_VAR_VHOST] = first->server->server_hostname;
    run->var[MO_VAR_SCRIPT] = printable(r->pool, script, scriptlen);
    seallen =
        mo_seal(keys, MO_SEAL_TOKEN, buf, run->origin_len, seal, sizeof(seal));
    if (seallen) {
        run->var[MO_VAR_TOKEN] = apr_pstrmemdup(r->pool, seal, seallen);
        if (!is_proxied(r))
            run->var[MO_VAR_SSL_TOKEN] = run->var[MO_VAR_TOKEN];
    }
}
