/*
 * One request against one line: by id, else by second, client and request
 * line.
 */
#include "want.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_in(const char *s, unsigned char *out, size_t n)
{
    size_t i;
    unsigned v;

    for (i = 0; i < n; i++) {
        if (strspn(s + 2 * i, "0123456789abcdefABCDEF") < 2 ||
            sscanf(s + 2 * i, "%2x", &v) != 1) {
            return -1;
        }
        out[i] = (unsigned char)v;
    }
    return 0;
}

/* Is it there, and written to a log as it is? */
static int is_plain(const char *s)
{
    if (s == NULL || *s == '\0') {
        return 0;
    }
    for (; *s; s++) {
        if (*s <= ' ' || *s >= 0x7F || *s == '"' || *s == '\\') {
            return 0;
        }
    }
    return 1;
}

void cli_want_set(struct cli_want *w, const struct mo_record *r)
{
    const char *v;

    memset(w, 0, sizeof(*w));
    w->id = r->value[MO_F_REQUEST_ID];
    w->client = r->value[MO_F_CLIENT];
    w->vhost = r->value[MO_F_VHOST];
    w->method = r->value[MO_F_METHOD];
    w->uri = r->value[MO_F_URI];
    w->script = r->value[MO_F_SCRIPT];
    w->hash = r->value[MO_F_REQUEST_HASH];
    if ((v = r->value[MO_F_REQUEST_TIME]) != NULL &&
        mo_time_parse(v, &w->time_us) != 0) {
        w->time_us = 0;
    }
    if ((v = r->value[MO_F_TIME]) != NULL &&
        mo_time_parse(v, &w->sent_us) != 0) {
        w->sent_us = 0;
    }
    if (w->hash && strlen(w->hash) == 41 && w->hash[8] == ':' &&
        hex_in(w->hash, w->keyid, 4) == 0 &&
        hex_in(w->hash + 9, w->mac, 16) == 0) {
        w->has_hash = 1;
    }
    w->cut = r->value[MO_F_TRUNCATED] && w->uri && strstr(w->uri, "...");
    if (!w->cut && is_plain(w->uri) && *w->uri == '/' && is_plain(w->method)) {
        w->nmethod = (unsigned)strlen(w->method);
        w->nuri = (unsigned)strlen(w->uri);
    }
}

int want_is_not(const struct cli_want *w, const char *p, const char *end)
{
    const char *uri = p + w->nmethod + 1;

    if (w->nuri == 0 || (size_t)(end - p) < w->nmethod + w->nuri + 2) {
        return 0;
    }
    if (memcmp(p, w->method, w->nmethod) != 0 || uri[-1] != ' ') {
        return 1;
    }
    /* "GET http://host/path" is compared as a whole */
    return *uri == '/' && (memcmp(uri, w->uri, w->nuri) != 0 ||
                           (uri[w->nuri] != ' ' && uri[w->nuri] != '?' &&
                            uri[w->nuri] != '"'));
}

uint64_t want_until(const struct cli_want *w, uint64_t slow)
{
    return (w->sent_us > w->time_us ? w->sent_us : w->time_us) + slow;
}

const char *cli_match_name(enum cli_match m)
{
    switch (m) {
    case MATCH_EXACT:
        return "exact";
    case MATCH_UNIQUE:
        return "unique";
    case MATCH_AMBIGUOUS:
        return "ambiguous";
    case MATCH_NONE:
        break;
    }
    return "none";
}

/* ---- parts of a line */

static int text_is(struct log_text t, const char *s)
{
    return t.p && strlen(s) == t.n && memcmp(t.p, s, t.n) == 0;
}

static int is_dash(struct log_text t)
{
    return t.n == 0 || (t.n == 1 && *t.p == '-');
}

/* An address in 16 bytes, IPv4 mapped; 0, or -1: it is a name. */
static int address(const char *s, size_t n, unsigned char out[16])
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    char text[64];
    char *zone;

    if (n >= sizeof(text)) {
        return -1;
    }
    memcpy(text, s, n);
    text[n] = '\0';
    if ((zone = strchr(text, '%')) != NULL) {
        *zone = '\0';
    }
    if (inet_pton(AF_INET, text, out + 12) == 1) {
        memcpy(out, mapped, 12);
        return 0;
    }
    return inet_pton(AF_INET6, text, out) == 1 ? 0 : -1;
}

static int client_differs(const struct cli_want *w, const struct log_line *l)
{
    struct log_text t = l->part[LOG_CLIENT];
    unsigned char a[16], b[16];

    if (t.p == NULL) {
        t = l->part[LOG_HOST];
    }
    if (t.p == NULL || w->client == NULL || *w->client == '\0') {
        return 0;
    }
    if (t.n == strlen(w->client) && memcmp(t.p, w->client, t.n) == 0) {
        return 0;
    }
    /* with HostnameLookups it is a name, which says nothing here */
    return address(t.p, t.n, a) == 0 &&
           address(w->client, strlen(w->client), b) == 0 &&
           memcmp(a, b, 16) != 0;
}

static int time_differs(const struct cli_want *w, const struct log_line *l)
{
    uint64_t unit = l->unit;

    if (!l->has_time) {
        return 0;
    }
    if (l->is_end) {
        return l->time_us + unit <= w->time_us ||
               l->time_us > want_until(w, WANT_SLOWEST);
    }
    if (l->any_zone) {
        uint64_t apart = w->time_us + ZONES - l->time_us;

        return apart > 2 * ZONES || apart % ZONE_STEP >= unit;
    }
    return (w->time_us < l->time_us || w->time_us - l->time_us >= unit) &&
           (w->time_us < l->other_us || w->time_us - l->other_us >= unit);
}

/* What the escapes of ap_escape_logitem stand for; its length in out. */
static size_t unescape(struct log_text t, char *out, size_t size)
{
    size_t i, n = 0;
    char hex[3] = "";

    for (i = 0; i < t.n && n + 1 < size; i++) {
        if (t.p[i] != '\\' || i + 1 >= t.n) {
            out[n++] = t.p[i];
            continue;
        }
        switch (t.p[++i]) {
        case 'x':
            if (i + 2 >= t.n) {
                return n;
            }
            memcpy(hex, t.p + i + 1, 2);
            out[n++] = (char)strtol(hex, NULL, 16);
            i += 2;
            break;
        case 'n':
            out[n++] = '\n';
            break;
        case 'r':
            out[n++] = '\r';
            break;
        case 't':
            out[n++] = '\t';
            break;
        case 'b':
            out[n++] = '\b';
            break;
        case 'v':
            out[n++] = '\v';
            break;
        default:
            out[n++] = t.p[i];
        }
    }
    out[n] = '\0';
    return n;
}

/* The escapes themselves, as ap_escape_logitem makes them. */
static void escape(const char *s, char *out, size_t size)
{
    static const char plain[] = "\b\n\r\t\v\"\\", made[] = "bnrtv\"\\";
    const char *at;
    size_t n = 0;

    for (; *s && n + 5 < size; s++) {
        if ((at = strchr(plain, *s)) != NULL) {
            n += (size_t)snprintf(out + n, size - n, "\\%c", made[at - plain]);
        }
        else if (*s < ' ' || *s >= 0x7F) {
            n += (size_t)snprintf(out + n, size - n, "\\x%02x",
                                  (unsigned)(unsigned char)*s);
        }
        else {
            out[n++] = *s;
        }
    }
    out[n] = '\0';
}

/* A byte that is no UTF-8 is a character of that number in a record. */
static int same_bytes(const char *rec, const char *have, size_t n)
{
    size_t i;

    for (i = 0; i < n && *rec; i++, rec++) {
        unsigned char a = (unsigned char)rec[0], b = (unsigned char)rec[1];

        if (*rec == have[i]) {
            continue;
        }
        if ((a & 0xFE) != 0xC2 || (b & 0xC0) != 0x80 ||
            (unsigned char)have[i] != (unsigned char)(a << 6 | (b & 0x3F))) {
            return 0;
        }
        rec++;
    }
    return i == n && *rec == '\0';
}

/* Is have the path that the record shows, cut in its middle or not? */
static int path_is(const struct cli_want *w, const char *have, size_t n)
{
    const char *dots = w->cut ? strstr(w->uri, "...") : NULL;
    size_t head, tail;

    if (dots == NULL) {
        return same_bytes(w->uri, have, n);
    }
    head = (size_t)(dots - w->uri);
    tail = strlen(dots + 3);
    return n >= head + tail && memcmp(have, w->uri, head) == 0 &&
           memcmp(have + n - tail, dots + 3, tail) == 0;
}

/* %XX decoded in place, as httpd's r->uri, which %U shows. */
static size_t decode(char *s, size_t n)
{
    size_t i, k = 0;
    char hex[3] = "", *end;
    long v;

    for (i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n) {
            memcpy(hex, s + i + 1, 2);
            v = strtol(hex, &end, 16);
            if (end == hex + 2) {
                s[k++] = (char)v;
                i += 2;
                continue;
            }
        }
        s[k++] = s[i];
    }
    s[k] = '\0';
    return k;
}

/* ---- the request line */

static int hash_is(const struct cli_want *w, struct want_line *line,
                   struct log_text t)
{
    const struct mo_key *k = mo_keyring_find(line->keys, w->keyid);
    int index = k ? (int)(k - line->keys->key) + 1 : 0;

    if (line->hashed != index) {
        mo_request_hash(k, t.p, t.n, line->mac);
        line->hashed = index;
    }
    return memcmp(line->mac, w->mac, sizeof(w->mac)) == 0;
}

/* Without the key: the method and path of %r. */
static int plain_is(const struct cli_want *w, struct log_text t)
{
    char text[8192];
    size_t n = unescape(t, text, sizeof(text)), m;
    char *p = text, *end;

    if (w->method && *w->method) {
        m = strlen(w->method);
        if (n <= m || memcmp(p, w->method, m) != 0 || p[m] != ' ') {
            return 0;
        }
        p += m + 1;
        n -= m + 1;
    }
    if (w->uri == NULL || *w->uri == '\0') {
        return 1;
    }
    if ((end = memchr(p, ' ', n)) != NULL) {
        n = (size_t)(end - p);
    }
    if ((end = memchr(p, '?', n)) != NULL) {
        n = (size_t)(end - p);
    }
    return path_is(w, p, n);
}

/* The record's path as %U shows it: decoded, without the scheme and host of a
 * proxy's request, no slash twice. */
static size_t bare_path(const char *uri, char *out, size_t size)
{
    const char *p = strstr(uri, "://");
    size_t i, k = 0, n;

    p = *uri != '/' && p ? strchr(p + 3, '/') : uri;
    snprintf(out, size, "%s", p ? p : "/");
    n = decode(out, strlen(out));
    for (i = 0; i < n; i++) {
        if (out[i] != '/' || k == 0 || out[k - 1] != '/') {
            out[k++] = out[i];
        }
    }
    out[k] = '\0';
    return k;
}

/* Does the script's name end with that path? */
static int is_script(const struct cli_want *w, const char *path, size_t n)
{
    size_t len = w->script ? strlen(w->script) : 0;

    return n > 1 && len >= n && memcmp(w->script + len - n, path, n) == 0;
}

/* The hash of the request line made of what the record and the line have: the
 * line's own path is not as the client sent it. */
static int made_is(const struct cli_want *w, struct want_line *line)
{
    const struct log_text *part = line->l->part;
    struct log_text q = part[LOG_QUERY], h = part[LOG_PROTOCOL], all;
    char text[40960], uri[4096]; /* a query of 8190 bytes, each \xhh */
    size_t n;

    escape(w->uri, uri, sizeof(uri));
    n = (size_t)snprintf(text, sizeof(text), "%s %s%.*s %.*s", w->method, uri,
                         (int)q.n, q.p ? q.p : "", (int)h.n, h.p);
    if (n >= sizeof(text)) {
        return 0;
    }
    all.p = text;
    all.n = n;
    line->hashed = 0;
    return hash_is(w, line, all);
}

/*
 * %m %U %q %H.  Of a request that httpd redirected within itself %q is the
 * last one's, and %m GET after an ErrorDocument or a script's Location; after
 * a rewrite %U names the script.  So they show what the client sent only where
 * the hash says so.
 */
static enum want_is parts_are(const struct cli_want *w, struct want_line *line)
{
    const struct log_text *part = line->l->part;
    struct log_text u = part[LOG_URI], m = part[LOG_METHOD],
                    s = part[LOG_STATUS];
    char text[8192], path[4096];
    struct cli_want bare = *w;
    size_t n, npath;
    enum want_is less = WANT_LIKE;

    if (m.p && w->method && *w->method && !text_is(m, w->method)) {
        if (!text_is(m, "GET")) {
            return WANT_NO;
        }
        less = s.n == 3 && *s.p >= '4' ? WANT_LIKE : WANT_MAYBE;
    }
    if (u.p == NULL || w->uri == NULL || *w->uri == '\0') {
        return less; /* nothing to compare */
    }
    n = unescape(u, text, sizeof(text));
    npath = bare_path(w->uri, path, sizeof(path));
    bare.uri = path;
    if (!path_is(&bare, text, n) && !is_script(w, text, n)) {
        return WANT_NO;
    }
    if (w->cut || !w->has_hash || part[LOG_PROTOCOL].p == NULL ||
        part[LOG_QUERY].p == NULL || w->method == NULL ||
        mo_keyring_find(line->keys, w->keyid) == NULL) {
        return less;
    }
    if (made_is(w, line)) {
        return less == WANT_MAYBE ? less : WANT_SAME;
    }
    /* where the client asked for the script itself, the query was its own */
    return is_script(w, path, npath) ? WANT_MAYBE : less;
}

static enum want_is request_is(const struct cli_want *w, struct want_line *line)
{
    struct log_text r = line->l->part[LOG_REQUEST];

    if (r.p == NULL) {
        return parts_are(w, line);
    }
    if (w->has_hash && mo_keyring_find(line->keys, w->keyid)) {
        return hash_is(w, line, r) ? WANT_SAME : WANT_NO;
    }
    return plain_is(w, r) ? WANT_SAME : WANT_NO;
}

enum want_is want_agrees(const struct cli_want *w, struct want_line *line)
{
    const struct log_line *l = line->l;

    if (time_differs(w, l) || client_differs(w, l) ||
        (l->part[LOG_VHOST].p && w->vhost && *w->vhost &&
         (strlen(w->vhost) != l->part[LOG_VHOST].n ||
          strncasecmp(w->vhost, l->part[LOG_VHOST].p, l->part[LOG_VHOST].n) !=
              0))) {
        return WANT_NO;
    }
    return request_is(w, line);
}

enum want_is want_is(const struct cli_want *w, struct want_line *line)
{
    const struct log_line *l = line->l;
    int i;

    for (i = LOG_ID; i <= LOG_UNIQUE_ID; i++) {
        if (l->part[i].p && !is_dash(l->part[i]) && w->id && *w->id) {
            if (text_is(l->part[i], w->id)) {
                return WANT_EXACT;
            }
            /* our own id is another's only in our own field */
            if (i == LOG_ID || strlen(w->id) == l->part[i].n) {
                return WANT_NO;
            }
        }
    }
    return want_agrees(w, line);
}
