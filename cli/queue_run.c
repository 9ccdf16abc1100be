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
    off_t size = lseek(fd, 0, SEEK_END);
    char *buf = size < 0 ? NULL : malloc((size_t)size + 1);
    size_t len = 0;

    while (buf && len < (size_t)size) {
        ssize_t n = pread(fd, buf + len, (size_t)size - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (buf)
        buf[len] = 0;
    return buf;
}

int queue_run(char *const argv[], const char *in, size_t inlen, int err,
              char **out)
{
    int fd, said, status, saved;
    pid_t pid;

    *out = NULL;
    fd = stdin_file(in, inlen);
    if (fd < 0)
        return -1;
    /* a file: by a pipe each line of thousands would wake us */
    said = memfd_create("said", MFD_CLOEXEC);
    pid = said < 0 ? -1 : fork();
    if (pid == 0) {
        /* what a Ctrl-C ends is this command, between two steps; the MTA's
         * own program finishes its step */
        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        dup2(fd, 0);
        dup2(said, 1);
        if (err)
            dup2(said, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    saved = errno;
    close(fd);
    if (pid < 0) {
        if (said >= 0)
            close(said);
        errno = saved;
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            saved = errno;
            close(said);
            errno = saved;
            return -1;
        }
    *out = read_all(said);
    close(said);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
