/*
 * runs [-s] N INPUT COMMAND ARG…: starts the command N times with INPUT as its
 * standard input, one after the other; prints how long each took, in ms, its
 * CPU time with its children's, in ms, its minor page faults, and the most
 * memory that one command had so far, in kB.  -s: INPUT is the client's side
 * of an SMTP dialogue, held with the command over pipes.
 * (Debian 12's hyperfine cannot give a command an input without a shell.)
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dialogue.h"

extern char **environ;

static double cpu_ms(const struct rusage *r)
{
    return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1e3 +
           (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e3;
}

/* The command, its input the file; or, with pipes, what to say and hear by. */
static int start(pid_t *pid, const char *input, char **argv, int *pipes)
{
    posix_spawn_file_actions_t files;
    int in[2] = {-1, -1}, out[2] = {-1, -1}, e;

    posix_spawn_file_actions_init(&files);
    if (pipes) {
        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
            return errno;
        posix_spawn_file_actions_adddup2(&files, in[0], 0);
        posix_spawn_file_actions_adddup2(&files, out[1], 1);
        pipes[0] = in[1];
        pipes[1] = out[0];
    }
    else
        posix_spawn_file_actions_addopen(&files, 0, input, O_RDONLY, 0);
    e = posix_spawn(pid, argv[0], &files, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    if (pipes) {
        close(in[0]);
        close(out[1]);
    }
    return e;
}

int main(int argc, char **argv)
{
    struct timespec a, b;
    struct rusage before, after;
    int smtp = argc > 1 && strcmp(argv[1], "-s") == 0;
    int n, status, e, fd, pipes[2];
    const char *text = NULL;
    struct stat st;
    pid_t pid;

    argv += smtp;
    argc -= smtp;
    n = argc > 3 ? atoi(argv[1]) : 0;
    if (n < 1) {
        fputs("usage: runs [-s] N INPUT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    if (smtp) {
        fd = open(argv[2], O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0 ||
            (text = mmap(NULL, (size_t)st.st_size, PROT_READ,
                         MAP_PRIVATE | MAP_POPULATE, fd, 0)) == MAP_FAILED) {
            fprintf(stderr, "runs: %s: %s\n", argv[2], strerror(errno));
            return 1;
        }
    }
    while (n--) {
        getrusage(RUSAGE_CHILDREN, &before);
        clock_gettime(CLOCK_MONOTONIC, &a);
        e = start(&pid, argv[2], argv + 3, smtp ? pipes : NULL);
        if (e) {
            fprintf(stderr, "runs: %s: %s\n", argv[3], strerror(e));
            return 1;
        }
        if (smtp) {
            if (dialogue(text, (size_t)st.st_size, pipes[0], pipes[1]) < 0)
                return 1;
            close(pipes[0]);
        }
        waitpid(pid, &status, 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        getrusage(RUSAGE_CHILDREN, &after);
        if (smtp)
            close(pipes[1]);
        if (status) {
            fprintf(stderr, "runs: %s: status %d\n", argv[3], status);
            return 1;
        }
        printf("%.4f %.4f %ld %ld\n",
               (double)(b.tv_sec - a.tv_sec) * 1e3 +
                   (double)(b.tv_nsec - a.tv_nsec) / 1e6,
               cpu_ms(&after) - cpu_ms(&before),
               after.ru_minflt - before.ru_minflt, after.ru_maxrss);
    }
    return 0;
}
