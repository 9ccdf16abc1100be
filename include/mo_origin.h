/*
 * An origin: the HTTP request that a mail comes from, as access_log shows
 * it.  The module encodes it once a dynamic request; the same bytes stand on
 * the board, in the token and, cut to fit, in the stamp.
 */
#ifndef MO_ORIGIN_H
#define MO_ORIGIN_H

#include <stddef.h>
#include <stdint.h>

#define MO_HASH_LEN 16 /* keyed BLAKE2b-128 of the request line */
#define MO_KEYID_LEN 4 /* of the key that made the hash */
#define MO_ORIGIN_MAX 3072 /* encoded, on the board and in a token */
#define MO_STAMP_MAX 254 /* encoded, in a stamp: padded to 256 with length */

/* what may be recorded beside the request (MailOriginRecord) */
#define MO_RECORD_QUERY 1u
#define MO_RECORD_SUBJECT 2u
#define MO_RECORD_RECIPIENTS 4u

/* tags of the encoding (mo_tlv.h); never reused for another meaning */
enum mo_origin_tag {
    MO_O_ID = 1, /* string: UNIQUE_ID or the module's own */
    MO_O_TIME = 2, /* number: r->request_time, us since the epoch */
    MO_O_HASH = 3, /* MO_KEYID_LEN bytes of key id + MO_HASH_LEN bytes */
    MO_O_CLIENT = 4, /* string: as %a logs it */
    MO_O_VHOST = 5, /* string: as %v logs it */
    MO_O_METHOD = 6,
    MO_O_URI = 7, /* unparsed_uri of the first request, no query */
    MO_O_QUERY = 8, /* only with MO_RECORD_QUERY */
    MO_O_SCRIPT = 9, /* r->filename of the request that runs */
    MO_O_HANDLER = 10,
    MO_O_USER = 11, /* r->user */
    MO_O_RECORD = 12, /* number: MO_RECORD_ bits */
    MO_O_PID = 13, /* number: the process that handles the request */
    /* only in a stamp, set by the recorder: */
    MO_O_VERDICT = 14, /* number: enum mo_verdict */
    MO_O_MAIL = 15, /* string: the mail's id */
    MO_O_WHEN = 16, /* number: when it was stamped, us since the epoch */
    MO_O_UID = 17, /* number: 1 + the caller's uid */
    MO_O_HOST = 18, /* string: the host's name */
    MO_O_CUT = 19 /* number: 1: something was cut to fit */
};

/* What fields there are, as strings for printing; "" where absent. */
struct mo_origin {
    uint64_t time_us;
    uint64_t when_us; /* stamp only */
    uint32_t record; /* MO_RECORD_ bits */
    int32_t pid; /* 0: unknown */
    int64_t uid; /* stamp only; -1: none */
    int verdict; /* stamp only; 0: none */
    int cut;
    int has_hash;
    unsigned char keyid[MO_KEYID_LEN];
    unsigned char hash[MO_HASH_LEN];
    char id[65];
    char mail[33];
    char host[256];
    char client[64];
    char vhost[256];
    char method[33];
    char user[128];
    char handler[128];
    char uri[2049];
    char query[2049];
    char script[2049];
};

/*
 * Encodes o into buf; longest members (uri, query, script) are cut in the
 * middle, where "..." then stands, until all fits in cap bytes, and MO_O_CUT
 * is set.  Where even that is too much, user, handler and query go first.
 * Returns the encoded length; 0 if cap is below 128 (a caller's mistake).
 * Strings that start empty are left out.
 */
size_t mo_origin_encode(const struct mo_origin *o, unsigned char *buf,
                        size_t cap);
/*
 * Decodes; unknown tags are passed over (a newer module), strings too long
 * for their member are cut at its size, NUL bytes inside become '?'.
 * Returns 0, or -1 where the bytes are no fields; *o is then all empty.
 */
int mo_origin_decode(const void *buf, size_t len, struct mo_origin *o);

#endif
