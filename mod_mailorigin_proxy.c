/*
 * Which FastCGI connection serves a request, and the forwarded token.
 *
 * mod_proxy does not say which of its connections serves a request.  So this
 * runs around mod_proxy_fcgi's scheme handler: it takes a connection from the
 * worker's pool by mod_proxy's public functions, and runs the real handler on
 * a copy of the worker whose pool holds just that one; what comes back goes
 * to the real pool.
 *
 * The handler connects where it must, sends FCGI_BEGIN_REQUEST, then puts the
 * variables together, for which it asks for the request's scheme, then sends
 * them as FCGI_PARAMS.  That question is a hook: there is a connection now,
 * and no script can have begun on it, and what the kernel calls it goes onto
 * the board.  On a kept connection the last request's script may still run:
 * PHP's fastcgi_finish_request() answers before its end.  There this waits
 * until the backend has read the begin: it is then done with the last
 * request, and has not begun this one.
 *
 * Over TCP this connects before the handler does, since looking up a backend
 * by its name and connecting to it can change the worker itself.  So it does
 * over unix sockets, too, once the hook was found not to be run.
 *
 * The functions are looked up in the running httpd, so that we need no
 * mod_proxy to be loaded.  Its structures grow at their ends within one MMN
 * major; copies are zero-extended.  Where mod_proxy is older than what this
 * was tried with, or its sizes don't fit, this stays out of the way and says
 * so once; the recorder then has candidates instead of one request.
 */
#include "mod_mailorigin.h"

#include <dlfcn.h>
#include <stddef.h>

#include "apr_strings.h"
#include "ap_mmn.h"
#include "http_protocol.h"
#include "util_filter.h"

#include "mod_proxy.h"

/* the MMN minor of httpd 2.4.62, the oldest that this was tried with */
#define PROXY_MINOR_MIN 134
#define PROXY_WORKER_SIZE_MAX 4096
#define FORWARD_HEADER "MailOrigin-Token"
/* How long a kept connection's backend may take to read a request's begin:
 * a tenth of the connection's timeout, but no more than this.  Nothing is
 * lost by waiting: until then no more than that would happen. */
#define TAKE_MAX apr_time_from_sec(3)

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 134)

/* as mod_proxy_fcgi calls itself in the log */
#define SCHEME "FCGI"

/* Members after these, if any, are left zero in our copies. */
#define WORKER_SIZE_MIN                                                        \
    ((int)(offsetof(proxy_worker, address) +                                   \
           sizeof(((proxy_worker *)0)->address)))
#define POOL_SIZE                                                              \
    (offsetof(proxy_conn_pool, dns_pool) +                                     \
     sizeof(((proxy_conn_pool *)0)->dns_pool))
#define POOL_ROOM 256

static struct {
    void (*hook_scheme_handler)(proxy_HOOK_scheme_handler_t *,
                                const char *const *, const char *const *, int);
    int (*run_scheme_handler)(request_rec *, proxy_worker *,
                              proxy_server_conf *, char *, const char *,
                              apr_port_t);
    int (*acquire)(const char *, proxy_conn_rec **, proxy_worker *,
                   server_rec *);
    int (*release)(const char *, proxy_conn_rec *, server_rec *);
    int (*determine)(apr_pool_t *, request_rec *, proxy_server_conf *,
                     proxy_worker *, proxy_conn_rec *, apr_uri_t *, char **,
                     const char *, apr_port_t, char *, int);
    apr_status_t (*check)(const char *, proxy_conn_rec *, server_rec *,
                          unsigned, int);
    int (*connect)(const char *, proxy_conn_rec *, proxy_worker *,
                   server_rec *);
} proxy;

static int fcgi_index; /* of mod_proxy_fcgi among the modules */
static int worker_size; /* in the running mod_proxy; 0: we stay out */
static int unasked; /* a request went by without the hook; atomic */
static ap_filter_rec_t *reading_filter;
static const char *why_not; /* NULL: nothing to say */

#define LINK_KEY "mod_mailorigin link"

/*
 * What this thread runs the real handler for.  An included page can be a
 * FastCGI request within another's: then there are two.
 */
struct around {
    struct around *outer;
    const proxy_worker *copy; /* the mark of our own call */
    const request_rec *r;
    const struct mo_request *request;
    proxy_conn_rec *c;
    struct mo_link *link; /* c's, once it has a socket */
    struct mo_conn conn; /* what the board has of it */
    uint64_t before; /* CLOCK_BOOTTIME ns before c's socket was made, if it is
                        new */
    int tcp; /* not a unix socket */
    int reading; /* the request's body is being read, by its filters */
    int begun; /* the begin of the request was sent */
};
static __thread struct around *inmost;

/* What is known of c's socket, and goes with it; NULL: nothing yet. */
static struct mo_link *link_of(proxy_conn_rec *c)
{
    void *link = NULL;

    apr_pool_userdata_get(&link, LINK_KEY, c->scpool);
    return link;
}

/* made: CLOCK_BOOTTIME ns before the socket was; 0: not known */
static struct mo_link *link_make(proxy_conn_rec *c, int tcp, uint64_t made)
{
    struct mo_link *link = mo_link_make(c->scpool, c->sock, tcp, made);

    apr_pool_userdata_setn(link, LINK_KEY, NULL, c->scpool);
    return link;
}

static void show(const struct around *this, const struct mo_conn *conn)
{
    mo_board_conn(mo_the_board(), &this->request->use, conn);
}

/* The socket is there, and nothing by which this one's script could begin was
 * sent on it. */
static void show_link(struct around *this)
{
    struct mo_link *link = link_of(this->c);
    int kept = link != NULL;

    if (!kept) {
        link = link_make(this->c, this->tcp, this->before);
    }
    this->link = link;
    this->conn = link->conn;
    this->conn.use = kept ? MO_CONN_WAITS : MO_CONN_FRESH;
    this->conn.since = mo_boottime();
    mo_link_listener(link, this->conn.since);
    show(this, &this->conn);
}

/*
 * Around all the filters of the request's body.  mod_proxy_fcgi reads of that
 * before it connects, and a filter may ask for the request's scheme as well
 * (mod_ext_filter's programs get its variables).
 */
static apr_status_t read_body(ap_filter_t *f, apr_bucket_brigade *bb,
                              ap_input_mode_t mode, apr_read_type_e block,
                              apr_off_t bytes)
{
    struct around *this = f->ctx;
    apr_status_t rv;

    this->reading++;
    rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    this->reading--;
    return rv;
}

/*
 * Between FCGI_BEGIN_REQUEST and FCGI_PARAMS of mod_proxy_fcgi's: see above.
 * Who else asks for a request's scheme is one of its body's filters, or does so
 * outside of its handler, or of another request.
 */
static const char *begun(const request_rec *r)
{
    struct around *this = inmost;
    apr_interval_time_t patience;
    int taken;

    if (!this || this->r != r || this->begun || this->reading ||
        !this->c->sock) {
        return NULL;
    }
    this->begun = 1;
    /* over TCP, too, the handler may have found it closed, and made another */
    if (!this->link || this->link != link_of(this->c)) {
        show_link(this);
    }
    if (this->conn.use != MO_CONN_WAITS || this->conn.kind == MO_CONN_UNKNOWN) {
        return NULL;
    }
    if (apr_socket_timeout_get(this->c->sock, &patience) || patience < 0 ||
        patience / 10 > TAKE_MAX) {
        patience = TAKE_MAX;
    }
    else {
        patience /= 10;
    }
    taken =
        mo_link_wait_read(this->link, r->connection->current_thread, patience);
    this->conn.use = taken == 1 ? MO_CONN_TAKEN : MO_CONN_BUSY;
    this->conn.since = mo_boottime();
    this->conn.last_pid = mo_board_last_pid();
    show(this, &this->conn);
    return NULL;
}

/* mod_proxy serves the request by itself, on a connection of its own. */
static int leave_it(const struct mo_request *request)
{
    struct mo_conn conn = {.kind = MO_CONN_UNKNOWN};

    if (request && request->use.serial) {
        mo_board_conn(mo_the_board(), &request->use, &conn);
    }
    return DECLINED;
}

/*
 * The worker for the real handler: its pool holds c and nothing else.  What
 * the handler counts (busy, transferred …) is in w->s, which both share.
 */
static proxy_worker *copy_worker(apr_pool_t *p, proxy_worker *w,
                                 proxy_conn_rec *c)
{
    proxy_worker *copy = apr_pcalloc(p, sizeof *w + worker_size);

    memcpy(copy, w, worker_size);
    copy->cp = apr_pcalloc(p, sizeof *copy->cp + POOL_ROOM);
    memcpy(copy->cp, w->cp, POOL_SIZE);
    copy->cp->res = NULL;
    copy->cp->conn = c;
    /* c holds a reference to this one, and so it lives as long as the copy,
     * also when another thread replaces w's */
    copy->address = c->address;
    return copy;
}

/*
 * Must mod_proxy be left to itself?  A worker's address that expires is
 * counted in the worker: the copy would count in w's place.
 */
static int expires(const proxy_worker *w)
{
    return w->s->is_address_reusable && w->s->address_ttl > 0;
}

static int reuse_wanted(const proxy_worker *w)
{
    return w->s->disablereuse_set && !w->s->disablereuse;
}

/*
 * As mod_proxy_fcgi does it.  OK with a live c->sock; else the status that it
 * would give.
 */
static int connect_first(request_rec *r, proxy_worker *w,
                         proxy_server_conf *conf, proxy_conn_rec *c,
                         const char *url, const char *proxyname,
                         apr_port_t proxyport)
{
    char portstr[32];
    apr_uri_t uri;
    /* it is cut to a path, which the handler must do itself */
    char *copy = apr_pstrdup(r->pool, url);
    int status;

    c->is_ssl = 0;
    status = proxy.determine(r->pool, r, conf, w, c, &uri, &copy, proxyname,
                             proxyport, portstr, sizeof portstr);
    if (status != OK) {
        return status;
    }
    if (!proxy.check(SCHEME, c, r->server, 0, PROXY_CHECK_CONN_EMPTY)) {
        return OK;
    }
    if (proxy.connect(SCHEME, c, w, r->server)) {
        /* in its name: admins look for this line */
        c->close = !reuse_wanted(w);
        ap_log_rerror_(__FILE__, __LINE__, fcgi_index, APLOG_ERR, 0, r,
                       "AH01079: failed to make connection to backend: %s",
                       c->hostname);
        return HTTP_SERVICE_UNAVAILABLE;
    }
    return OK;
}

/* The real handler, on the copy of its worker. */
static int run_within(request_rec *r, struct around *this, proxy_worker *copy,
                      proxy_server_conf *conf, char *url, const char *proxyname,
                      apr_port_t proxyport)
{
    ap_filter_t *f = NULL;
    int status;

    /* not where there are none: the handler looks at that */
    if (r->input_filters != r->proto_input_filters) {
        f = ap_add_input_filter_handle(reading_filter, this, r, r->connection);
    }
    inmost = this;
    status = proxy.run_scheme_handler(r, copy, conf, url, proxyname, proxyport);
    inmost = this->outer;
    if (f) {
        ap_remove_input_filter(f);
    }
    if (status == OK && !this->begun &&
        !__atomic_exchange_n(&unasked, 1, __ATOMIC_RELAXED)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "mod_proxy_fcgi did not ask us for a request's scheme, "
                      "which another module may answer before: mail of this "
                      "request is recorded as hidden, and so is, from now on, "
                      "mail on connections that are kept (enablereuse=on)");
    }
    return status;
}

static int run_around(request_rec *r, proxy_worker *w, proxy_server_conf *conf,
                      char *url, const char *proxyname, apr_port_t proxyport)
{
    struct mo_request *request;
    struct around this = {.r = r};
    proxy_conn_rec *c = NULL;
    proxy_worker *copy;
    int status, tcp, first;

    if (inmost && inmost->copy == w) {
        return DECLINED;
    }
    request = mo_request_of(r);
    if (!worker_size || ap_cstr_casecmpn(url, "fcgi:", 5) || !w->cp || !w->s ||
        !conf->workers || conf->workers->elt_size != worker_size) {
        return leave_it(request);
    }
    tcp = !*w->s->uds_path && !apr_table_get(r->notes, "uds_path");
    if (tcp && expires(w)) {
        return leave_it(request);
    }
    if (!request || !request->use.serial) {
        return DECLINED;
    }
    status = proxy.acquire(SCHEME, &c, w, r->server);
    if (status != OK) {
        if (c) {
            c->close = 1;
            proxy.release(SCHEME, c, r->server);
        }
        return status;
    }
    /* a socket that somebody else made, so that nobody knows when */
    if (c->sock && !link_of(c)) {
        link_make(c, tcp, 0);
    }
    this.before = mo_boottime();
    first = tcp || __atomic_load_n(&unasked, __ATOMIC_RELAXED);
    if (first) {
        status = connect_first(r, w, conf, c, url, proxyname, proxyport);
        if (status != OK) {
            proxy.release(SCHEME, c, r->server);
            return status;
        }
    }

    copy = copy_worker(r->pool, w, c);
    this.outer = inmost;
    this.copy = copy;
    this.c = c;
    this.request = request;
    this.tcp = tcp;
    if (first) {
        show_link(&this);
    }
    status = run_within(r, &this, copy, conf, url, proxyname, proxyport);
    /* before another request can get the connection */
    show(&this, this.outer && this.outer->request == request ? &this.outer->conn
                                                             : NULL);

    /* Releasing may have built it anew; NULL: a handler kept it. */
    c = copy->cp->conn;
    if (c) {
        c->worker = w;
        /* not only if the handler came as far as to say so; but before it
         * runs, this would close what we connected (httpd 2.4.71) */
        if (first && !reuse_wanted(w)) {
            c->close = 1;
        }
        proxy.release(SCHEME, c, r->server);
    }
    return status;
}

/* Fills proxy; NULL, or the name of what is missing. */
static const char *look_up(void)
{
#define LOOK_UP(member, name)                                                  \
    *(void **)&proxy.member = dlsym(RTLD_DEFAULT, name);                       \
    if (!proxy.member) {                                                       \
        return name;                                                           \
    }
    LOOK_UP(hook_scheme_handler, "proxy_hook_scheme_handler")
    LOOK_UP(run_scheme_handler, "proxy_run_scheme_handler")
    LOOK_UP(acquire, "ap_proxy_acquire_connection")
    LOOK_UP(release, "ap_proxy_release_connection")
    LOOK_UP(determine, "ap_proxy_determine_connection")
    LOOK_UP(check, "ap_proxy_check_connection")
    LOOK_UP(connect, "ap_proxy_connect_backend")
#undef LOOK_UP
    return NULL;
}

static void fastcgi_pre_config(apr_pool_t *p)
{
    module *m = ap_find_linked_module("mod_proxy.c");
    module *fcgi = ap_find_linked_module("mod_proxy_fcgi.c");
    const char *missing;

    worker_size = 0;
    why_not = NULL;
    if (!m || !fcgi) {
        return;
    }
    fcgi_index = fcgi->module_index;
    if (m->version != MODULE_MAGIC_NUMBER_MAJOR ||
        m->minor_version < PROXY_MINOR_MIN) {
        why_not = apr_psprintf(p,
                               "mod_proxy has MMN %d:%d, and this needs %d:%d "
                               "(httpd 2.4.62) or a later minor",
                               m->version, m->minor_version,
                               MODULE_MAGIC_NUMBER_MAJOR, PROXY_MINOR_MIN);
        return;
    }
    missing = look_up();
    if (missing) {
        why_not = apr_pstrcat(p, "mod_proxy has no ", missing, "()", NULL);
        return;
    }
    proxy.hook_scheme_handler(run_around, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* before all that answer: the first answer is the last that is heard */
    ap_hook_http_scheme(begun, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
    reading_filter =
        ap_register_input_filter("MAILORIGIN_READING", read_body, NULL,
                                 (ap_filter_type)(AP_FTYPE_RESOURCE - 1));
}

static void fastcgi_post_config(apr_pool_t *p, server_rec *main)
{
    module *m = ap_find_linked_module("mod_proxy.c");
    proxy_server_conf *conf;
    int size;

    if (m && !why_not && proxy.acquire) {
        conf = ap_get_module_config(main->module_config, m);
        size = conf && conf->workers ? conf->workers->elt_size : 0;
        if (size >= WORKER_SIZE_MIN && size <= PROXY_WORKER_SIZE_MAX) {
            worker_size = size;
        }
        else {
            why_not =
                apr_psprintf(p,
                             "mod_proxy's proxy_worker has %d bytes, and "
                             "%d to %d are allowed",
                             size, WORKER_SIZE_MIN, PROXY_WORKER_SIZE_MAX);
        }
    }
}

int mo_proxy_follows(void)
{
    return worker_size != 0;
}

#else

static const char *why_not;

static void fastcgi_pre_config(apr_pool_t *p)
{
    (void)p;
    why_not = NULL;
    if (ap_find_linked_module("mod_proxy_fcgi.c")) {
        why_not = "this was built for an httpd before 2.4.62";
    }
}

static void fastcgi_post_config(apr_pool_t *p, server_rec *main)
{
    (void)p;
    (void)main;
}

int mo_proxy_follows(void)
{
    return 0;
}

#endif

/*
 * A client names in Connection what mod_proxy is to drop: our field is not
 * its own to drop.
 */
static void keep_header(request_rec *r)
{
    const char *list = apr_table_get(r->headers_in, "Connection");
    const char *all = NULL;
    char *word;

    if (!list || !ap_find_token(r->pool, list, FORWARD_HEADER)) {
        return;
    }
    while (*list) {
        word = ap_get_token(r->pool, &list, 0);
        if (*word && ap_cstr_casecmp(word, FORWARD_HEADER)) {
            all = all ? apr_pstrcat(r->pool, all, ", ", word, NULL) : word;
        }
        while (*list == ',' || *list == ';' || apr_isspace(*list)) {
            list++;
        }
    }
    if (all) {
        apr_table_setn(r->headers_in, "Connection", all);
    }
    else {
        apr_table_unset(r->headers_in, "Connection");
    }
}

/*
 * MailOriginForward On: the token goes to an HTTP backend, or to a mod_wsgi
 * daemon, as a request header.  A client's own is always dropped: it must
 * not choose what the backend takes for ours.  After the handler hook that
 * makes the token, before any that sends the headers on.
 */
static int forward(request_rec *r)
{
    const struct mo_dir *dir =
        ap_get_module_config(r->per_dir_config, &mailorigin_module);
    struct mo_request *request;

    apr_table_unset(r->headers_in, FORWARD_HEADER);
    /* WSGI servers may make the same variable of both */
    apr_table_unset(r->headers_in, "MailOrigin_Token");
    if (dir && dir->forward == 1) {
        request = mo_request_of(r);
        if (request && request->run && request->run->var[MO_VAR_TOKEN]) {
            apr_table_setn(r->headers_in, FORWARD_HEADER,
                           request->run->var[MO_VAR_TOKEN]);
            keep_header(r);
        }
    }
    return DECLINED;
}

void mo_proxy_pre_config(apr_pool_t *p)
{
    fastcgi_pre_config(p);
    ap_hook_handler(forward, NULL, NULL, APR_HOOK_REALLY_FIRST + 1);
}

void mo_proxy_post_config(apr_pool_t *p, server_rec *main)
{
    fastcgi_post_config(p, main);
    if (why_not) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main,
                     "FastCGI connections are not followed: %s; mail from "
                     "several requests at once may be recorded as ambiguous",
                     why_not);
    }
}
