/*
 * mailorigin check: proves the chain and names what is broken.
 *
 * One line a fact, with its mend; exit 0 all well, 1 warnings, 2 broken.
 * Changes nothing but with --put; sends mail only with --send and --url.
 */
#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"
#include "mo_wire.h"
#include "mta.h"
#include "wrap.h"

void check_say(struct check *k, enum check_state s, const char *check,
               const char *mend, const char *fmt, ...)
{
    static const char *const word[] = {"ok", "warn", "broken"};
    char text[2048];
    const struct cli *c = k->cli;
    va_list ap;
    int first = 1;

    if (s == CHECK_OK)
        mend = NULL;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    k->warned |= s == CHECK_WARN;
    k->broken |= s == CHECK_BROKEN;
    if (c->json) {
        putchar('{');
        cli_json_str(stdout, &first, "check", check);
        cli_json_str(stdout, &first, "state", word[s]);
        cli_json_str(stdout, &first, "message", text);
        cli_json_str(stdout, &first, "mend", mend != NULL ? mend : "");
        puts("}");
        return;
    }
    printf("%s%-6s%s %s: ",
           s == CHECK_OK       ? ""
           : s == CHECK_BROKEN ? cli_red(c)
                               : cli_bold(c),
           word[s], s == CHECK_OK ? "" : cli_plain(c), check);
    cli_print_safe(stdout, text, strlen(text));
    putchar('\n');
    if (mend != NULL && *mend != '\0') {
        printf("       mend: ");
        cli_print_safe(stdout, mend, strlen(mend));
        putchar('\n');
    }
}

int check_ping(uid_t *uid)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct mo_tlv_out out;
    char buf[256];
    size_t pos;
    int fd, r = -1, e;

    _Static_assert(sizeof MO_SOCKET_PATH <= sizeof a.sun_path,
                   "RUNDIR is too long for a unix socket");
    memcpy(a.sun_path, MO_SOCKET_PATH, sizeof MO_SOCKET_PATH);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    mo_wire_start(&out, buf, sizeof buf, MO_W_PING);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
        send(fd, buf, out.len, MSG_NOSIGNAL) == (ssize_t)out.len) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n;

        if (poll(&p, 1, 3000) == 1 && (n = recv(fd, buf, sizeof buf, 0)) > 0 &&
            mo_wire_type(buf, (size_t)n, &pos) == MO_W_PONG) {
            struct ucred peer = {.uid = (uid_t)-1};
            socklen_t len = sizeof peer;

            getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
            if (uid != NULL)
                *uid = peer.uid;
            r = 0;
        }
        else
            errno = ETIMEDOUT;
    }
    e = errno;
    close(fd);
    errno = e;
    return r;
}

static void check_recorder(struct check *k)
{
    if (check_ping(NULL) == 0)
        check_say(k, CHECK_OK, "recorder", NULL, "answers at %s",
                  MO_SOCKET_PATH);
    else if (errno == ETIMEDOUT)
        check_say(k, CHECK_BROKEN, "recorder",
                  "systemctl restart mailorigin-recorder",
                  "does not answer at %s within 3 s", MO_SOCKET_PATH);
    else
        check_say(k, CHECK_BROKEN, "recorder",
                  "systemctl enable --now mailorigin-recorder.socket",
                  "cannot be reached at %s: %s", MO_SOCKET_PATH,
                  strerror(errno));
}

static void check_sendmail(struct check *k)
{
    const struct mo_conf *conf = &k->cli->conf;
    char real[4096], seen[4200];
    struct stat st;
    int mta;

    for (int i = 0; wrap_paths[i] != NULL; i++) {
        const char *p = wrap_paths[i];

        if (wrap_is_on(p))
            check_say(k, CHECK_OK, "sendmail", NULL, "%s is the wrapper", p);
        else if (lstat(p, &st) == 0)
            check_say(k, CHECK_WARN, "sendmail", "mailorigin wrap",
                      "%s is not the wrapper: what calls it has no stamp", p);
    }
    if (conf->sendmail[0] == '\0') {
        check_say(k, CHECK_BROKEN, "target",
                  "mailorigin wrap, or the key sendmail in " MO_CONF_PATH,
                  "the conf names no real sendmail: the wrapper sends nothing");
        return;
    }
    mta = mta_find(conf->sendmail, real, sizeof real, seen, sizeof seen);
    if (mta < 0 || access(conf->sendmail, X_OK) != 0)
        check_say(k, CHECK_BROKEN, "target",
                  "install a mail server, then mailorigin unwrap and wrap",
                  "the real sendmail %s: %s", conf->sendmail, strerror(errno));
    else if (wrap_is_on(conf->sendmail))
        check_say(k, CHECK_BROKEN, "target",
                  "name the real sendmail in " MO_CONF_PATH,
                  "the real sendmail %s is the wrapper itself", conf->sendmail);
    else if (mta != MO_MTA_UNKNOWN && conf->mta != MO_MTA_UNKNOWN &&
             mta != (int)conf->mta)
        check_say(k, CHECK_WARN, "target", "mailorigin unwrap and wrap",
                  "the conf says mta %s, but %s is of %s", mta_name(conf->mta),
                  conf->sendmail, mta_name((enum mo_mta)mta));
    else
        check_say(k, CHECK_OK, "target", NULL, "the real sendmail is %s (%s)",
                  conf->sendmail, mta_name((enum mo_mta)mta));
}

static int run_check(struct cli *c, int argc, char **argv)
{
    struct check k = {.cli = c};
    const char *value, *send = NULL, *url = NULL, *dir = NULL;
    int next = 1, o, relay = 1;

    while ((o = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        const char *name = c->verb->options[o].name;

        if (strcmp(name, "send") == 0)
            send = value;
        else if (strcmp(name, "url") == 0)
            url = value;
        else if (strcmp(name, "put") == 0)
            dir = value;
        else
            relay = 0;
    }
    if (o == -2)
        return CLI_TROUBLE;
    if (next < argc) {
        mo_error("check takes no operand, but got \"%s\"", argv[next]);
        return CLI_TROUBLE;
    }
    if (send != NULL && (*send == '-' || *send == '\0')) {
        mo_error("--send \"%s\": a mail address is wanted", send);
        return CLI_TROUBLE;
    }
    if (dir != NULL && (send == NULL || url == NULL)) {
        mo_error("--put needs --send, to whom its script is to mail, and "
                 "--url, which leads to the folder");
        return CLI_TROUBLE;
    }
    check_httpd(&k);
    check_recorder(&k);
    check_sendmail(&k);
    check_hold(&k);
    check_php(&k);
    check_proc(&k);
    check_files(&k);
    if (relay)
        check_relay(&k);
    if (send != NULL || url != NULL)
        check_send(&k, send, url, dir);
    return k.broken ? CLI_TROUBLE : k.warned ? CLI_NOTHING : CLI_FOUND;
}

static const struct cli_option check_options[] = {
    {"send", "ADDRESS", "send a mail there through sendmail and find it"},
    {"url", "URL", "request URL, whose script mails, and find that mail"},
    {"put", "DIR",
     "put a PHP script there, which URL leads to, request it, and take it "
     "away"},
    {"no-relay", NULL, "do not ask the local MTA whether it is an open relay"},
    {NULL, NULL, NULL}};

const struct cli_verb cli_check = {
    "check",
    CLI_NEEDS_CONF | CLI_NEEDS_KEYRING,
    run_check,
    "[--send ADDRESS] [--url URL [--put DIR]] [--no-relay]",
    "prove the chain and name what is broken",
    check_options};
