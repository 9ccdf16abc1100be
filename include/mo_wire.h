/*
 * What wrapper (and command) and recorder say to each other over
 * MO_SOCKET_PATH, AF_UNIX SOCK_SEQPACKET: a message is one packet of at most
 * MO_WIRE_MAX bytes:
 *   "MO" | version (1 byte, 1) | type (1 byte) | fields (mo_tlv.h)
 *
 * A client sends HELLO once, with every socket it holds as SCM_RIGHTS (in
 * several packets of at most 64 where there are more: HELLO, then MORE), and
 * SCM_CREDENTIALS; it gets no answer.  Then a MAIL for each mail, each
 * answered by one VERDICT.  After EOF it may connect again and say the same
 * HELLO and MAIL with the same nonces: a mail's nonce that was seen gets its
 * verdict again, and no second record.  Errors in a message end the
 * connection.  PING is answered by PONG.  ADMIN is for root only, by
 * SO_PEERCRED, and is answered by REPLY.  libc only.
 */
#ifndef MO_WIRE_H
#define MO_WIRE_H

#include "mo_tlv.h"

#define MO_WIRE_VERSION 1
#define MO_WIRE_MAX 65536
#define MO_WIRE_FDS 64 /* descriptors in one packet, at most */
#define MO_NONCE_LEN 16

enum mo_wire_type {
    MO_W_HELLO = 1,
    MO_W_MORE = 2, /* only descriptors */
    MO_W_MAIL = 3,
    MO_W_VERDICT = 4,
    MO_W_PING = 5,
    MO_W_PONG = 6,
    MO_W_ADMIN = 7,
    MO_W_REPLY = 8
};

enum mo_wire_tag {
    MO_W_NONCE = 1, /* MAIL: MO_NONCE_LEN bytes, from the kernel */
    MO_W_MODE = 2, /* HELLO: "t", "args", "bs", or "other" */
    MO_W_TOKEN = 3, /* HELLO, may be repeated: MAILORIGIN_TOKEN,
                        SSL_MAILORIGIN_TOKEN, then the ancestors' */
    MO_W_EXE = 4, /* HELLO: the parent's /proc/PPID/exe */
    MO_W_CWD = 5, /* HELLO: getcwd() */
    MO_W_SENDER = 6, /* MAIL: envelope sender: -f, -r, MAIL FROM; else "" */
    MO_W_RCPTS = 7, /* MAIL: number of recipients */
    MO_W_RCPT = 8, /* MAIL, may be repeated: a recipient, the first 64 */
    MO_W_SUBJECT = 9,
    MO_W_MESSAGE_ID = 10,
    MO_W_SIZE = 11, /* MAIL: bytes of the message as it was given; 0 in
                         -bs, where it is not known yet */
    MO_W_ACTION = 12, /* VERDICT: number, enum mo_action */
    MO_W_REASON = 13, /* VERDICT: one line, printable ASCII */
    MO_W_HEADER = 14, /* VERDICT: the whole field, folded with "\n\t", a
                         "\n" at the end; the wrapper puts in the message's
                         own line ending */
    MO_W_ID = 15, /* VERDICT: the mail's id */
    MO_W_TEXT = 16, /* ADMIN: a command's words, one field a word;
                         REPLY: the answer, lines */
    MO_W_STATUS = 17, /* REPLY: number: 0 done, else the exit status + 1 */
    MO_W_ABOVE = 18 /* HELLO: number: bit N is set where the N-th TOKEN (of
                         the first 32) is in an ancestor's environment */
};

enum mo_action {
    MO_PASSED = 1,
    MO_REFUSED = 2, /* exit 77, 550 5.7.1 */
    MO_LIMITED = 3, /* exit 75, 451 4.7.1 */
    MO_HELD = 4 /* goes on; by its header field the MTA holds it */
};

/* Begins a message of that type in buf (MO_WIRE_MAX bytes will do). */
void mo_wire_start(struct mo_tlv_out *out, void *buf, size_t cap,
                   enum mo_wire_type type);
/*
 * Checks the head of a packet: the type, or -1 where it is not ours or of
 * another version; *pos is where the fields begin.
 */
int mo_wire_type(const void *buf, size_t len, size_t *pos);

#endif
