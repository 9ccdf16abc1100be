/*
 * The keyring: read at the start, at SIGHUP, and when its file changes, so
 * that a token sealed by a new key opens at once.
 */
#include "rec.h"

#include <errno.h>

#include "mo_msg.h"
#include "mo_paths.h"

void rec_keys_read(struct rec *r)
{
    struct mo_keyring fresh;
    char err[512];

    if (mo_keyring_read(&fresh, MO_KEYRING_PATH,
                        MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                            MO_PURPOSE_BIT(MO_SEAL_STAMP),
                        err, sizeof err) != 0) {
        /* what was read before still holds: a half-written file must not
         * take the stamps away */
        rec_trouble("%s; %s", err,
                    r->keys.n > 0 ? "the keys read before are kept"
                                  : "mail goes without a stamp, and no token "
                                    "is believed");
        return;
    }
    mo_keyring_wipe(&r->keys);
    r->keys = fresh;
    mo_keyring_wipe(&fresh);
}
