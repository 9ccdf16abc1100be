/*
 * own [-s] [-f] [-u UID GID] INPUT COMMAND ARG…: starts the command once, as
 * bench/runs does, under ptrace, and prints what its own process did, up to
 * where it becomes another program, or else to its end: system calls, page
 * faults, and its most memory in kB; with -f also the system calls of all that
 * it started and became.  -u: as that user, and what is setuid stays so.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dialogue.h"

static unsigned long calls, all;
static unsigned long before, faults, peak;

static void fatal(const char *what) __attribute__((noreturn));
static void fatal(const char *what)
{
    fprintf(stderr, "own: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The word after the name in a file of /proc/PID; or of its Nth word. */
static unsigned long proc(pid_t pid, const char *file, const char *name,
                          int nth)
{
    char path[64], buf[4096];
    const char *at;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
    if (n < 0)
        fatal(path);
    close(fd);
    buf[n] = '\0';
    at = name ? strstr(buf, name) : strrchr(buf, ')');
    if (!at)
        fatal(path);
    at += name ? strlen(name) : 1;
    while (at && --nth > 0)
        at = strchr(at + 1, ' ');
    return at ? strtoul(at, NULL, 10) : 0;
}

static void snapshot(pid_t pid)
{
    faults = proc(pid, "stat", NULL, 8); /* minflt, the 10th of all */
    peak = proc(pid, "status", "VmHWM:", 1);
}

static void child(const char *input, const int *ids, int *in, int *out,
                  char **argv)
{
    int fd = in ? in[0] : open(input, O_RDONLY);

    if (fd < 0 || dup2(fd, 0) < 0 || (out && dup2(out[1], 1) < 0))
        fatal(input);
    /* (while we are root: what is setuid asks for the one who traced then) */
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
        fatal("ptrace");
    if (ids && (setgroups(0, NULL) < 0 || setgid((gid_t)ids[1]) < 0 ||
                setuid((uid_t)ids[0]) < 0))
        fatal("-u");
    raise(SIGSTOP);
    execv(argv[0], argv);
    fatal(argv[0]);
}

/* One stop of pid; first: it is the command's own process, and still it. */
static int stopped(pid_t pid, int status, int first, int *execs)
{
    int sig = WSTOPSIG(status);
    struct __ptrace_syscall_info info;

    if (sig == (SIGTRAP | 0x80)) {
        if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY && *execs) {
            all++;
            calls += (unsigned)first;
            if (first && info.entry.nr == SYS_execve)
                snapshot(pid);
        }
        return 0;
    }
    if (status >> 16) {
        if (status >> 16 == PTRACE_EVENT_EXEC && first && ++*execs == 1)
            before = proc(pid, "stat", NULL, 8);
        if (status >> 16 == PTRACE_EVENT_EXIT && first)
            snapshot(pid);
        return 0;
    }
    return sig == SIGSTOP ? 0 : sig;
}

/* until the command, with -f all of its, has ended: its status */
static int trace(pid_t command, int follow, pid_t client)
{
    int status, execs = 0, first = 1, result = 0;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC |
                   PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
    pid_t pid;

    if (follow)
        options |=
            PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (waitpid(command, &status, 0) < 0 || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, command, 0, options) < 0 ||
        ptrace(PTRACE_SYSCALL, command, 0, 0) < 0)
        fatal("ptrace");
    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        int mine = pid == command, sig;

        if (pid < 0)
            continue;
        if (!WIFSTOPPED(status)) {
            if (mine || (pid == client && status))
                result = status;
            continue;
        }
        sig = stopped(pid, status, mine && first, &execs);
        if (mine && execs > 1 && first) {
            first = 0; /* it is another program now */
            if (!follow) {
                ptrace(PTRACE_DETACH, pid, 0, 0);
                continue;
            }
        }
        ptrace(PTRACE_SYSCALL, pid, 0, sig);
    }
    return result;
}

int main(int argc, char **argv)
{
    int smtp = 0, follow = 0, ids[2], as = 0, status, c, fd;
    int in[2], out[2];
    pid_t pid, client = -1;

    while ((c = getopt(argc, argv, "+sfu")) >= 0)
        if (c == 's')
            smtp = 1;
        else if (c == 'f')
            follow = 1;
        else if (c == 'u' && optind + 1 < argc) {
            ids[0] = atoi(argv[optind++]);
            ids[1] = atoi(argv[optind++]);
            as = 1;
        }
        else
            optind = argc;
    if (argc - optind < 2) {
        fputs("usage: own [-s] [-f] [-u UID GID] INPUT COMMAND [ARG...]\n",
              stderr);
        return 2;
    }
    argv += optind;
    if (smtp && (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0))
        fatal("pipe");
    pid = fork();
    if (pid == 0)
        child(argv[0], as ? ids : NULL, smtp ? in : NULL, smtp ? out : NULL,
              argv + 1);
    if (smtp)
        client = fork();
    if (client == 0) { /* no process of the command's */
        struct stat st;
        const char *text;

        close(in[0]);
        close(out[1]);
        fd = open(argv[0], O_RDONLY);
        if (fd < 0 || fstat(fd, &st) < 0)
            fatal(argv[0]);
        text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (text == MAP_FAILED)
            fatal(argv[0]);
        return dialogue(text, (size_t)st.st_size, in[1], out[0]) < 0;
    }
    if (smtp) {
        close(in[0]);
        close(in[1]);
        close(out[0]);
        close(out[1]);
    }
    status = trace(pid, follow, client);
    if (status) {
        fprintf(stderr, "own: %s: status %d\n", argv[1], status);
        return 1;
    }
    printf("%lu %lu %lu %lu\n", calls, faults - before, peak, all);
    return 0;
}
