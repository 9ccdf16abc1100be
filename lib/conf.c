/*
 * mailorigin.conf (mo_conf.h).  A table of keys, each with the function that
 * reads its value; a value that is not allowed is named in the message with
 * what is.  libc only, and no allocation: the wrapper reads it for each mail.
 */
#include "mo_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_header.h"
#include "mo_paths.h"

#define LINE_MAX_LEN 4096
#define FILE_MAX_LEN (1024 * 1024)
#define TIMEOUT_MIN_MS 10
#define TIMEOUT_MAX_MS 60000
#define COUNT_MAX 1000000000
#define PERIOD_MAX (366 * 86400)

struct err {
    char *text;
    size_t size;
};

static int fail(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int fail(struct err *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->text, e->size, fmt, ap);
    va_end(ap);
    return -1;
}

/* ---- values */

/* Which of words (NULL past the last) v is; -1 after an error is set. */
static int one_of(const char *v, const char *const *words, struct err *e)
{
    char list[256];
    size_t n = 0;
    int i;

    for (i = 0; words[i]; i++)
        if (strcmp(v, words[i]) == 0)
            return i;
    for (i = 0; words[i] && n < sizeof(list); i++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "",
                              words[i]);
    return fail(e, "is '%.100s'; allowed: %s", v, list);
}

static int path_value(char *to, size_t size, const char *v, const char *what,
                      struct err *e)
{
    if (v[0] != '/' || v[1] == '\0')
        return fail(e, "is '%.100s'; allowed: %s, beginning with '/'", v, what);
    if (strlen(v) >= size)
        return fail(e, "is too long; allowed: at most %zu bytes", size - 1);
    strcpy(to, v);
    return 0;
}

/* digits at *p, at most max; -1: none, or more than that */
static long number(const char **p, long max)
{
    long n = 0;

    if (!isdigit((unsigned char)**p))
        return -1;
    for (; isdigit((unsigned char)**p); ++*p) {
        n = n * 10 + (**p - '0');
        if (n > max)
            return -1;
    }
    return n;
}

/* the length of the word at p */
static size_t word_len(const char *p)
{
    return strcspn(p, " \t");
}

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* "hour", "10m", "1d", "90" (seconds): in seconds; -1: none of these */
static long period_value(const char *p, size_t len)
{
    static const struct {
        const char *name;
        long seconds;
    } units[] = {{"s", 1},     {"sec", 1},     {"second", 1}, {"m", 60},
                 {"min", 60},  {"minute", 60}, {"h", 3600},   {"hour", 3600},
                 {"d", 86400}, {"day", 86400}, {"w", 604800}, {"week", 604800},
                 {"", 1}};
    const char *end = p + len;
    long n = 1;
    size_t i;

    if (len == 0)
        return -1;
    if (isdigit((unsigned char)*p)) {
        n = number(&p, PERIOD_MAX);
        if (n < 1)
            return -1;
    }
    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strlen(units[i].name) == (size_t)(end - p) &&
            strncmp(units[i].name, p, (size_t)(end - p)) == 0)
            return n <= PERIOD_MAX / units[i].seconds ? n * units[i].seconds
                                                      : -1;
    return -1;
}

/* "N/PERIOD by KEY" at *p, which is moved to what follows */
static int rate_value(const char **p, unsigned *n, unsigned *period,
                      enum mo_key_by *by)
{
    static const char *const keys[] = {"vhost", "script", "client", "uid"};
    const char *s = *p;
    long count = number(&s, COUNT_MAX), secs;
    size_t len, i;

    if (count < 1 || *s++ != '/')
        return -1;
    len = word_len(s);
    secs = period_value(s, len);
    if (secs < 1)
        return -1;
    s = skip_blanks(s + len);
    if (strncmp(s, "by", 2) != 0 || word_len(s) != 2)
        return -1;
    s = skip_blanks(s + 2);
    len = word_len(s);
    for (i = 0; i < 4; i++)
        if (strlen(keys[i]) == len && strncmp(keys[i], s, len) == 0)
            break;
    if (i == 4)
        return -1;
    *n = (unsigned)count;
    *period = (unsigned)secs;
    *by = (enum mo_key_by)(MO_BY_VHOST + (int)i);
    *p = skip_blanks(s + len);
    return 0;
}

/* ---- keys */

static int set_sendmail(struct mo_conf *c, const char *v, struct err *e)
{
    return path_value(c->sendmail, sizeof(c->sendmail), v,
                      "the path of the real sendmail", e);
}

static int set_mta(struct mo_conf *c, const char *v, struct err *e)
{
    static const char *const words[] = {
        "unknown", "postfix", "exim",       "sendmail", "opensmtpd",
        "msmtp",   "dma",     "nullmailer", "ssmtp",    NULL};
    int i = one_of(v, words, e);

    if (i < 0)
        return -1;
    c->mta = (enum mo_mta)i;
    return 0;
}

static int set_on_failure(struct mo_conf *c, const char *v, struct err *e)
{
    static const char *const words[] = {"send", "refuse", NULL};
    int i = one_of(v, words, e);

    if (i < 0)
        return -1;
    c->on_failure = (enum mo_on_failure)i;
    return 0;
}

static int set_timeout(struct mo_conf *c, const char *v, struct err *e)
{
    const char *p = v;
    long n = number(&p, TIMEOUT_MAX_MS);

    if (strcmp(p, "s") == 0 && n <= TIMEOUT_MAX_MS / 1000)
        n *= 1000;
    else if (strcmp(p, "ms") != 0)
        n = -1;
    if (n < TIMEOUT_MIN_MS || n > TIMEOUT_MAX_MS)
        return fail(e, "is '%.100s'; allowed: 10ms to 60s", v);
    c->timeout_ms = (unsigned)n;
    return 0;
}

static int set_handover(struct mo_conf *c, const char *v, struct err *e)
{
    static const char *const words[] = {"memfd", "pipe", NULL};
    int i = one_of(v, words, e);

    if (i < 0)
        return -1;
    c->handover = (enum mo_handover)i;
    return 0;
}

static int set_hold(struct mo_conf *c, const char *v, struct err *e)
{
    static const char *const words[] = {"defer", "header", NULL};
    int i = one_of(v, words, e);

    if (i < 0)
        return -1;
    c->hold = (enum mo_hold)i;
    return 0;
}

static int set_header(struct mo_conf *c, const char *v, struct err *e)
{
    /* fields that a mail has by itself: the wrapper would drop them */
    static const char *const taken[] = {"From",
                                        "Sender",
                                        "Reply-To",
                                        "To",
                                        "Cc",
                                        "Bcc",
                                        "Subject",
                                        "Date",
                                        "Message-ID",
                                        "In-Reply-To",
                                        "References",
                                        "Return-Path",
                                        "Received",
                                        "MIME-Version",
                                        "Comments",
                                        "Keywords",
                                        "List-Unsubscribe"};
    size_t n = strlen(v), i;

    for (i = 0; i < n; i++)
        if (!isalnum((unsigned char)v[i]) && (i == 0 || v[i] != '-'))
            break;
    if (i < n || n == 0 || n >= sizeof(c->header))
        return fail(e,
                    "is '%.100s'; allowed: a header field's name of letters, "
                    "digits and '-', at most %zu long",
                    v, sizeof(c->header) - 1);
    for (i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (strcasecmp(taken[i], v) == 0)
            break;
    if (i < sizeof(taken) / sizeof(taken[0]) ||
        strncasecmp(v, "Content-", 8) == 0 || strncasecmp(v, "Resent-", 7) == 0)
        return fail(e,
                    "is '%.100s'; allowed: a name that mails do not use "
                    "already, such as " MO_HEADER_NAME,
                    v);
    strcpy(c->header, v);
    return 0;
}

static int set_disclose(struct mo_conf *c, const char *v, struct err *e)
{
    static const char *const words[] = {"none", "vhost", "script", "uri", NULL};
    int i = one_of(v, words, e);

    if (i < 0)
        return -1;
    c->disclose = (enum mo_disclose)i;
    return 0;
}

static int set_log(struct mo_conf *c, const char *v, struct err *e)
{
    return path_value(c->log, sizeof(c->log), v, "the path of the mail log", e);
}

static int set_budget(struct mo_conf *c, const char *v, struct err *e)
{
    const char *p = v;
    long n = number(&p, COUNT_MAX);

    if (n < 0 || *p)
        return fail(e,
                    "is '%.100s'; allowed: mails a minute, 0 to %d (0: no "
                    "end)",
                    v, COUNT_MAX);
    c->budget = (unsigned)n;
    return 0;
}

static int set_limit(struct mo_conf *c, const char *v, struct err *e)
{
    struct mo_limit l = {0, 0, 0, MO_BY_VHOST};
    const char *p = v;

    if (c->nlimits == MO_CONF_RULES)
        return fail(e, "stands more than %d times; allowed: %d", MO_CONF_RULES,
                    MO_CONF_RULES);
    if (rate_value(&p, &l.n, &l.period, &l.by) < 0)
        goto bad;
    if (*p) {
        long n;

        if (strncmp(p, "burst", 5) != 0 || word_len(p) != 5)
            goto bad;
        p = skip_blanks(p + 5);
        n = number(&p, COUNT_MAX);
        if (n < 1 || *p)
            goto bad;
        l.burst = (unsigned)n;
    }
    c->limit[c->nlimits++] = l;
    return 0;
bad:
    return fail(e,
                "is '%.100s'; allowed: N/PERIOD by vhost|script|client|uid "
                "[burst N], such as '500/hour by vhost'",
                v);
}

static int set_alert(struct mo_conf *c, const char *v, struct err *e)
{
    struct mo_alert *a = &c->alert[c->nalerts];
    const char *p = v;

    if (c->nalerts == MO_CONF_RULES)
        return fail(e, "stands more than %d times; allowed: %d", MO_CONF_RULES,
                    MO_CONF_RULES);
    if (rate_value(&p, &a->n, &a->period, &a->by) < 0 || *p != '/' ||
        strlen(p) >= sizeof(a->program))
        return fail(e,
                    "is '%.100s'; allowed: N/PERIOD by vhost|script|client|uid "
                    "/PATH/OF/PROGRAM",
                    v);
    strcpy(a->program, p);
    c->nalerts++;
    return 0;
}

static int set_access_log(struct mo_conf *c, const char *v, struct err *e)
{
    struct mo_access_log *a = &c->access_log[c->naccess_logs];
    size_t len = word_len(v), flen;
    const char *format = skip_blanks(v + len);

    if (c->naccess_logs == MO_CONF_RULES)
        return fail(e, "stands more than %d times; allowed: %d", MO_CONF_RULES,
                    MO_CONF_RULES);
    flen = strlen(format);
    /* httpd's own line may be pasted, with its quotes around the whole */
    if (flen >= 2 && format[0] == '"' && format[flen - 1] == '"' &&
        format[1] == '%') {
        format++;
        flen -= 2;
    }
    if (v[0] != '/' || len >= sizeof(a->glob) || flen == 0 ||
        flen >= sizeof(a->format))
        return fail(e,
                    "is '%.100s'; allowed: /PATH/GLOB and a format: a "
                    "nickname (common, combined, vhost_combined) or as "
                    "LogFormat has it",
                    v);
    memcpy(a->glob, v, len);
    a->glob[len] = '\0';
    memcpy(a->format, format, flen);
    a->format[flen] = '\0';
    c->naccess_logs++;
    return 0;
}

static const struct key {
    const char *name;
    int (*set)(struct mo_conf *c, const char *value, struct err *e);
} keys[] = {
    {"sendmail", set_sendmail},
    {"mta", set_mta},
    {"on-failure", set_on_failure},
    {"timeout", set_timeout},
    {"handover", set_handover},
    {"header", set_header},
    {"disclose", set_disclose},
    {"log", set_log},
    {"hold", set_hold},
    {"budget", set_budget},
    {"limit", set_limit},
    {"alert", set_alert},
    {"access-log", set_access_log},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

const char *mo_conf_key(unsigned i)
{
    return i < NKEYS ? keys[i].name : NULL;
}

/* Not the rules' arrays: only their first entries, up to the count, are ever
 * read, and they are 80 KB that a mail need not touch. */
void mo_conf_defaults(struct mo_conf *c)
{
    c->sendmail[0] = '\0';
    c->mta = MO_MTA_UNKNOWN;
    c->on_failure = MO_FAIL_SEND;
    c->timeout_ms = 2000;
    c->handover = MO_HANDOVER_MEMFD;
    strcpy(c->header, MO_HEADER_NAME);
    c->disclose = MO_DISCLOSE_NONE;
    c->hold = MO_HOLD_DEFER;
    strcpy(c->log, MO_LOG_PATH);
    c->budget = 0;
    c->nlimits = 0;
    c->nalerts = 0;
    c->naccess_logs = 0;
}

static int conf_line(struct mo_conf *c, const char *line, size_t len,
                     struct err *e)
{
    char copy[LINE_MAX_LEN], text[512], *value, *p;
    struct err inner = {text, sizeof(text)};
    size_t i, n = 0;

    if (memchr(line, '\0', len))
        return fail(e, "a NUL byte; allowed: text");
    while (len && strchr(" \t\r\n", line[len - 1]))
        len--;
    while (len && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    if (len == 0 || *line == '#')
        return 0;
    if (len >= sizeof(copy))
        return fail(e, "a line of %zu bytes; allowed: at most %zu", len,
                    sizeof(copy) - 1);
    memcpy(copy, line, len);
    copy[len] = '\0';
    p = copy + word_len(copy);
    value = (char *)skip_blanks(p);
    *p = '\0';
    for (i = 0; i < NKEYS; i++) {
        if (strcmp(keys[i].name, copy) != 0)
            continue;
        if (keys[i].set(c, value, &inner) < 0)
            return fail(e, "%s %s", copy, text);
        return 0;
    }
    for (i = 0; i < NKEYS && n < sizeof(text); i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? ", " : "",
                              keys[i].name);
    return fail(e, "there is no key '%.100s'; allowed: %s", copy, text);
}

int mo_conf_line(struct mo_conf *c, const char *line, char *err, size_t errsize)
{
    struct err e = {err, errsize};

    if (errsize)
        err[0] = '\0';
    return conf_line(c, line, strlen(line), &e);
}

int mo_conf_read(struct mo_conf *c, const char *path, char *err, size_t errsize)
{
    /* a piece of the file; a line that does not fit is said to be too long */
    char buf[2 * LINE_MAX_LEN], text[700];
    struct err e = {err, errsize}, inner = {text, sizeof(text)};
    size_t have = 0, total = 0;
    unsigned long lineno = 0;
    int fd, eof = 0, bad = 0, saved;
    struct stat st;

    if (errsize)
        err[0] = '\0';
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        goto failed;
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        errno = 0;
        return fail(&e, "%s: not a regular file", path);
    }
    while (!eof) {
        char *line = buf, *nl;
        ssize_t n = read(fd, buf + have, sizeof(buf) - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto failed;
        eof = n == 0;
        have += (size_t)n;
        total += (size_t)n;
        while (have) {
            size_t len;

            nl = memchr(line, '\n', have);
            if (!nl && !eof && have < sizeof(buf))
                break;
            len = nl ? (size_t)(nl - line) : have;
            lineno++;
            if (conf_line(c, line, len, &inner) < 0 && !bad++)
                fail(&e, "%s:%lu: %s", path, lineno, text);
            len += nl != NULL;
            line += len;
            have -= len;
        }
        memmove(buf, line, have);
        if (total > FILE_MAX_LEN) {
            close(fd);
            errno = 0;
            return fail(&e, "%s: over %d bytes", path, FILE_MAX_LEN);
        }
    }
    close(fd);
    errno = 0;
    return bad ? -1 : 0;
failed:
    saved = errno;
    if (fd >= 0)
        close(fd);
    fail(&e, "%s: %s", path, strerror(saved));
    errno = saved;
    return -1;
}
