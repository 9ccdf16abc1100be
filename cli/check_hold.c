/*
 * check: with `hold header`, does the MTA put a marked mail on hold?  Without
 * its rule such a mail goes out, which is the opposite of what was asked.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "mo_header.h"
#include "mta.h"
#include "queue_pick.h"
#include "wrap.h"

#define MEND "put the rule of share/doc/mailorigin/holding.txt into the MTA"

/* an MTA's program with two arguments; its output, malloc'd, or NULL */
static char *ask(const char *program, const char *a, const char *b)
{
    char path[256];
    char *argv[] = {path, (char *)a, (char *)b, NULL};
    char *out = NULL;

    if (queue_which(program, path, sizeof path) < 0 ||
        queue_run(argv, NULL, 0, 0, &out) < 0) {
        free(out);
        return NULL;
    }
    return out;
}

/* Is HOLD what a map of header_checks says to such a field? */
static int postfix_holds(const char *header)
{
    char field[256];
    char *maps = ask("postconf", "-h", "header_checks");
    char *save = NULL, *map;
    int holds = 0;

    snprintf(field, sizeof field,
             "%s: v=1; id=0123456789abcdef; " MO_HEADER_HOLD "; s=x\n", header);
    for (map = maps ? strtok_r(maps, ", \t\r\n", &save) : NULL; map && !holds;
         map = strtok_r(NULL, ", \t\r\n", &save)) {
        char path[256];
        char *argv[] = {path, (char *)"-q", (char *)"-", map, NULL};
        char *out = NULL;
        const char *value;

        if (queue_which("postmap", path, sizeof path) == 0 &&
            queue_run(argv, field, strlen(field), 0, &out) >= 0 &&
            (value = strchr(out, '\t')) != NULL)
            holds = strncasecmp(value + 1, "HOLD", 4) == 0;
        free(out);
    }
    free(maps);
    return holds;
}

/* the words of each line, all of them, in the configuration */
static int says(const char *text, const char *header, const char *word)
{
    while (text && *text) {
        size_t n = strcspn(text, "\n");

        if (memmem(text, n, header, strlen(header)) &&
            memmem(text, n, word, strlen(word)))
            return 1;
        text += n + (text[n] == '\n');
    }
    return 0;
}

static int exim_holds(const char *header)
{
    char *out = ask("exim4", "-bP", "config");
    int holds;

    if (out == NULL)
        out = ask("exim", "-bP", "config");
    holds = says(out, header, MO_HEADER_HOLD) && strstr(out, "freeze") != NULL;
    free(out);
    return holds;
}

/* Sendmail's own: which ruleset a field goes to, and what that makes of it */
static int sendmail_holds(const char *header, const char *sendmail)
{
    char in[512], name[128] = "", head[128], program[MO_CONF_VALUE];
    char *argv[] = {program, (char *)"-bt", NULL};
    char *cf = wrap_read_file("/etc/mail/sendmail.cf"), *out = NULL;
    const char *p;
    int holds;

    snprintf(head, sizeof head, "\nH%s: $>", header);
    p = cf ? strcasestr(cf, head) : NULL;
    if (p != NULL) {
        p += strlen(head);
        p += *p == '+';
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, " \t\r\n"), p);
    }
    free(cf);
    if (name[0] == '\0')
        return 0;
    snprintf(in, sizeof in,
             "%s v=1; id=0123456789abcdef; " MO_HEADER_HOLD "; s=x\n", name);
    snprintf(program, sizeof program, "%s", sendmail);
    holds = queue_run(argv, in, strlen(in), 1, &out) >= 0 && out != NULL &&
            strstr(out, "quarantine") != NULL;
    free(out);
    return holds;
}

void check_hold(struct check *k)
{
    const struct mo_conf *conf = &k->cli->conf;
    int holds;

    if (conf->hold != MO_HOLD_HEADER)
        return;
    if (conf->mta == MO_MTA_POSTFIX)
        holds = postfix_holds(conf->header);
    else if (conf->mta == MO_MTA_EXIM)
        holds = exim_holds(conf->header);
    else if (conf->mta == MO_MTA_SENDMAIL)
        holds = sendmail_holds(conf->header, conf->sendmail);
    else {
        check_say(k, CHECK_WARN, "hold", "hold defer",
                  "`hold header` is set, and whether %s holds such a mail is "
                  "not known",
                  conf->mta == MO_MTA_UNKNOWN ? "the MTA"
                                              : mta_name(conf->mta));
        return;
    }
    if (holds)
        check_say(k, CHECK_OK, "hold", NULL,
                  "%s holds what a block --hold marks", mta_name(conf->mta));
    else
        check_say(k, CHECK_BROKEN, "hold", MEND,
                  "`hold header` is set, but %s has no rule that holds such a "
                  "mail: a block --hold lets it go out",
                  mta_name(conf->mta));
}
