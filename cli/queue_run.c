/*
 * Runs an MTA's program and keeps what it says.  See queue_pick.h.
 */
#include "queue_pick.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int queue_which(const char *name, char *path, size_t size)
{
    static const char system_dirs[] =
        "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin";
    const char *env = getenv("PATH");
    const char *lists[2];
    int i;

    /* the system's folders first: a mail server's programs live there */
    lists[0] = system_dirs;
    lists[1] = env ? env : "";
    for (i = 0; i < 2; i++) {
        const char *p = lists[i];

        while (*p) {
            size_t n = strcspn(p, ":");

            if (n && *p == '/' &&
                snprintf(path, size, "%.*s/%s", (int)n, p, name) < (int)size &&
                access(path, X_OK) == 0)
                return 0;
            p += n + (p[n] == ':');
        }
    }
    errno = ENOENT;
    return -1;
}

static int stdin_file(const char *in, size_t inlen)
{
    int fd;
    size_t done = 0;

    if (!inlen)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd = memfd_create("ids", MFD_CLOEXEC);
    while (fd >= 0 && done < inlen) {
        ssize_t n = write(fd, in + done, inlen - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        done += (size_t)n;
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static char *read_all(int fd)
{
    size_t len = 0, cap = 4096;
    char *buf = malloc(cap);

    if (!buf)
        return NULL;
    for (;;) {
        ssize_t n;

        if (len + 1 == cap) {
            char *more = realloc(buf, cap * 2);
            if (!more)
                break;
            buf = more;
            cap *= 2;
        }
        n = read(fd, buf + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    buf[len] = 0;
    return buf;
}

int queue_run(char *const argv[], const char *in, size_t inlen, int err,
              char **out)
{
    int p[2], fd, status, saved;
    pid_t pid;

    *out = NULL;
    fd = stdin_file(in, inlen);
    if (fd < 0)
        return -1;
    if (pipe2(p, O_CLOEXEC) < 0) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        /* what a Ctrl-C ends is this command, between two steps; the MTA's
         * own program finishes its step */
        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        dup2(fd, 0);
        dup2(p[1], 1);
        if (err)
            dup2(p[1], 2);
        execv(argv[0], argv);
        _exit(127);
    }
    saved = errno;
    close(fd);
    close(p[1]);
    if (pid < 0) {
        close(p[0]);
        errno = saved;
        return -1;
    }
    *out = read_all(p[0]);
    close(p[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
