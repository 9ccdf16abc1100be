/*
 * The access logs: as httpd's layout files name them, as the conf does, or
 * as the command line does.
 */
#include "sources.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mo_layout.h"
#include "mo_msg.h"
#include "mo_paths.h"

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The source of that name and format, a new one where there is none. */
static struct source *get(struct sources *all, const char *name,
                          const char *format)
{
    struct source *s;
    size_t i;

    for (i = 0; i < all->n; i++) {
        s = &all->s[i];
        if (strcmp(s->name, name) == 0 && same_text(s->format_text, format)) {
            return s;
        }
    }
    if (all->n == all->cap) {
        size_t cap = all->cap ? all->cap * 2 : 16;

        s = realloc(all->s, cap * sizeof(*s));
        if (s == NULL) {
            return NULL;
        }
        all->s = s;
        all->cap = cap;
    }
    s = &all->s[all->n];
    memset(s, 0, sizeof(*s));
    s->name = strdup(name);
    s->format_text = format ? strdup(format) : NULL;
    if (s->name == NULL || (format && s->format_text == NULL)) {
        free(s->name);
        free(s->format_text);
        return NULL;
    }
    all->n++;
    return s;
}

static int add_vhost(struct source *s, const char *name)
{
    size_t i;

    for (i = s->nvhosts; i-- > 0;) {
        if (strcasecmp(s->vhost[i], name) == 0) {
            return 0;
        }
    }
    if (s->nvhosts == s->vhost_cap) {
        size_t cap = s->vhost_cap ? s->vhost_cap * 2 : 4;
        char **more = realloc(s->vhost, cap * sizeof(*more));

        if (more == NULL) {
            return -1;
        }
        s->vhost = more;
        s->vhost_cap = cap;
    }
    s->vhost[s->nvhosts] = strdup(name);
    return s->vhost[s->nvhosts] ? (s->nvhosts++, 0) : -1;
}

/* ---- piped loggers */

/* The next word of a command at *p into out; 0, or -1 at the end. */
static int word(const char **p, char *out, size_t size)
{
    size_t n = 0;
    char quote = 0;

    while (**p == ' ' || **p == '\t') {
        ++*p;
    }
    if (**p == '\0') {
        return -1;
    }
    for (; **p && (quote || (**p != ' ' && **p != '\t')); ++*p) {
        if (!quote && (**p == '"' || **p == '\'')) {
            quote = **p;
            continue;
        }
        if (quote && **p == quote) {
            quote = 0;
            continue;
        }
        if (n + 1 < size) {
            out[n++] = **p;
        }
    }
    out[n] = '\0';
    return 0;
}

int sources_pipe(const char *command, const char *server_root, char *out,
                 size_t size)
{
    char w[1024], *base;
    const char *p = command;
    size_t n = 0;

    while (*p == '|' || *p == '$' || *p == ' ') {
        p++; /* "|", "||" and "|$" */
    }
    if (word(&p, w, sizeof(w)) != 0) {
        return -1;
    }
    base = strrchr(w, '/');
    base = base ? base + 1 : w;
    if (strncmp(base, "rotatelogs", 10) != 0 &&
        strncmp(base, "cronolog", 8) != 0) {
        return -1;
    }
    while (word(&p, w, sizeof(w)) == 0) {
        if (w[0] == '-') {
            if (strlen(w) == 2 && strchr("LpnSPH", w[1])) {
                word(&p, w, sizeof(w)); /* its argument */
            }
            continue;
        }
        if (w[0] != '/' && server_root &&
            snprintf(out, size, "%s/", server_root) < (int)size) {
            n = strlen(out);
        }
        for (base = w; *base && n + 4 < size; base++) {
            if (*base == '%' && base[1]) {
                base++;
                if (n == 0 || out[n - 1] != '*') {
                    out[n++] = '*';
                }
                continue;
            }
            out[n++] = *base;
        }
        out[n] = '\0';
        return 0;
    }
    return -1;
}

/* ---- from layout files */

static struct source *add_log(struct sources *all, const struct mo_layout *l,
                              const struct mo_layout_log *log)
{
    const char *format = log->format ? log->format : "common";
    char pattern[2048], note[4096];
    struct source *s;

    if (log->file) {
        return get(all, log->file, format);
    }
    if (sources_pipe(log->pipe, l->server_root, pattern, sizeof(pattern)) ==
        0) {
        return get(all, pattern, format);
    }
    s = get(all, log->pipe, format);
    if (s && s->note == NULL) {
        snprintf(note, sizeof(note),
                 "%.1000s: a pipe, whose files are not known; --access-log "
                 "GLOB or access-log in the conf names them",
                 log->pipe);
        s->note = strdup(note);
    }
    return s;
}

static int add_layout(struct sources *all, const struct mo_layout *l)
{
    size_t v, i, k;
    struct source *s;

    for (v = 0; v < l->nvhosts; v++) {
        const struct mo_layout_vhost *vh = &l->vhosts[v];

        for (i = 0; i < vh->nlogs; i++) {
            s = add_log(all, l, &vh->logs[i]);
            if (s == NULL || add_vhost(s, vh->name) != 0) {
                return -1;
            }
            for (k = 0; k < vh->naliases; k++) {
                if (add_vhost(s, vh->aliases[k]) != 0) {
                    return -1;
                }
            }
        }
    }
    for (i = 0; i < l->nglobal; i++) {
        if ((s = add_log(all, l, &l->global[i])) == NULL) {
            return -1;
        }
        s->all = 1;
    }
    return 0;
}

static int layouts(struct sources *all)
{
    struct dirent *e;
    char path[1024], err[512];
    int rc = 0;
    size_t n;
    DIR *d = opendir(MO_LAYOUT_DIR);

    if (d == NULL) {
        return 0; /* no httpd with the module has run since the start */
    }
    while (rc == 0 && (e = readdir(d)) != NULL) {
        struct mo_layout *l;

        n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0 ||
            e->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%.255s", MO_LAYOUT_DIR, e->d_name);
        l = mo_layout_read(path, err, sizeof(err));
        if (l == NULL) {
            mo_warn("%s", err);
            continue;
        }
        rc = add_layout(all, l);
        mo_layout_free(l);
    }
    closedir(d);
    return rc;
}

/* ---- files and formats */

static int is_pattern(const char *s)
{
    return strpbrk(s, "*?[") != NULL;
}

/* A name with all its rotated ones; a pattern with all that it matches. */
static void find_files(struct source *s)
{
    char note[2200];
    size_t i, n;

    if (s->note) {
        return;
    }
    if (cli_files_rotated(&s->files, s->name, NULL) <= 0 &&
        is_pattern(s->name) && cli_files_glob(&s->files, s->name, NULL) >= 0) {
        n = s->files.n;
        for (i = 0; i < n; i++) {
            cli_files_rotated(&s->files, s->files.file[i].path, NULL);
        }
    }
    if (s->files.n == 0) {
        snprintf(note, sizeof(note), "%.2000s: there is no such file", s->name);
        s->note = strdup(note);
    }
    cli_files_sort(&s->files);
}

/*
 * What a pattern matches can be several logs, each with a format of its own:
 * each becomes a source.  0, or -1: no memory.
 */
static int split(struct sources *all, size_t which)
{
    struct source *s = &all->s[which], *own;
    struct cli_file *f;
    size_t i, base;
    char *name;

    if (s->files.n == 0 || s->format_text || !is_pattern(s->name)) {
        return 0;
    }
    base = cli_files_base(s->files.file[0].path);
    for (i = 1; i < s->files.n;) {
        f = &s->files.file[i];
        if (cli_files_base(f->path) == base &&
            memcmp(f->path, s->files.file[0].path, base) == 0) {
            i++;
            continue;
        }
        name = strndup(f->path, cli_files_base(f->path));
        own = name ? get(all, name, NULL) : NULL;
        free(name);
        s = &all->s[which];
        f = &s->files.file[i];
        if (own == NULL || cli_files_one(&own->files, f->path, NULL) < 0) {
            return -1;
        }
        own->all = 1;
        cli_files_sort(&own->files);
        free(f->path);
        memmove(f, f + 1, (s->files.n - i - 1) * sizeof(*f));
        s->files.n--;
    }
    return 0;
}

static int compile(struct source *s)
{
    char err[512], note[4096];

    if (s->format_text == NULL || s->note) {
        return 0;
    }
    s->format = log_format_compile(s->format_text, err, sizeof(err));
    if (s->format == NULL) {
        snprintf(note, sizeof(note), "%.1000s: its format: %s", s->name, err);
        s->note = strdup(note);
        return -1;
    }
    return 0;
}

/* Do two sources read the same file?  Then the later one leaves it. */
static void drop_doubles(struct sources *all)
{
    size_t a, b, i, k;

    for (b = 1; b < all->n; b++) {
        struct source *later = &all->s[b];

        for (a = 0; a < b; a++) {
            const struct source *s = &all->s[a];

            if (!later->all || later->nvhosts) {
                continue; /* only what is named by hand can double */
            }
            for (i = 0; i < later->files.n;) {
                for (k = 0; k < s->files.n; k++) {
                    if (s->files.file[k].inode == later->files.file[i].inode &&
                        s->files.file[k].dev == later->files.file[i].dev) {
                        break;
                    }
                }
                if (k == s->files.n) {
                    i++;
                    continue;
                }
                free(later->files.file[i].path);
                memmove(&later->files.file[i], &later->files.file[i + 1],
                        (later->files.n - i - 1) * sizeof(struct cli_file));
                later->files.n--;
            }
        }
    }
}

/* The format that a layout file gives to that very file. */
static const char *known_format(const struct sources *layout,
                                const struct source *s)
{
    size_t a, i, k;

    for (a = 0; a < layout->n; a++) {
        for (i = 0; i < layout->s[a].files.n; i++) {
            for (k = 0; k < s->files.n; k++) {
                if (layout->s[a].files.file[i].inode ==
                        s->files.file[k].inode &&
                    layout->s[a].files.file[i].dev == s->files.file[k].dev) {
                    return layout->s[a].format_text;
                }
            }
        }
    }
    return NULL;
}

static int given(struct cli *c, struct sources *out)
{
    struct sources known = {NULL, 0, 0};
    unsigned i;
    size_t k;
    int rc = 0;

    if (c->log_format == NULL && layouts(&known) == 0) {
        for (k = 0; k < known.n; k++) {
            find_files(&known.s[k]);
        }
    }
    for (i = 0; i < c->naccess_logs && rc == 0; i++) {
        struct source *s = get(out, c->access_log[i], c->log_format);

        if (s != NULL) {
            s->all = 1;
            find_files(s);
        }
        if (s == NULL || split(out, (size_t)(s - out->s)) != 0) {
            mo_error("out of memory");
            rc = -1;
        }
    }
    drop_doubles(out);
    for (k = 0; k < out->n && rc == 0; k++) {
        struct source *s = &out->s[k];
        const char *format = c->log_format ? NULL : known_format(&known, s);

        if (format) {
            s->format_text = strdup(format);
        }
        if (compile(s) != 0 && c->log_format) {
            mo_error("--log-format: %s", s->note);
            rc = -1;
        }
    }
    sources_free(&known);
    return rc;
}

int source_guess(struct source *s, const char *path)
{
    static char text[65536];
    struct cli_lines *l = cli_lines_open(path);
    size_t n = 0, len;
    char *line;

    while (l && (line = cli_lines_next(l, &len)) != NULL &&
           n + len + 1 < sizeof(text)) {
        memcpy(text + n, line, len);
        n += len;
        text[n++] = '\n';
    }
    cli_lines_close(l);
    s->format = log_format_guess(text, n);
    return s->format ? 0 : -1;
}

int sources_find(struct cli *c, struct sources *out)
{
    size_t i;

    memset(out, 0, sizeof(*out));
    if (c->naccess_logs) {
        return given(c, out);
    }
    if (c->log_format) {
        mo_warn("--log-format goes with --access-log; it is not used");
    }
    if (layouts(out) != 0) {
        mo_error("out of memory");
        return -1;
    }
    for (i = 0; i < c->conf.naccess_logs; i++) {
        const struct mo_access_log *a = &c->conf.access_log[i];
        struct source *s = get(out, a->glob, a->format[0] ? a->format : NULL);

        if (s == NULL) {
            mo_error("out of memory");
            return -1;
        }
        s->all = 1;
    }
    for (i = 0; i < out->n; i++) {
        find_files(&out->s[i]);
        compile(&out->s[i]);
    }
    drop_doubles(out);
    return 0;
}

void sources_free(struct sources *all)
{
    size_t i, k;

    for (i = 0; i < all->n; i++) {
        struct source *s = &all->s[i];

        for (k = 0; k < s->nvhosts; k++) {
            free(s->vhost[k]);
        }
        free(s->vhost);
        free(s->name);
        free(s->format_text);
        free(s->note);
        log_format_free(s->format);
        cli_files_free(&s->files);
    }
    free(all->s);
    memset(all, 0, sizeof(*all));
}
