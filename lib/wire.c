/*
 * Heads of the wire messages; the contract is in mo_wire.h.  The wrapper
 * links this, so: libc only.
 */
#include "mo_wire.h"

void mo_wire_start(struct mo_tlv_out *out, void *buf, size_t cap,
                   enum mo_wire_type type)
{
    mo_tlv_start(out, buf, cap);
    if (cap < 4) {
        out->overflow = 1;
        return;
    }
    out->buf[0] = 'M';
    out->buf[1] = 'O';
    out->buf[2] = MO_WIRE_VERSION;
    out->buf[3] = (unsigned char)type;
    out->len = 4;
}

int mo_wire_type(const void *buf, size_t len, size_t *pos)
{
    const unsigned char *p = buf;

    if (len < 4 || len > MO_WIRE_MAX || p[0] != 'M' || p[1] != 'O' ||
        p[2] != MO_WIRE_VERSION)
        return -1;
    if (p[3] < MO_W_HELLO || p[3] > MO_W_REPLY)
        return -1;
    *pos = 4;
    return p[3];
}
