/*
 * runs N INPUT COMMAND ARG…: starts the command N times with INPUT as its
 * standard input, one after the other; prints how long each took, in ms, its
 * CPU time with its children's, in ms, its minor page faults, and the most
 * memory that one command had so far, in kB.
 * (Debian 12's hyperfine cannot give a command an input without a shell.)
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double cpu_ms(const struct rusage *r)
{
    return (double)(r->ru_utime.tv_sec + r->ru_stime.tv_sec) * 1e3 +
           (double)(r->ru_utime.tv_usec + r->ru_stime.tv_usec) / 1e3;
}

int main(int argc, char **argv)
{
    posix_spawn_file_actions_t files;
    struct timespec a, b;
    struct rusage before, after;
    int n = argc > 3 ? atoi(argv[1]) : 0, status, e;
    pid_t pid;

    if (n < 1) {
        fputs("usage: runs N INPUT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    while (n--) {
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, 0, argv[2], O_RDONLY, 0);
        getrusage(RUSAGE_CHILDREN, &before);
        clock_gettime(CLOCK_MONOTONIC, &a);
        e = posix_spawn(&pid, argv[3], &files, NULL, argv + 3, environ);
        if (e) {
            fprintf(stderr, "runs: %s: %s\n", argv[3], strerror(e));
            return 1;
        }
        waitpid(pid, &status, 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        getrusage(RUSAGE_CHILDREN, &after);
        posix_spawn_file_actions_destroy(&files);
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
