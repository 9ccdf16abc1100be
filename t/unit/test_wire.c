/*
 * mo_wire.h: only packets of ours and of this version pass.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "mo_wire.h"

static void heads(void **state)
{
    unsigned char buf[64];
    struct mo_tlv_out out;
    size_t pos;
    int t;

    (void)state;
    for (t = MO_W_HELLO; t <= MO_W_REPLY; t++) {
        mo_wire_start(&out, buf, sizeof buf, (enum mo_wire_type)t);
        assert_int_equal(out.len, 4);
        assert_int_equal(out.overflow, 0);
        pos = 99;
        assert_int_equal(mo_wire_type(buf, out.len, &pos), t);
        assert_int_equal(pos, 4);
    }
}

static void fields_follow(void **state)
{
    unsigned char buf[64];
    struct mo_tlv_out out;
    struct mo_tlv f;
    size_t pos;

    (void)state;
    mo_wire_start(&out, buf, sizeof buf, MO_W_MAIL);
    mo_tlv_put_str(&out, MO_W_SENDER, "a@b");
    assert_int_equal(mo_wire_type(buf, out.len, &pos), MO_W_MAIL);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 1);
    assert_int_equal(f.tag, MO_W_SENDER);
    assert_memory_equal(f.data, "a@b", 3);
    assert_int_equal(mo_tlv_next(buf, out.len, &pos, &f), 0);
}

static void not_ours(void **state)
{
    static char large[MO_WIRE_MAX + 1] = "MO\1\1";
    size_t pos = 0;

    (void)state;
    assert_int_equal(mo_wire_type("", 0, &pos), -1);
    assert_int_equal(mo_wire_type("MO\1", 3, &pos), -1);
    assert_int_equal(mo_wire_type("XO\1\1", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MX\1\1", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\0\1", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\2\1", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\1\0", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\1\x09", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\1\xff", 4, &pos), -1);
    assert_int_equal(mo_wire_type("MO\1\1", 4, &pos), MO_W_HELLO);
    assert_int_equal(mo_wire_type(large, MO_WIRE_MAX, &pos), MO_W_HELLO);
    assert_int_equal(mo_wire_type(large, MO_WIRE_MAX + 1, &pos), -1);
}

static void no_room(void **state)
{
    unsigned char buf[4];
    struct mo_tlv_out out;

    (void)state;
    mo_wire_start(&out, buf, 3, MO_W_PING);
    assert_int_equal(out.overflow, 1);
    mo_tlv_put(&out, 1, NULL, 0);
    assert_int_equal(out.len, 0);
    mo_wire_start(&out, buf, 4, MO_W_PING);
    assert_int_equal(out.overflow, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(fields_follow),
        cmocka_unit_test(not_ours),
        cmocka_unit_test(no_room),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
