/*
 * Fields of a tag, a length and bytes: the one encoding of everything that
 * goes between our programs (origin, wire messages).
 *
 * A field is: tag, one byte (1-255); length, two bytes, little-endian; that
 * many bytes.  Strings are not NUL-terminated in it.  Numbers are
 * little-endian in the fewest whole bytes that hold them (0 has none).
 * libc only.
 */
#ifndef MO_TLV_H
#define MO_TLV_H

#include <stddef.h>
#include <stdint.h>

/* bytes a field of len bytes takes */
#define MO_TLV_SIZE(len) (3 + (size_t)(len))

struct mo_tlv_out {
    unsigned char *buf; /* the caller's */
    size_t cap;
    size_t len;
    int overflow; /* a field did not fit; it and all later ones are left out */
};

void mo_tlv_start(struct mo_tlv_out *out, void *buf, size_t cap);
/* Appends one field; len > 65535 or no room sets overflow. */
void mo_tlv_put(struct mo_tlv_out *out, unsigned char tag, const void *data,
                size_t len);
/* NULL and "" append nothing: an absent field is an empty one. */
void mo_tlv_put_str(struct mo_tlv_out *out, unsigned char tag, const char *s);
/* 0 appends nothing. */
void mo_tlv_put_num(struct mo_tlv_out *out, unsigned char tag, uint64_t n);

struct mo_tlv {
    unsigned char tag;
    uint16_t len;
    const unsigned char *data; /* into the buffer that is being read */
};

/*
 * The next field at *pos of buf[0..len).  Returns 1 and moves *pos, 0 at the
 * end, -1 where the rest is no field (a tag of 0, a length past the end).
 */
int mo_tlv_next(const void *buf, size_t len, size_t *pos, struct mo_tlv *f);
/* The field as a number; -1 if it is longer than 8 bytes, else 0. */
int mo_tlv_num(const struct mo_tlv *f, uint64_t *n);

#endif
