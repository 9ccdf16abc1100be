/*
 * Becoming the real sendmail: the same process, so that pid, signals, exit
 * status and output are its own; argv as it came, and the environment but for
 * a count, by which a loop is found.
 *
 * `handover pipe` is for an MTA whose AppArmor or SELinux rules do not let it
 * read a memfd.  Whatever fits into the pipe stands there whole before the
 * MTA begins.  More than that is fed by a process of its own, and another
 * watches that one: since both share the spool's offset, which the kernel
 * moves with each piece, a feeder that is killed is followed by the next
 * from just there, and the pipe's end is not seen before the mail's.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

#define PIPE_SIZE (1024 * 1024)
#define DEPTH_NAME "MAILORIGIN_DEPTH"
#define DEPTH_MAX 10

extern char **environ;

/* Is it our own program's text, under another inode (a copy)? */
static int same_content(int a, int b)
{
    static char x[32768], y[32768];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(a, x, sizeof(x), at)) > 0) {
        if (pread(b, y, (size_t)n, at) != n || memcmp(x, y, (size_t)n) != 0)
            return 0;
        at += n;
    }
    return n == 0;
}

static int is_self(const char *path)
{
    struct stat target, self;
    int a, b, same;

    if (stat(path, &target) < 0 || stat("/proc/self/exe", &self) < 0)
        return 0; /* what is wrong with it, execve() will say */
    if (target.st_dev == self.st_dev && target.st_ino == self.st_ino)
        return 1;
    if (target.st_size != self.st_size || !S_ISREG(target.st_mode))
        return 0;
    a = open(path, O_RDONLY | O_CLOEXEC);
    b = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    same = a >= 0 && b >= 0 && same_content(a, b);
    if (a >= 0)
        close(a);
    if (b >= 0)
        close(b);
    return same;
}

/*
 * How often we were passed on the way here, as we tell our successor: where
 * the target is a program that calls sendmail by its usual name, which is us,
 * a mail would go round without end.  Aliases and filters that send mail
 * in answer to mail are no such loop, and not so deep.
 */
static int depth(void)
{
    const char *s = getenv(DEPTH_NAME);

    return s && *s >= '0' && *s <= '9' && strlen(s) < 4 ? atoi(s) : 0;
}

static void set_depth(void)
{
    char value[12];

    snprintf(value, sizeof(value), "%d", depth() + 1);
    (void)setenv(DEPTH_NAME, value, 1); /* without memory, it goes uncounted */
}

void sm_target_check(const struct mo_conf *conf)
{
    if (conf->sendmail[0] == '\0')
        mo_fatal(EX_CONFIG,
                 "no `sendmail PATH` in %s: the real sendmail is not known; "
                 "run `mailorigin wrap`",
                 MO_CONF_PATH);
    if (is_self(conf->sendmail))
        mo_fatal(EX_CONFIG,
                 "`sendmail %s` in %s is this wrapper itself; it must be the "
                 "real sendmail",
                 conf->sendmail, MO_CONF_PATH);
    if (depth() >= DEPTH_MAX)
        mo_fatal(EX_CONFIG,
                 "`sendmail %s` in %s leads back to this wrapper, %d times by "
                 "now; it must be the real sendmail",
                 conf->sendmail, MO_CONF_PATH, DEPTH_MAX);
}

void sm_exec(const struct mo_conf *conf, char **argv)
{
    int saved;

    set_depth();
    sm_limits_restore();
    execve(conf->sendmail, argv, environ);
    saved = errno;
    mo_fatal(saved == ENOENT || saved == ENOTDIR || saved == EACCES ||
                     saved == ENOEXEC || saved == ELOOP || saved == EISDIR ||
                     saved == EPERM
                 ? EX_CONFIG
                 : EX_TEMPFAIL,
             "cannot run %s: %s", conf->sendmail, strerror(saved));
}

/* ---- handover pipe */

/* What fits is in the pipe afterwards.  1: that was all, 0: more, -1 error. */
static int fill_pipe(int spool, int to, off_t end)
{
    static char buf[65536];
    off_t at = lseek(spool, 0, SEEK_CUR);

    fcntl(to, F_SETPIPE_SZ, PIPE_SIZE);
    fcntl(to, F_SETFL, O_NONBLOCK);
    while (at >= 0 && at < end) {
        ssize_t n = pread(spool, buf, sizeof(buf), at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        n = write(to, buf, (size_t)n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -1;
        at += n;
    }
    fcntl(to, F_SETFL, 0);
    if (at < 0 || lseek(spool, at, SEEK_SET) < 0)
        return -1;
    return at == end;
}

/* To the end: 0; the reader is gone: 1. */
static int feed(int spool, int to, off_t end)
{
    for (;;) {
        off_t at = lseek(spool, 0, SEEK_CUR);
        ssize_t n;

        if (at < 0 || at >= end)
            return 0;
        n = sendfile(to, spool, NULL, (size_t)(end - at));
        if (n < 0 && errno == EPIPE)
            return 1;
        if (n <= 0 && errno != EINTR)
            return 2;
    }
}

/* closes from..to-1 */
static void close_between(int from, int to)
{
    if (from >= to || close_range((unsigned)from, (unsigned)to - 1, 0) == 0)
        return;
    for (; from < to && from < 65536; from++) /* an old kernel */
        close(from);
}

/* What feeder and watcher need no more: a caller may wait for the end of a
 * pipe that we would keep open. */
static void let_go(int spool, int to)
{
    int low = spool < to ? spool : to, high = spool < to ? to : spool;
    sigset_t all;
    int fd, null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (fd = 0; fd < 3; fd++)
        if (null >= 0)
            dup2(null, fd);
        else
            close(fd);
    close_between(3, low);
    close_between(low + 1, high);
    close_between(high + 1, INT_MAX);
    if (chdir("/") < 0)
        return;
}

static void watch(int spool, int to, off_t end) __attribute__((noreturn));
static void watch(int spool, int to, off_t end)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};

    let_go(spool, to);
    sigaction(SIGCHLD, &dfl, NULL); /* ignored, there is nothing to wait for */
    for (;;) {
        pid_t pid = fork();
        int status = 0;

        if (pid <= 0) /* no process to be had: unwatched then */
            _exit(feed(spool, to, end));
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (WIFEXITED(status) && WEXITSTATUS(status) < 2)
            _exit(0);
        if (WIFEXITED(status)) { /* it cannot: then there must be no end */
            for (;;)
                pause();
        }
    }
}

static int hand_by_pipe(const struct sm_spool *s)
{
    int p[2], rv;
    pid_t pid;

    if (pipe2(p, O_CLOEXEC) < 0 &&
        (errno != EMFILE || !sm_limits_files() || pipe2(p, O_CLOEXEC) < 0))
        return -1;
    rv = fill_pipe(s->fd, p[1], s->end);
    if (rv < 0)
        return -1;
    if (rv == 0) {
        pid = fork();
        if (pid < 0)
            return -1;
        if (pid == 0) { /* twice, so that the MTA has no child it knows not */
            pid = fork();
            if (pid == 0)
                watch(s->fd, p[1], s->end);
            _exit(pid < 0);
        }
        rv = 0;
        while (waitpid(pid, &rv, 0) < 0 && errno == EINTR)
            ;
        if (rv != 0) {
            errno = EAGAIN;
            return -1;
        }
    }
    close(p[1]);
    return dup2(p[0], STDIN_FILENO) < 0 ? -1 : 0;
}

void sm_submit(const struct mo_conf *conf, char **argv, struct sm_spool *s)
{
    int rv = conf->handover == MO_HANDOVER_PIPE ? hand_by_pipe(s)
                                                : dup2(s->fd, STDIN_FILENO);

    if (rv < 0)
        mo_fatal(EX_TEMPFAIL,
                 "cannot hand the message over: %s; nothing was "
                 "sent",
                 strerror(errno));
    sm_exec(conf, argv);
}
