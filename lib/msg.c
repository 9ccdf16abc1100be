/*
 * What our programs say to people (mo_msg.h): one write(2) a line, printable
 * ASCII only, so that no name a stranger chose can paint on a terminal.
 *
 * Syslog is spoken here in a few lines rather than by syslog(3), which waits
 * without end where the log daemon is stopped: a mail must not hang on that.
 */
#include "mo_msg.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE 1024
#define SYSLOG_WAIT_MS 500
#define SYSLOG_STUCK_S 10 /* not waited for again so long */

static const char *name = "mailorigin";
static int to_syslog;

void mo_msg_init(const char *program)
{
    name = program;
}

void mo_msg_syslog(int on)
{
    to_syslog = on;
}

/* text into out with every byte that is not printable ASCII as \xHH */
static size_t escape(char *out, size_t size, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;

    for (; *text && n + 5 < size; text++) {
        unsigned char c = (unsigned char)*text;

        if (c >= ' ' && c < 127) {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '\\';
        out[n++] = 'x';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    out[n] = '\0';
    return n;
}

static void say_syslog(int level, const char *text)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    char line[LINE + 128], when[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    int fd, n;

    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (localtime_r(&now, &tm))
        strftime(when, sizeof(when), "%b %e %H:%M:%S ", &tm);
    n = snprintf(line, sizeof(line), "<%d>%s%s[%d]: %s", LOG_MAIL | level, when,
                 name, (int)getpid(), text);
    if (n >= (int)sizeof(line))
        n = (int)sizeof(line) - 1;
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
        send(fd, line, (size_t)n, MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
        static time_t stuck; /* when it was last waited for in vain */
        struct pollfd p = {.fd = fd, .events = POLLOUT};

        if (now - stuck >= 0 && now - stuck < SYSLOG_STUCK_S)
            ;
        else if (poll(&p, 1, SYSLOG_WAIT_MS) == 1)
            (void)!send(fd, line, (size_t)n, MSG_NOSIGNAL);
        else
            stuck = now;
    }
    close(fd);
}

static void say(int level, const char *fmt, va_list ap)
{
    char text[LINE], line[LINE + 64];
    size_t n, off = 0;
    int saved = errno;

    vsnprintf(text, sizeof(text), fmt, ap);
    if (to_syslog) {
        escape(line, LINE, text);
        say_syslog(level, line);
        errno = saved;
        return;
    }
    n = (size_t)snprintf(line, 64, "%.60s: ", name);
    n += escape(line + n, sizeof(line) - 1 - n, text);
    line[n++] = '\n';
    while (off < n) {
        ssize_t done = write(STDERR_FILENO, line + off, n - off);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        off += (size_t)done;
    }
    errno = saved;
}

void mo_info(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(LOG_INFO, fmt, ap);
    va_end(ap);
}

void mo_warn(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(LOG_WARNING, fmt, ap);
    va_end(ap);
}

void mo_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(LOG_ERR, fmt, ap);
    va_end(ap);
}

void mo_fatal(int status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(LOG_ERR, fmt, ap);
    va_end(ap);
    exit(status);
}
