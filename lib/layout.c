/*
 * Reads layout files (mo_layout.h) with jansson.  Root's files, but read
 * with care: a member of the wrong type is as if it were not there.
 */
#include "mo_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (64 * 1024 * 1024)

static int copy(const json_t *o, const char *name, char **out)
{
    const json_t *v = json_object_get(o, name);

    *out = NULL;
    if (!json_is_string(v)) {
        return 0;
    }
    *out = strdup(json_string_value(v));
    return *out ? 0 : -1;
}

static int read_logs(const json_t *list, struct mo_layout_log **logs, size_t *n)
{
    size_t i, all = json_array_size(list);
    struct mo_layout_log *l;

    *n = 0;
    *logs = calloc(all + 1, sizeof(**logs));
    if (*logs == NULL) {
        return -1;
    }
    for (i = 0; i < all; i++) {
        const json_t *o = json_array_get(list, i);
        const json_t *expr = json_object_get(o, "expr");

        if (!json_is_object(o)) {
            continue;
        }
        l = &(*logs)[(*n)++];
        if (copy(o, "file", &l->file) != 0 || copy(o, "pipe", &l->pipe) != 0 ||
            copy(o, "format", &l->format) != 0 ||
            copy(o, "condition", &l->condition) != 0 ||
            copy(o, "directive", &l->directive) != 0 ||
            copy(o, "defined", &l->defined) != 0) {
            return -1;
        }
        if (l->condition == NULL && json_is_string(expr) &&
            (l->condition = strdup(json_string_value(expr))) == NULL) {
            return -1;
        }
        if (l->file == NULL && l->pipe == NULL) {
            free(l->format);
            free(l->condition);
            free(l->directive);
            free(l->defined);
            memset(l, 0, sizeof(*l));
            --*n;
        }
    }
    return 0;
}

static int read_php(const json_t *list, struct mo_layout_vhost *v)
{
    size_t i, all = json_array_size(list);

    v->php = calloc(all + 1, sizeof(*v->php));
    if (v->php == NULL) {
        return -1;
    }
    for (i = 0; i < all; i++) {
        const json_t *o = json_array_get(list, i);
        struct mo_layout_php *p = &v->php[v->nphp];

        if (!json_is_string(json_object_get(o, "directive")) ||
            !json_is_string(json_object_get(o, "value"))) {
            continue;
        }
        v->nphp++;
        if (copy(o, "directive", &p->directive) != 0 ||
            copy(o, "value", &p->value) != 0 ||
            copy(o, "section", &p->section) != 0 ||
            copy(o, "defined", &p->defined) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_vhost(const json_t *o, struct mo_layout_vhost *v)
{
    const json_t *list = json_object_get(o, "aliases");
    size_t i, n = json_array_size(list);

    if (copy(o, "name", &v->name) != 0 ||
        copy(o, "defined", &v->defined) != 0) {
        return -1;
    }
    if (v->name == NULL && (v->name = strdup("")) == NULL) {
        return -1;
    }
    v->port = (int)json_integer_value(json_object_get(o, "port"));
    v->main = json_is_true(json_object_get(o, "main"));
    v->mailorigin = json_is_true(json_object_get(o, "mailorigin"));
    v->aliases = calloc(n + 1, sizeof(*v->aliases));
    if (v->aliases == NULL) {
        return -1;
    }
    for (i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));

        if (s && (v->aliases[v->naliases++] = strdup(s)) == NULL) {
            v->naliases--;
            return -1;
        }
    }
    if (read_logs(json_object_get(o, "logs"), &v->logs, &v->nlogs) != 0) {
        return -1;
    }
    return read_php(json_object_get(o, "php"), v);
}

static int convert(const json_t *root, struct mo_layout *l)
{
    const json_t *list = json_object_get(root, "vhosts");
    size_t i, n = json_array_size(list);

    l->pid = (long)json_integer_value(json_object_get(root, "pid"));
    if (copy(root, "server_root", &l->server_root) != 0 ||
        copy(root, "mpm", &l->mpm) != 0) {
        return -1;
    }
    l->vhosts = calloc(n + 1, sizeof(*l->vhosts));
    if (l->vhosts == NULL) {
        return -1;
    }
    for (i = 0; i < n; i++) {
        const json_t *o = json_array_get(list, i);

        if (json_is_object(o) && read_vhost(o, &l->vhosts[l->nvhosts++]) != 0) {
            return -1;
        }
    }
    return read_logs(json_object_get(root, "global_logs"), &l->global,
                     &l->nglobal);
}

struct mo_layout *mo_layout_read(const char *path, char *err, size_t errsize)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    const json_t *version;
    struct mo_layout *l;
    struct stat st;
    json_error_t e;
    json_t *root;

    if (fd < 0) {
        snprintf(err, errsize, "layout file %s: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        snprintf(err, errsize, "layout file %s: no plain file of at most %d MB",
                 path, FILE_MAX / 1024 / 1024);
        close(fd);
        return NULL;
    }
    root = json_loadfd(fd, 0, &e);
    close(fd);
    if (root == NULL) {
        snprintf(err, errsize, "layout file %s: line %d: %s", path, e.line,
                 e.text);
        return NULL;
    }
    version = json_object_get(root, "version");
    if (json_integer_value(version) != MO_LAYOUT_VERSION) {
        snprintf(err, errsize,
                 "layout file %s: version %lld, this program reads %d", path,
                 (long long)json_integer_value(version), MO_LAYOUT_VERSION);
        json_decref(root);
        return NULL;
    }
    l = calloc(1, sizeof(*l));
    if (l == NULL || convert(root, l) != 0) {
        snprintf(err, errsize, "layout file %s: out of memory", path);
        mo_layout_free(l);
        l = NULL;
    }
    json_decref(root);
    return l;
}

static void free_logs(struct mo_layout_log *logs, size_t n)
{
    size_t i;

    for (i = 0; logs && i < n; i++) {
        free(logs[i].file);
        free(logs[i].pipe);
        free(logs[i].format);
        free(logs[i].condition);
        free(logs[i].directive);
        free(logs[i].defined);
    }
    free(logs);
}

void mo_layout_free(struct mo_layout *l)
{
    size_t i, k;

    if (l == NULL) {
        return;
    }
    for (i = 0; l->vhosts && i < l->nvhosts; i++) {
        struct mo_layout_vhost *v = &l->vhosts[i];

        free(v->name);
        free(v->defined);
        for (k = 0; k < v->naliases; k++) {
            free(v->aliases[k]);
        }
        free(v->aliases);
        free_logs(v->logs, v->nlogs);
        for (k = 0; v->php && k < v->nphp; k++) {
            free(v->php[k].directive);
            free(v->php[k].value);
            free(v->php[k].section);
            free(v->php[k].defined);
        }
        free(v->php);
    }
    free(l->vhosts);
    free_logs(l->global, l->nglobal);
    free(l->server_root);
    free(l->mpm);
    free(l);
}
