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
 * likes, other lines' beginnings for one: so the program's tag and the queue id
 * count only where they stand first.
 */
#include "unrecorded.h"

#include <ctype.h>
#include <string.h>

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
    if (n >= size)
        n = size - 1;
    memcpy(out, p, n);
    out[n] = '\0';
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

/* "… tag[123]: text": text, and the tag up to '['; NULL: there is none */
static const char *tag(const char *line, const char **name, size_t *n)
{
    const char *end = strstr(line, "]: "), *p = end;

    if (end == NULL)
        return NULL;
    while (p > line && isdigit((unsigned char)p[-1]))
        p--;
    if (p == end || p == line || p[-1] != '[')
        return NULL;
    *n = 0;
    for (p--; p > line && p[-1] != ' '; p--)
        ++*n;
    *name = p;
    return end + 3;
}

/* Is the tag name, or does it end with "/name"? */
static int is_tag(const char *p, size_t n, const char *name)
{
    size_t len = strlen(name);

    return n >= len && memcmp(p + n - len, name, len) == 0 &&
           (n == len || name[0] == '/');
}

static int from_here(const char *p)
{
    return strstr(p, "[127.") != NULL || strstr(p, "[::1]") != NULL ||
           strstr(p, "[IPv6:::1]") != NULL ||
           strstr(p, "[IPv6:0:0:0:0:0:0:0:1]");
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
        return strncmp(p, "uid=", 4) == 0 &&
               value(p, "uid=", " ", t->user, sizeof t->user);
    }
    if (is_tag(name, n, "/smtpd")) {
        t->kind = TAKEN_SMTP;
        /* what a content filter hands back had another client */
        return strncmp(p, "client=", 7) == 0 && from_here(p) &&
               strstr(p, ", orig_queue_id=") == NULL;
    }
    t->kind = TAKEN_MORE;
    if (is_tag(name, n, "/cleanup"))
        return strncmp(p, "message-id=", 11) == 0 &&
               value(p, "message-id=", " ", t->message_id,
                     sizeof t->message_id);
    return strncmp(p, "from=<", 6) == 0 &&
           value(p, "from=", " ", t->from, sizeof t->from);
}

/* arrow: at " <= " */
static int exim(const char *line, const char *arrow, struct taken *t)
{
    const char *p = arrow, *rest;
    size_t n;

    t->mta = "exim";
    while (p > line && p[-1] != ' ')
        p--;
    n = (size_t)(arrow - p);
    /* nothing but the time, a zone and a pid stand before it */
    if (strspn(line, "0123456789-:.+[] ") < (size_t)(p - line))
        return 0;
    if (n < 16 || n >= sizeof t->queue_id || p[6] != '-')
        return 0;
    memcpy(t->queue_id, p, n);
    t->queue_id[n] = '\0';
    arrow += 4;
    n = strcspn(arrow, " ");
    rest = arrow + n;
    if (strncmp(arrow, "<>", 2) != 0) {
        if (n >= sizeof t->from)
            n = sizeof t->from - 1;
        memcpy(t->from, arrow, n);
        t->from[n] = '\0';
    }
    /* a bounce of its own refers to what it bounces */
    if (strncmp(rest, " R=", 3) == 0)
        return 0;
    value(rest, " id=", " ", t->message_id, sizeof t->message_id);
    if (strstr(rest, " P=local") != NULL) {
        t->kind = TAKEN_LOCAL;
        return value(rest, " U=", " ", t->user, sizeof t->user);
    }
    t->kind = TAKEN_SMTP;
    p = strstr(rest, " P=");
    return p != NULL && strncmp(rest, " H=", 3) == 0 && from_here(rest);
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
    if (next != NULL && strncmp(next, "DSN: ", 5) == 0) {
        t->kind = TAKEN_OWN;
        memcpy(t->queue_id, own, sizeof own);
        return 1;
    }
    /* without a recipient it was given up */
    if (strncmp(p, "from=", 5) != 0 || strstr(p, ", nrcpts=0,") != NULL)
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
        if (n >= sizeof t->user)
            return 0;
        memcpy(t->user, relay, n);
        t->user[n] = '\0';
        return 1;
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
    const char *name, *text, *arrow;
    size_t n, i;

    memset(t, 0, sizeof *t);
    if (memchr(line, '\0', len) != NULL)
        return 0;
    text = tag(line, &name, &n);
    for (i = 0; text != NULL && i < sizeof postfixes / sizeof *postfixes; i++)
        if (is_tag(name, n, postfixes[i]))
            return postfix(name, n, text, t);
    for (i = 0; text != NULL && i < sizeof sendmails / sizeof *sendmails; i++)
        if (is_tag(name, n, sendmails[i]))
            return sendmail(text, t);
    if (text != NULL && (is_tag(name, n, "exim") || is_tag(name, n, "exim4")))
        line = text;
    arrow = strstr(line, " <= ");
    return arrow != NULL && exim(line, arrow, t);
}
