/*
 * sink - stands for the real sendmail in tests: keeps what it was given.
 *
 * For each mail a folder SPOOL/TIME.PID, which appears whole by rename:
 *   argv  each argument with a NUL after it
 *   env   the environment, likewise
 *   data  standard input
 *   info  lines "NAME VALUE": uid gid pid ppid cwd
 * SPOOL is this program's own path with ".d" after it (/proc/self/exe), so
 * that neither environment nor arguments change it.  Files in SPOOL steer it:
 *   exit    its exit status     stdout, stderr    what it prints there
 *   noread  leaves standard input unread
 * Static, libc only: it also runs in chroots.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(EX_OSERR);
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);

        if (w < 0) {
            if (errno == EINTR) {
                continue;
            }
            fail("write");
        }
        p += w;
        n -= (size_t)w;
    }
}

static void copy(int from, int to)
{
    static char buf[65536];
    ssize_t n;

    while ((n = read(from, buf, sizeof(buf))) != 0) {
        if (n > 0) {
            write_all(to, buf, (size_t)n);
        }
        else if (errno != EINTR) {
            fail("read");
        }
    }
}

static int make(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0) {
        fail(name);
    }
    return fd;
}

static void put_strings(const char *name, char **s)
{
    int fd = make(name);

    for (; *s; s++) {
        write_all(fd, *s, strlen(*s) + 1);
    }
    close(fd);
}

static void say(const char *name, int to)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        copy(fd, to);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    static char spool[PATH_MAX], cwd[PATH_MAX], text[PATH_MAX + 200];
    char tmp[96], name[80], status[16];
    struct timespec ts;
    ssize_t n;
    int fd, rc = 0;

    (void)argc;
    umask(022);
    n = readlink("/proc/self/exe", spool, sizeof(spool) - 3);
    if (n < 0) {
        fail("/proc/self/exe");
    }
    memcpy(spool + n, ".d", 3);
    if (!getcwd(cwd, sizeof(cwd))) {
        strcpy(cwd, "?");
    }
    if (chdir(spool) != 0) {
        fail(spool);
    }
    clock_gettime(CLOCK_REALTIME, &ts);
    snprintf(name, sizeof(name), "%010lld.%09ld.%ld", (long long)ts.tv_sec,
             ts.tv_nsec, (long)getpid());
    snprintf(tmp, sizeof(tmp), "tmp.%s", name);
    if (mkdir(tmp, 0755) != 0 || chdir(tmp) != 0) {
        fail(tmp);
    }
    put_strings("argv", argv);
    put_strings("env", environ);
    fd = make("info");
    n = snprintf(text, sizeof(text),
                 "uid %ld\ngid %ld\npid %ld\nppid %ld\n"
                 "cwd %s\n",
                 (long)geteuid(), (long)getegid(), (long)getpid(),
                 (long)getppid(), cwd);
    write_all(fd, text, (size_t)n);
    close(fd);
    fd = make("data");
    if (access("../noread", F_OK) != 0) {
        copy(0, fd);
    }
    if (close(fd) != 0 || chdir("..") != 0 || rename(tmp, name) != 0) {
        fail(name);
    }
    say("stdout", 1);
    say("stderr", 2);
    fd = open("exit", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, status, sizeof(status) - 1);
        status[n > 0 ? n : 0] = '\0';
        rc = atoi(status);
        close(fd);
    }
    return rc;
}
