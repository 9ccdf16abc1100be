/*
 * check --send, --url: the chain end to end.
 *
 * --send ADDRESS hands one small mail to what stands at /usr/sbin/sendmail
 * and waits for its record.  --url URL requests that page, whose script is
 * to send a mail, and waits for a record that names the request.  With --put
 * DIR that script is ours: it is put there for as long as the request takes.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wrap.h"

#define WAIT_SECONDS 15

struct hunt {
    const char *message_id; /* --send */
    const char *uri; /* --url */
    uint64_t since;
    char verdict[32], vhost[256], uri_seen[1024], script[1024], id[32];
    int found;
};

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void keep(char *to, size_t size, const char *s)
{
    snprintf(to, size, "%s", s != NULL ? s : "");
}

static int look(void *arg, struct mo_record *r)
{
    struct hunt *h = arg;
    const char *mid = r->value[MO_F_MESSAGE_ID], *uri = r->value[MO_F_URI];
    uint64_t t = 0;

    if (h->message_id != NULL &&
        (mid == NULL || strcmp(mid, h->message_id) != 0))
        return 0;
    if (h->uri != NULL &&
        (uri == NULL || strcmp(uri, h->uri) != 0 ||
         r->value[MO_F_REQUEST_TIME] == NULL ||
         mo_time_parse(r->value[MO_F_REQUEST_TIME], &t) != 0 || t < h->since))
        return 0;
    keep(h->verdict, sizeof h->verdict, r->value[MO_F_VERDICT]);
    keep(h->vhost, sizeof h->vhost, r->value[MO_F_VHOST]);
    keep(h->uri_seen, sizeof h->uri_seen, uri);
    keep(h->script, sizeof h->script, r->value[MO_F_SCRIPT]);
    keep(h->id, sizeof h->id, r->value[MO_F_ID]);
    h->found = 1;
    return 1;
}

static int wait_for(struct check *k, struct hunt *h)
{
    struct cli c = *k->cli;
    struct timespec nap = {0, 200000000};

    c.since = h->since - 1000000;
    c.until = 0;
    c.nfilters = 0;
    for (int i = 0; i < WAIT_SECONDS * 5 && !h->found; i++) {
        if (cli_records(&c, look, h, NULL) != 0)
            return 0;
        if (!h->found)
            nanosleep(&nap, NULL);
    }
    return h->found;
}

/* Runs argv with input (NULL: none) as its stdin; the exit status or -1. */
static int feed(const char *const argv[], const char *input)
{
    int p[2], status;
    pid_t pid;

    if (pipe2(p, O_CLOEXEC) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        dup2(p[0], 0);
        dup2(null, 1);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(p[0]);
    if (pid > 0 && input != NULL) {
        size_t len = strlen(input);

        /* far below PIPE_BUF: whole or not at all */
        if (write(p[1], input, len) != (ssize_t)len)
            status = -1;
    }
    close(p[1]);
    if (pid < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_mail(struct check *k, const char *address)
{
    char mid[128], host[256] = "localhost", text[1024], id[17];
    struct hunt h = {.since = now_us()};
    const char *const argv[] = {wrap_paths[0], "-i", "--", address, NULL};
    int status;

    gethostname(host, sizeof host - 1);
    mo_random_id(id);
    snprintf(mid, sizeof mid, "<check.%s@%.80s>", id, host);
    snprintf(text, sizeof text,
             "To: <%.200s>\nSubject: mailorigin check\nMessage-ID: %s\n\n"
             "A probe of mailorigin check on %s.\n",
             address, mid, host);
    h.message_id = mid;
    status = feed(argv, text);
    if (status != 0)
        check_say(k, CHECK_BROKEN, "send", "see the mail server's log",
                  "%s ended with status %d", argv[0], status);
    else if (wait_for(k, &h))
        check_say(k, CHECK_OK, "send", NULL, "mail %s to %s was recorded: %s",
                  h.id, address, h.verdict);
    else
        check_say(k, CHECK_BROKEN, "send",
                  "mailorigin wrap, and see the recorder above",
                  "the mail to %s went, but no record of it came in %d s",
                  address, WAIT_SECONDS);
}

static void check_url(struct check *k, const char *url)
{
    struct hunt h = {.since = now_us()};
    const char *const argv[] = {
        "/usr/bin/curl", "--silent",  "--show-error", "--max-time", "30",
        "--output",      "/dev/null", "--",           url,          NULL};
    char uri[2048] = "/";
    const char *path = strstr(url, "://");
    int status;

    path = path != NULL ? strchr(path + 3, '/') : NULL;
    if (path != NULL)
        snprintf(uri, sizeof uri, "%.*s", (int)strcspn(path, "?#"), path);
    h.uri = uri;
    if (access(argv[0], X_OK) != 0) {
        check_say(k, CHECK_WARN, "url", "apt install curl",
                  "%s is missing: the URL was not requested", argv[0]);
        return;
    }
    status = feed(argv, NULL);
    if (status != 0)
        check_say(k, CHECK_BROKEN, "url", "see curl's message",
                  "%s: curl ended with status %d", url, status);
    else if (!wait_for(k, &h))
        check_say(k, CHECK_BROKEN, "url",
                  "does that script mail, and is MailOrigin On there?",
                  "%s was requested, but no mail with that request was "
                  "recorded in %d s",
                  url, WAIT_SECONDS);
    else
        check_say(k, strcmp(h.verdict, "verified") == 0 ? CHECK_OK : CHECK_WARN,
                  "url", "see what the verdict means in mailorigin(1)",
                  "%s: mail %s is %s: %s %s, script %s", url, h.id, h.verdict,
                  h.vhost, h.uri_seen, h.script);
}

/* Can it stand between quotes in a script, and is it one address? */
static int is_plain(const char *address)
{
    return address[strspn(address,
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                          "0123456789.@_+=-")] == '\0';
}

/* The script at path, readable for all; 0, or -1 with errno. */
static int put_script(const char *path, const char *address)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int bad = fd < 0 ||
              dprintf(fd,
                      "<?php // made by mailorigin check, which takes it away\n"
                      "mail('%s', 'mailorigin check', \"A probe.\\n\");\n",
                      address) < 0 ||
              fchmod(fd, 0644) != 0;

    if (fd >= 0)
        close(fd);
    return bad ? -1 : 0;
}

static void check_put(struct check *k, const char *address, const char *url,
                      const char *dir)
{
    char id[17], path[PATH_MAX], full[2048];
    size_t n = strlen(url);
    sigset_t stop, old;

    if (!is_plain(address)) {
        check_say(k, CHECK_BROKEN, "url", "give a plain address",
                  "%s can't be put into a script", address);
        return;
    }
    mo_random_id(id);
    snprintf(path, sizeof path, "%s/mailorigin-check-%s.php", dir, id);
    snprintf(full, sizeof full, "%s%smailorigin-check-%s.php", url,
             n > 0 && url[n - 1] == '/' ? "" : "/", id);
    /* it goes away whatever happens; who stops us waits for that */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, &old);
    if (put_script(path, address) != 0)
        check_say(k, CHECK_BROKEN, "url", "name a folder that can be written",
                  "%s: %s", path, strerror(errno));
    else
        check_url(k, full);
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        check_say(k, CHECK_BROKEN, "url", "remove it", "%s is left: %s", path,
                  strerror(errno));
    sigprocmask(SIG_SETMASK, &old, NULL);
}

void check_send(struct check *k, const char *address, const char *url,
                const char *dir)
{
    if (address != NULL)
        check_mail(k, address);
    if (dir != NULL)
        check_put(k, address, url, dir);
    else if (url != NULL)
        check_url(k, url);
}
