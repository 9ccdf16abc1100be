/*
 * The command: finds the verb, reads what it needs, runs it.  Data goes to
 * stdout, all else to stderr.
 */
#include "cli.h"
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

static void read_conf(struct cli *c)
{
    char err[1024];

    mo_conf_defaults(&c->conf);
    if (mo_conf_read(&c->conf, MO_CONF_PATH, err, sizeof(err)) != 0 &&
        errno != ENOENT) {
        mo_warn("%s; going on with what stands before it", err);
    }
}

static void read_keyring(struct cli *c)
{
    char err[1024];
    const char *path = c->keyring ? c->keyring : MO_KEYRING_PATH;
    unsigned all = MO_PURPOSE_BIT(MO_SEAL_TOKEN) |
                   MO_PURPOSE_BIT(MO_SEAL_STAMP) | MO_PURPOSE_BIT(MO_SEAL_HASH);

    if (mo_keyring_read(&c->keys, path, all, err, sizeof(err)) != 0) {
        c->keys.n = 0;
        mo_warn("%s; stamps can't be opened without it", err);
    }
}

int main(int argc, char **argv)
{
    static struct cli c;
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    int rc;

    mo_msg_init("mailorigin");
    tzset();
    c.colour = isatty(STDOUT_FILENO) && !(no && *no) &&
               !(term && strcmp(term, "dumb") == 0);
    c.progress = isatty(STDERR_FILENO);
    rc = cli_options(&c, &argc, &argv);
    if (rc != CLI_GO) {
        return rc;
    }
    if (c.verb->needs & CLI_NEEDS_CONF) {
        read_conf(&c);
    }
    if (c.verb->needs & CLI_NEEDS_KEYRING) {
        read_keyring(&c);
    }
    rc = c.verb->run(&c, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mo_error("standard output: %s", strerror(errno));
        rc = CLI_TROUBLE;
    }
    mo_keyring_wipe(&c.keys);
    return rc;
}
