/*
 * Evidence by token: what the script was given, or has from elsewhere.  Its
 * origin is authentic where it opens; that the bearer is its request is a
 * claim.
 */
#include "rec.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LATE_US (24ull * 3600 * 1000000)

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Is the token's request on a board? */
static int in_progress(struct rec *r, const struct mo_origin *o,
                       const unsigned char *bytes, size_t len)
{
    static struct mo_origin other;
    struct mo_slot s;
    int i;

    if (o->pid <= 0)
        return 0;
    /* The bytes of all before any is decoded: a child may have many, and only
     * an internal redirect gives the same request a new origin. */
    for (i = 0; i < 2 * REC_BOARDS; i++) {
        const struct rec_board *b = &r->boards.board[i % REC_BOARDS];
        const int decode = i >= REC_BOARDS;
        uint32_t at = 0;

        if (b->source.fd < 0)
            continue;
        while (mo_board_next(&b->map, o->pid, &at, &s)) {
            if (!decode) {
                if (s.origin_len == len && memcmp(s.origin, bytes, len) == 0)
                    return 1;
                continue;
            }
            if (mo_origin_decode(s.origin, s.origin_len, &other) == 0 &&
                o->id[0] != '\0' && strcmp(other.id, o->id) == 0 &&
                other.time_us == o->time_us)
                return 1;
        }
    }
    return 0;
}

void rec_evidence_token(struct rec *r, struct rec_evidence *e, const char *text,
                        size_t len)
{
    static unsigned char plain[MO_SEAL_PLAIN_MAX + 2];
    static struct mo_origin o;
    struct rec_token *t;
    uint64_t now = now_us();
    size_t n = 0;

    if (e->ntokens == REC_TOKENS || len == 0)
        return;
    t = &e->token[e->ntokens++];
    memset(t, 0, sizeof *t);
    t->open =
        mo_unseal(&r->keys, MO_SEAL_TOKEN, text, len, plain, sizeof plain, &n);
    if (t->open != MO_OPEN_OK)
        return;
    if (n == 0 || mo_origin_decode(plain, n, &o) != 0 ||
        (t->origin = malloc(n)) == NULL) {
        t->open = MO_OPEN_MALFORMED;
        return;
    }
    memcpy(t->origin, plain, n);
    t->len = n;
    if (in_progress(r, &o, plain, n))
        t->state = REC_IN_PROGRESS;
    else
        t->state = o.time_us + LATE_US >= now ? REC_LATE : REC_OLD;
}
