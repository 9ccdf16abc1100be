/*
 * SMTP as text (smtp.h).
 */
#include "smtp.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *verb;
    enum sm_cmd cmd;
} verbs[] = {
    {"HELO", SM_CMD_HELO}, {"EHLO", SM_CMD_HELO}, {"LHLO", SM_CMD_HELO},
    {"MAIL", SM_CMD_MAIL}, {"RCPT", SM_CMD_RCPT}, {"DATA", SM_CMD_DATA},
    {"RSET", SM_CMD_RSET}, {"BDAT", SM_CMD_BDAT}, {"STARTTLS", SM_CMD_STARTTLS},
    {"QUIT", SM_CMD_QUIT},
};

/* Keywords that would let a message past us: in chunks, or encrypted. */
static const char *const hidden[] = {"CHUNKING", "BINARYMIME", "STARTTLS"};

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* what ends a command's word for one server or another */
static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

enum sm_cmd sm_smtp_command(const char *line, size_t len)
{
    size_t i, n = 0;

    while (len && is_space(*line)) {
        line++;
        len--;
    }
    while (n < len && !is_space(line[n]))
        n++;
    for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (n == strlen(verbs[i].verb) &&
            strncasecmp(line, verbs[i].verb, n) == 0)
            return verbs[i].cmd;
    return SM_CMD_OTHER;
}

void sm_smtp_path(const char *line, size_t len, char *out, size_t size)
{
    const char *p = memchr(line, ':', len), *end = line + len;
    size_t n = 0;
    int angle;

    out[0] = '\0';
    if (!p)
        return;
    for (p++; p < end && is_blank(*p);)
        p++;
    angle = p < end && *p == '<';
    if (angle)
        p++;
    for (; p < end && n < size - 1 && *p != '\r' && *p != '\n'; p++) {
        if (angle ? *p == '>' : is_blank(*p))
            break;
        out[n++] = *p ? *p : '?';
    }
    out[n] = '\0';
}

unsigned long long sm_smtp_bdat(const char *line, size_t len)
{
    unsigned long long n = 0;
    size_t i = 0;

    while (i < len && is_space(line[i]))
        i++;
    for (i += 4; i < len && is_space(line[i]);)
        i++;
    for (; i < len && line[i] >= '0' && line[i] <= '9'; i++) {
        if (n > (1ULL << 62) / 10)
            return 1ULL << 62;
        n = n * 10 + (unsigned)(line[i] - '0');
    }
    return n;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

size_t sm_smtp_reply(const char *buf, size_t len, int *code)
{
    size_t pos = 0;

    while (pos < len) {
        const char *line = buf + pos, *nl = memchr(line, '\n', len - pos);
        size_t n;

        if (!nl)
            return 0;
        n = (size_t)(nl + 1 - line);
        pos += n;
        if (n >= 4 && line[0] >= '2' && line[0] <= '5' && is_digit(line[1]) &&
            is_digit(line[2]) && line[3] != '-') {
            *code =
                (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
            return pos;
        }
    }
    return 0;
}

static int is_hidden(const char *line, size_t n)
{
    size_t i, len;

    if (n < 5)
        return 0;
    line += 4;
    n -= 4;
    for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        len = strlen(hidden[i]);
        if (n > len && strncasecmp(line, hidden[i], len) == 0 &&
            (is_space(line[len]) || line[len] == '='))
            return 1;
    }
    return 0;
}

size_t sm_smtp_ehlo(char *buf, size_t len)
{
    size_t pos = 0, out = 0, last = 0;
    int first = 1;

    while (pos < len) {
        char *line = buf + pos, *nl = memchr(line, '\n', len - pos);
        size_t n = nl ? (size_t)(nl + 1 - line) : len - pos;

        pos += n;
        /* the first line is a greeting, whatever word it holds */
        if (!first && is_hidden(line, n))
            continue;
        first = 0;
        last = out;
        memmove(buf + out, line, n);
        out += n;
    }
    /* the last line that stays is the last now */
    if (out - last >= 5 && buf[last + 3] == '-')
        buf[last + 3] = ' ';
    return out;
}

size_t sm_data_scan(struct sm_data *d, const char *p, size_t n,
                    struct sm_data_end *end)
{
    size_t i = 0;

    end->len = 0;
    end->loose = 0;
    while (i < n) {
        const char *nl;

        if (!d->in_line && p[i] == '.') {
            if (i + 1 == n || (p[i + 1] == '\r' && i + 2 == n))
                break;
            if (p[i + 1] == '\n' || (p[i + 1] == '\r' && p[i + 2] == '\n')) {
                end->len = p[i + 1] == '\n' ? 2 : 3;
                end->loose = d->lf || end->len == 2;
                break;
            }
        }
        nl = memchr(p + i, '\n', n - i);
        if (!nl) {
            d->in_line = 1;
            i = n;
            break;
        }
        d->lf = (nl > p ? nl[-1] : d->last) != '\r';
        d->in_line = 0;
        i = (size_t)(nl - p) + 1;
    }
    if (i)
        d->last = p[i - 1];
    return i;
}
