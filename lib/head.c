/*
 * The head of a message (mo_head.h).
 *
 * What is a field is decided as the MTAs do: printing characters but ':',
 * then blanks, then ':'.  Where they differ (bytes past 127 in a name) a
 * line counts as a field: taking a field for text would put an empty line
 * before it and so make it body, while the reverse changes nothing.
 */
#include "mo_head.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { KEEP_NOTHING, KEEP_SUBJECT, KEEP_MESSAGE_ID, KEEP_RCPTS };

/* what a line's beginning says */
enum kind {
    K_UNKNOWN, /* more of it is needed */
    K_FROM,
    K_OURS,
    K_FIELD,
    K_FOLD,
    K_EMPTY,
    K_TEXT
};

/* Of a line that is longer than pend: what it may still be.  Its bytes go
 * out meanwhile, since a name so long is not ours. */
enum { W_NOT, W_NAME, W_BLANK, W_TEXT };

void mo_head_start(struct mo_head *h, const char *name)
{
    memset(h, 0, offsetof(struct mo_head, pend));
    h->name = name;
    h->namelen = strlen(name);
    h->in_from = 1;
    h->bol = 1;
}

/* moves *p over from min to max characters of one class: 'd'igit, 'a'lpha,
 * ' ' blank, 'S' no blank; 0: there are too few */
static int take(const char **p, const char *end, char class, size_t min,
                size_t max)
{
    size_t n = 0;

    for (; *p < end && n < max; ++*p, n++) {
        unsigned char c = (unsigned char)**p;
        int blank = c == ' ' || (c >= '\t' && c <= '\r');

        if (class == 'd'   ? !isdigit(c)
            : class == 'a' ? !isalpha(c)
            : class == ' ' ? !blank
                           : blank)
            break;
    }
    return n >= min;
}

/* the rest of a dated "From " line, as Exim's uucp_from_pattern has it */
static int is_dated(const char *p, const char *end)
{
    const char *q;
    int i;

    take(&p, end, ' ', 0, SIZE_MAX);
    if (!take(&p, end, 'S', 1, SIZE_MAX) || !take(&p, end, ' ', 1, SIZE_MAX))
        return 0;
    for (i = 0; i < 2; i++) { /* without, then with the day of the week */
        q = p;
        if (i) {
            if (!take(&q, end, 'a', 3, 3))
                return 0;
            if (q < end && *q == ',')
                q++;
            if (!take(&q, end, ' ', 1, SIZE_MAX))
                return 0;
        }
        if (q < end && isdigit((unsigned char)*q)) {
            const char *year;

            if (!take(&q, end, 'd', 1, 2) || !take(&q, end, ' ', 1, SIZE_MAX) ||
                !take(&q, end, 'a', 3, 3) || !take(&q, end, ' ', 1, SIZE_MAX))
                continue;
            year = q;
            if (!take(&q, end, 'd', 2, 4) || q - year == 3)
                continue;
        }
        else if (!take(&q, end, 'a', 3, 3) ||
                 !take(&q, end, ' ', 1, SIZE_MAX) || !take(&q, end, 'd', 1, 2))
            continue;
        if (take(&q, end, ' ', 1, SIZE_MAX) && take(&q, end, 'd', 1, 2) &&
            q < end && *q++ == ':' && take(&q, end, 'd', 1, 2))
            return 1;
    }
    return 0;
}

/* Is p a "From " line's beginning?  1, 0, or -1: it may become one. */
static int is_from(const struct mo_head *h, const char *p, size_t n, int ended)
{
    static const char from[] = "From ";
    int any_case =
        h->from == MO_FROM_ANY_CASE || h->from == MO_FROM_QUOTED_ANY_CASE;
    size_t i = 0, j, quotes = h->from == MO_FROM_MANY ? n : 0;

    if (h->from == MO_FROM_NONE)
        return 0;
    if (h->from == MO_FROM_ONE && h->seen_line)
        return 0;
    if (h->from == MO_FROM_QUOTED || h->from == MO_FROM_QUOTED_ANY_CASE)
        quotes = 1;
    while (i < n && i < quotes && p[i] == '>')
        i++;
    for (j = 0; j < 5 && i + j < n; j++)
        if (p[i + j] != from[j] &&
            !(any_case && j < 4 && (p[i + j] ^ from[j]) == 0x20))
            return 0;
    if (j < 5)
        return -1;
    if (h->from == MO_FROM_DATED)
        return ended ? is_dated(p + 5, p + n) : -1;
    return 1;
}

/* The kind of the line that begins with h->pend; ended: its '\n' is in it,
 * or nothing more can come. */
static enum kind line_kind(const struct mo_head *h, int ended)
{
    const char *p = h->pend;
    size_t n = h->pendlen, i = 0, end;

    if (h->stuffed && n && p[0] == '.') {
        p++;
        n--;
    }
    if (h->in_from) {
        int from = is_from(h, p, n, ended);

        if (from == 1)
            return K_FROM;
        if (from < 0 && !ended)
            return K_UNKNOWN;
    }
    if (n == 0)
        return ended ? K_TEXT : K_UNKNOWN;
    if (p[0] == '\n')
        return K_EMPTY;
    if (p[0] == '\r') {
        if (n == 1 && !ended)
            return K_UNKNOWN;
        return n > 1 && p[1] == '\n' ? K_EMPTY : K_TEXT;
    }
    if (p[0] == ' ' || p[0] == '\t')
        return h->seen_field ? K_FOLD : K_TEXT;
    while (i < n && (unsigned char)p[i] > ' ' && p[i] != 127 && p[i] != ':')
        i++;
    end = i;
    while (i < n && (p[i] == ' ' || p[i] == '\t'))
        i++;
    if (i == n)
        return ended ? K_TEXT : K_UNKNOWN;
    if (p[i] != ':' || end == 0)
        return K_TEXT;
    if (end == h->namelen && strncasecmp(p, h->name, end) == 0)
        return K_OURS;
    return K_FIELD;
}

/* As above; a first line of text is waited for whole, to see how it ends. */
static enum kind kind_of(const struct mo_head *h, int ended)
{
    enum kind kind = line_kind(h, ended);

    return kind == K_TEXT && !h->know_crlf && !ended ? K_UNKNOWN : kind;
}

/* Adds to the value that is kept: folds become one blank. */
static void keep_value(struct mo_head *h, const char *p, size_t n)
{
    char *to = h->keep == KEEP_SUBJECT ? h->subject : h->message_id;

    if (h->keep == KEEP_RCPTS) {
        mo_rcpts_value(h->rcpts, p, n);
        return;
    }
    for (; n && h->vallen < sizeof(h->subject) - 1; p++, n--) {
        if (*p == '\r' || *p == '\n' || *p == '\0')
            continue;
        if ((*p == ' ' || *p == '\t') &&
            (h->vallen == 0 || to[h->vallen - 1] == ' '))
            continue;
        to[h->vallen++] = *p == '\t' ? ' ' : *p;
    }
    to[h->vallen] = '\0';
}

/* Puts out, or drops, a piece of the line that is being read. */
static int line_part(struct mo_head *h, const char *p, size_t n,
                     int (*put)(void *, const char *, size_t), void *arg)
{
    if (h->keep)
        keep_value(h, p, n);
    if (h->skip || n == 0)
        return 0;
    h->out += n;
    return put(arg, p, n);
}

static size_t after_colon(const struct mo_head *h)
{
    const char *colon = memchr(h->pend, ':', h->pendlen);

    return (size_t)(colon - h->pend) + 1;
}

static int is_named(const struct mo_head *h, const char *name)
{
    size_t n = strlen(name);

    return h->pendlen > n && strncasecmp(h->pend, name, n) == 0 &&
           (h->pend[n] == ':' || h->pend[n] == ' ' || h->pend[n] == '\t');
}

static void keep_nothing(struct mo_head *h)
{
    if (h->keep == KEEP_RCPTS)
        mo_rcpts_end(h->rcpts);
    h->keep = KEEP_NOTHING;
}

/* The pending line is of this kind: what follows from that. */
static int decided(struct mo_head *h, enum kind kind,
                   int (*put)(void *, const char *, size_t), void *arg)
{
    size_t n = h->pendlen, skip = 0;

    if (h->in_from && kind != K_FROM) {
        h->in_from = 0;
        h->insert = h->out;
    }
    /* a fold belongs to the field before it, kept or not */
    if (kind != K_FOLD) {
        h->skip = kind == K_OURS;
        keep_nothing(h);
    }
    h->dropped += kind == K_OURS;
    h->seen_field |= kind == K_OURS || kind == K_FIELD;
    if (kind == K_TEXT && h->out == h->insert)
        h->blank_after = 1;
    if (kind == K_FIELD) {
        if (is_named(h, "Subject") && !h->subject[0])
            h->keep = KEEP_SUBJECT;
        else if (is_named(h, "Message-ID") && !h->message_id[0])
            h->keep = KEEP_MESSAGE_ID;
        else if (h->rcpts && mo_rcpts_field(h->rcpts, h->pend, n))
            h->keep = KEEP_RCPTS;
        h->vallen = 0;
        if (h->keep)
            skip = after_colon(h);
    }
    h->seen_line = 1;
    h->bol = 0;
    h->pendlen = 0;
    if (kind == K_TEXT || kind == K_EMPTY) {
        h->state = MO_HEAD_DONE;
        h->skip = 0;
    }
    if (skip) { /* the name is not part of the value */
        int keep = h->keep;

        h->keep = KEEP_NOTHING;
        if (line_part(h, h->pend, skip, put, arg) < 0)
            return -1;
        h->keep = keep;
    }
    return line_part(h, h->pend + skip, n - skip, put, arg);
}

/* pend is full, and its line's kind not known. */
static int too_wide(struct mo_head *h, int (*put)(void *, const char *, size_t),
                    void *arg)
{
    size_t n = h->pendlen, i = h->stuffed && h->pend[0] == '.', from = i;

    if (h->in_from) {
        h->in_from = 0;
        h->insert = h->out;
    }
    if (line_kind(h, 0) == K_TEXT)
        h->wide = W_TEXT;
    else {
        while (i < n && h->pend[i] != ' ' && h->pend[i] != '\t')
            i++;
        if (i - from == h->namelen &&
            strncasecmp(h->pend + from, h->name, i - from) == 0)
            return decided(h, K_OURS, put, arg);
        h->wide = i < n ? W_BLANK : W_NAME;
    }
    h->wide_first = h->out == h->insert;
    h->seen_line = 1;
    h->skip = 0;
    keep_nothing(h);
    h->bol = 0;
    h->pendlen = 0;
    return line_part(h, h->pend, n, put, arg);
}

static void wide_is_text(struct mo_head *h)
{
    h->wide = W_NOT;
    h->blank_after |= h->wide_first;
    h->state = MO_HEAD_DONE;
}

/* More of such a line; ended: with its '\n'. */
static void more_wide(struct mo_head *h, const char *p, size_t n, int ended)
{
    size_t i;

    for (i = 0; i < n && (h->wide == W_NAME || h->wide == W_BLANK); i++) {
        if (p[i] == ':') {
            h->seen_field = 1;
            h->wide = W_NOT;
        }
        else if (p[i] == ' ' || p[i] == '\t')
            h->wide = W_BLANK;
        else if (h->wide == W_BLANK || (unsigned char)p[i] < ' ' || p[i] == 127)
            h->wide = W_TEXT;
    }
    if (h->wide == W_TEXT && (ended || h->know_crlf))
        wide_is_text(h);
}

int mo_head_feed(struct mo_head *h, const char *in, size_t len, size_t *used,
                 int (*put)(void *arg, const char *p, size_t n), void *arg)
{
    size_t i = 0;

    *used = 0;
    while (i < len && h->state == MO_HEAD_MORE) {
        int from = h->in_from;
        const char *nl = memchr(in + i, '\n', len - i);
        size_t n = nl ? (size_t)(nl - in) + 1 - i : len - i;
        enum kind kind;
        size_t take;

        take = n;
        if (h->bol && take > sizeof(h->pend) - h->pendlen) {
            take = sizeof(h->pend) - h->pendlen;
            nl = NULL;
        }
        if (nl && !h->know_crlf)
            h->crlf = (nl > in ? nl[-1] : h->last) == '\r';
        i += take;
        if (!h->bol) {
            if (line_part(h, in + i - take, take, put, arg) < 0)
                return -1;
            if (h->wide)
                more_wide(h, in + i - take, take, nl != NULL);
        }
        else {
            memcpy(h->pend + h->pendlen, in + i - take, take);
            h->pendlen += take;
            kind = kind_of(h, nl != NULL);
            if (kind == K_UNKNOWN && h->pendlen < sizeof(h->pend))
                continue;
            if ((kind == K_UNKNOWN ? too_wide(h, put, arg)
                                   : decided(h, kind, put, arg)) < 0)
                return -1;
        }
        h->bol = nl != NULL;
        /* how a "From " line ends says less than how the first field does */
        h->know_crlf |= nl != NULL && !(from && h->in_from);
    }
    if (i)
        h->last = in[i - 1];
    *used = i;
    return h->state;
}

int mo_head_settled(const struct mo_head *h)
{
    return h->state == MO_HEAD_DONE ||
           (!h->in_from && h->know_crlf && !h->wide && h->out > h->insert);
}

int mo_head_end(struct mo_head *h,
                int (*put)(void *arg, const char *p, size_t n), void *arg)
{
    int rv = 0;

    if (h->state == MO_HEAD_DONE)
        return 0;
    if (h->bol && h->pendlen) {
        rv = decided(h, kind_of(h, 1), put, arg);
        h->bol = 0;
    }
    if (h->wide)
        wide_is_text(h);
    keep_nothing(h);
    if (h->in_from) {
        h->insert = h->out;
        h->break_before = h->out > 0 && !h->bol;
    }
    h->state = MO_HEAD_DONE;
    return rv;
}
