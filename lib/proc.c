/*
 * /proc/PID/stat and its neighbours: see mo_proc.h.  A comm may hold blanks,
 * parentheses and newlines, so the fields are counted from the last ')'.
 */
#include "mo_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int number(const char **at, const char *end, uint64_t *n)
{
    const char *s = *at;
    int negative = 0;

    *n = 0;
    while (s < end && *s == ' ')
        s++;
    if (s < end && *s == '-') {
        negative = 1;
        s++;
    }
    if (s == end || *s < '0' || *s > '9')
        return -1;
    while (s < end && *s >= '0' && *s <= '9')
        *n = *n * 10 + (uint64_t)(*s++ - '0');
    if (negative)
        *n = (uint64_t)0 - *n;
    *at = s;
    return 0;
}

int mo_proc_parse(const char *text, size_t len, struct mo_proc *p)
{
    const char *open = memchr(text, '(', len);
    const char *close = memrchr(text, ')', len);
    const char *s = text;
    const char *end = text + len;
    uint64_t n;
    size_t commlen;
    int field;

    memset(p, 0, sizeof *p);
    if (open == NULL || close == NULL || close < open ||
        number(&s, open, &n) != 0)
        return -1;
    p->pid = (int32_t)n;
    commlen = (size_t)(close - open) - 1;
    if (commlen > sizeof p->comm - 1)
        commlen = sizeof p->comm - 1;
    memcpy(p->comm, open + 1, commlen);
    s = close + 1;
    if (end - s < 4 || s[0] != ' ' || s[2] != ' ')
        return -1;
    p->state = s[1];
    s += 2;
    for (field = 4; field <= 22; field++) {
        if (number(&s, end, &n) != 0)
            return -1;
        switch (field) {
        case 4:
            p->ppid = (int32_t)n;
            break;
        case 6:
            p->session = (int32_t)n;
            break;
        case 20:
            p->threads = (int32_t)n;
            break;
        case 22:
            p->start = n;
            break;
        default:
            break;
        }
    }
    return 0;
}

int mo_proc_read_fd(int fd, struct mo_proc *p)
{
    char buf[1024];
    ssize_t n;

    do
        n = pread(fd, buf, sizeof buf, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    if (n == 0 || mo_proc_parse(buf, (size_t)n, p) != 0) {
        errno = ESRCH;
        return -1;
    }
    return 0;
}

int mo_proc_read(int procfd, int32_t pid, struct mo_proc *p)
{
    char path[32];
    int fd;
    int rc;

    snprintf(path, sizeof path, "%d/stat", (int)pid);
    fd = openat(procfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = mo_proc_read_fd(fd, p);
    close(fd);
    return rc;
}

int mo_proc_in_children(const char *text, size_t len, int32_t child)
{
    const char *s = text;
    const char *end = text + len;
    uint64_t n;

    while (number(&s, end, &n) == 0)
        if (n == (uint64_t)child && child > 0)
            return 1;
    return 0;
}

int mo_proc_uid(int procfd, int32_t pid, uid_t *uid)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof path, "%d", (int)pid);
    if (fstatat(procfd, path, &st, 0) != 0)
        return -1;
    *uid = st.st_uid;
    return 0;
}

int mo_proc_is_init(int procfd, int32_t pid)
{
    char path[32];
    char buf[4096];
    const char *s;
    const char *line;
    uint64_t n = 0;
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "%d/status", (int)pid);
    fd = openat(procfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    len = read(fd, buf, sizeof buf - 1);
    close(fd);
    if (len <= 0)
        return -1;
    buf[len] = '\0';
    line = strstr(buf, "\nNSpid:");
    if (line == NULL)
        return -1;
    s = line + 7;
    line = strchr(s, '\n');
    if (line == NULL)
        return -1;
    for (;;) {
        while (s < line && (*s == '\t' || *s == ' '))
            s++;
        if (number(&s, line, &n) != 0)
            break;
    }
    return n == 1;
}
