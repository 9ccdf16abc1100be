/*
 * mo_tlv.h: what is written is read back, and nothing past a buffer's end is
 * touched, whatever the lengths say.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mo_tlv.h"

static void round_trip(void **state)
{
    unsigned char buf[256];
    struct mo_tlv_out out;
    struct mo_tlv f;
    size_t pos = 0;
    uint64_t n;

    (void)state;
    mo_tlv_start(&out, buf, sizeof buf);
    mo_tlv_put(&out, 1, "a\0b", 3);
    mo_tlv_put(&out, 2, NULL, 0);
    mo_tlv_put_str(&out, 3, "text");
    mo_tlv_put_num(&out, 255, 0x1234);
    assert_int_equal(out.overflow, 0);
    assert_int_equal(out.len, 6 + 3 + 7 + 5);

    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
    assert_int_equal(f.tag, 1);
    assert_int_equal(f.len, 3);
    assert_memory_equal(f.data, "a\0b", 3);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
    assert_int_equal(f.tag, 2);
    assert_int_equal(f.len, 0);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
    assert_int_equal(f.tag, 3);
    assert_memory_equal(f.data, "text", 4);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
    assert_int_equal(f.tag, 255);
    assert_int_equal(f.len, 2);
    assert_memory_equal(f.data, "\x34\x12", 2);
    assert_int_equal(mo_tlv_num(&f, &n), 0);
    assert_int_equal(n, 0x1234);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 0);
    assert_int_equal(pos, out.len);
}

static void numbers(void **state)
{
    static const uint64_t values[] = {
        1,          0x7f,        0xff,       0x100,       0xffff,     0x10000,
        0xffffffff, 0x100000000, UINT64_MAX, 1ull << 63u, 1ull << 56u};
    unsigned char buf[16];
    struct mo_tlv_out out;
    struct mo_tlv f;
    uint64_t n;
    size_t i, pos, want;

    (void)state;
    for (i = 0; i < sizeof values / sizeof *values; i++) {
        for (want = 0, n = values[i]; n; n >>= 8)
            want++;
        mo_tlv_start(&out, buf, sizeof buf);
        mo_tlv_put_num(&out, 7, values[i]);
        assert_int_equal(out.len, MO_TLV_SIZE(want));
        pos = 0;
        assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
        assert_int_equal(mo_tlv_num(&f, &n), 0);
        assert_true(n == values[i]);
    }
    f.len = 0;
    assert_int_equal(mo_tlv_num(&f, &n), 0);
    assert_int_equal(n, 0);
    f.len = 9;
    f.data = (const unsigned char *)"123456789";
    assert_int_equal(mo_tlv_num(&f, &n), -1);
}

static void absent_is_empty(void **state)
{
    unsigned char buf[8];
    struct mo_tlv_out out;

    (void)state;
    mo_tlv_start(&out, buf, sizeof buf);
    mo_tlv_put_str(&out, 1, NULL);
    mo_tlv_put_str(&out, 1, "");
    mo_tlv_put_num(&out, 1, 0);
    assert_int_equal(out.len, 0);
    assert_int_equal(out.overflow, 0);
}

static void no_room(void **state)
{
    unsigned char *buf = malloc(10); /* ASan watches its end */
    static char big[65536];
    struct mo_tlv_out out;

    (void)state;
    mo_tlv_start(&out, buf, 10);
    mo_tlv_put(&out, 1, "1234567", 7);
    assert_int_equal(out.len, 10);
    assert_int_equal(out.overflow, 0);

    mo_tlv_start(&out, buf, 10);
    mo_tlv_put(&out, 1, "12345678", 8);
    assert_int_equal(out.len, 0);
    assert_int_equal(out.overflow, 1);
    /* and all later ones are left out, also what would fit */
    mo_tlv_put(&out, 1, "1", 1);
    assert_int_equal(out.len, 0);
    free(buf);

    buf = malloc(70000);
    mo_tlv_start(&out, buf, 70000);
    mo_tlv_put(&out, 1, big, 65535);
    assert_int_equal(out.len, 65538);
    mo_tlv_start(&out, buf, 70000);
    mo_tlv_put(&out, 1, big, 65536);
    assert_int_equal(out.overflow, 1);
    free(buf);
}

static int walk(const void *bytes, size_t len, int *fields)
{
    void *exact = malloc(len ? len : 1);
    struct mo_tlv f;
    size_t pos = 0;
    int r;

    if (len)
        memcpy(exact, bytes, len);
    *fields = 0;
    while ((r = mo_tlv_next(exact, len, &pos, &f)) > 0)
        ++*fields;
    free(exact);
    return r;
}

static void broken(void **state)
{
    int n;

    (void)state;
    assert_int_equal(walk("", 0, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(walk("\1", 1, &n), -1);
    assert_int_equal(walk("\1\0", 2, &n), -1);
    assert_int_equal(walk("\1\0\0", 3, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(walk("\0\0\0", 3, &n), -1);
    assert_int_equal(walk("\1\1\0", 3, &n), -1);
    assert_int_equal(walk("\1\1\0x\2\2\0x", 8, &n), -1);
    assert_int_equal(n, 1);
    assert_int_equal(walk("\1\xff\xff", 3, &n), -1);
    /* every beginning of a good message is good at a field's end only */
    assert_int_equal(walk("\1\2\0ab\2\0\0", 8, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(walk("\1\2\0ab\2\0\0", 7, &n), -1);
    assert_int_equal(walk("\1\2\0ab\2\0\0", 5, &n), 0);
    assert_int_equal(walk("\1\2\0ab\2\0\0", 4, &n), -1);
}

static void position_past_the_end(void **state)
{
    struct mo_tlv f;
    size_t pos = 4;

    (void)state;
    assert_int_equal(mo_tlv_next("\1\0\0", 3, &pos, &f), -1);
    pos = SIZE_MAX;
    assert_int_equal(mo_tlv_next("\1\0\0", 3, &pos, &f), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(numbers),
        cmocka_unit_test(absent_is_empty),
        cmocka_unit_test(no_room),
        cmocka_unit_test(broken),
        cmocka_unit_test(position_past_the_end),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tlv", tests, NULL, NULL);
}
