/*
 * shorten N CMD ARG… - runs CMD so that none of its calls to read, write,
 * pread, pwrite, sendfile or splice moves more than N bytes: short reads and
 * writes, as the kernel may give them.  Only CMD's own program is meant: what
 * it executes later runs untouched.  Its exit status is ours; 125: trouble.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <elf.h>
#include <unistd.h>

#if defined(__x86_64__)
#define CALL(r) (r).orig_rax
#define ARG3(r) (r).rdx
#define ARG4(r) (r).r10
#define ARG5(r) (r).r8
#elif defined(__aarch64__)
#define CALL(r) (r).regs[8]
#define ARG3(r) (r).regs[2]
#define ARG4(r) (r).regs[3]
#define ARG5(r) (r).regs[4]
#else
#error "shorten: registers of this machine are not known"
#endif

static void cut(pid_t pid, unsigned long max)
{
    struct user_regs_struct regs;
    struct iovec iov = {&regs, sizeof(regs)};

    if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov) < 0)
        return;
    switch (CALL(regs)) {
    case SYS_read:
    case SYS_write:
    case SYS_pread64:
    case SYS_pwrite64:
        if (ARG3(regs) <= max)
            return;
        ARG3(regs) = max;
        break;
    case SYS_sendfile:
        if (ARG4(regs) <= max)
            return;
        ARG4(regs) = max;
        break;
    case SYS_splice:
        if (ARG5(regs) <= max)
            return;
        ARG5(regs) = max;
        break;
    default:
        return;
    }
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &iov);
}

int main(int argc, char **argv)
{
    unsigned long max = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
    int status, entering = 1, execs = 0;
    pid_t pid;

    if (!max) {
        fputs("usage: shorten N CMD [ARG...]\n", stderr);
        return 125;
    }
    pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        execv(argv[2], argv + 2);
        _exit(125);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 125;
    ptrace(PTRACE_SETOPTIONS, pid, NULL,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        int sig = WSTOPSIG(status);

        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
            if (++execs == 2) {
                ptrace(PTRACE_DETACH, pid, NULL, NULL);
                waitpid(pid, &status, 0);
                break;
            }
            sig = 0;
        }
        else if (sig == (SIGTRAP | 0x80)) {
            if (entering && execs)
                cut(pid, max);
            entering = !entering;
            sig = 0;
        }
        ptrace(PTRACE_SYSCALL, pid, NULL, (long)sig);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
