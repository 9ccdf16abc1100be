/*
 * Encodes and decodes an origin; the contract is in mo_origin.h.
 *
 * What must fit a stamp is cut in the middle: the beginning of a URI or path
 * tells the site, its end the script, and what lies between is missed least.
 */
#include "mo_origin.h"

#include <stddef.h>
#include <string.h>

#include "mo_tlv.h"

/* a member is not cut below this while others can still be dropped */
#define CUT_FLOOR 24
#define DOTS "..."

struct member {
    unsigned char tag;
    uint16_t offset;
    uint16_t size; /* with the NUL */
};

#define MEMBER(tag, name)                                                      \
    {                                                                          \
        tag, offsetof(struct mo_origin, name),                                 \
            sizeof(((struct mo_origin *)0)->name)                              \
    }

enum { M_ID, M_MAIL, M_HOST, M_CLIENT, M_VHOST, M_METHOD, M_USER, M_HANDLER };
enum { M_URI = M_HANDLER + 1, M_QUERY, M_SCRIPT, M_COUNT };

static const struct member members[M_COUNT] = {
    [M_ID] = MEMBER(MO_O_ID, id),
    [M_MAIL] = MEMBER(MO_O_MAIL, mail),
    [M_HOST] = MEMBER(MO_O_HOST, host),
    [M_CLIENT] = MEMBER(MO_O_CLIENT, client),
    [M_VHOST] = MEMBER(MO_O_VHOST, vhost),
    [M_METHOD] = MEMBER(MO_O_METHOD, method),
    [M_USER] = MEMBER(MO_O_USER, user),
    [M_HANDLER] = MEMBER(MO_O_HANDLER, handler),
    [M_URI] = MEMBER(MO_O_URI, uri),
    [M_QUERY] = MEMBER(MO_O_QUERY, query),
    [M_SCRIPT] = MEMBER(MO_O_SCRIPT, script),
};

static size_t total(const size_t *len)
{
    size_t n = 0;
    int i;

    for (i = 0; i < M_COUNT; i++)
        n += len[i] ? MO_TLV_SIZE(len[i]) : 0;
    return n;
}

/* Cuts the longest of members [first, M_COUNT) until all fit in room, but
 * none below floor. */
static void level(size_t *len, int first, size_t floor, size_t room)
{
    size_t low = floor, high = 0, mid, try[M_COUNT];
    int i;

    for (i = first; i < M_COUNT; i++)
        if (len[i] > high)
            high = len[i];
    /* the greatest length to which all may go */
    while (low < high) {
        mid = low + (high - low + 1) / 2;
        memcpy(try, len, sizeof try);
        for (i = first; i < M_COUNT; i++)
            if (try[i] > mid)
                try[i] = mid;
        if (total(try) <= room)
            low = mid;
        else
            high = mid - 1;
    }
    for (i = first; i < M_COUNT; i++)
        if (len[i] > low)
            len[i] = low;
}

/* Finds lengths with which all strings fit in room. */
static void fit(size_t *len, size_t room)
{
    static const int dropped[] = {M_USER, M_HANDLER, M_QUERY};
    unsigned i;

    level(len, M_URI, CUT_FLOOR, room);
    for (i = 0; i < 3 && total(len) > room; i++)
        len[dropped[i]] = 0;
    if (total(len) > room)
        level(len, M_ID, 0, room);
}

static int continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* s[0..full) as at most len bytes; no UTF-8 character is cut in two where it
 * can be helped */
static void put_cut(struct mo_tlv_out *out, unsigned char tag, const char *s,
                    size_t full, size_t len)
{
    char buf[sizeof(((struct mo_origin *)0)->uri)];
    size_t head, tail;

    if (len < sizeof DOTS) {
        head = len;
        while (head && continues(s[head]))
            head--;
        mo_tlv_put(out, tag, s, head ? head : len);
        return;
    }
    head = (len - strlen(DOTS)) / 2;
    tail = len - strlen(DOTS) - head;
    while (head && continues(s[head]))
        head--;
    while (tail && continues(s[full - tail]))
        tail--;
    memcpy(buf, s, head);
    memcpy(buf + head, DOTS, strlen(DOTS));
    memcpy(buf + head + strlen(DOTS), s + full - tail, tail);
    mo_tlv_put(out, tag, buf, head + strlen(DOTS) + tail);
}

static void put_numbers(struct mo_tlv_out *out, const struct mo_origin *o)
{
    unsigned char hash[MO_KEYID_LEN + MO_HASH_LEN];

    mo_tlv_put_num(out, MO_O_TIME, o->time_us);
    if (o->has_hash) {
        memcpy(hash, o->keyid, MO_KEYID_LEN);
        memcpy(hash + MO_KEYID_LEN, o->hash, MO_HASH_LEN);
        mo_tlv_put(out, MO_O_HASH, hash, sizeof hash);
    }
    mo_tlv_put_num(out, MO_O_RECORD, o->record);
    mo_tlv_put_num(out, MO_O_PID, o->pid > 0 ? (uint64_t)o->pid : 0);
    mo_tlv_put_num(out, MO_O_VERDICT,
                   o->verdict > 0 ? (uint64_t)o->verdict : 0);
    mo_tlv_put_num(out, MO_O_WHEN, o->when_us);
    if (o->uid >= 0 && o->uid <= UINT32_MAX)
        mo_tlv_put_num(out, MO_O_UID, (uint64_t)o->uid + 1);
}

size_t mo_origin_encode(const struct mo_origin *o, unsigned char *buf,
                        size_t cap)
{
    size_t full[M_COUNT], len[M_COUNT];
    struct mo_tlv_out out;
    const char *s;
    int i, cut = o->cut;

    if (cap < 128)
        return 0;
    mo_tlv_start(&out, buf, cap);
    put_numbers(&out, o);
    for (i = 0; i < M_COUNT; i++)
        full[i] =
            strnlen((const char *)o + members[i].offset, members[i].size - 1u);
    memcpy(len, full, sizeof len);
    if (out.len + (cut ? MO_TLV_SIZE(1) : 0) + total(len) > cap) {
        cut = 1;
        fit(len, cap - out.len - MO_TLV_SIZE(1));
    }
    mo_tlv_put_num(&out, MO_O_CUT, cut ? 1 : 0);
    for (i = 0; i < M_COUNT; i++) {
        if (!len[i])
            continue;
        s = (const char *)o + members[i].offset;
        if (len[i] == full[i])
            mo_tlv_put(&out, members[i].tag, s, full[i]);
        else
            put_cut(&out, members[i].tag, s, full[i], len[i]);
    }
    return out.len;
}

static void take_string(struct mo_origin *o, const struct member *m,
                        const struct mo_tlv *f)
{
    char *to = (char *)o + m->offset;
    size_t len = f->len, i;

    if (len > m->size - 1u)
        len = m->size - 1u;
    memcpy(to, f->data, len);
    to[len] = '\0';
    for (i = strlen(to); i < len; i += strlen(to + i))
        to[i] = '?';
}

static void take_number(struct mo_origin *o, const struct mo_tlv *f)
{
    uint64_t n;

    if (mo_tlv_num(f, &n))
        return;
    switch (f->tag) {
    case MO_O_TIME:
        o->time_us = n;
        break;
    case MO_O_WHEN:
        o->when_us = n;
        break;
    case MO_O_RECORD:
        o->record = (uint32_t)n;
        break;
    case MO_O_PID:
        o->pid = n <= INT32_MAX ? (int32_t)n : 0;
        break;
    case MO_O_UID:
        o->uid = n && n - 1 <= UINT32_MAX ? (int64_t)(n - 1) : -1;
        break;
    case MO_O_VERDICT:
        o->verdict = n <= INT32_MAX ? (int)n : 0;
        break;
    case MO_O_CUT:
        o->cut = n != 0;
        break;
    }
}

/* What is before the strings, and each string's first byte: all of it is
 * thousands of bytes, which is most of what decoding would cost. */
static void empty(struct mo_origin *o)
{
    int i;

    memset(o, 0, offsetof(struct mo_origin, id));
    for (i = 0; i < M_COUNT; i++)
        *((char *)o + members[i].offset) = '\0';
    o->uid = -1;
}

int mo_origin_decode(const void *buf, size_t len, struct mo_origin *o)
{
    struct mo_tlv f;
    size_t pos = 0;
    int more, i;

    empty(o);
    while ((more = mo_tlv_next(buf, len, &pos, &f)) > 0) {
        for (i = 0; i < M_COUNT && members[i].tag != f.tag; i++)
            ;
        if (i < M_COUNT)
            take_string(o, &members[i], &f);
        else if (f.tag != MO_O_HASH)
            take_number(o, &f);
        else if (f.len == MO_KEYID_LEN + MO_HASH_LEN) {
            memcpy(o->keyid, f.data, MO_KEYID_LEN);
            memcpy(o->hash, f.data + MO_KEYID_LEN, MO_HASH_LEN);
            o->has_hash = 1;
        }
    }
    if (more < 0) {
        empty(o);
        return -1;
    }
    return 0;
}
