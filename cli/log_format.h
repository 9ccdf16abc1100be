/*
 * LogFormat as httpd writes it, made into a parser of its lines.
 *
 * A format is a nickname (common, combined, vhost_combined) or what stands
 * in LogFormat, with or without the backslashes before its quotes.  What
 * httpd writes is escaped (ap_escape_logitem), so that a quoted field ends at
 * the first '"' without a backslash; a field that is not quoted ends where
 * what follows it in the format begins, with backtracking.
 */
#ifndef MO_CLI_LOG_FORMAT_H
#define MO_CLI_LOG_FORMAT_H

#include <stddef.h>
#include <stdint.h>

enum log_part {
    LOG_HOST, /* %h: an address, or a name with HostnameLookups */
    LOG_CLIENT, /* %a */
    LOG_VHOST, /* %v */
    LOG_SERVER, /* %V */
    LOG_REQUEST, /* %r */
    LOG_METHOD, /* %m */
    LOG_URI, /* %U */
    LOG_QUERY, /* %q */
    LOG_PROTOCOL, /* %H */
    LOG_STATUS, /* %s, %>s */
    LOG_USER, /* %u */
    LOG_ID, /* %{MAILORIGIN_ID}e */
    LOG_UNIQUE_ID, /* %{UNIQUE_ID}e */
    LOG_DURATION, /* %D */
    LOG_PARTS, /* the rest is not kept: */
    LOG_TIME = LOG_PARTS,
    LOG_NUMBER,
    LOG_OTHER,
    LOG_TEXT
};

struct log_text {
    const char *p; /* NULL: the format has no such part */
    size_t n;
};
struct log_line {
    struct log_text part[LOG_PARTS];
    int has_time;
    int any_zone; /* the caller's: take it for a time of any zone */
    int is_end; /* it is the request's end, not its begin */
    /* when it was, at the earliest; other_us: the second reading of a local
     * time that DST gave twice; else the same */
    uint64_t time_us, other_us;
    uint64_t unit; /* it was less than so many us later: 1000000, 1000, 1, or
                      more where it is worked out of end and duration */
};

struct log_format;
/* NULL with one line in err: what stands where is not understood. */
struct log_format *log_format_compile(const char *text, char *err, size_t size);
void log_format_free(struct log_format *f);
/* The format as it is read: nicknames resolved. */
const char *log_format_text(const struct log_format *f);
int log_format_has(const struct log_format *f, enum log_part p);
int log_format_has_time(const struct log_format *f);
/* Is its time the request's end, or local time without a zone? */
int log_format_odd_time(const struct log_format *f);

/* Is it local time without a zone? */
int log_format_no_zone(const struct log_format *f);

/*
 * Parses a line (without "\n"); its parts point into it.  whole: to the
 * line's end; else only as far as the parts above reach.  0, or -1: it is not
 * of this format.
 */
int log_format_parse(struct log_format *f, const char *line, size_t len,
                     int whole, struct log_line *out);
/* Only the line's time, as fast as can be; 0, or -1: it has none. */
int log_format_time(struct log_format *f, const char *line, size_t len,
                    uint64_t *us);
/*
 * Where the begin is a plain %t: the literal that follows its ']', of *n
 * bytes, and whether %r comes right after that; NULL: it is not so.
 */
const char *log_format_after_clf(const struct log_format *f, size_t *n,
                                 int *request_next);
/* The 26 characters of such a time; 0, or -1. */
int log_format_clf(struct log_format *f, const char *p, uint64_t *us);
/*
 * The format that most of the lines of this text are of: a common one, with a
 * request's id or a duration at an end, or JSON; NULL: none is.
 */
struct log_format *log_format_guess(const char *text, size_t len);

#endif
