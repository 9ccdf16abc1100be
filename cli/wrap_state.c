/*
 * What wrap keeps: the state file, and its lines in mailorigin.conf.
 *
 * MO_STATEDIR/wrap has a line "WHAT PATH" for each thing that was done.  In
 * mailorigin.conf a line of ours stands below a "# wrap:" line that keeps the
 * one it replaced, so that unwrap restores the file to the byte.
 */
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_msg.h"

/* Replaces path by text[0..len), keeping mode and owner of the old file. */
int wrap_write_file(const char *path, const char *text, size_t len)
{
    char tmp[PATH_MAX];
    struct stat st;
    int had = stat(path, &st) == 0;
    int fd;

    snprintf(tmp, sizeof tmp, "%s.new", path);
    unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        goto fail;
    if (had && (fchmod(fd, st.st_mode & 07777) != 0 ||
                fchown(fd, st.st_uid, st.st_gid) != 0))
        goto fail;
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, text + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            goto fail;
        at += (size_t)n;
    }
    if (fsync(fd) != 0 || close(fd) != 0) {
        fd = -1;
        goto fail;
    }
    fd = -1;
    if (rename(tmp, path) == 0)
        return 0;
fail:
    mo_error("cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    unlink(tmp);
    return -1;
}

char *wrap_read_bytes(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re"), *m;
    char *text = NULL, buf[65536];
    size_t n;

    if (f == NULL)
        return NULL;
    m = open_memstream(&text, len);
    while (m != NULL && (n = fread(buf, 1, sizeof buf, f)) > 0)
        fwrite(buf, 1, n, m);
    if (m != NULL && (fclose(m) != 0 || ferror(f))) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

char *wrap_read_file(const char *path)
{
    size_t len;
    char *text = wrap_read_bytes(path, &len);

    if (text == NULL && errno == ENOENT)
        return strdup("");
    if (text == NULL)
        mo_error("cannot read %s: %s", path, strerror(errno));
    return text;
}

/* ---- the state file: a line "WHAT PATH" for each thing that was done */

int wrap_state_has(const char *what, const char *path)
{
    char line[PATH_MAX + 32];
    char *text = wrap_read_file(WRAP_STATE_PATH), *hit;

    if (text == NULL)
        return 0;
    snprintf(line, sizeof line, "%s %s\n", what, path);
    hit = strstr(text, line);
    free(text);
    return hit != NULL;
}

int wrap_state_change(const char *what, const char *path, int add)
{
    char line[PATH_MAX + 32];
    char *text = wrap_read_file(WRAP_STATE_PATH), *at;
    int r;

    if (text == NULL)
        return -1;
    snprintf(line, sizeof line, "%s %s\n", what, path);
    at = strstr(text, line);
    if (add && at == NULL) {
        char *more = NULL;

        if (asprintf(&more, "%s%s", text, line) < 0) {
            free(text);
            return -1;
        }
        free(text);
        text = more;
    }
    else if (!add && at != NULL) {
        memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
    }
    if (*text == '\0')
        r = unlink(WRAP_STATE_PATH) == 0 || errno == ENOENT ? 0 : -1;
    else
        r = wrap_write_file(WRAP_STATE_PATH, text, strlen(text));
    free(text);
    return r;
}

/* ---- mailorigin.conf: our line under a "# wrap:" line, which keeps the old */

static const char *after_key(const char *line, const char *key)
{
    size_t n = strlen(key);

    while (*line == ' ' || *line == '\t')
        line++;
    return strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == '\t')
               ? line + n
               : NULL;
}

/* text without what an earlier wrap did to key; NULL: no memory */
static char *conf_without(char *text, const char *key)
{
    char *out = NULL;
    size_t size;
    int ours = 0;
    FILE *m = open_memstream(&out, &size);

    if (m == NULL)
        return NULL;
    for (char *line = text; *line != '\0';) {
        char *end = strchrnul(line, '\n');
        char *next = *end ? end + 1 : end;

        *end = '\0';
        if (ours) {
            ours = 0;
        }
        else if (strncmp(line, "# wrap:", 7) == 0 &&
                 after_key(next, key) != NULL) {
            ours = 1;
            if (line[7] == ' ')
                fprintf(m, "%s\n", line + 8);
        }
        else {
            fprintf(m, "%s\n", line);
        }
        line = next;
    }
    return fclose(m) == 0 ? out : NULL;
}

/* text with key set to value, what it was kept in the line above */
static char *conf_with(const char *text, const char *key, const char *value)
{
    char *out = NULL;
    size_t size;
    int done = 0;
    FILE *m = open_memstream(&out, &size);

    if (m == NULL)
        return NULL;
    for (const char *line = text; *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        int len = (int)(end - line);

        if (!done && after_key(line, key) != NULL) {
            fprintf(m, "# wrap: %.*s\n%s %s\n", len, line, key, value);
            done = 1;
        }
        else {
            fprintf(m, "%.*s\n", len, line);
        }
        line = *end ? end + 1 : end;
    }
    if (!done)
        fprintf(m, "# wrap:\n%s %s\n", key, value);
    return fclose(m) == 0 ? out : NULL;
}

int wrap_conf_change(const char *key, const char *value)
{
    char *text = wrap_read_file(MO_CONF_PATH), *old, *new;
    int r = -1;

    if (text == NULL)
        return -1;
    old = conf_without(text, key);
    new = old != NULL &&value != NULL ? conf_with(old, key, value) : NULL;
    if (old == NULL || (value != NULL && new == NULL))
        mo_error("no memory for %s", MO_CONF_PATH);
    else if (value != NULL)
        r = wrap_write_file(MO_CONF_PATH, new, strlen(new));
    else
        r = wrap_write_file(MO_CONF_PATH, old, strlen(old));
    free(new);
    free(old);
    free(text);
    return r;
}
