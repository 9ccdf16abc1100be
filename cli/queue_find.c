/*
 * Which MTA's queue, where it is, and the options that queue and purge share.
 * See queue_pick.h.
 */
#include "queue_pick.h"
#include "mta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_msg.h"

int pick_option(struct pick_options *o, int which, const char *value)
{
    switch ((enum pick_option)which) {
    case PICK_MTA:
        o->mta = value;
        return 0;
    case PICK_DIR:
        if (o->ndirs == 2) {
            mo_error("--queue-dir is given more than twice");
            return -1;
        }
        o->dir[o->ndirs++] = value;
        return 0;
    case PICK_CONFIG:
        o->config = value;
        return 0;
    case PICK_ID:
        if (o->nids == PICK_IDS) {
            mo_error("--queue-id is given more than %d times", PICK_IDS);
            return -1;
        }
        o->id[o->nids++] = value;
        return 0;
    case PICK_BOUNCES:
        o->bounces = 1;
        return 0;
    }
    return -1;
}

static int is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int which_mta(struct cli *c, const struct pick_options *o,
                     struct queue *q)
{
    char real[1024], seen[256];
    int m;

    if (o->mta) {
        if (!strcmp(o->mta, "postfix"))
            q->mta = MO_MTA_POSTFIX;
        else if (!strcmp(o->mta, "exim"))
            q->mta = MO_MTA_EXIM;
        else if (!strcmp(o->mta, "sendmail"))
            q->mta = MO_MTA_SENDMAIL;
        else {
            mo_error("--mta '%s' is none of postfix, exim, sendmail", o->mta);
            return -1;
        }
        return 0;
    }
    q->mta = c->conf.mta;
    if (q->mta == MO_MTA_UNKNOWN && c->conf.sendmail[0]) {
        m = mta_find(c->conf.sendmail, real, sizeof real, seen, sizeof seen);
        if (m > 0)
            q->mta = (enum mo_mta)m;
    }
    if (q->mta == MO_MTA_UNKNOWN) {
        if (is_dir("/var/spool/postfix/active"))
            q->mta = MO_MTA_POSTFIX;
        else if (is_dir("/var/spool/exim4/input") ||
                 is_dir("/var/spool/exim/input"))
            q->mta = MO_MTA_EXIM;
        else if (is_dir("/var/spool/mqueue"))
            q->mta = MO_MTA_SENDMAIL;
    }
    if (q->mta != MO_MTA_POSTFIX && q->mta != MO_MTA_EXIM &&
        q->mta != MO_MTA_SENDMAIL) {
        mo_error("no queue of Postfix, Exim or Sendmail is known here; --mta "
                 "and --queue-dir name one");
        return -1;
    }
    return 0;
}

/* what a program says in one line, without what stands before "= " */
static int ask(char *const argv[], char *out, size_t size)
{
    char *said, *p, *eq;
    int rc = queue_run(argv, NULL, 0, 0, &said);

    out[0] = 0;
    if (rc == 0 && said) {
        p = said;
        eq = strstr(p, " = ");
        if (eq && eq < p + strcspn(p, "\n"))
            p = eq + 3;
        p[strcspn(p, "\n")] = 0;
        if (*p == '/')
            snprintf(out, size, "%s", p);
    }
    free(said);
    return out[0] ? 0 : -1;
}

static int postfix(const struct pick_options *o, struct queue *q)
{
    char conf[512], name[] = "queue_directory", h[] = "-h", cf[] = "-c";
    char own[512];
    char *argv[] = {conf, h, name, NULL, NULL, NULL};

    if (o->config) {
        argv[1] = cf;
        argv[2] = q->config;
        argv[3] = h;
        argv[4] = name;
    }
    if (queue_which("postconf", conf, sizeof conf) < 0 ||
        ask(argv, own, sizeof own) < 0)
        own[0] = 0;
    if (!o->ndirs)
        snprintf(q->dir[0], sizeof q->dir[0], "%s",
                 own[0] ? own : "/var/spool/postfix");
    /* postsuper works on its own queue: no other may be taken for that */
    if (own[0] && strcmp(own, q->dir[0]) == 0)
        queue_which("postsuper", q->program, sizeof q->program);
    return 0;
}

static int exim(const struct pick_options *o, struct queue *q)
{
    char prog[512], bp[] = "-bP", name[] = "spool_directory", cf[] = "-C";
    char own[512];
    char *argv[] = {prog, bp, name, NULL, NULL, NULL};

    if (o->config) {
        argv[1] = cf;
        argv[2] = q->config;
        argv[3] = bp;
        argv[4] = name;
    }
    if ((queue_which("exim4", prog, sizeof prog) < 0 &&
         queue_which("exim", prog, sizeof prog) < 0) ||
        ask(argv, own, sizeof own) < 0)
        own[0] = 0;
    if (!o->ndirs) {
        const char *known =
            is_dir("/var/spool/exim4") ? "/var/spool/exim4" : "/var/spool/exim";
        snprintf(q->dir[0], sizeof q->dir[0], "%s", own[0] ? own : known);
    }
    if (own[0] && strcmp(own, q->dir[0]) == 0)
        snprintf(q->program, sizeof q->program, "%s", prog);
    return 0;
}

/* "O QueueDirectory=/var/spool/mqueue/q*": the folder before the pattern */
static int sendmail_cf(const char *dir, const char *file, char *out,
                       size_t size)
{
    static const char key[] = "O QueueDirectory=";
    char path[600], line[1024];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, file);
    f = fopen(path, "re");
    if (!f)
        return -1;
    out[0] = 0;
    while (fgets(line, sizeof line, f)) {
        char *p = line + sizeof key - 1, *star;

        if (strncmp(line, key, sizeof key - 1) != 0)
            continue;
        p[strcspn(p, " \t\r\n")] = 0;
        star = strchr(p, '*');
        if (star) {
            while (star > p && *star != '/')
                star--;
            *star = 0;
        }
        if (*p == '/' && strlen(p) < size)
            memcpy(out, p, strlen(p) + 1);
    }
    fclose(f);
    return out[0] ? 0 : -1;
}

static int sendmail(const struct pick_options *o, struct queue *q)
{
    const char *dir = o->config ? o->config : "/etc/mail";

    if (o->ndirs)
        return 0;
    if (sendmail_cf(dir, "sendmail.cf", q->dir[0], sizeof q->dir[0]) < 0)
        snprintf(q->dir[0], sizeof q->dir[0], "/var/spool/mqueue");
    if (sendmail_cf(dir, "submit.cf", q->dir[1], sizeof q->dir[1]) < 0)
        snprintf(q->dir[1], sizeof q->dir[1], "%s",
                 is_dir("/var/spool/clientmqueue")
                     ? "/var/spool/clientmqueue"
                     : "/var/spool/mqueue-client");
    return 0;
}

int pick_queue(struct cli *c, const struct pick_options *o, struct queue *q)
{
    int i;

    memset(q, 0, sizeof *q);
    q->want.header = c->conf.header;
    q->want.bounces = o->bounces;
    if (which_mta(c, o, q) < 0)
        return -1;
    if (o->ndirs == 2 && q->mta != MO_MTA_SENDMAIL) {
        mo_error("%s has one queue folder; --queue-dir is given twice",
                 mta_name(q->mta));
        return -1;
    }
    for (i = 0; i < o->ndirs; i++) {
        size_t n = strlen(o->dir[i]);

        while (n > 1 && o->dir[i][n - 1] == '/')
            n--;
        if (n >= sizeof q->dir[i]) {
            mo_error("--queue-dir '%s' is too long", o->dir[i]);
            return -1;
        }
        snprintf(q->dir[i], sizeof q->dir[i], "%.*s", (int)n, o->dir[i]);
    }
    if (o->config)
        snprintf(q->config, sizeof q->config, "%s", o->config);
    for (i = 0; (unsigned)i < o->nids; i++)
        if (!queue_id_ok(q->mta, o->id[i])) {
            mo_error("--queue-id '%s' is no queue id of %s", o->id[i],
                     mta_name(q->mta));
            return -1;
        }
    switch (q->mta) {
    case MO_MTA_POSTFIX:
        return postfix(o, q);
    case MO_MTA_EXIM:
        return exim(o, q);
    default:
        return sendmail(o, q);
    }
}
