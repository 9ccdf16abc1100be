/*
 * block, unblock, blocks: which origins may not mail (and, with --http, not
 * even be asked) from now on.
 *
 * The recorder keeps the blocks and changes them for root only, by the
 * kernel's word.  While it is gone they can be read, from its file, but not
 * changed: that is said, and nothing is half done.
 */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mo_blocks.h"
#include "mo_msg.h"
#include "mo_paths.h"
#include "mo_wire.h"

#define ANSWER_SECONDS 30

/* Asks the recorder; *answer is its lines.  An exit status, -1: it could not
 * be asked, errno. */
static int ask(const char *const *word, unsigned n, char **answer)
{
    static unsigned char buf[MO_WIRE_MAX + 1];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = ANSWER_SECONDS};
    struct mo_tlv_out out;
    struct mo_tlv f;
    uint64_t status = 0; /* 0 is not sent */
    size_t pos, len = 0;
    ssize_t got;
    unsigned i;
    int fd, rc, saved;

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", MO_SOCKET_PATH);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    mo_wire_start(&out, buf, MO_WIRE_MAX, MO_W_ADMIN);
    for (i = 0; i < n; i++)
        mo_tlv_put(&out, MO_W_TEXT, word[i], strlen(word[i]));
    if (out.overflow) {
        close(fd);
        errno = EMSGSIZE;
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        send(fd, buf, out.len, MSG_NOSIGNAL) < 0 ||
        (got = recv(fd, buf, MO_WIRE_MAX, 0)) < 0) {
        saved = errno;
        close(fd);
        errno = saved == EAGAIN ? ETIMEDOUT : saved;
        return -1;
    }
    close(fd);
    if (mo_wire_type(buf, (size_t)got, &pos) != MO_W_REPLY) {
        errno = EPROTO;
        return -1;
    }
    *answer = calloc(1, (size_t)got + 1);
    if (!*answer)
        return -1;
    while ((rc = mo_tlv_next(buf, (size_t)got, &pos, &f)) == 1) {
        if (f.tag == MO_W_STATUS) {
            mo_tlv_num(&f, &status);
        }
        else if (f.tag == MO_W_TEXT) {
            memcpy(*answer + len, f.data, f.len);
            len += f.len;
        }
    }
    return status == 0 ? CLI_FOUND : status == 2 ? CLI_NOTHING : CLI_TROUBLE;
}

static int ask_or_say(const char *const *word, unsigned n, char **answer)
{
    int rc = ask(word, n, answer);

    if (rc < 0) {
        mo_error("recorder at %s: %s; nothing is changed", MO_SOCKET_PATH,
                 strerror(errno));
        return CLI_TROUBLE;
    }
    if (rc == CLI_TROUBLE) {
        (*answer)[strcspn(*answer, "\n")] = 0;
        mo_error("%s", *answer);
    }
    return rc;
}

/* ---- how a block is shown */
static void when(int64_t t, char *out, size_t size)
{
    time_t s = (time_t)t;
    struct tm tm;

    if (!localtime_r(&s, &tm) || !strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm))
        snprintf(out, size, "@%lld", (long long)t);
}

static void print(struct cli *c, const struct mo_block *b)
{
    char text[64];
    int first = 1;

    if (c->json) {
        putchar('{');
        cli_json_num(stdout, &first, "id", b->id);
        cli_json_str(stdout, &first, "type", mo_block_type_name(b->type));
        cli_json_str(stdout, &first, "value", b->value);
        cli_json_str(stdout, &first, "action",
                     b->action == MO_HELD ? "hold" : "refuse");
        if (b->http)
            fputs(",\"http\":true", stdout);
        mo_time_format((uint64_t)b->created * 1000000, text);
        cli_json_str(stdout, &first, "created", text);
        if (b->until) {
            mo_time_format((uint64_t)b->until * 1000000, text);
            cli_json_str(stdout, &first, "until", text);
        }
        cli_json_str(stdout, &first, "reason", b->reason);
        fputs("}\n", stdout);
        return;
    }
    printf("%s%lu%s  %s ", cli_bold(c), b->id, cli_plain(c),
           mo_block_type_name(b->type));
    cli_print_safe(stdout, b->value, strlen(b->value));
    printf("  %s%s", b->action == MO_HELD ? "hold" : "refuse",
           b->http ? " http" : "");
    when(b->created, text, sizeof text);
    printf("  since %s", text);
    if (b->until) {
        when(b->until, text, sizeof text);
        printf(" until %s", text);
    }
    if (b->reason[0]) {
        fputs("  ", stdout);
        cli_print_safe(stdout, b->reason, strlen(b->reason));
    }
    putchar('\n');
}

/* the recorder's lines; how many blocks they were */
static size_t print_lines(struct cli *c, const char *text)
{
    static struct mo_block b;
    char err[512];
    size_t n = 0;

    while (*text) {
        size_t len = strcspn(text, "\n");

        if (len && *text != '#' &&
            mo_block_parse(text, len, &b, err, sizeof err) == 0) {
            print(c, &b);
            n++;
        }
        text += len + (text[len] == '\n');
    }
    return n;
}

/* ---- block */
enum { B_VHOST, B_SCRIPT, B_DIR, B_URI, B_CLIENT, B_UID };
enum { B_FOR = B_UID + 1, B_REASON, B_HOLD, B_HTTP, B_ID };
#define WHAT_OPTIONS                                                           \
    {"vhost", "NAME", "all of a vhost"},                                       \
        {"script", "PATH", "a script, by its whole path"},                     \
        {"dir", "PATH", "all scripts below a folder"},                         \
        {"uri-prefix", "PATH", "all requests below a URI"},                    \
        {"client", "ADDRESS", "a client, or CIDR"},                            \
    {                                                                          \
        "uid", "NUMBER", "a user's processes"                                  \
    }
static const struct cli_option block_options[] = {
    WHAT_OPTIONS,
    {"for", "PERIOD", "so long, as 2h or 1d; default: until unblocked"},
    {"reason", "TEXT", "for the log and the sender"},
    {"hold", NULL, "accept the mail and put it on the MTA's hold queue"},
    {"http", NULL, "answer its requests with 403, too"},
    {NULL, NULL, NULL}};
static const struct cli_option unblock_options[] = {WHAT_OPTIONS,
                                                    {NULL, NULL, NULL}};

static const char *const type_words[] = {"vhost",      "script", "dir",
                                         "uri-prefix", "client", "uid"};

static int run_block(struct cli *c, int argc, char **argv)
{
    const char *word[10] = {"block", "add"}, *value, *type = NULL;
    char until[48], *reason = NULL, *answer = NULL;
    uint64_t seconds;
    unsigned n = 4;
    int next = 1, which, rc, hold = 0;

    while ((which = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        if (which <= B_UID) {
            if (type) {
                mo_error("block takes one of --%s and --%s, not both; two "
                         "blocks are two commands",
                         type, type_words[which]);
                return CLI_TROUBLE;
            }
            type = type_words[which];
            word[2] = type;
            word[3] = value;
        }
        else if (which == B_FOR) {
            if (cli_period(value, &seconds) < 0 || !seconds) {
                mo_error("--for '%s' is no period; allowed are 30m, 2h, "
                         "\"1d 12h\"",
                         value);
                return CLI_TROUBLE;
            }
            snprintf(until, sizeof until, "until=%lld",
                     (long long)time(NULL) + (long long)seconds);
            word[n++] = until;
        }
        else if (which == B_REASON && !reason) {
            if (asprintf(&reason, "reason=%s", value) < 0)
                return CLI_TROUBLE;
            word[n++] = reason;
        }
        else if (which == B_HOLD) {
            word[n++] = "action=hold";
            hold = 1;
        }
        else if (which == B_HTTP) {
            word[n++] = "http=1";
        }
        if (n > 8) {
            mo_error("an option is given twice");
            return CLI_TROUBLE;
        }
    }
    if (which == -2)
        return CLI_TROUBLE;
    if (!type || next < argc) {
        mo_error("block needs one of --vhost, --script, --dir, --uri-prefix, "
                 "--client, --uid%s%s",
                 next < argc ? ", and here is " : "",
                 next < argc ? argv[next] : "");
        return CLI_TROUBLE;
    }
    rc = ask_or_say(word, n, &answer);
    if (rc == CLI_FOUND) {
        print_lines(c, answer);
        if (hold && c->conf.hold == MO_HOLD_DEFER)
            mo_info("its mails are refused for now (exit 75), since %s has no "
                    "`hold header`",
                    MO_CONF_PATH);
    }
    free(answer);
    free(reason);
    return rc;
}

/* ---- unblock */
static int run_unblock(struct cli *c, int argc, char **argv)
{
    const char *word[4] = {"block", "del"}, *value;
    char *answer = NULL;
    int next = 1, which, rc;
    unsigned n = 2;

    while ((which = cli_getopt(c, argc, argv, &next, &value)) >= 0) {
        if (n > 2) {
            mo_error("unblock takes one block at a time");
            return CLI_TROUBLE;
        }
        word[n++] = type_words[which];
        word[n++] = value;
    }
    if (which == -2)
        return CLI_TROUBLE;
    if (n == 2 && next + 1 == argc)
        word[n++] = argv[next++];
    if (n == 2 || next < argc) {
        mo_error("unblock needs an id (mailorigin blocks lists them), or one "
                 "of --vhost, --script, --dir, --uri-prefix, --client, --uid");
        return CLI_TROUBLE;
    }
    rc = ask_or_say(word, n, &answer);
    if (rc == CLI_FOUND)
        print_lines(c, answer);
    else if (rc == CLI_NOTHING)
        mo_info("there is no such block");
    free(answer);
    return rc;
}

/* ---- blocks */
static int run_blocks(struct cli *c, int argc, char **argv)
{
    struct mo_blocks all;
    char err[512] = "";
    int64_t now = time(NULL);
    size_t i, n = 0;

    if (argc > 1) {
        mo_error("blocks takes no operand, and here is '%s'", argv[1]);
        return CLI_TROUBLE;
    }
    if (mo_blocks_read(&all, MO_BLOCKS_PATH, err, sizeof err) < 0) {
        mo_error("%s", err);
        return CLI_TROUBLE;
    }
    if (err[0])
        mo_warn("%s", err);
    for (i = 0; i < all.n; i++) {
        if (all.block[i].until && all.block[i].until <= now)
            continue;
        print(c, &all.block[i]);
        n++;
    }
    mo_blocks_free(&all);
    return n ? CLI_FOUND : CLI_NOTHING;
}

const struct cli_verb cli_block = {
    "block",
    CLI_NO_FILTERS | CLI_NEEDS_CONF,
    run_block,
    "--script PATH|--vhost NAME|--dir PATH|--uri-prefix PATH|--client "
    "ADDRESS|--uid N [--for 2h] [--hold] [--http] [--reason TEXT]",
    "refuse an origin's mail from now on",
    block_options};
const struct cli_verb cli_unblock = {"unblock",
                                     CLI_NO_FILTERS,
                                     run_unblock,
                                     "ID|--script PATH|--vhost NAME|…",
                                     "let an origin mail again",
                                     unblock_options};
const struct cli_verb cli_blocks = {
    "blocks", CLI_NO_FILTERS, run_blocks, "", "the blocks there are", NULL};
