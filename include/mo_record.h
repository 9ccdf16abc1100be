/*
 * A record: one mail, one line of the mail log: a flat JSON object of
 * strings, numbers and true, snake_case, at most MO_RECORD_LINE bytes with
 * its "\n".  All outside printable ASCII and every '"' and '\' is escaped
 * (\uXXXX for UTF-8 characters, with surrogates; a byte that is no UTF-8 as
 * \u00XX), so that a line holds no raw control byte.  Empty members are left
 * out.  Values are cut to fit, and "truncated":true says so.
 */
#ifndef MO_RECORD_H
#define MO_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define MO_RECORD_LINE 8192

enum mo_verdict {
    MO_V_VERIFIED = 1,
    MO_V_CLAIMED = 2,
    MO_V_AMBIGUOUS = 3,
    MO_V_CONFLICT = 4,
    MO_V_HIDDEN = 5,
    MO_V_FORGED = 6,
    MO_V_NONE = 7
};

/* The members, in the order in which they are written. */
enum mo_field {
    MO_F_TIME, /* RFC 3339, us, UTC */
    MO_F_ID, /* the mail's */
    MO_F_HOST,
    MO_F_VERDICT,
    MO_F_EVIDENCE, /* ancestry connection token none */
    MO_F_STATE, /* of a token: in_progress late old */
    MO_F_ACTION, /* passed refused limited held */
    MO_F_REASON,
    MO_F_REQUEST_ID,
    MO_F_REQUEST_TIME, /* RFC 3339, us, UTC */
    MO_F_REQUEST_HASH, /* key id, ':', hash, hex */
    MO_F_CLIENT,
    MO_F_VHOST,
    MO_F_METHOD,
    MO_F_URI,
    MO_F_QUERY,
    MO_F_SCRIPT,
    MO_F_HANDLER,
    MO_F_USER,
    MO_F_UID, /* numbers: */
    MO_F_GID,
    MO_F_PID,
    MO_F_EXE,
    MO_F_CWD,
    MO_F_PARENTS, /* "1234 sh, 1230 php-fpm8.2, …" */
    MO_F_MODE, /* t args bs */
    MO_F_ENVELOPE_FROM,
    MO_F_RECIPIENTS, /* number */
    MO_F_RECIPIENT_LIST,
    MO_F_SUBJECT,
    MO_F_MESSAGE_ID,
    MO_F_SIZE, /* number */
    MO_F_CANDIDATES, /* "vhost uri script id; …" */
    MO_F_CLAIMED_VHOST,
    MO_F_CLAIMED_URI,
    MO_F_CLAIMED_SCRIPT,
    MO_F_CLAIMED_ID,
    MO_F_TRUNCATED, /* true */
    MO_F_COUNT
};

/* "time", "id", …; and back, -1 where there is none such */
const char *mo_field_name(enum mo_field f);
int mo_field_find(const char *name, size_t len);
/* is it a JSON number? */
int mo_field_is_number(enum mo_field f);

/* "verified" …; "" for 0 or a number that is none; and back, 0 if none */
const char *mo_verdict_name(int v);
int mo_verdict_find(const char *name);
/* one sentence for the admin, without a full stop */
const char *mo_verdict_words(int v);

struct mo_record {
    /* NULL or "": absent.  Borrowed: the caller owns the bytes.  Numbers
     * are decimal digits. */
    const char *value[MO_F_COUNT];
    size_t len[MO_F_COUNT]; /* set by the parser; the writer uses strlen */
};

/*
 * Writes the line into buf (MO_RECORD_LINE bytes at least).  Returns its
 * length with the "\n".  A number member that is not digits is left out.
 */
size_t mo_record_format(const struct mo_record *r, char *buf, size_t size);

/*
 * Parses one line (with or without "\n"), unescaping into the line itself:
 * value[] points into it, NUL-terminated.  Unknown members are passed over.
 * Returns 0, or -1 where it is no flat JSON object; r is then empty.
 */
int mo_record_parse(char *line, size_t len, struct mo_record *r);

/*
 * The same, but for the members whose bit (1 << field) is in wanted: what else
 * the line holds may not be looked at, but for the last '}'.
 */
int mo_record_parse_some(char *line, size_t len, uint64_t wanted,
                         struct mo_record *r);

/* RFC 3339 with us in UTC ("2026-11-24T08:00:00.000001Z", 27 characters)
 * and back (-1: it is none; fractions of 0 to 9 digits, Z or an offset) */
void mo_time_format(uint64_t us, char out[32]);
int mo_time_parse(const char *s, uint64_t *us);

/*
 * JSON string escaping as above, for every program that prints JSON: writes
 * s[0..len) without quotes, whole characters only; returns the length that
 * is written, at most size - 1, NUL-terminated; *cut is set if not all fit.
 */
size_t mo_json_escape(const char *s, size_t len, char *out, size_t size,
                      int *cut);

#endif
