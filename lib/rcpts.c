/*
 * The recipients that a message's fields name (mo_rcpts.h).
 */
#include "mo_rcpts.h"

#include <string.h>
#include <strings.h>

#define ADDRESS_MAX 500 /* what is longer is counted, and not kept */

enum { NO_ANGLE, IN_ANGLE, AFTER_ANGLE };

static void anew(struct mo_rcpts *r)
{
    r->len = 0;
    r->blank = r->full = 0;
}

/* One address, if there is any, is complete. */
static void complete(struct mo_rcpts *r)
{
    if (r->len > 0 || r->full) {
        r->n++;
        if (!r->full) {
            r->text[r->used + r->len] = '\0';
            r->used += r->len + 1;
        }
    }
    anew(r);
    r->angle = NO_ANGLE;
}

int mo_rcpts_field(struct mo_rcpts *r, const char *line, size_t n)
{
    static const char *const names[] = {"To",        "Cc",        "Bcc",
                                        "Resent-To", "Resent-Cc", "Resent-Bcc"};
    size_t len = 0, i;

    while (len < n && line[len] != ':' && line[len] != ' ' && line[len] != '\t')
        len++;
    for (i = 0; i < 6; i++)
        if (strlen(names[i]) == len && strncasecmp(line, names[i], len) == 0)
            break;
    if (i == 6 || (i < 3 && r->resent))
        return 0;
    if (i >= 3 && !r->resent) {
        r->resent = 1;
        r->n = 0;
        r->used = 0;
    }
    anew(r);
    r->angle = NO_ANGLE;
    r->comment = r->quoted = r->literal = r->escaped = 0;
    return 1;
}

static void keep(struct mo_rcpts *r, char c)
{
    /* with room for its NUL */
    if (r->len >= ADDRESS_MAX || r->used + r->len + 2 > sizeof(r->text)) {
        r->full = 1;
        return;
    }
    r->text[r->used + r->len++] = c;
}

/* A character of an address, or of the phrase before it. */
static void character(struct mo_rcpts *r, char c)
{
    if (r->angle == AFTER_ANGLE)
        return;
    if (r->blank && r->len > 0 && !strchr("@.", c) &&
        !strchr("@.", r->text[r->used + r->len - 1]))
        keep(r, ' ');
    r->blank = 0;
    keep(r, c);
}

/* Within a comment, which is left out, and may have others in it. */
static void comment(struct mo_rcpts *r, char c)
{
    if (r->escaped)
        r->escaped = 0;
    else if (c == '\\')
        r->escaped = 1;
    else
        r->comment += (c == '(') - (c == ')');
}

/* Within "…" or […], which are kept as they are. */
static void verbatim(struct mo_rcpts *r, char c)
{
    if (r->escaped)
        r->escaped = 0;
    else if (c == '\\')
        r->escaped = 1;
    else if (c == '"' && r->quoted)
        r->quoted = 0;
    else if (c == ']' && r->literal)
        r->literal = 0;
    character(r, c);
}

static void special(struct mo_rcpts *r, char c)
{
    int route = r->angle == IN_ANGLE && r->len > 0 && r->text[r->used] == '@';

    switch (c) {
    case '<':
        anew(r); /* that was a phrase */
        r->angle = IN_ANGLE;
        break;
    case '>':
        r->angle = AFTER_ANGLE;
        break;
    case ':': /* the end of a route, or of a group's name */
        if (route || r->angle == NO_ANGLE)
            anew(r);
        else
            character(r, c);
        break;
    case ',':
    case ';':
        if (route)
            character(r, c);
        else
            complete(r);
        break;
    case '"':
        r->quoted = 1;
        character(r, c);
        break;
    case '[':
        r->literal = 1;
        character(r, c);
        break;
    default: /* ( */
        r->comment = 1;
        break;
    }
}

void mo_rcpts_value(struct mo_rcpts *r, const char *p, size_t n)
{
    for (; n; p++, n--) {
        char c = *p;

        if (c == '\r' || c == '\n' || c == '\0')
            continue;
        if (r->comment)
            comment(r, c);
        else if (r->quoted || r->literal)
            verbatim(r, c);
        else if (c == ' ' || c == '\t')
            r->blank = 1;
        else if (strchr("<>:,;\"[(", c))
            special(r, c);
        else
            character(r, c);
    }
}

void mo_rcpts_end(struct mo_rcpts *r)
{
    complete(r);
}
