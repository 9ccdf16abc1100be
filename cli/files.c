/*
 * Which files a log is in: the names that logrotate and rotatelogs give.
 */
#include "files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int cli_files_one(struct cli_files *f, const char *path, void *user)
{
    struct cli_file *file;
    struct stat st;
    size_t i;

    if (stat(path, &st) != 0) {
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    for (i = 0; i < f->n; i++) {
        if (f->file[i].inode == st.st_ino && f->file[i].dev == st.st_dev &&
            f->file[i].user == user) {
            return 0;
        }
    }
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 16;
        void *more = realloc(f->file, cap * sizeof(*f->file));

        if (more == NULL) {
            return -1;
        }
        f->file = more;
        f->cap = cap;
    }
    file = &f->file[f->n];
    if ((file->path = strdup(path)) == NULL) {
        return -1;
    }
    file->mtime_us = (uint64_t)st.st_mtim.tv_sec * 1000000 +
                     (uint64_t)st.st_mtim.tv_nsec / 1000;
    file->size = (uint64_t)st.st_size;
    file->dev = st.st_dev;
    file->inode = st.st_ino;
    file->user = user;
    f->n++;
    return 1;
}

/* Is s what rotation puts after a name: "", ".1", "-20261124", … with or
 * without ".gz" or ".zst"? */
static int is_suffix(const char *s)
{
    size_t n = strlen(s), i, digits = 0;

    if (n == 0) {
        return 1;
    }
    if (n > 3 && strcmp(s + n - 3, ".gz") == 0) {
        n -= 3;
    }
    else if (n > 4 && strcmp(s + n - 4, ".zst") == 0) {
        n -= 4;
    }
    if (n == 0) {
        return 0;
    }
    if (s[0] != '.' && s[0] != '-' && s[0] != '_') {
        return 0;
    }
    for (i = 1; i < n; i++) {
        if (isdigit((unsigned char)s[i])) {
            digits++;
        }
        else if (strchr("-_.:T", s[i]) == NULL) {
            return 0;
        }
    }
    return digits > 0 || n == 1;
}

/* Likewise, compressed by a program whose format is not read. */
static int is_other_suffix(const char *s)
{
    static const char *const kinds[] = {".xz", ".bz2", ".lz4", ".lzma", ".Z"};
    char plain[64];
    size_t n = strlen(s), i, k;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        k = strlen(kinds[i]);
        if (n > k && n < sizeof(plain) && strcmp(s + n - k, kinds[i]) == 0) {
            memcpy(plain, s, n - k);
            plain[n - k] = '\0';
            return is_suffix(plain);
        }
    }
    return 0;
}

size_t cli_files_base(const char *path)
{
    const char *slash = strrchr(path, '/'), *p = slash ? slash + 1 : path;

    while (*p && !is_suffix(p + 1)) {
        p++;
    }
    return (size_t)(p - path) + (*p != '\0');
}

/* Is it still being compressed from one beside it?  PATH.gz beside PATH itself
 * is a log of its own. */
static int is_being_made(const char *path)
{
    size_t n = strlen(path);
    struct stat st;
    char *plain;
    int rc;

    if (n > 3 && strcmp(path + n - 3, ".gz") == 0) {
        n -= 3;
    }
    else if (n > 4 && strcmp(path + n - 4, ".zst") == 0) {
        n -= 4;
    }
    else {
        return 0;
    }
    if (cli_files_base(path) >= n || (plain = strndup(path, n)) == NULL) {
        return 0;
    }
    rc = stat(plain, &st) == 0;
    free(plain);
    return rc;
}

/* path is a rotated one of a kind that is not read. */
static void add_unread(struct cli_files *f, const char *path)
{
    struct stat st;
    uint64_t us;
    char *copy;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    f->nunread++;
    us = (uint64_t)st.st_mtim.tv_sec * 1000000;
    if (us >= f->unread_us && (copy = strdup(path)) != NULL) {
        free(f->unread);
        f->unread = copy;
        f->unread_us = us;
    }
}

int cli_files_rotated(struct cli_files *f, const char *path, void *user)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t baselen = strlen(base), dirlen = (size_t)(base - path);
    char *dir, *full;
    struct dirent *e;
    int added = 0, saved;
    DIR *d;

    dir = dirlen ? strndup(path, dirlen) : strdup(".");
    if (dir == NULL) {
        return -1;
    }
    d = opendir(dir);
    saved = errno;
    free(dir);
    if (d == NULL) {
        errno = saved;
        return -1;
    }
    while ((e = readdir(d)) != NULL) {
        size_t n = strlen(e->d_name);

        int reads;

        if (n < baselen || memcmp(e->d_name, base, baselen) != 0) {
            continue;
        }
        reads = is_suffix(e->d_name + baselen);
        if (!reads && !is_other_suffix(e->d_name + baselen)) {
            continue;
        }
        full = malloc(dirlen + n + 1);
        if (full == NULL) {
            break;
        }
        memcpy(full, path, dirlen);
        memcpy(full + dirlen, e->d_name, n + 1);
        if (is_being_made(full)) {
            free(full);
            continue;
        }
        if (!reads) {
            add_unread(f, full);
            free(full);
            continue;
        }
        if (cli_files_one(f, full, user) > 0) {
            added++;
        }
        free(full);
    }
    closedir(d);
    return added;
}

char *cli_files_again(const char *path, uint64_t dev, uint64_t inode)
{
    char *base = strndup(path, cli_files_base(path)), *found = NULL;
    struct cli_files f = {0};
    size_t i;

    if (base) {
        cli_files_rotated(&f, base, NULL);
    }
    for (i = 0; i < f.n && found == NULL; i++) {
        if (f.file[i].dev == dev && f.file[i].inode == inode) {
            found = strdup(f.file[i].path);
        }
    }
    cli_files_free(&f);
    free(base);
    return found;
}

int cli_files_glob(struct cli_files *f, const char *pattern, void *user)
{
    glob_t g;
    size_t i;
    int added = 0;

    if (cli_files_one(f, pattern, user) >= 0) {
        return 1; /* a name that is there is taken as it is */
    }
    if (glob(pattern, 0, NULL, &g) != 0) {
        errno = ENOENT;
        return -1;
    }
    for (i = 0; i < g.gl_pathc; i++) {
        if (!is_being_made(g.gl_pathv[i]) &&
            cli_files_one(f, g.gl_pathv[i], user) > 0) {
            added++;
        }
    }
    globfree(&g);
    return added;
}

static int older(const void *a, const void *b)
{
    const struct cli_file *x = a, *y = b;

    if (x->mtime_us != y->mtime_us) {
        return x->mtime_us < y->mtime_us ? -1 : 1;
    }
    /* of one time: the longer name was rotated first (.2.gz, .1, none) */
    if (strlen(x->path) != strlen(y->path)) {
        return strlen(x->path) > strlen(y->path) ? -1 : 1;
    }
    return strcmp(y->path, x->path);
}

void cli_files_sort(struct cli_files *f)
{
    if (f->n > 1) {
        qsort(f->file, f->n, sizeof(*f->file), older);
    }
}

void cli_files_free(struct cli_files *f)
{
    size_t i;

    for (i = 0; i < f->n; i++) {
        free(f->file[i].path);
    }
    free(f->file);
    free(f->unread);
    memset(f, 0, sizeof(*f));
}
