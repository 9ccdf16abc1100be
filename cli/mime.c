/*
 * RFC 5322 and RFC 2045 as far as bounces need them, and forgiving: whatever
 * has no structure is searched as text.  All input is hostile: depth, parts
 * and sizes are bounded, and nothing is read past its end.
 */
#include "mime.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH 24
#define PARTS 1000
#define REACH 9000 /* bytes past a field's name that may be its body */

struct scan {
    const char *const *names;
    int (*fn)(void *, const struct mime_msg *, const char *, size_t);
    void *arg;
    int parts;
    int nested; /* messages and parts that we are inside of */
    int found; /* fields so far */
    int rc;
};

/* ---- lines and fields */

static const char *line_end(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));

    return nl ? nl + 1 : end;
}

static int is_blank_line(const char *p, const char *end)
{
    while (p < end && (*p == '\r' || *p == '\n')) {
        p++;
    }
    return p == end;
}

/* The length of a field's name at p, 0: it is none. */
static size_t field_name(const char *p, const char *end)
{
    size_t n = 0;

    while (p + n < end && p[n] > 0x20 && p[n] < 0x7F && p[n] != ':') {
        n++;
    }
    if (n == 0) {
        return 0;
    }
    end = line_end(p, end);
    p += n;
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    return p < end && *p == ':' ? n : 0;
}

/* The field that begins at p: *body and *bodyend; what is past it. */
static const char *field(const char *p, const char *end, const char **body,
                         const char **bodyend)
{
    const char *colon = memchr(p, ':', (size_t)(end - p));

    *body = colon ? colon + 1 : p;
    do {
        p = line_end(p, end);
    } while (p < end && (*p == ' ' || *p == '\t'));
    *bodyend = p;
    return p;
}

/* Unfolds and trims into out. */
static void copy_body(const char *p, const char *end, char *out, size_t size)
{
    size_t n = 0;

    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
        p++;
    }
    for (; p < end && n + 1 < size; p++) {
        if (*p == '\r' || *p == '\n' || *p == '\0') {
            continue;
        }
        out[n++] = *p == '\t' ? ' ' : *p;
    }
    while (n > 0 && out[n - 1] == ' ') {
        n--;
    }
    out[n] = '\0';
}

static int name_is(const char *p, size_t n, const char *name)
{
    return strlen(name) == n && strncasecmp(p, name, n) == 0;
}

/* A parameter of a Content-Type body: boundary="…", boundary=… */
static void parameter(const char *body, const char *name, char *out,
                      size_t size)
{
    const char *p = body;
    size_t n = 0, len = strlen(name);

    out[0] = '\0';
    while ((p = strchr(p, ';')) != NULL) {
        p++;
        p += strspn(p, " \t");
        if (strncasecmp(p, name, len) != 0) {
            continue;
        }
        p += len;
        p += strspn(p, " \t");
        if (*p != '=') {
            continue;
        }
        p++;
        p += strspn(p, " \t");
        if (*p == '"') {
            for (p++; *p && *p != '"' && n + 1 < size; p++) {
                if (*p == '\\' && p[1]) {
                    p++;
                }
                out[n++] = *p;
            }
        }
        else {
            while (*p && strchr("; \t", *p) == NULL && n + 1 < size) {
                out[n++] = *p++;
            }
        }
        out[n] = '\0';
        return;
    }
}

/* ---- text: our field without structure around it */

/* Would the byte before a name let it begin there? */
static int may_begin(const char *buf, const char *p)
{
    unsigned char c;

    if (p == buf) {
        return 1;
    }
    c = (unsigned char)p[-1];
    return !(c == '-' || c == '_' || (c >= '0' && c <= '9') ||
             (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

static const char *find_name(const char *buf, const char *p, const char *end,
                             const char *name)
{
    size_t n = strlen(name), k;

    for (; (size_t)(end - p) > n; p++) {
        if ((*p | 0x20) != (name[0] | 0x20) || strncasecmp(p, name, n) != 0 ||
            !may_begin(buf, p)) {
            continue;
        }
        for (k = n; p + k < end && strchr(" \t*_\"\r", p[k]) && p[k]; k++) {
        }
        if (p + k < end && p[k] == ':') {
            return p + k + 1;
        }
    }
    return NULL;
}

/* Hands on what may be a body: at most REACH bytes, with the blanks that
 * are no ASCII made blanks. */
static void give_text(struct scan *s, const struct mime_msg *m, const char *p,
                      const char *end)
{
    char copy[REACH];
    size_t n = 0;

    for (; p < end && n < sizeof(copy); p++) {
        if (end - p >= 2 && p[0] == '\xC2' && p[1] == '\xA0') {
            copy[n++] = ' ';
            p++;
        }
        else if (end - p >= 3 && p[0] == '\xE2' && p[1] == '\x80' &&
                 (p[2] == '\x8B' || p[2] == '\xAF')) {
            copy[n++] = ' ';
            p += 2;
        }
        else if (end - p >= 3 && p[0] == '\xEF' && p[1] == '\xBB' &&
                 p[2] == '\xBF') {
            p += 2;
        }
        else {
            copy[n++] = *p;
        }
    }
    s->found++;
    s->rc = s->fn(s->arg, m, copy, n);
}

static void text(struct scan *s, const char *buf, size_t len, int depth)
{
    const char *end = buf + len, *p, *next;
    struct mime_msg m = {.where = "text", .depth = depth};
    int i;

    for (i = 0; s->names[i] && s->rc == 0; i++) {
        for (p = buf;
             (p = find_name(buf, p, end, s->names[i])) != NULL && s->rc == 0;) {
            next = find_name(buf, p, end, s->names[i]);
            give_text(s, &m, p, next ? next : end);
        }
    }
}

/* The value alone was pasted: "v=1; id=…; s=…" */
static void bare_value(struct scan *s, const char *buf, size_t len)
{
    struct mime_msg m = {.where = "text"};
    const char *end = buf + len, *p = buf;

    while (end - p > 8 && s->rc == 0) {
        p = memchr(p, '=', (size_t)(end - p) - 1);
        if (p == NULL) {
            return;
        }
        if (p > buf && (p[-1] == 'v' || p[-1] == 'V') && p[1] == '1' &&
            may_begin(buf, p - 1)) {
            give_text(s, &m, p - 1, end);
            return;
        }
        p++;
    }
}

/* ---- entities */

struct head {
    char type[1024]; /* Content-Type's body, "" : text/plain */
    char encoding[64];
};

static void message(struct scan *s, const char *buf, size_t len,
                    const char *where, int depth);

static void part_body(struct scan *s, const struct head *h, const char *p,
                      const char *end, int depth);

/* Splits a multipart body at its boundary. */
static void multipart(struct scan *s, const char *boundary, const char *p,
                      const char *end, int depth)
{
    size_t n = strlen(boundary);
    const char *part = NULL, *line, *next;

    for (line = p; line < end && s->rc == 0; line = next) {
        const char *q = line + 2 + n;
        int closing = 0;

        next = line_end(line, end);
        if ((size_t)(next - line) < n + 2 || line[0] != '-' || line[1] != '-' ||
            memcmp(line + 2, boundary, n) != 0) {
            continue;
        }
        if (next - q >= 2 && q[0] == '-' && q[1] == '-') {
            closing = 1;
            q += 2;
        }
        while (q < next && strchr(" \t\r\n", *q) && *q) {
            q++;
        }
        if (q != next) {
            continue; /* another boundary that begins likewise */
        }
        if (part && ++s->parts <= PARTS) {
            message(s, part, (size_t)(line - part), NULL, depth);
        }
        part = closing ? NULL : next;
    }
    if (part && part < end && s->rc == 0 && ++s->parts <= PARTS) {
        message(s, part, (size_t)(end - part), NULL, depth);
    }
}

static int type_is(const struct head *h, const char *type)
{
    size_t n = strlen(type);

    return strncasecmp(h->type, type, n) == 0 &&
           (h->type[n] == '\0' || strchr("; \t", h->type[n]) != NULL);
}

static void decoded(struct scan *s, const struct head *h, const char *p,
                    const char *end, int depth)
{
    char *out = NULL;
    size_t n;

    if (type_is(h, "message/rfc822") || type_is(h, "message/global")) {
        message(s, p, (size_t)(end - p), "returned message", depth + 1);
    }
    else if (type_is(h, "text/rfc822-headers") ||
             type_is(h, "text/rfc822-header") ||
             type_is(h, "message/global-headers")) {
        message(s, p, (size_t)(end - p), "returned headers", depth + 1);
    }
    else if (type_is(h, "text/html")) {
        if ((out = mime_html(p, (size_t)(end - p), &n)) == NULL) {
            s->rc = -1;
            return;
        }
        text(s, out, n, depth);
        free(out);
    }
    else if (h->type[0] == '\0' || strncasecmp(h->type, "text", 4) == 0 ||
             strncasecmp(h->type, "message/", 8) == 0) {
        text(s, p, (size_t)(end - p), depth);
    }
}

static void part_body(struct scan *s, const struct head *h, const char *p,
                      const char *end, int depth)
{
    char boundary[256];
    char *out;
    size_t n;

    if (strncasecmp(h->type, "multipart/", 10) == 0) {
        parameter(h->type, "boundary", boundary, sizeof(boundary));
        if (boundary[0]) {
            multipart(s, boundary, p, end, depth);
            return;
        }
    }
    if (strcasecmp(h->encoding, "base64") == 0) {
        out = mime_base64(p, (size_t)(end - p), &n);
    }
    else if (strcasecmp(h->encoding, "quoted-printable") == 0) {
        out = mime_quoted(p, (size_t)(end - p), &n);
    }
    else {
        decoded(s, h, p, end, depth);
        return;
    }
    if (out == NULL) {
        s->rc = -1;
        return;
    }
    decoded(s, h, out, out + n, depth);
    free(out);
}

static void keep(struct mime_msg *m, struct head *h, const char *name, size_t n,
                 const char *body, const char *end)
{
    static const struct {
        const char *name;
        size_t at, size;
    } kept[] = {
#define KEEP(name, member)                                                     \
    {name, offsetof(struct mime_msg, member),                                  \
     sizeof(((struct mime_msg *)0)->member)}
        KEEP("Message-ID", message_id),
        KEEP("Return-Path", return_path),
        KEEP("From", from),
        KEEP("Date", date),
        KEEP("Subject", subject),
#undef KEEP
    };
    size_t i;
    char *at;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        at = (char *)m + kept[i].at;
        if (*at == '\0' && name_is(name, n, kept[i].name)) {
            copy_body(body, end, at, kept[i].size);
            return;
        }
    }
    if (h->type[0] == '\0' && name_is(name, n, "Content-Type")) {
        copy_body(body, end, h->type, sizeof(h->type));
    }
    else if (name_is(name, n, "Content-Transfer-Encoding")) {
        copy_body(body, end, h->encoding, sizeof(h->encoding));
    }
}

static int is_ours(const struct scan *s, const char *p, size_t n)
{
    int i;

    for (i = 0; s->names[i]; i++) {
        if (name_is(p, n, s->names[i])) {
            return 1;
        }
    }
    return 0;
}

/* One field of our name: its body; with what follows where it holds no
 * stamp, because its folds may have lost their blanks. */
static void give_field(struct scan *s, const struct mime_msg *m,
                       const char *body, const char *bodyend, const char *end)
{
    const char *p;

    for (p = body; p + 1 < bodyend; p++) {
        if ((*p == 's' || *p == 't') && p[1] == '=' && p > body &&
            strchr(" \t;\n", p[-1]) && bodyend - p > 200) {
            s->found++;
            s->rc = s->fn(s->arg, m, body, (size_t)(bodyend - body));
            return;
        }
    }
    s->rc = s->fn(s->arg, m, body, (size_t)(bodyend - body));
    if (s->rc == 0) {
        give_text(s, m, body, end);
    }
}

/*
 * A message, or with where NULL a part of one.  Its fields are given after
 * its whole head is read, so that they come with its Message-ID.
 */
static void message(struct scan *s, const char *buf, size_t len,
                    const char *where, int depth)
{
    const char *p = buf, *end = buf + len, *body, *bodyend, *head, *start;
    struct mime_msg m = {.where = where, .depth = depth};
    struct head h = {.type = ""};
    int ours = 0;
    size_t n;

    if (s->nested == DEPTH || s->rc != 0) {
        return;
    }
    s->nested++;
    while (where && p < end && is_blank_line(p, line_end(p, end))) {
        p = line_end(p, end); /* some bounces begin so */
    }
    while (end - p > 5 &&
           (strncmp(p, "From ", 5) == 0 || strncmp(p, ">From", 5) == 0)) {
        p = line_end(p, end);
    }
    for (start = head = p; p < end; p = head) {
        if ((n = field_name(p, end)) == 0) {
            break;
        }
        head = field(p, end, &body, &bodyend);
        keep(&m, &h, p, n, body, bodyend);
    }
    head = p;
    for (p = start; where && p < head && s->rc == 0;) {
        const char *next;

        n = field_name(p, head);
        next = field(p, head, &body, &bodyend);
        if (is_ours(s, p, n)) {
            ours++;
            give_field(s, &m, body, bodyend, end);
        }
        p = next;
    }
    if (where && head > start && !ours && s->rc == 0) {
        s->rc = s->fn(s->arg, &m, NULL, 0);
    }
    if (head == start && where) {
        /* no field at all: nothing but text */
        text(s, start, (size_t)(end - start), depth);
        s->nested--;
        return;
    }
    if (head < end && is_blank_line(head, line_end(head, end))) {
        head = line_end(head, end);
    }
    part_body(s, &h, head, end, depth);
    s->nested--;
}

int mime_scan(const char *buf, size_t len, const char *const *names,
              int (*fn)(void *arg, const struct mime_msg *m, const char *body,
                        size_t n),
              void *arg)
{
    struct scan s = {.names = names, .fn = fn, .arg = arg};

    message(&s, buf, len, "mail", 0);
    if (s.found == 0 && s.rc == 0) {
        text(&s, buf, len, 0);
    }
    if (s.found == 0 && s.rc == 0) {
        bare_value(&s, buf, len);
    }
    return s.rc;
}
