/*
 * The lines by which Postfix, Exim and Sendmail tell that they took a mail:
 *
 *   postfix/pickup[7]: ID: uid=33 from=<a@b>
 *   postfix/smtpd[7]: ID: client=localhost[127.0.0.1]
 *   postfix/cleanup[7]: ID: message-id=<x@y>
 *   ID <= a@b U=www-data P=local S=5 id=x@y
 *   ID <= a@b H=localhost (x) [127.0.0.1] P=esmtp S=5 id=x@y
 *   sendmail[7]: ID: from=www-data, …, msgid=<x@y>, relay=www-data@localhost
 *   sendmail[7]: ID: NEWID: DSN: User unknown
 *   sm-mta[7]: ID: from=<a@b>, …, msgid=<x@y>, …, relay=localhost [127.0.0.1]
 *
 * A sender writes into them too (addresses, HELO, Message-ID), whatever he
 * likes, other lines' beginnings and other users for one: so a line is read
 * word by word from its begin, and nothing counts behind where he can write.
 */
#include "maillog.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

static const char *skip(const char *p)
{
    return p + strspn(p, " ");
}

/* the word at *p, 0: there is none; *p goes behind it */
static size_t word(const char **p, const char **w)
{
    *w = skip(*p);
    *p = *w + strcspn(*w, " ");
    return (size_t)(*p - *w);
}

static int begins(const char *p, const char *with)
{
    return strncmp(p, with, strlen(with)) == 0;
}

/* n bytes, or as many as there is room for */
static void keep(const char *p, size_t n, char *out, size_t size)
{
    if (n >= size)
        n = size - 1;
    memcpy(out, p, n);
    out[n] = '\0';
}

/* The value after name, up to a blank or one of stop, without <>. */
static int value(const char *line, const char *name, const char *stop,
                 char *out, size_t size)
{
    const char *p = strstr(line, name);
    size_t n;

    out[0] = '\0';
    if (p == NULL)
        return 0;
    p += strlen(name);
    if (*p == '<') {
        p++;
        stop = ">";
    }
    n = strcspn(p, stop);
    keep(p, n, out, size);
    return 1;
}

/* "ID: rest": rest, and the ID; NULL: it is not so */
static const char *queue_id(const char *p, char *id, size_t size)
{
    size_t n;

    for (n = 0; isalnum((unsigned char)p[n]); n++)
        ;
    if (n == 0 || n >= size || strncmp(p + n, ": ", 2) != 0)
        return NULL;
    memcpy(id, p, n);
    id[n] = '\0';
    return p + n + 2;
}

/* Is the tag name, or does it end with "/name"? */
static int is_tag(const char *p, size_t n, const char *name)
{
    size_t len = strlen(name);

    return n >= len && memcmp(p + n - len, name, len) == 0 &&
           (n == len || name[0] == '/');
}

/* Is it this host's?  (A log is read where it was written.) */
static int is_own(const char *address)
{
    static struct ifaddrs *own;
    static int asked;
    unsigned char want[sizeof(struct in6_addr)];
    int family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;

    if (!asked && getifaddrs(&own) < 0)
        own = NULL;
    asked = 1;
    if (inet_pton(family, address, want) != 1)
        return 0;
    if (family == AF_INET ? want[0] == 127
                          : !memcmp(&in6addr_loopback, want, sizeof want))
        return 1;
    for (const struct ifaddrs *i = own; i != NULL; i = i->ifa_next) {
        const struct sockaddr *a = i->ifa_addr;

        if (a == NULL || a->sa_family != family)
            continue;
        if (family == AF_INET
                ? !memcmp(&((const struct sockaddr_in *)a)->sin_addr, want, 4)
                : !memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, want,
                          16))
            return 1;
    }
    return 0;
}

/* "name[address]" or "name [address]": this host's? */
static int from_here(const char *p)
{
    char address[INET6_ADDRSTRLEN];

    p += strcspn(p, "[");
    if (*p == '[')
        p++;
    if (begins(p, "IPv6:"))
        p += 5;
    keep(p, strcspn(p, "]"), address, sizeof address);
    return is_own(address);
}

static int postfix(const char *name, size_t n, const char *p, struct taken *t)
{
    t->mta = "postfix";
    p = queue_id(p, t->queue_id, sizeof t->queue_id);
    if (p == NULL)
        return 0;
    if (is_tag(name, n, "/pickup")) {
        t->kind = TAKEN_LOCAL;
        value(p, " from=", " ", t->from, sizeof t->from);
        return begins(p, "uid=") &&
               value(p, "uid=", " ", t->user, sizeof t->user);
    }
    if (is_tag(name, n, "/smtpd")) {
        t->kind = TAKEN_SMTP;
        /* what a content filter hands back had another client */
        return begins(p, "client=") && from_here(p) &&
               strstr(p, ", orig_queue_id=") == NULL;
    }
    t->kind = TAKEN_MORE;
    if (is_tag(name, n, "/cleanup"))
        return begins(p, "message-id=") &&
               value(p, "message-id=", " ", t->message_id,
                     sizeof t->message_id);
    return begins(p, "from=<") &&
           value(p, "from=", " ", t->from, sizeof t->from);
}

/* p: what stands behind the tag, or a line of Exim's own log */
static int exim(const char *p, struct taken *t)
{
    const char *w, *id = "", *host = NULL;
    size_t n, idlen = 0;
    int i;

    t->mta = "exim";
    /* nothing but the time, a zone and a pid stand before the id */
    for (i = 0; (n = word(&p, &w)) > 0 && strncmp(w, "<= ", 3) != 0; i++) {
        if (i == 5)
            return 0;
        id = w;
        idlen = n;
    }
    if (n == 0 || idlen < 16 || idlen >= sizeof t->queue_id || id[6] != '-')
        return 0;
    keep(id, idlen, t->queue_id, sizeof t->queue_id);
    w = p = skip(p);
    if (*p == '"') { /* "a b"@example.org */
        for (p++; *p && *p != '"'; p++)
            p += *p == '\\' && p[1];
    }
    p += strcspn(p, " ");
    if (strncmp(w, "<> ", 3) != 0)
        keep(w, (size_t)(p - w), t->from, sizeof t->from);
    /* what stands behind the size is the mail's */
    while ((n = word(&p, &w)) > 0 && !begins(w, "S=")) {
        if (begins(w, "R=")) /* a bounce of its own: what it bounces */
            return 0;
        if (begins(w, "U="))
            keep(w + 2, n - 2, t->user, sizeof t->user);
        else if (*w == '[' && host == NULL) /* a HELO stands in () */
            host = w;
        else if (begins(w, "P="))
            t->kind = begins(w, "P=local") ? TAKEN_LOCAL : TAKEN_SMTP;
    }
    value(p, " id=", " ", t->message_id, sizeof t->message_id);
    return t->kind == TAKEN_LOCAL  ? t->user[0] != '\0'
           : t->kind == TAKEN_SMTP ? host != NULL && from_here(host)
                                   : 0;
}

static int sendmail(const char *p, struct taken *t)
{
    char own[sizeof t->queue_id];
    const char *relay, *next;
    size_t n;

    t->mta = "sendmail";
    p = queue_id(p, t->queue_id, sizeof t->queue_id);
    if (p == NULL)
        return 0;
    next = queue_id(p, own, sizeof own);
    if (next != NULL && begins(next, "DSN: ")) {
        t->kind = TAKEN_OWN;
        memcpy(t->queue_id, own, sizeof own);
        return 1;
    }
    /* without a recipient it was given up */
    if (!begins(p, "from=") || strstr(p, ", nrcpts=0,") != NULL)
        return 0;
    /* the last: what stands before it is the sender's */
    relay = strstr(p, ", relay=");
    while (relay != NULL && (next = strstr(relay + 1, ", relay=")) != NULL)
        relay = next;
    if (relay == NULL)
        return 0;
    relay += 8;
    value(p, "from=", ",", t->from, sizeof t->from);
    value(p, ", msgid=", ",", t->message_id, sizeof t->message_id);
    n = strcspn(relay, "@ ");
    if (strcmp(relay + n, "@localhost") == 0) {
        t->kind = TAKEN_LOCAL;
        keep(relay, n, t->user, sizeof t->user);
        return n > 0 && n < sizeof t->user;
    }
    t->kind = TAKEN_SMTP;
    return from_here(relay);
}

int taken_line(const char *line, size_t len, struct taken *t)
{
    static const char *const postfixes[] = {"/pickup", "/smtpd", "/cleanup",
                                            "/qmgr"};
    static const char *const sendmails[] = {"sendmail", "sm-mta",
                                            "sm-msp-queue", "sm-msa"};
    const char *p = line, *name;
    size_t n, i;

    if (memchr(line, '\0', len) != NULL || (n = word(&p, &name)) == 0)
        return 0;
    memset(t, 0, sizeof *t);
    if (isdigit((unsigned char)*name) && n == 10) /* Exim's own log */
        return exim(p, t);
    /* "Nov  4 08:52:55" or one word of RFC 3339, host, "tag[pid]: " */
    for (i = isdigit((unsigned char)*name) ? 2 : 4; i > 0 && n > 0; i--)
        n = word(&p, &name);
    if (n < 2 || name[n - 1] != ':')
        return 0;
    p = skip(p);
    for (i = 0; i < n - 1 && name[i] != '['; i++)
        ;
    n = i;
    for (i = 0; i < sizeof postfixes / sizeof *postfixes; i++)
        if (is_tag(name, n, postfixes[i]))
            return postfix(name, n, p, t);
    for (i = 0; i < sizeof sendmails / sizeof *sendmails; i++)
        if (is_tag(name, n, sendmails[i]))
            return sendmail(p, t);
    return n >= 4 && begins(name, "exim") && exim(p, t);
}
