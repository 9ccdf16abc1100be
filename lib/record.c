/*
 * Records of the mail log: the line that the recorder writes and everything
 * else reads.  libc only; no allocation, no global state.  The parser takes
 * any bytes: what is no record is refused, never overrun.
 */
#include "mo_record.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define F(name)                                                                \
    {                                                                          \
        name, sizeof(name) - 1                                                 \
    }
static const struct {
    const char *name;
    size_t len;
} fields[MO_F_COUNT] = {
    [MO_F_TIME] = F("time"),
    [MO_F_ID] = F("id"),
    [MO_F_HOST] = F("host"),
    [MO_F_VERDICT] = F("verdict"),
    [MO_F_EVIDENCE] = F("evidence"),
    [MO_F_STATE] = F("state"),
    [MO_F_ACTION] = F("action"),
    [MO_F_REASON] = F("reason"),
    [MO_F_REQUEST_ID] = F("request_id"),
    [MO_F_REQUEST_TIME] = F("request_time"),
    [MO_F_REQUEST_HASH] = F("request_hash"),
    [MO_F_CLIENT] = F("client"),
    [MO_F_VHOST] = F("vhost"),
    [MO_F_METHOD] = F("method"),
    [MO_F_URI] = F("uri"),
    [MO_F_QUERY] = F("query"),
    [MO_F_SCRIPT] = F("script"),
    [MO_F_HANDLER] = F("handler"),
    [MO_F_USER] = F("user"),
    [MO_F_UID] = F("uid"),
    [MO_F_GID] = F("gid"),
    [MO_F_PID] = F("pid"),
    [MO_F_EXE] = F("exe"),
    [MO_F_CWD] = F("cwd"),
    [MO_F_PARENTS] = F("parents"),
    [MO_F_MODE] = F("mode"),
    [MO_F_ENVELOPE_FROM] = F("envelope_from"),
    [MO_F_RECIPIENTS] = F("recipients"),
    [MO_F_RECIPIENT_LIST] = F("recipient_list"),
    [MO_F_SUBJECT] = F("subject"),
    [MO_F_MESSAGE_ID] = F("message_id"),
    [MO_F_SIZE] = F("size"),
    [MO_F_CANDIDATES] = F("candidates"),
    [MO_F_CLAIMED_VHOST] = F("claimed_vhost"),
    [MO_F_CLAIMED_URI] = F("claimed_uri"),
    [MO_F_CLAIMED_SCRIPT] = F("claimed_script"),
    [MO_F_CLAIMED_ID] = F("claimed_id"),
    [MO_F_TRUNCATED] = F("truncated"),
};

const char *mo_field_name(enum mo_field f)
{
    return (unsigned)f < MO_F_COUNT ? fields[f].name : "";
}

/* Records have their members in order: looking on from the last one found
 * makes most look-ups a single comparison. */
static int find_from(const char *name, size_t len, unsigned start)
{
    unsigned i, f;

    for (i = 0, f = start < MO_F_COUNT ? start : 0; i < MO_F_COUNT; i++) {
        if (fields[f].len == len && memcmp(fields[f].name, name, len) == 0) {
            return (int)f;
        }
        if (++f == MO_F_COUNT) {
            f = 0;
        }
    }
    return -1;
}

int mo_field_find(const char *name, size_t len)
{
    return find_from(name, len, 0);
}

int mo_field_is_number(enum mo_field f)
{
    return f == MO_F_UID || f == MO_F_GID || f == MO_F_PID ||
           f == MO_F_RECIPIENTS || f == MO_F_SIZE;
}

static const struct {
    const char *name;
    const char *words;
} verdicts[] = {
    [MO_V_VERIFIED] = {"verified",
                       "Kernel facts name exactly this request as the sender"},
    [MO_V_CLAIMED] = {"claimed",
                      "An authentic token names this request, but no kernel "
                      "fact confirms that it was the sender's own"},
    [MO_V_AMBIGUOUS] = {"ambiguous",
                        "Kernel facts leave several requests; it is one of "
                        "the candidates, and nothing tells which"},
    [MO_V_CONFLICT] = {"conflict",
                       "Kernel facts name this request, but the sender showed "
                       "another request's token"},
    [MO_V_HIDDEN] = {"hidden",
                     "It was sent from below a web worker, but whatever would "
                     "name the request was removed"},
    [MO_V_FORGED] = {"forged", "The sender showed a token that is not "
                               "authentic, and no kernel fact names a request"},
    [MO_V_NONE] = {"none", "There is no sign of the web server: it was sent "
                           "by cron, a shell or a daemon"},
};
#define NVERDICTS (sizeof(verdicts) / sizeof(verdicts[0]))

const char *mo_verdict_name(int v)
{
    return v >= MO_V_VERIFIED && v < (int)NVERDICTS ? verdicts[v].name : "";
}

const char *mo_verdict_words(int v)
{
    return v >= MO_V_VERIFIED && v < (int)NVERDICTS ? verdicts[v].words : "";
}

int mo_verdict_find(const char *name)
{
    int v;

    for (v = MO_V_VERIFIED; name && v < (int)NVERDICTS; v++) {
        if (strcmp(verdicts[v].name, name) == 0) {
            return v;
        }
    }
    return 0;
}

/* ---- the writer */

/* How long the value is when escaped; what is over a line is all the same. */
static size_t escaped_length(const char *s)
{
    char out[MO_RECORD_LINE];
    int cut = 0;
    size_t n = mo_json_escape(s, strlen(s), out, sizeof(out), &cut);

    return cut ? sizeof(out) : n;
}

static int is_digits(const char *s)
{
    size_t n = strspn(s, "0123456789");

    return n > 0 && n <= 20 && s[n] == '\0';
}

/* No byte's escape is longer: "\u00ff", or a pair of these for four. */
#define ESCAPE_MAX 6

/* The longest that a value may be so that all values fit in room: the
 * shorter ones stay whole, the longest are cut. */
static size_t share(const size_t *len, size_t room)
{
    size_t low = 0, high = room, cap, sum, i;

    while (low < high) { /* low fits, above high nothing does */
        cap = low + (high - low + 1) / 2;
        for (sum = i = 0; i < MO_F_COUNT; i++) {
            sum += len[i] < cap ? len[i] : cap;
        }
        if (sum <= room) {
            low = cap;
        }
        else {
            high = cap - 1;
        }
    }
    return low;
}

size_t mo_record_format(const struct mo_record *r, char *buf, size_t size)
{
    static const char truncated[] = "\"truncated\":true";
    size_t len[MO_F_COUNT] = {0}, sum = 0, room, cap, n = 0, i;
    int cut = 0, use[MO_F_COUNT] = {0};
    const char *v;

    if (size > MO_RECORD_LINE) {
        size = MO_RECORD_LINE;
    }
    /* braces, "\n" and the mark are always paid for */
    room = sizeof(truncated) + 4;
    for (i = 0; i < MO_F_COUNT; i++) {
        v = r->value[i];
        if (v == NULL || v[0] == '\0') {
            continue;
        }
        if (i == MO_F_TRUNCATED) {
            cut = 1;
            continue;
        }
        if (mo_field_is_number((enum mo_field)i) && !is_digits(v)) {
            continue;
        }
        use[i] = 1;
        len[i] = strlen(v);
        sum += len[i] * ESCAPE_MAX;
        room += fields[i].len + 6; /* "":"", */
    }
    if (room >= size) {
        return 0;
    }
    cap = size - room;
    if (sum > cap) { /* it may be too much: how long is each in truth? */
        for (i = 0; i < MO_F_COUNT; i++) {
            len[i] = use[i] ? escaped_length(r->value[i]) : 0;
        }
        cap = share(len, cap);
    }
    buf[n++] = '{';
    for (i = 0; i < MO_F_COUNT; i++) {
        if (!use[i]) {
            continue;
        }
        v = r->value[i];
        buf[n++] = '"';
        memcpy(buf + n, fields[i].name, fields[i].len);
        n += fields[i].len;
        buf[n++] = '"';
        buf[n++] = ':';
        if (mo_field_is_number((enum mo_field)i)) {
            memcpy(buf + n, v, len[i]);
            n += len[i];
        }
        else {
            buf[n++] = '"';
            n += mo_json_escape(v, strlen(v), buf + n, cap + 1, &cut);
            buf[n++] = '"';
        }
        buf[n++] = ',';
    }
    if (cut) {
        memcpy(buf + n, truncated, sizeof(truncated) - 1);
        n += sizeof(truncated) - 1;
    }
    else if (n > 1) {
        n--; /* the last comma */
    }
    buf[n++] = '}';
    buf[n++] = '\n';
    return n;
}

/* ---- the parser */

static int hex4(const char *p)
{
    int i, v = 0;

    for (i = 0; i < 4; i++) {
        char c = p[i];

        if (c >= '0' && c <= '9') {
            v = v << 4 | (c - '0');
        }
        else if (c >= 'a' && c <= 'f') {
            v = v << 4 | (c - 'a' + 10);
        }
        else if (c >= 'A' && c <= 'F') {
            v = v << 4 | (c - 'A' + 10);
        }
        else {
            return -1;
        }
    }
    return v;
}

static char *put_utf8(char *w, unsigned cp)
{
    if (cp < 0x80) {
        *w++ = (char)cp;
    }
    else if (cp < 0x800) {
        *w++ = (char)(0xC0 | cp >> 6);
        *w++ = (char)(0x80 | (cp & 0x3F));
    }
    else if (cp < 0x10000) {
        *w++ = (char)(0xE0 | cp >> 12);
        *w++ = (char)(0x80 | (cp >> 6 & 0x3F));
        *w++ = (char)(0x80 | (cp & 0x3F));
    }
    else {
        *w++ = (char)(0xF0 | cp >> 18);
        *w++ = (char)(0x80 | (cp >> 12 & 0x3F));
        *w++ = (char)(0x80 | (cp >> 6 & 0x3F));
        *w++ = (char)(0x80 | (cp & 0x3F));
    }
    return w;
}

/* A \u escape at p (past the "u"), its surrogate partner included; what it
 * names never takes more bytes than it does.  NULL: bad. */
static char *unescape_u(char *p, const char *end, char **w)
{
    int v, low;

    if (end - p < 4 || (v = hex4(p)) < 0) {
        return NULL;
    }
    p += 4;
    if (v >= 0xD800 && v <= 0xDBFF) {
        if (end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
            (low = hex4(p + 2)) >= 0xDC00 && low <= 0xDFFF) {
            *w = put_utf8(*w, 0x10000u + ((unsigned)(v - 0xD800) << 10) +
                                  (unsigned)(low - 0xDC00));
            return p + 6;
        }
        v = 0xFFFD;
    }
    else if (v >= 0xDC00 && v <= 0xDFFF) {
        v = 0xFFFD;
    }
    else if (v == 0) {
        v = '?'; /* strings end at a NUL */
    }
    *w = put_utf8(*w, (unsigned)v);
    return p;
}

/*
 * The string whose first '"' is before p, unescaped in place, NUL-terminated.
 * *esc is the first backslash at or after p, or end.  Returns what is past
 * the closing '"', or NULL.
 */
static char *string(char *p, char *end, char **esc, size_t *len)
{
    char *quote = memchr(p, '"', (size_t)(end - p));
    char *w, *start = p;

    if (quote == NULL) {
        return NULL;
    }
    if (quote < *esc) {
        *quote = '\0';
        *len = (size_t)(quote - p);
        return quote + 1;
    }
    w = p = *esc;
    while (p < end && *p != '"') {
        if (*p != '\\') {
            *w++ = *p++;
            continue;
        }
        if (++p >= end) {
            return NULL;
        }
        switch (*p++) {
        case 'u':
            if ((p = unescape_u(p, end, &w)) == NULL) {
                return NULL;
            }
            break;
        case 'n':
            *w++ = '\n';
            break;
        case 't':
            *w++ = '\t';
            break;
        case 'r':
            *w++ = '\r';
            break;
        case 'b':
            *w++ = '\b';
            break;
        case 'f':
            *w++ = '\f';
            break;
        case '"':
        case '\\':
        case '/':
            *w++ = p[-1];
            break;
        default:
            return NULL;
        }
    }
    if (p >= end) {
        return NULL;
    }
    p++;
    *w = '\0';
    *len = (size_t)(w - start);
    *esc = memchr(p, '\\', (size_t)(end - p));
    if (*esc == NULL) {
        *esc = end;
    }
    return p;
}

/* The member whose '"' is at p, if it is one of fields[next] on; *value is what
 * is past its ':'.  -1: it has to be read as any other. */
static int known(char *p, const char *end, unsigned next, char **value)
{
    size_t n;

    for (p++; next < MO_F_COUNT; next++) {
        n = fields[next].len;
        if (*p == fields[next].name[0] && (size_t)(end - p) > n + 2 &&
            p[n] == '"' && p[n + 1] == ':' &&
            memcmp(p, fields[next].name, n) == 0) {
            *value = p + n + 2;
            return (int)next;
        }
    }
    return -1;
}

static inline char *blanks(char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The first "name": in [p, end), NULL: none. */
static char *find_member(char *p, const char *end, const char *name, size_t n)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), first = _mm_set1_epi8(*name),
                  colon = _mm_set1_epi8(':');
    __m128i a, b, c;
    unsigned bits;
    char *q;

    for (; (size_t)(end - p) >= n + 18; p += 16) {
        a = _mm_loadu_si128((const __m128i *)p);
        b = _mm_loadu_si128((const __m128i *)(p + 1));
        c = _mm_loadu_si128((const __m128i *)(p + n + 2));
        a = _mm_and_si128(_mm_cmpeq_epi8(a, quote), _mm_cmpeq_epi8(b, first));
        a = _mm_and_si128(a, _mm_cmpeq_epi8(c, colon));
        for (bits = (unsigned)_mm_movemask_epi8(a); bits; bits &= bits - 1) {
            q = p + __builtin_ctz(bits);
            if (memcmp(q + 1, name, n) == 0 && q[n + 1] == '"') {
                return q;
            }
        }
    }
#endif
    while ((size_t)(end - p) >= n + 3 &&
           (p = memchr(p, '"', (size_t)(end - p) - n - 2)) != NULL) {
        if (memcmp(p + 1, name, n) == 0 && p[n + 1] == '"' && p[n + 2] == ':') {
            return p;
        }
        p++;
    }
    return NULL;
}

/*
 * Without a backslash no string holds a '"', so that what looks like a
 * member's name is one: only the wanted ones are looked for, in the recorder's
 * order.  -1, with nothing changed: the line has to be read member by member.
 */
static int quick(char *line, char *end, uint64_t wanted, struct mo_record *r)
{
    char *p = line, *q;
    unsigned f;

    for (f = 0; wanted >> f && f < MO_F_COUNT; f++) {
        if (!(wanted >> f & 1)) {
            continue;
        }
        if ((q = find_member(p, end, fields[f].name, fields[f].len)) == NULL &&
            (q = find_member(line, end, fields[f].name, fields[f].len)) ==
                NULL) {
            continue;
        }
        if (q != line && q[-1] != ',') {
            return -1;
        }
        p = q + fields[f].len + 3;
        if (*p == '"') {
            p++;
            q = memchr(p, '"', (size_t)(end - p));
        }
        else {
            for (q = p; *q >= '0' && *q <= '9'; q++) {
            }
        }
        /* (the line's last byte is a '}') */
        if (q == NULL || (p[-1] == '"' ? q[1] != ',' && q[1] != '}'
                                       : *q != ',' && *q != '}')) {
            return -1;
        }
        r->len[f] = (size_t)(q - p);
        r->value[f] = r->len[f] ? p : NULL;
        p = q;
    }
    for (f = 0; f < MO_F_COUNT; f++) {
        if (r->value[f]) {
            ((char *)r->value[f])[r->len[f]] = '\0';
        }
    }
    return 0;
}

int mo_record_parse_some(char *line, size_t len, uint64_t wanted,
                         struct mo_record *r)
{
    char *p = line, *end, *esc, *name, *value = NULL, *stop;
    size_t namelen, vlen = 0;
    unsigned next = 0;
    int f, bare;

    memset(r, 0, sizeof(*r));
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
        len--;
    }
    end = line + len;
    p = blanks(p, end);
    if (p >= end || *p++ != '{') {
        return -1;
    }
    esc = memchr(p, '\\', (size_t)(end - p));
    if (esc == NULL) {
        esc = end;
        if (wanted != ~0ull && end[-1] == '}') {
            if (quick(p, end, wanted, r) == 0) {
                return 0;
            }
            memset(r, 0, sizeof(*r));
        }
    }
    p = blanks(p, end);
    if (p < end && *p == '}') {
        return blanks(p + 1, end) == end ? 0 : -1;
    }
    for (;;) {
        if (p >= end || *p != '"') {
            break;
        }
        /* as the recorder writes it: a member we know, in our order */
        f = known(p, end, next, &value);
        if (f >= 0) {
            p = value;
        }
        else {
            name = ++p;
            if ((p = string(p, end, &esc, &namelen)) == NULL) {
                break;
            }
            p = blanks(p, end);
            if (p >= end || *p++ != ':') {
                break;
            }
            p = blanks(p, end);
            f = find_from(name, namelen, next);
        }
        bare = 0;
        stop = NULL;
        if (p < end && *p == '"') {
            value = ++p;
            if ((p = string(p, end, &esc, &vlen)) == NULL) {
                break;
            }
        }
        else {
            value = p;
            while (p < end &&
                   ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
                    *p == '.' || *p == '-' || *p == '+' || *p == 'E')) {
                p++;
            }
            if (p == value) {
                break; /* an object, an array or nothing */
            }
            bare = 1;
            stop = p;
            vlen = (size_t)(p - value);
        }
        p = blanks(p, end);
        if (p >= end || (*p != ',' && *p != '}')) {
            break;
        }
        if (f >= 0) {
            next = (unsigned)f + 1;
            if (bare && ((vlen == 4 && memcmp(value, "null", 4) == 0) ||
                         (vlen == 5 && memcmp(value, "false", 5) == 0))) {
                vlen = 0;
            }
            r->value[f] = vlen ? value : NULL;
            r->len[f] = vlen;
            wanted &= ~(1ull << f);
        }
        if (*p++ == '}') {
            if (stop) {
                *stop = '\0';
            }
            if (blanks(p, end) != end) {
                break;
            }
            return 0;
        }
        if (stop) {
            *stop = '\0'; /* only now: it may be the comma itself */
        }
        p = blanks(p, end);
        if (wanted == 0) {
            if (end[-1] != '}') {
                break;
            }
            return 0;
        }
    }
    memset(r, 0, sizeof(*r));
    return -1;
}

int mo_record_parse(char *line, size_t len, struct mo_record *r)
{
    return mo_record_parse_some(line, len, ~0ull, r);
}
