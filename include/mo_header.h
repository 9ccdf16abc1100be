/*
 * The header field that a stamped mail carries.  libc only.
 *
 *   Mail-Origin: v=1; id=<16 of A-Za-z0-9_->; s=<stamp, folded at 72>
 *
 * s= is a stamp (mo_seal.h, MO_SEAL_STAMP) or, where no recorder answered,
 * t= with the token as it was.  With `disclose` in the conf: vhost=, script=
 * or uri= before s=, percent-encoded outside A-Za-z0-9._~/-.  A mail that the
 * MTA is to hold has hold=1 after id=.
 */
#ifndef MO_HEADER_H
#define MO_HEADER_H

#include <stddef.h>

#define MO_HEADER_NAME "Mail-Origin"
#define MO_HEADER_HOLD "hold=1"
#define MO_HEADER_MAX 8192 /* bytes of a whole field, folds included */

/*
 * Writes the field, folded with "\n\t" so that no line is over 72 characters
 * (but for a long name), "\n" at the end.  extra: "vhost=…; " or NULL.  tag:
 * 's' or 't'; seal NULL: none.  Returns its length, 0 if it does not fit.
 */
size_t mo_header_format(char *out, size_t size, const char *name,
                        const char *id, const char *extra, char tag,
                        const char *seal);

struct mo_header {
    char id[17]; /* "" if there is none */
    char tag; /* 's', 't', or 0: none */
    char seal[6000]; /* without folds and spaces */
};
/*
 * Reads a field body, folds and blanks anywhere in it (a mail client may
 * have mangled them), also "=\n" soft breaks.  Returns 0, or -1 where there is
 * neither id nor seal.
 */
int mo_header_parse(const char *body, size_t len, struct mo_header *h);

#endif
