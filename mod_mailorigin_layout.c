/*
 * The layout file: which logs httpd writes, and in what format, and what it
 * tells PHP of sendmail (mo_layout.h has the contract).
 *
 * Only httpd knows that for sure, so it is taken from the tree of directives
 * that it made itself: includes, macros, defines and <IfModule> are resolved
 * there.  mod_log_config's own tables can't be read from outside.  Names and
 * addresses come from the server_recs, joined to the tree by the file and
 * line where a <VirtualHost> stands.
 */
#include "mod_mailorigin.h"

#include "ap_mpm.h"
#include "http_main.h"
#include "apr_hash.h"
#include "apr_lib.h"
#include "apr_strings.h"
#include "apr_tables.h"

#include "mo_layout.h"
#include "mo_proc.h"
#include "mo_record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* mod_log_config's, where nothing else is set */
#define CLF "%h %l %u %t \"%r\" %>s %b"

struct log {
    const ap_directive_t *d;
    const char *target; /* absolute file, or command */
    int is_pipe;
    const char *format; /* as written; NULL: the default one */
    const char *condition;
};

struct php {
    const ap_directive_t *d;
    const char *value;
};

/* What one server's section says of logs, and to PHP. */
struct logs {
    apr_array_header_t *own; /* of struct log */
    apr_array_header_t *global;
    apr_array_header_t *php; /* of struct php */
    apr_table_t *formats; /* by nickname */
    const char *fallback; /* LogFormat without nickname; NULL: none */
};

/* ---- reading the tree */

static struct logs *logs_make(apr_pool_t *p)
{
    struct logs *l = apr_pcalloc(p, sizeof(*l));

    l->own = apr_array_make(p, 2, sizeof(struct log));
    l->global = apr_array_make(p, 1, sizeof(struct log));
    l->php = apr_array_make(p, 1, sizeof(struct php));
    l->formats = apr_table_make(p, 8);
    return l;
}

static void add_log(apr_pool_t *p, struct logs *l, const ap_directive_t *d)
{
    const char *args = d->args, *target = ap_getword_conf(p, &args), *word;
    struct log *log;

    if (!*target)
        return;
    log = apr_array_push(
        ap_cstr_casecmp(d->directive, "GlobalLog") ? l->own : l->global);
    memset(log, 0, sizeof(*log));
    log->d = d;
    log->is_pipe = *target == '|';
    log->target =
        log->is_pipe ? target + 1 : ap_server_root_relative(p, target);
    if (!log->target)
        log->target = target;
    if (!ap_cstr_casecmp(d->directive, "TransferLog"))
        return;
    while (*(word = ap_getword_conf(p, &args))) {
        if (!strncmp(word, "env=", 4) || !strncmp(word, "expr=", 5))
            log->condition = word;
        else if (!log->format)
            log->format = word;
    }
}

static void add_format(apr_pool_t *p, struct logs *l, const ap_directive_t *d)
{
    const char *args = d->args, *format = ap_getword_conf(p, &args),
               *nickname = ap_getword_conf(p, &args);

    if (*nickname)
        apr_table_setn(l->formats, nickname, format);
    else
        l->fallback = format;
}

/* Does it tell mod_php or PHP-FPM which sendmail, or no mail()?  Of other
 * settings nothing is kept, as passwords may be among them. */
static void add_php(apr_pool_t *p, struct logs *l, const ap_directive_t *d)
{
    const char *args = d->args, *word, *value = NULL;
    struct php *php;

    if (!args)
        return;
    if (!ap_cstr_casecmp(d->directive, "php_admin_value")) {
        word = ap_getword_conf(p, &args);
        if (strcmp(word, "sendmail_path") != 0)
            return;
        value = ap_getword_conf(p, &args);
        if (!ap_cstr_casecmp(value, "none"))
            value = "";
        value = apr_pstrcat(p, "sendmail_path=", value, NULL);
    }
    else if (strstr(args, "PHP_VALUE") || strstr(args, "PHP_ADMIN_VALUE")) {
        while (!value && *(word = ap_getword_conf(p, &args)))
            if (strstr(word, "sendmail_path") ||
                strstr(word, "disable_functions"))
                value = word;
    }
    if (!value)
        return;
    php = apr_array_push(l->php);
    php->d = d;
    php->value = value;
}

/* main: the tree's top; the sections of virtual hosts go into a table by
 * file and line. */
static void read_tree(apr_pool_t *p, const ap_directive_t *d, struct logs *l,
                      apr_hash_t *vhosts)
{
    for (; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, "CustomLog") ||
            !ap_cstr_casecmp(d->directive, "TransferLog") ||
            !ap_cstr_casecmp(d->directive, "GlobalLog")) {
            add_log(p, l, d);
        }
        else if (!ap_cstr_casecmp(d->directive, "LogFormat")) {
            add_format(p, l, d);
        }
        else if (!ap_cstr_casecmp(d->directive, "<VirtualHost")) {
            struct logs *v = logs_make(p);

            read_tree(p, d->first_child, v, vhosts);
            apr_hash_set(vhosts,
                         apr_psprintf(p, "%s:%d", d->filename, d->line_num),
                         APR_HASH_KEY_STRING, v);
        }
        else if (d->first_child) {
            read_tree(p, d->first_child, l, vhosts);
        }
        else {
            add_php(p, l, d);
        }
    }
}

/* As mod_log_config resolves it: the vhost's nicknames over the main
 * server's. */
static const char *format_of(const struct log *log, const struct logs *l,
                             const struct logs *main)
{
    const char *format = log->format, *text;

    if (!format)
        format = l->fallback ? l->fallback : main->fallback;
    if (!format)
        return CLF;
    text = apr_table_get(l->formats, format);
    if (!text)
        text = apr_table_get(main->formats, format);
    if (!text && !ap_cstr_casecmp(format, "CLF"))
        text = CLF;
    return text ? text : format;
}

/* ---- writing JSON */

static void text(apr_file_t *f, const char *s)
{
    char buf[1024];
    apr_size_t len = strlen(s), n;

    /* by pieces that can't overflow: a byte becomes six at most */
    while (len) {
        int cut = 0;

        n = len < 150 ? len : 150;
        /* not inside of a UTF-8 character */
        while (n < len && n > 140 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
        apr_file_write_full(f, buf,
                            mo_json_escape(s, n, buf, sizeof(buf), &cut), NULL);
        s += n;
        len -= n;
    }
}

static void string(apr_file_t *f, const char *s)
{
    apr_file_putc('"', f);
    text(f, s);
    apr_file_putc('"', f);
}

static void member(apr_file_t *f, int *first, const char *name, const char *s)
{
    if (!s)
        return;
    apr_file_printf(f, "%s\"%s\":", *first ? "" : ",", name);
    *first = 0;
    string(f, s);
}

static void strings(apr_file_t *f, const char *name,
                    const apr_array_header_t *a, const apr_array_header_t *b)
{
    int i, first = 1;

    apr_file_printf(f, ",\"%s\":[", name);
    for (; a; a = b, b = NULL)
        for (i = 0; i < a->nelts; i++) {
            if (!APR_ARRAY_IDX(a, i, const char *))
                continue;
            if (!first)
                apr_file_putc(',', f);
            first = 0;
            string(f, APR_ARRAY_IDX(a, i, const char *));
        }
    apr_file_puts("]", f);
}

static void write_logs(apr_file_t *f, const char *name,
                       const apr_array_header_t *a, const struct logs *l,
                       const struct logs *main, apr_pool_t *p)
{
    int i;

    apr_file_printf(f, ",\"%s\":[", name);
    for (i = 0; i < a->nelts; i++) {
        const struct log *log = &APR_ARRAY_IDX(a, i, struct log);
        int first = 1;

        apr_file_puts(i ? ",\n  {" : "\n  {", f);
        member(f, &first, "directive", log->d->directive);
        member(f, &first, log->is_pipe ? "pipe" : "file", log->target);
        member(f, &first, "format", format_of(log, l, main));
        member(f, &first, "condition", log->condition);
        member(f, &first, "defined",
               apr_psprintf(p, "%s:%d", log->d->filename, log->d->line_num));
        apr_file_putc('}', f);
    }
    apr_file_puts("]", f);
}

/* where in its vhost it stands: "<Directory /x> <Files y>"; NULL: in none */
static const char *section_of(const ap_directive_t *d, apr_pool_t *p)
{
    const char *section = NULL;

    for (d = d->parent; d && ap_cstr_casecmp(d->directive, "<VirtualHost");
         d = d->parent)
        section = apr_pstrcat(p, d->directive, " ", d->args, section ? " " : "",
                              section, NULL);
    return section;
}

static void write_php(apr_file_t *f, const apr_array_header_t *a, apr_pool_t *p)
{
    int i;

    apr_file_puts(",\"php\":[", f);
    for (i = 0; i < a->nelts; i++) {
        const struct php *php = &APR_ARRAY_IDX(a, i, struct php);
        int first = 1;

        apr_file_puts(i ? ",\n  {" : "\n  {", f);
        member(f, &first, "directive", php->d->directive);
        member(f, &first, "value", php->value);
        member(f, &first, "section", section_of(php->d, p));
        member(f, &first, "defined",
               apr_psprintf(p, "%s:%d", php->d->filename, php->d->line_num));
        apr_file_putc('}', f);
    }
    apr_file_puts("]", f);
}

static void write_vhost(apr_file_t *f, const server_rec *s, server_rec *main,
                        const struct logs *l, const struct logs *mainlogs,
                        apr_pool_t *p)
{
    const struct mo_dir *dir =
        ap_get_module_config(s->lookup_defaults, &mailorigin_module);
    const server_addr_rec *a;
    apr_array_header_t *addresses = apr_array_make(p, 2, sizeof(char *));
    const struct logs *from = l;
    int first = 1;

    apr_file_puts("{", f);
    member(f, &first, "name", s->server_hostname ? s->server_hostname : "");
    for (a = s == main ? NULL : s->addrs; a; a = a->next) {
        const char *name =
            apr_psprintf(p, a->host_port ? "%s:%d" : "%s:*",
                         a->virthost ? a->virthost : "*", (int)a->host_port);

        /* "*" is there for IPv4 and for IPv6 */
        if (!addresses->nelts ||
            strcmp(name, APR_ARRAY_IDX(addresses, addresses->nelts - 1,
                                       const char *)) != 0)
            APR_ARRAY_PUSH(addresses, const char *) = name;
    }
    strings(f, "aliases", s->names, s->wild_names);
    apr_file_printf(f, ",\"port\":%d", (int)s->port);
    strings(f, "addresses", addresses, NULL);
    if (s->defn_name)
        member(f, &first, "defined",
               apr_psprintf(p, "%s:%u", s->defn_name, s->defn_line_number));
    apr_file_printf(f, ",\"main\":%s,\"mailorigin\":%s",
                    s == main ? "true" : "false",
                    dir && dir->on == 1 ? "true" : "false");
    if (!l->own->nelts)
        from = mainlogs;
    write_logs(f, "logs", from->own, from, mainlogs, p);
    write_php(f, l->php, p);
    apr_file_puts("}", f);
}

static void write_layout(apr_file_t *f, server_rec *main, apr_pool_t *p)
{
    apr_hash_t *vhosts = apr_hash_make(p);
    struct logs *mainlogs = logs_make(p);
    server_rec *s;
    time_t now = time(NULL);
    struct tm tm;
    char zone[64];
    int first = 0, proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct mo_proc me = {0};

    if (proc >= 0) {
        if (mo_proc_read(proc, (int32_t)getpid(), &me) != 0)
            me.start = 0;
        close(proc);
    }
    read_tree(p, ap_conftree, mainlogs, vhosts);
    apr_file_printf(f, "{\"version\":%d,\"pid\":%" APR_PID_T_FMT,
                    MO_LAYOUT_VERSION, getpid());
    apr_file_printf(f, ",\"start\":%" APR_UINT64_T_FMT, (apr_uint64_t)me.start);
    member(f, &first, "server", ap_get_server_description());
    member(f, &first, "mpm", ap_show_mpm());
    member(f, &first, "server_root", ap_server_root);
    if (localtime_r(&now, &tm) && strftime(zone, sizeof(zone), "%Z", &tm))
        member(f, &first, "time_zone", zone);
    apr_file_puts(",\"vhosts\":[", f);
    for (s = main; s; s = s->next) {
        const struct logs *l = mainlogs;

        if (s != main) {
            l = apr_hash_get(
                vhosts,
                apr_psprintf(p, "%s:%u", s->defn_name, s->defn_line_number),
                APR_HASH_KEY_STRING);
            if (!l)
                l = logs_make(p);
        }
        apr_file_puts(s == main ? "\n " : ",\n ", f);
        write_vhost(f, s, main, l, mainlogs, p);
    }
    apr_file_puts("]", f);
    write_logs(f, "global_logs", mainlogs->global, mainlogs, mainlogs, p);
    apr_file_puts("}\n", f);
}

/* ---- the file */

struct layout_file {
    pid_t parent;
    const char *path;
};

static apr_status_t remove_layout(void *data)
{
    const struct layout_file *l = data;

    if (mo_parent_exits(l->parent))
        unlink(l->path);
    return APR_SUCCESS;
}

void mo_layout_post_config(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    struct layout_file *l = apr_palloc(pconf, sizeof(*l));
    char *temp;
    apr_file_t *f;
    apr_status_t rv;
    gid_t gid = mo_recorder_gid();
    int fd;

    l->parent = getpid();
    l->path = apr_psprintf(pconf, "%s/%" APR_PID_T_FMT ".json", MO_LAYOUT_DIR,
                           l->parent);
    temp = apr_psprintf(ptemp, "%s.XXXXXX", l->path);
    fd = mkostemp(temp, O_CLOEXEC);
    rv = fd < 0 ? errno : APR_SUCCESS;
    if (fd >= 0) {
        if (geteuid() == 0 && gid != (gid_t)-1 &&
            fchown(fd, (uid_t)-1, gid) != 0)
            rv = errno;
        /* pipes' commands stand in it */
        if (fchmod(fd, 0640) != 0)
            rv = errno;
        if (apr_os_file_put(&f, &fd, APR_FOPEN_WRITE | APR_FOPEN_BUFFERED,
                            ptemp) == APR_SUCCESS) {
            apr_status_t closed;

            write_layout(f, s, ptemp);
            closed = apr_file_flush(f);
            if (closed != APR_SUCCESS)
                rv = closed;
        }
        close(fd);
        if (rv == APR_SUCCESS && rename(temp, l->path) != 0)
            rv = errno;
        if (rv != APR_SUCCESS)
            unlink(temp);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     "the layout file %s can't be written: \"mailorigin "
                     "trace\" has to be told the access logs; give the user "
                     "that starts httpd room and write permission there, then "
                     "reload httpd",
                     l->path);
        return;
    }
    apr_pool_cleanup_register(pconf, l, remove_layout, apr_pool_cleanup_null);
}
