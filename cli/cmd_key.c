/*
 * mailorigin key init, list, rotate: the keyring (mo_seal.h).
 *
 * Whoever reads it meanwhile sees it whole, old or new: it is written beside
 * and moved over.  init never touches one that is there, and rotate keeps
 * every old key, since without it the stamps it sealed could not be opened.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "mo_msg.h"
#include "mo_paths.h"

#define LINE 128
#define TEXT_MAX 16384
#define KEEP ((gid_t)-1)

static const char preface[] =
    "# The keys that seal tokens and stamps, newest first: the first seals,\n"
    "# all open.  Secret; see mailorigin(1), \"key\".\n";

static const char *ring_path(const struct cli *c)
{
    return c->keyring ? c->keyring : MO_KEYRING_PATH;
}

static int trouble(const char *what, const char *path)
{
    mo_error("%s %s: %s", what, path, strerror(errno));
    return -1;
}

/* so that the name is on the disk too */
static void sync_folder(const char *path)
{
    char copy[PATH_MAX];
    int fd;

    snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static int write_all(int fd, const char *text, size_t len)
{
    ssize_t n;

    while (len) {
        n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Writes text into a new file beside path, whose name goes into temp. */
static int write_beside(const char *path, char temp[PATH_MAX], const char *text,
                        size_t len, uid_t uid, gid_t gid, mode_t mode)
{
    int fd, bad = 0;

    if (snprintf(temp, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return trouble("cannot write", path);
    }
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return trouble("cannot make a file beside", path);
    if ((uid != (uid_t)-1 || gid != KEEP) && fchown(fd, uid, gid))
        bad = trouble("cannot set the owner of", temp);
    else if (write_all(fd, text, len) || fchmod(fd, mode) || fsync(fd))
        bad = trouble("cannot write", temp);
    close(fd);
    if (bad)
        unlink(temp);
    return bad;
}

/* The group that reads the keyring: the recorder's; KEEP: the caller's. */
static int find_group(gid_t *gid)
{
    struct group *g;

    *gid = KEEP;
    if (!*MO_USER)
        return 0;
    g = getgrnam(MO_USER);
    if (!g) {
        mo_error("there is no group '" MO_USER "', which the recorder needs "
                 "to read the keyring; make it with: useradd --system "
                 "--user-group --no-create-home --shell /usr/sbin/nologin "
                 "" MO_USER);
        return -1;
    }
    *gid = g->gr_gid;
    return 0;
}

/* Reads the ring without its keys; says what is wrong. */
static int read_ring(struct mo_keyring *kr, const char *path)
{
    char err[PATH_MAX + 256];

    if (mo_keyring_read(kr, path, 0, err, sizeof err)) {
        mo_error("%s", err);
        return -1;
    }
    return 0;
}

static void hex_id(char hex[2 * MO_KEYID_LEN + 1], const struct mo_key *k)
{
    sodium_bin2hex(hex, 2 * MO_KEYID_LEN + 1, k->id, MO_KEYID_LEN);
}

static int init(struct cli *c)
{
    const char *path = ring_path(c);
    char text[sizeof preface + LINE], temp[PATH_MAX], hex[16];
    struct mo_keyring kr;
    struct stat st;
    int bad, there;
    gid_t gid;

    if (lstat(path, &st) == 0) {
        if (read_ring(&kr, path))
            return CLI_TROUBLE;
        mo_info("%s is there already, with %d key%s; nothing to do", path, kr.n,
                kr.n == 1 ? "" : "s");
        return CLI_FOUND;
    }
    if (errno != ENOENT) {
        trouble("cannot look at", path);
        return CLI_TROUBLE;
    }
    if (sodium_init() < 0) {
        mo_error("libsodium: no source of random bytes");
        return CLI_TROUBLE;
    }
    if (find_group(&gid))
        return CLI_TROUBLE;
    memcpy(text, preface, sizeof preface);
    mo_keyring_new_line(text + strlen(preface), LINE, time(NULL));
    bad = write_beside(path, temp, text, strlen(text),
                       gid == KEEP ? (uid_t)-1 : 0, gid, 0640);
    sodium_memzero(text, sizeof text);
    if (bad)
        return CLI_TROUBLE;
    /* not rename(): one that another made meanwhile must stay */
    bad = link(temp, path) ? errno : 0;
    there = bad == EEXIST;
    unlink(temp);
    if (bad && !there) {
        errno = bad;
        trouble("cannot make", path);
        return CLI_TROUBLE;
    }
    sync_folder(path);
    if (read_ring(&kr, path))
        return CLI_TROUBLE;
    hex_id(hex, &kr.key[0]);
    mo_info(there ? "%s was just made by another, with key %s"
                  : "made %s, with key %s",
            path, hex);
    return CLI_FOUND;
}

static int list(struct cli *c)
{
    struct mo_keyring kr;
    char hex[16];
    int i, first;

    if (read_ring(&kr, ring_path(c)))
        return CLI_TROUBLE;
    if (!c->json)
        printf("%-8s  %-25s  %s\n", "KEY", "CREATED", "USE");
    for (i = 0; i < kr.n; i++) {
        hex_id(hex, &kr.key[i]);
        if (!c->json) {
            printf("%-8s  %-25s  %s\n", hex, kr.key[i].created,
                   i ? "opens" : "seals and opens");
            continue;
        }
        first = 1;
        putchar('{');
        cli_json_str(stdout, &first, "key", hex);
        cli_json_str(stdout, &first, "created", kr.key[i].created);
        printf(",\"seals\":%s}\n", i ? "false" : "true");
    }
    return CLI_FOUND;
}

/* Opens the file and locks it, so that two rotations come one after the
 * other: the descriptor of what path is now, or -1. */
static int open_locked(const char *path, struct stat *st)
{
    struct stat now;
    int fd;

    for (;;) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || flock(fd, LOCK_EX) || fstat(fd, st) || stat(path, &now)) {
            trouble("cannot open", path);
            if (fd >= 0)
                close(fd);
            return -1;
        }
        if (st->st_dev == now.st_dev && st->st_ino == now.st_ino)
            return fd;
        close(fd); /* another's rotation came between */
    }
}

/* Where the first line begins that is neither a comment nor empty. */
static size_t first_key(const char *text, size_t len)
{
    size_t at = 0, i;
    const char *nl;

    while (at < len) {
        for (i = at; i < len && (text[i] == ' ' || text[i] == '\t'); i++)
            ;
        if (i < len && text[i] != '#' && text[i] != '\n')
            break;
        nl = memchr(text + at, '\n', len - at);
        if (!nl)
            return len;
        at = (size_t)(nl - text) + 1;
    }
    return at;
}

/* The new text, from fd's; its length, or 0 after saying what is wrong. */
static size_t with_new_key(int fd, const char *path, char *text, size_t size)
{
    char line[LINE];
    size_t len = 0, at, n;
    ssize_t got;

    while (len < size - LINE &&
           (got = read(fd, text + len, size - LINE - len)) != 0) {
        if (got > 0)
            len += (size_t)got;
        else if (errno != EINTR) {
            trouble("cannot read", path);
            return 0;
        }
    }
    at = first_key(text, len);
    mo_keyring_new_line(line, sizeof line, time(NULL));
    n = strlen(line);
    if (len + n > TEXT_MAX) {
        sodium_memzero(line, sizeof line);
        mo_error("%s: with one more key it has over %d bytes, the most that "
                 "are read; delete comments from it",
                 path, TEXT_MAX);
        return 0;
    }
    memmove(text + at + n, text + at, len - at);
    memcpy(text + at, line, n);
    sodium_memzero(line, sizeof line);
    return len + n;
}

static int rotate(struct cli *c)
{
    const char *given = ring_path(c);
    char path[PATH_MAX], temp[PATH_MAX], text[TEXT_MAX + 2 * LINE], hex[16];
    struct mo_keyring kr;
    struct stat st;
    size_t len = 0;
    int fd, bad = 1;

    /* a link stays one */
    if (!realpath(given, path)) {
        mo_error("cannot open %s: %s%s", given, strerror(errno),
                 errno == ENOENT ? "; \"mailorigin key init\" makes it" : "");
        return CLI_TROUBLE;
    }
    fd = open_locked(path, &st);
    if (fd < 0)
        return CLI_TROUBLE;
    if (read_ring(&kr, path))
        ;
    else if (kr.n >= MO_KEYS_MAX) {
        hex_id(hex, &kr.key[kr.n - 1]);
        mo_error("%s holds %d keys, and more are not allowed: delete the "
                 "oldest one's line (%s, of %s) if nobody will ask for mails "
                 "of its time any more",
                 path, kr.n, hex, kr.key[kr.n - 1].created);
    }
    else {
        len = with_new_key(fd, path, text, sizeof text);
        bad = len == 0 || write_beside(path, temp, text, len, st.st_uid,
                                       st.st_gid, st.st_mode & 07777);
        sodium_memzero(text, sizeof text);
        if (!bad && rename(temp, path)) {
            bad = trouble("cannot replace", path);
            unlink(temp);
        }
    }
    if (!bad) {
        sync_folder(path);
        bad = read_ring(&kr, path);
    }
    close(fd);
    if (bad)
        return CLI_TROUBLE;
    hex_id(hex, &kr.key[0]);
    mo_info("added key %s to %s, which holds %d keys now; httpd and the "
            "recorder seal with it from their next start on (apachectl "
            "graceful does for httpd)",
            hex, path, kr.n);
    return CLI_FOUND;
}

static int run(struct cli *c, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*does)(struct cli *c);
    } todo[] = {{"init", init}, {"list", list}, {"rotate", rotate}};
    const char *value;
    int next = 1;
    unsigned i;

    if (cli_getopt(c, argc, argv, &next, &value) == -2)
        return CLI_TROUBLE;
    if (next >= argc) {
        mo_error("key: what is to be done? Allowed are init, list, rotate");
        return CLI_TROUBLE;
    }
    if (next + 1 < argc) {
        mo_error("key: '%s' is one word too many", argv[next + 1]);
        return CLI_TROUBLE;
    }
    for (i = 0; i < sizeof todo / sizeof *todo; i++)
        if (strcmp(argv[next], todo[i].name) == 0)
            return todo[i].does(c);
    mo_error("key: '%s' is not known; allowed are init, list, rotate",
             argv[next]);
    return CLI_TROUBLE;
}

static const struct cli_option options[] = {{NULL, NULL, NULL}};

const struct cli_verb cli_key = {
    .name = "key",
    .needs = CLI_NO_FILTERS,
    .run = run,
    .synopsis = "init|list|rotate [--keyring FILE]",
    .summary = "make, list and renew the keys that seal tokens and stamps",
    .options = options,
};
