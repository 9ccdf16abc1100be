/*
 * sink - stands for the real sendmail in tests: keeps what it was given.
 *
 * For each mail a folder SPOOL/TIME.PID, which appears whole by rename:
 *   argv  each argument with a NUL after it
 *   env   the environment, likewise
 *   data  standard input
 *   info  lines "NAME VALUE": uid gid pid ppid cwd
 * SPOOL is this program's own path with ".d" after it (/proc/self/exe, and
 * in a chroot without /proc the path it was started by), so
 * that neither environment nor arguments change it.  Files in SPOOL steer it:
 *   exit    its exit status     stdout, stderr    what it prints there
 *   noread  leaves standard input unread
 *
 * With -bs it speaks SMTP and keeps each mail likewise: data is what came
 * after 354 and before the line with the dot, as it came; envelope has the
 * MAIL and RCPT lines.  By its address a mail picks what is to happen:
 *   MAIL FROM:<nodata…>  DATA is answered by 452, in two lines
 *   MAIL FROM:<full…>    the message is answered by 552, in three lines
 *   MAIL FROM:<quit…>    421 instead of 354, and the end
 *   MAIL FROM:<die…>     no word at DATA, and the end
 *   MAIL FROM:<crash…>   the end at the dot, by SIGKILL
 *   MAIL FROM:<brake…>   reads the message's first bytes only
 *   RCPT TO:<no…>        550
 * and files in SPOOL:
 *   delay       milliseconds before the greeting; who talks before it is
 *               refused
 *   strict      only CR LF . CR LF ends a message
 *   transcript  keeps all that comes in SPOOL/session.TIME.PID, with a last
 *               line "EOF" where the client's end was seen
 * Static, libc only: it also runs in chroots.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <sys/auxv.h>
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
            if (errno == EINTR)
                continue;
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

/* ---- a mail's folder */

static char spool[PATH_MAX], cwd[PATH_MAX];
static char tmp[96], name[80];
static char **args;

static void make_name(void)
{
    static unsigned serial;
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    snprintf(name, sizeof(name), "%010lld.%09ld.%ld", (long long)ts.tv_sec,
             ts.tv_nsec, (long)getpid());
    if (serial++)
        snprintf(name + strlen(name), 12, ".%u", serial);
    snprintf(tmp, sizeof(tmp), "tmp.%s", name);
}

static int exists(const char *file)
{
    return access(file, F_OK) == 0;
}

/* Makes tmp, with all but the data, and stands in it; data's descriptor. */
static int begin_mail(void)
{
    static char text[PATH_MAX + 200];
    ssize_t n;
    int fd;

    make_name();
    if (mkdir(tmp, 0755) != 0 || chdir(tmp) != 0)
        fail(tmp);
    put_strings("argv", args);
    put_strings("env", environ);
    fd = make("info");
    n = snprintf(text, sizeof(text),
                 "uid %ld\ngid %ld\npid %ld\nppid %ld\n"
                 "cwd %s\n",
                 (long)geteuid(), (long)getegid(), (long)getpid(),
                 (long)getppid(), cwd);
    write_all(fd, text, (size_t)n);
    close(fd);
    return make("data");
}

static void end_mail(int fd)
{
    if (close(fd) != 0 || chdir("..") != 0 || rename(tmp, name) != 0)
        fail(name);
}

/* ---- -bs */

static char in[256 * 1024];
static size_t pos, have;
static int transcript = -1;

static int more(void)
{
    ssize_t n;

    if (pos) {
        memmove(in, in + pos, have - pos);
        have -= pos;
        pos = 0;
    }
    if (have == sizeof(in))
        return 0;
    do {
        n = read(0, in + have, sizeof(in) - have);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        fail("read");
    if (transcript >= 0)
        write_all(transcript, n ? in + have : "EOF\n", n ? (size_t)n : 4);
    have += (size_t)n;
    return n > 0;
}

/* the next line, its "\n" with it; NULL: there is none */
static char *line(size_t *len)
{
    char *nl, *l;

    while (!(nl = memchr(in + pos, '\n', have - pos)))
        if (!more())
            return NULL;
    l = in + pos;
    *len = (size_t)(nl + 1 - l);
    pos += *len;
    return l;
}

static void say_line(const char *text)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t n = strlen(text); n;) {
        ssize_t w = write(1, text, n);

        if (w < 0 && errno != EINTR)
            return;
        text += w > 0 ? w : 0;
        n -= w > 0 ? (size_t)w : 0;
    }
}

/* The message into a file; 0: it came whole. */
static int data(int fd, int strict, int brake)
{
    int bol = 1, cr = 1; /* the last line ended by CR LF */

    for (;;) {
        size_t n = have - pos;
        char *p = in + pos, *nl;

        if (brake && n)
            pause();
        if (bol && n && *p == '.' && (cr || !strict)) {
            if (n < 2 || (p[1] == '\r' && n < 3)) {
                if (!more())
                    return -1;
                continue;
            }
            if (p[1] == '\r' && p[2] == '\n') {
                pos += 3;
                return 0;
            }
            if (p[1] == '\n' && !strict) {
                pos += 2;
                return 0;
            }
        }
        nl = memchr(p, '\n', n);
        if (nl) {
            n = (size_t)(nl + 1 - p);
            cr = n > 1 && nl[-1] == '\r';
        }
        else if (n > 1)
            n--; /* the last may be a CR */
        else {
            if (!more())
                return -1;
            continue;
        }
        write_all(fd, p, n);
        bol = nl != NULL;
        pos += n;
    }
}

static int is(const char *l, const char *verb)
{
    return strncasecmp(l, verb, strlen(verb)) == 0;
}

static void smtp(void)
{
    char envelope[4096], sender[64] = "";
    int strict = exists("strict"), fd = open("delay", O_RDONLY), rcpts = 0;
    int envelope_fd;
    struct pollfd p = {.fd = 0, .events = POLLIN};
    size_t elen = 0, n;
    char *l, num[16] = "";

    if (fd >= 0 && read(fd, num, sizeof(num) - 1) >= 0)
        close(fd);
    if (exists("transcript")) {
        make_name();
        snprintf(envelope, sizeof(envelope), "session.%s", name);
        transcript = make(envelope);
    }
    if (num[0] && poll(&p, 1, atoi(num)) > 0 && !(p.revents & POLLHUP)) {
        say_line("554 5.5.0 you talk too early\r\n");
        return;
    }
    say_line("220 sink ESMTP STARTTLS\r\n");
    while ((l = line(&n)) != NULL) {
        if (is(l, "EHLO"))
            say_line("250-sink STARTTLS\r\n250-PIPELINING\r\n250-CHUNKING\r\n"
                     "250-SIZE 1000000000\r\n250-8BITMIME\r\n"
                     "250-BINARYMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
                     "250-AUTH LOGIN\r\n250 STARTTLS\r\n");
        else if (is(l, "MAIL")) {
            char *a = memchr(l, '<', n);

            snprintf(sender, sizeof(sender), "%.*s",
                     a ? (int)(l + n - a - 1) : 0, a ? a + 1 : "");
            elen = rcpts = 0;
            if (n < sizeof(envelope))
                memcpy(envelope, l, elen = n);
            say_line("250 2.1.0 Ok\r\n");
        }
        else if (is(l, "RCPT")) {
            char *a = memchr(l, '<', n);

            if (a && is(a, "<no")) {
                say_line("550-5.1.1 Not\r\n550 5.1.1 here\r\n");
                continue;
            }
            if (elen + n < sizeof(envelope)) {
                memcpy(envelope + elen, l, n);
                elen += n;
            }
            rcpts++;
            say_line("250 2.1.5 Ok\r\n");
        }
        else if (is(l, "DATA")) {
            if (is(sender, "die"))
                return;
            if (is(sender, "quit")) {
                say_line("421 4.3.2 going down\r\n");
                return;
            }
            if (!rcpts || is(sender, "nodata")) {
                say_line(rcpts ? "452-4.3.1 Full\r\n452 4.3.1 for now\r\n"
                               : "503 5.5.1 Need RCPT\r\n");
                continue;
            }
            fd = begin_mail();
            say_line("354 go on\r\n");
            if (data(fd, strict, is(sender, "brake")) < 0)
                return; /* under tmp.: no mail */
            if (is(sender, "crash"))
                raise(SIGKILL);
            envelope_fd = make("envelope");
            write_all(envelope_fd, envelope, elen);
            close(envelope_fd);
            end_mail(fd);
            say_line(is(sender, "full") ? "552-5.2.2 Too\r\n552-5.2.2 much\r\n"
                                          "552 5.2.2 of it\r\n"
                                        : "250 2.0.0 Ok: kept\r\n");
            rcpts = 0;
            elen = 0;
            sender[0] = '\0';
        }
        else if (is(l, "AUTH")) {
            say_line("334 VXNlcm5hbWU6\r\n");
            if (line(&n))
                say_line("334 UGFzc3dvcmQ6\r\n");
            if (line(&n))
                say_line("235 2.7.0 Ok\r\n");
        }
        else if (is(l, "QUIT")) {
            say_line("221 2.0.0 Bye\r\n");
            return;
        }
        else if (is(l, "HELO") || is(l, "NOOP") || is(l, "RSET")) {
            if (is(l, "RSET"))
                elen = rcpts = 0;
            say_line("250 2.0.0 Ok\r\n");
        }
        else if (is(l, "SLEEP")) { /* silent, then gone, as a timeout */
            say_line("421 4.4.2 timeout\r\n");
            return;
        }
        else
            say_line("500 5.5.2 what?\r\n");
    }
}

int main(int argc, char **argv)
{
    char status[16];
    ssize_t n;
    int fd, i, rc = 0, bs = 0;

    args = argv;
    for (i = 1; i < argc; i++)
        bs |= strcmp(argv[i], "-bs") == 0;
    umask(022);
    n = readlink("/proc/self/exe", spool, sizeof(spool) - 3);
    if (n < 0) {
        const char *path = (const char *)getauxval(AT_EXECFN);

        n = (ssize_t)strlen(path);
        if (n > (ssize_t)sizeof(spool) - 3)
            fail(path);
        memcpy(spool, path, (size_t)n);
    }
    memcpy(spool + n, ".d", 3);
    if (!getcwd(cwd, sizeof(cwd)))
        strcpy(cwd, "?");
    if (chdir(spool) != 0)
        fail(spool);
    if (bs)
        smtp();
    else {
        fd = begin_mail();
        if (!exists("../noread"))
            copy(0, fd);
        end_mail(fd);
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
