/*
 * mo_origin.h: an origin comes back as it went, or cut where it must be, and
 * no bytes whatever break the decoder.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mo_origin.h"
#include "mo_tlv.h"

static void sample(struct mo_origin *o)
{
    memset(o, 0, sizeof *o);
    o->time_us = 1795507200123456u;
    o->when_us = 1795507201654321u;
    o->record = MO_RECORD_QUERY | MO_RECORD_RECIPIENTS;
    o->pid = 4194303;
    o->uid = 0;
    o->verdict = 2;
    o->has_hash = 1;
    memcpy(o->keyid, "\1\2\3\4", 4);
    memcpy(o->hash, "0123456789abcdef", 16);
    strcpy(o->id, "ZzRkAcCoAAEAAAGlkUEAAAAA");
    strcpy(o->mail, "0123456789abcdef");
    strcpy(o->host, "web1.example.org");
    strcpy(o->client, "2001:db8::1");
    strcpy(o->vhost, "www.example.org");
    strcpy(o->method, "POST");
    strcpy(o->user, "wendy");
    strcpy(o->handler, "application/x-httpd-php");
    strcpy(o->uri, "/wp-content/uploads/x.php");
    strcpy(o->query, "a=1&b=2");
    strcpy(o->script, "/srv/www/wp-content/uploads/x.php");
}

static void same(const struct mo_origin *a, const struct mo_origin *b)
{
    assert_true(a->time_us == b->time_us);
    assert_true(a->when_us == b->when_us);
    assert_int_equal(a->record, b->record);
    assert_int_equal(a->pid, b->pid);
    assert_true(a->uid == b->uid);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->cut, b->cut);
    assert_int_equal(a->has_hash, b->has_hash);
    assert_memory_equal(a->keyid, b->keyid, MO_KEYID_LEN);
    assert_memory_equal(a->hash, b->hash, MO_HASH_LEN);
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->mail, b->mail);
    assert_string_equal(a->host, b->host);
    assert_string_equal(a->client, b->client);
    assert_string_equal(a->vhost, b->vhost);
    assert_string_equal(a->method, b->method);
    assert_string_equal(a->user, b->user);
    assert_string_equal(a->handler, b->handler);
    assert_string_equal(a->uri, b->uri);
    assert_string_equal(a->query, b->query);
    assert_string_equal(a->script, b->script);
}

/* Encodes into a buffer of just cap bytes and decodes that. */
static size_t there_and_back(const struct mo_origin *o, struct mo_origin *back,
                             size_t cap)
{
    unsigned char *buf = malloc(cap);
    size_t n = mo_origin_encode(o, buf, cap);

    assert_true(n > 0 && n <= cap);
    assert_int_equal(mo_origin_decode(buf, n, back), 0);
    free(buf);
    return n;
}

static void round_trip(void **state)
{
    struct mo_origin o, back;

    (void)state;
    sample(&o);
    there_and_back(&o, &back, MO_ORIGIN_MAX);
    same(&o, &back);

    memset(&o, 0, sizeof o);
    o.uid = -1;
    strcpy(o.uri, "/");
    assert_int_equal(there_and_back(&o, &back, 128), 4);
    same(&o, &back);

    o.uid = UINT32_MAX;
    o.pid = INT32_MAX;
    o.time_us = UINT64_MAX;
    o.cut = 1;
    there_and_back(&o, &back, 128);
    same(&o, &back);
}

static void cut_in_the_middle(void **state)
{
    struct mo_origin o, back;
    size_t i, len;

    (void)state;
    sample(&o);
    for (i = 0; i < 2048; i++)
        o.uri[i] = i < 1024 ? 'a' : 'z';
    memcpy(o.uri, "/begin", 6);
    memcpy(o.uri + 2048 - 7, "end.php", 7);
    o.uri[2048] = '\0';
    len = there_and_back(&o, &back, 1024);
    /* the room is used but for a byte that halving may cost */
    assert_true(len >= 1022);
    assert_int_equal(back.cut, 1);
    len = strlen(back.uri);
    assert_int_equal(strncmp(back.uri, "/begin", 6), 0);
    assert_string_equal(back.uri + len - 7, "end.php");
    assert_ptr_equal(strstr(back.uri, "a...z"),
                     back.uri + strspn(back.uri + 6, "a") + 5);
    /* the others are as they were */
    assert_string_equal(back.query, o.query);
    assert_string_equal(back.script, o.script);
    assert_string_equal(back.vhost, o.vhost);
    assert_string_equal(back.user, o.user);
}

static void longest_are_cut_first(void **state)
{
    struct mo_origin o, back;

    (void)state;
    sample(&o);
    memset(o.uri, 'u', 2000);
    memset(o.script, 's', 2000);
    o.uri[2000] = o.script[2000] = '\0';
    strcpy(o.query, "short");
    there_and_back(&o, &back, 1500);
    assert_string_equal(back.query, "short");
    assert_int_equal(strlen(back.uri), strlen(back.script));
    assert_true(strlen(back.uri) > 500);
}

static void stamp_of_the_largest(void **state)
{
    struct mo_origin o, back;
    size_t cap;

    (void)state;
    memset(&o, 'x', sizeof o);
    o.uid = 1000;
    o.pid = 77;
    o.verdict = 1;
    o.cut = 0;
    o.has_hash = 1;
#define END(m) o.m[sizeof o.m - 1] = '\0'
    END(id);
    END(mail);
    END(host);
    END(client);
    END(vhost);
    END(method);
    END(user);
    END(handler);
    END(uri);
    END(query);
    END(script);
    for (cap = 128; cap <= MO_ORIGIN_MAX; cap++) {
        there_and_back(&o, &back, cap);
        assert_int_equal(back.cut, 1);
        assert_true(back.time_us == o.time_us);
        assert_memory_equal(back.hash, o.hash, MO_HASH_LEN);
    }
    /* of a usual request all that names it is there whole */
    sample(&o);
    o.query[0] = '\0';
    memset(o.uri + strlen(o.uri), 'u', 900);
    there_and_back(&o, &back, MO_STAMP_MAX);
    assert_string_equal(back.id, o.id);
    assert_string_equal(back.mail, o.mail);
    assert_string_equal(back.vhost, o.vhost);
    assert_string_equal(back.client, o.client);
    assert_true(back.when_us == o.when_us);
    assert_int_equal(strncmp(back.uri, "/wp-conte", 9), 0);
    /* what goes first, goes whole */
    assert_string_equal(back.user, "");
}

static void exact_fit_is_not_cut(void **state)
{
    struct mo_origin o, back;
    unsigned char buf[MO_ORIGIN_MAX];
    size_t n;

    (void)state;
    sample(&o);
    n = mo_origin_encode(&o, buf, sizeof buf);
    assert_int_equal(there_and_back(&o, &back, n), n);
    assert_int_equal(back.cut, 0);
    same(&o, &back);
    there_and_back(&o, &back, n - 1);
    assert_int_equal(back.cut, 1);
}

static void too_little_room(void **state)
{
    unsigned char buf[128];
    struct mo_origin o;

    (void)state;
    sample(&o);
    assert_int_equal(mo_origin_encode(&o, buf, 127), 0);
    assert_int_equal(mo_origin_encode(&o, buf, 0), 0);
    assert_true(mo_origin_encode(&o, buf, 128) > 0);
}

/* No character of a script's name becomes half a one. */
static void characters_stay_whole(void **state)
{
    struct mo_origin o, back;
    const unsigned char *p;
    size_t cap, i;

    (void)state;
    memset(&o, 0, sizeof o);
    o.uid = -1;
    for (i = 0; i + 3 < 1000; i += 3)
        memcpy(o.script + i, "\xe2\x82\xac", 3);
    for (cap = 128; cap < 300; cap++) {
        there_and_back(&o, &back, cap);
        for (p = (unsigned char *)back.script; *p;) {
            if (*p == '.')
                p++;
            else {
                assert_memory_equal(p, "\xe2\x82\xac", 3);
                p += 3;
            }
        }
    }
}

static void foreign_bytes(void **state)
{
    unsigned char buf[4096], big[3000];
    struct mo_tlv_out out;
    struct mo_origin o;

    (void)state;
    mo_tlv_start(&out, buf, sizeof buf);
    mo_tlv_put_str(&out, 200, "a newer module's");
    mo_tlv_put(&out, MO_O_VHOST, "a\0b\0", 4);
    memset(big, 'q', sizeof big);
    mo_tlv_put(&out, MO_O_CLIENT, big, sizeof big);
    mo_tlv_put(&out, MO_O_TIME, "123456789", 9);
    mo_tlv_put(&out, MO_O_HASH, "short", 5);
    mo_tlv_put_num(&out, MO_O_PID, 1ull << 40);
    mo_tlv_put_num(&out, MO_O_UID, 1ull << 40);
    mo_tlv_put_num(&out, MO_O_VERDICT, 1ull << 40);
    assert_int_equal(out.overflow, 0);
    assert_int_equal(mo_origin_decode(buf, out.len, &o), 0);
    assert_string_equal(o.vhost, "a?b?");
    assert_int_equal(strlen(o.client), sizeof o.client - 1);
    assert_true(o.time_us == 0);
    assert_int_equal(o.has_hash, 0);
    assert_int_equal(o.pid, 0);
    assert_true(o.uid == -1);
    assert_int_equal(o.verdict, 0);

    /* no fields: all empty again */
    buf[out.len] = 0;
    assert_int_equal(mo_origin_decode(buf, out.len + 1, &o), -1);
    assert_string_equal(o.vhost, "");
    assert_true(o.uid == -1);
    assert_int_equal(mo_origin_decode("", 0, &o), 0);
    assert_string_equal(o.uri, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(cut_in_the_middle),
        cmocka_unit_test(longest_are_cut_first),
        cmocka_unit_test(stamp_of_the_largest),
        cmocka_unit_test(exact_fit_is_not_cut),
        cmocka_unit_test(too_little_room),
        cmocka_unit_test(characters_stay_whole),
        cmocka_unit_test(foreign_bytes),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("origin", tests, NULL, NULL);
}
