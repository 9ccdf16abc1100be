/*
 * Seals: what makes a token or stamp unforgeable and unreadable.
 *
 * A seal is base64url (RFC 4648 section 5, no padding) of
 *   version (1 byte, 1) | key id (4) | nonce (24) | ciphertext + tag (16)
 * by XChaCha20-Poly1305-IETF (libsodium), with the purpose, version and key
 * id as associated data.  The plaintext is a length (2 bytes, little-endian)
 * and that many bytes, filled up with zeros to 128, 256, 512, 1024, 2048 or
 * 4096 bytes.
 *
 * The keyring (MO_KEYRING_PATH, 0640 root:mailorigin) is text, a line a key,
 * newest first; the first seals, all open:
 *   KEYID(8 hex digits) MASTER(43 characters of base64url) CREATED(RFC 3339)
 * '#' begins a comment line.  From each master crypto_kdf makes subkeys by
 * purpose (context "mailorig"), so that httpd children, which hold
 * MO_SEAL_TOKEN and MO_SEAL_HASH, cannot fake a stamp.
 */
#ifndef MO_SEAL_H
#define MO_SEAL_H

#include "mo_origin.h"

enum mo_purpose {
    MO_SEAL_TOKEN = 1, /* module seals, recorder and command open */
    MO_SEAL_STAMP = 2, /* recorder seals, command opens */
    MO_SEAL_HASH = 3 /* module and command hash request lines */
};
#define MO_PURPOSE_BIT(p) (1u << (p))

#define MO_KEYS_MAX 16
#define MO_SEAL_PLAIN_MAX 4094
/* characters of a seal of plain bytes, with its NUL, at most */
#define MO_SEAL_TEXT_MAX 5560

struct mo_key {
    unsigned char id[MO_KEYID_LEN];
    unsigned char sub[4][32]; /* by enum mo_purpose; zero where not asked */
    char created[32];
};

struct mo_keyring {
    int n; /* keys; 0: none could be read */
    struct mo_key key[MO_KEYS_MAX]; /* newest first */
};

/*
 * Reads path into *kr, deriving only the subkeys whose MO_PURPOSE_BIT is in
 * purposes; masters are wiped before it returns.  Refuses a file that others
 * may read or write (mode & 0007), or that group may write.
 * Returns 0, or -1 with one line in err that names path, line, value and
 * what is allowed; errno as the failed call left it (0 for bad content).
 */
int mo_keyring_read(struct mo_keyring *kr, const char *path, unsigned purposes,
                    char *err, size_t errsize);
/* Wipes all keys. */
void mo_keyring_wipe(struct mo_keyring *kr);
/* The key with that id, or NULL. */
const struct mo_key *mo_keyring_find(const struct mo_keyring *kr,
                                     const unsigned char id[MO_KEYID_LEN]);
/*
 * Writes a new keyring line (with '\n') of a fresh random key made at time
 * now (s since the epoch) into line; at least 128 bytes.
 */
void mo_keyring_new_line(char *line, size_t size, int64_t now);

/*
 * Seals plain[0..len) with the newest key into out (NUL-terminated).
 * Returns the text's length, or 0 when kr is empty, len is over
 * MO_SEAL_PLAIN_MAX or out is too small.  Thread-safe.
 */
size_t mo_seal(const struct mo_keyring *kr, enum mo_purpose purpose,
               const void *plain, size_t len, char *out, size_t size);

enum mo_open {
    MO_OPEN_OK = 0,
    MO_OPEN_MALFORMED = -1, /* no base64url, wrong length or version */
    MO_OPEN_NO_KEY = -2, /* sealed by a key that is not in the ring */
    MO_OPEN_FORGED = -3 /* does not authenticate */
};
/* Opens text[0..len) into plain; *plainlen is set on MO_OPEN_OK only. */
enum mo_open mo_unseal(const struct mo_keyring *kr, enum mo_purpose purpose,
                       const char *text, size_t len, unsigned char *plain,
                       size_t size, size_t *plainlen);

/* Keyed BLAKE2b-128 of a request line as access_log writes it
 * (ap_escape_logitem applied), by key k's MO_SEAL_HASH subkey. */
void mo_request_hash(const struct mo_key *k, const char *line, size_t len,
                     unsigned char hash[MO_HASH_LEN]);

/* 16 characters of A-Za-z0-9_- from 12 random bytes: a mail's id */
void mo_random_id(char id[17]);

/* base64url without padding; 0 where out is too small or text is bad */
size_t mo_base64url(const void *data, size_t len, char *out, size_t size);
size_t mo_base64url_decode(const char *text, size_t len, void *out,
                           size_t size);

#endif
