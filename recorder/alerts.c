/*
 * Alerts: a program is run with the record on its standard input.  No mail
 * waits for it: the record goes into a memfd, and the child is reaped by
 * SIGCHLD.  At most REC_ALERTS run at once; more are said and left out.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mo_msg.h"

#define RUN_NS (600ull * 1000000000) /* then it is ended */

static void run(const char *program, int in)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                         "/usr/bin:/sbin:/bin";
    char *env[] = {path, NULL};
    char *argv[] = {(char *)program, NULL};
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(in, 0) < 0 || dup2(null, 1) < 0)
        _exit(127);
    (void)!close_range(3, ~0u, 0); /* ours are gone at exec; others' stay */
    setsid();
    execve(program, argv, env);
    mo_error("alert %s: %s", program, strerror(errno));
    _exit(127);
}

void rec_alerts_reap(struct rec_alerts *a)
{
    uint64_t now = mo_boottime();
    int status;
    int i;

    for (i = 0; i < REC_ALERTS; i++) {
        if (a->pid[i] == 0)
            continue;
        if (waitpid(a->pid[i], &status, WNOHANG) == 0) {
            if (now - a->began[i] > RUN_NS)
                kill(-a->pid[i], SIGKILL);
            continue;
        }
        if (WIFSIGNALED(status))
            mo_warn("alert %s: ended by signal %d", a->program[i],
                    WTERMSIG(status));
        else if (WEXITSTATUS(status) != 0)
            mo_warn("alert %s: exit status %d", a->program[i],
                    WEXITSTATUS(status));
        a->pid[i] = 0;
    }
}

int rec_alerts_running(const struct rec_alerts *a)
{
    int i;

    for (i = 0; i < REC_ALERTS; i++)
        if (a->pid[i] != 0)
            return 1;
    return 0;
}

void rec_alert_run(struct rec_alerts *a, const char *program, const char *json,
                   size_t len)
{
    pid_t pid;
    int fd;
    int i;

    rec_alerts_reap(a);
    for (i = 0; i < REC_ALERTS && a->pid[i] != 0;)
        i++;
    if (i == REC_ALERTS) {
        mo_warn("alert %s: %d programs run already; left out", program,
                REC_ALERTS);
        return;
    }
    fd = memfd_create("alert", MFD_CLOEXEC);
    if (fd < 0 || write(fd, json, len) != (ssize_t)len ||
        lseek(fd, 0, SEEK_SET) != 0) {
        mo_warn("alert %s: %s", program, strerror(errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    pid = fork();
    if (pid == 0)
        run(program, fd);
    if (pid < 0) {
        mo_warn("alert %s: %s", program, strerror(errno));
    }
    else {
        a->pid[i] = pid;
        snprintf(a->program[i], sizeof a->program[i], "%s", program);
        a->began[i] = mo_boottime();
    }
    close(fd);
}
