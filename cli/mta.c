/*
 * Which mail program a sendmail binary belongs to.
 *
 * A link's end names it on Debian with Exim, msmtp, dma, ssmtp and
 * Sendmail's own; Postfix, nullmailer and OpenSMTPD install a program that is
 * called sendmail, so its own strings have to tell.
 */
#include "mta.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    enum mo_mta mta;
    const char *name;
    const char *file; /* the program's file name begins with this */
    const char *word[2]; /* all stand in the program */
} known[] = {
    {MO_MTA_EXIM, "exim", "exim", {"Exim version", "exim"}},
    {MO_MTA_OPENSMTPD, "opensmtpd", "smtpctl", {"smtpd.sock", "smtpctl"}},
    {MO_MTA_MSMTP, "msmtp", "msmtp", {"msmtp", ".msmtprc"}},
    {MO_MTA_DMA, "dma", "dma", {"/etc/dma", "DragonFly Mail Agent"}},
    {MO_MTA_SSMTP, "ssmtp", "ssmtp", {"ssmtp.conf", "sSMTP"}},
    {MO_MTA_POSTFIX,
     "postfix",
     "postfix",
     {"postdrop", "Postfix sendmail command"}},
    {MO_MTA_NULLMAILER, "nullmailer", "nullmailer", {"nullmailer-", NULL}},
    {MO_MTA_SENDMAIL, "sendmail", NULL, {"sendmail.cf", "Proofpoint"}},
    {MO_MTA_SENDMAIL, "sendmail", NULL, {"sendmail.cf", "submit.cf"}},
};
#define NKNOWN (sizeof known / sizeof *known)

const char *mta_name(enum mo_mta m)
{
    for (size_t i = 0; i < NKNOWN; i++) {
        if (known[i].mta == m)
            return known[i].name;
    }
    return "unknown";
}

/* The whole file; programs of mail are a few MiB at most. */
static char *read_program(const char *path, size_t *len)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *p = NULL;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        st.st_size < 64 * 1024 * 1024)
        p = calloc(1, (size_t)st.st_size + 1);
    if (p != NULL) {
        size_t got = 0;
        ssize_t n;

        while (got < (size_t)st.st_size &&
               (n = read(fd, p + got, (size_t)st.st_size - got)) > 0)
            got += (size_t)n;
        *len = got;
    }
    else if (S_ISREG(st.st_mode)) {
        errno = EFBIG;
    }
    else {
        errno = EINVAL;
    }
    int keep = errno;
    close(fd);
    errno = keep;
    return p;
}

static int has_word(const char *p, size_t len, const char *word)
{
    return word == NULL || memmem(p, len, word, strlen(word)) != NULL;
}

int mta_find(const char *path, char *real, size_t realsize, char *seen,
             size_t seensize)
{
    char resolved[PATH_MAX];
    const char *base;
    size_t len = 0;
    char *p;
    int found = MO_MTA_UNKNOWN;

    if (realpath(path, resolved) == NULL)
        return -1;
    if ((size_t)snprintf(real, realsize, "%s", resolved) >= realsize) {
        errno = ENAMETOOLONG;
        return -1;
    }
    p = read_program(resolved, &len);
    if (p == NULL)
        return -1;
    base = strrchr(resolved, '/') + 1;
    if (len > 2 && p[0] == '#' && p[1] == '!') {
        const char *end = memchr(p, '\n', len);

        snprintf(seen, seensize, "a script (%.*s)",
                 (int)(end != NULL && end - p < 80 ? end - p : 2), p);
        free(p);
        return MO_MTA_UNKNOWN;
    }
    for (size_t i = 0; i < NKNOWN && found == MO_MTA_UNKNOWN; i++) {
        if (known[i].file != NULL &&
            strncmp(base, known[i].file, strlen(known[i].file)) == 0)
            found = (int)known[i].mta;
    }
    for (size_t i = 0; i < NKNOWN && found == MO_MTA_UNKNOWN; i++) {
        if (has_word(p, len, known[i].word[0]) &&
            has_word(p, len, known[i].word[1]))
            found = (int)known[i].mta;
    }
    free(p);
    snprintf(seen, seensize, "%s%s",
             found == MO_MTA_UNKNOWN ? "a program of no known MTA, " : "",
             resolved);
    return found;
}
