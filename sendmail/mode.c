/*
 * What the arguments ask for: each MTA's own way to read them, as data.
 *
 * Postfix, Sendmail (a getopt of its own) and nullmailer stop at the first
 * operand; dma, OpenSMTPD and msmtp use glibc's getopt, and ssmtp a loop of
 * its own, which look for options behind operands too.  Exim does not bundle
 * letters.  Whatever is not understood is left to the MTA to complain about:
 * argv goes on as it came.
 */
#include "wrapper.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct mta {
    const char *opts; /* as for getopt; "::" takes only an attached value */
    int permutes;
    int long_opts;
    enum sm_dots dots;
    enum mo_from from;
    const char *b_other; /* what after -b is no submission; NULL: all but
                            'm' and 's'; "" and 's' is not SMTP: see has_bs */
    int has_bs;
    int has_batch; /* -bS */
};

static const struct mta mtas[] = {
    /* all that is minded by any, where they do not contradict each other */
    [MO_MTA_UNKNOWN] = {"A:B:C:D::E::F:GIL:M:N:O:Q::R:TUV:X:b:cd::e:f:h:imno:"
                        "p:q::r:stvx",
                        0, 1, SM_DOTS_FIRST, MO_FROM_MANY, NULL, 1, 1},
    [MO_MTA_POSTFIX] = {"A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx", 0, 0,
                        SM_DOTS_FIRST, MO_FROM_MANY, NULL, 1, 0},
    [MO_MTA_EXIM] = {NULL, 0, 1, SM_DOTS_BOTH, MO_FROM_DATED, NULL, 1, 1},
    [MO_MTA_SENDMAIL] = {"A:B:b:C:cD:d:e:F:f:Gh:IiL:M:mN:nO:o:p:Q:q:R:r:sTtUV:v"
                         "X:",
                         0, 0, SM_DOTS_BOTH, MO_FROM_ONE, NULL, 1, 0},
    [MO_MTA_OPENSMTPD] = {"A:B:b:E::e:F:f:iJ::L:mN:o:p:qr:R:StvV:x", 1, 0,
                          SM_DOTS_TEXT, MO_FROM_MANY, "ip", 0, 0},
    [MO_MTA_MSMTP] = {"Pd::SC:a:f:N:R:X:tA:B:b:F:Gh:iL:mnO:o:v", 1, 1,
                      SM_DOTS_TEXT, MO_FROM_MANY, NULL, 0, 0},
    [MO_MTA_DMA] = {"A:b:B:C:d:Df:F:h:iL:N:no:O:q:r:R:tUV:vX:", 1, 0,
                    SM_DOTS_LF, MO_FROM_MANY, "p", 0, 0},
    [MO_MTA_NULLMAILER] = {"B:C:F:L:N:O:R:V:X:b:e:f:h:imno:p:q::r:stUvxG", 0, 1,
                           SM_DOTS_TEXT, MO_FROM_MANY, NULL, 1, 0},
    [MO_MTA_SSMTP] = {"a:A:B:C:E:F:b:d:f:h:L:M:N:O:o:p:q:R:r:V:X:GIimnstTUvx",
                      1, 0, SM_DOTS_TEXT, MO_FROM_MANY, NULL, 0, 0},
};

static void operand(struct sm_mode *m, const char *arg)
{
    if (m->nrcpts < SM_RCPTS)
        m->rcpt[m->nrcpts] = arg;
    m->nrcpts++;
}

static int is_true(const char *s)
{
    return *s == '\0' || strchr("tTyY1", *s) != NULL;
}

/* -O IgnoreDots=true, and its beginning where that is clear */
static void long_option(struct sm_mode *m, const char *v)
{
    size_t n = strcspn(v, "=");

    if (n >= 2 && n <= 10 && strncasecmp(v, "IgnoreDots", n) == 0) {
        if (v[n] == '\0' || is_true(v + n + 1))
            m->dots = SM_DOTS_TEXT;
    }
}

/* -bX */
static void b_option(struct sm_mode *m, const struct mta *t, const char *v)
{
    if (*v == 'S' && t->has_batch) {
        m->kind = m->kind == SM_OTHER ? SM_OTHER : SM_BATCH;
        return;
    }
    if (t->b_other ? *v && strchr(t->b_other, *v) != NULL
                   : *v != 'm' && !(*v == 's' && t->has_bs))
        m->kind = SM_OTHER;
    else if (*v == 's' && t->has_bs)
        m->kind = m->kind == SM_OTHER ? SM_OTHER : SM_BS;
}

/* One option, its value "" where it has none.  1: it is no submission. */
static int option(struct sm_mode *m, enum mo_mta mta, char c, const char *v)
{
    const struct mta *t = &mtas[mta];

    switch (c) {
    case 't':
        if (m->kind == SM_ARGS)
            m->kind = SM_T;
        break;
    case 'i':
        m->dots = SM_DOTS_TEXT;
        break;
    case 'o':
        if (v[0] == 'i' && is_true(v + 1))
            m->dots = SM_DOTS_TEXT;
        break;
    case 'O':
        if (mta == MO_MTA_SENDMAIL || mta == MO_MTA_UNKNOWN)
            long_option(m, v);
        break;
    case 'b':
        b_option(m, t, v);
        break;
    case 'f':
    case 'r':
        m->sender = v;
        break;
    case 'q':
    case 'Q':
        m->kind = SM_OTHER;
        break;
    case 'I':
        if (mta == MO_MTA_POSTFIX || mta == MO_MTA_SENDMAIL ||
            mta == MO_MTA_UNKNOWN)
            m->kind = SM_OTHER;
        break;
    case 'S':
    case 'P':
        if (mta == MO_MTA_MSMTP)
            m->kind = SM_OTHER;
        break;
    default:
        break;
    }
    return m->kind == SM_OTHER;
}

/* --name[=value] of msmtp and nullmailer */
static void long_word(struct sm_mode *m, enum mo_mta mta, const char *name)
{
    static const char *const other[] = {"version",   "help", "serverinfo",
                                        "configure", "rmqs", "pretend"};
    size_t i, n = strcspn(name, "=");

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        if (n && strncmp(name, other[i], n) == 0) {
            m->kind = SM_OTHER;
            return;
        }
    if (mta == MO_MTA_MSMTP && n >= 8 &&
        strncmp(name, "read-recipients", n) == 0)
        option(m, mta, 't', "");
    if (name[n] == '=' && strncmp(name, "from", n) == 0)
        m->sender = name + n + 1;
}

/* options that stand alone where getopt would want a value */
static int alone(enum mo_mta mta, const char *arg, const char *next)
{
    if (arg[2] != '\0')
        return 0;
    switch (mta) {
    case MO_MTA_POSTFIX:
    case MO_MTA_UNKNOWN:
        return arg[1] == 'q' || (arg[1] == 'V' && next && strlen(next) == 2);
    case MO_MTA_SENDMAIL:
        if (arg[1] == 'd')
            return 1;
        return strchr("qQC", arg[1]) && (!next || next[0] == '-');
    case MO_MTA_DMA:
        return arg[1] == 'q' && (!next || next[0] == '-');
    default:
        return 0;
    }
}

static void read_getopt(struct sm_mode *m, enum mo_mta mta, int argc,
                        char *const *argv)
{
    const struct mta *t = &mtas[mta];
    int permutes = t->permutes, i;

    /* glibc's getopt asks for it, by its presence alone */
    if (permutes && mta != MO_MTA_SSMTP && getenv("POSIXLY_CORRECT"))
        permutes = 0;
    for (i = 1; i < argc; i++) {
        const char *arg = argv[i], *p;

        if (arg[0] != '-' || arg[1] == '\0') {
            operand(m, arg);
            if (permutes)
                continue;
            i++;
            break;
        }
        if (arg[1] == '-') {
            if (arg[2] == '\0') {
                i++;
                break;
            }
            if (t->long_opts)
                long_word(m, mta, arg + 2);
            if (m->kind == SM_OTHER)
                return;
            continue;
        }
        if (alone(mta, arg, argv[i + 1])) {
            if (option(m, mta, arg[1], ""))
                return;
            continue;
        }
        for (p = arg + 1; *p; p++) {
            const char *o = *p == ':' ? NULL : strchr(t->opts, *p);
            const char *v = "";

            if (o && o[1] == ':') {
                if (p[1] != '\0' || o[2] == ':')
                    v = p + 1;
                else if (i + 1 < argc)
                    v = argv[++i];
                if (option(m, mta, *p, v))
                    return;
                break;
            }
            if (option(m, mta, *p, v))
                return;
        }
    }
    for (; i < argc; i++)
        operand(m, argv[i]);
}

/* Exim: one option an argument, no bundles. */
static void read_exim(struct sm_mode *m, int argc, char *const *argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *arg = argv[i], *rest = arg + 2;
        char c;

        if (arg[0] != '-' || strcmp(arg, "--") == 0) {
            i += arg[0] == '-';
            break;
        }
        if (arg[1] == '\0')
            return; /* Exim refuses it */
        c = arg[1];
        if (c == '-') {
            m->kind = SM_OTHER;
            return;
        }
        if (strncmp(arg, "-oe", 3) == 0)
            continue;
        switch (c) {
        case 'B':
        case 'C':
        case 'F':
        case 'h':
        case 'L':
        case 'O':
        case 'X':
        case 'z':
            i += *rest == '\0';
            break;
        case 'd':
            i += strcmp(rest, "p") == 0;
            break;
        case 'f':
        case 'r':
            if (*rest == '\0' && i + 1 < argc)
                rest = argv[++i];
            m->sender = rest;
            break;
        case 'i':
            m->dots = SM_DOTS_TEXT;
            break;
        case 't':
            if (strncmp(rest, "ls-", 3) == 0)
                break;
            if (m->kind == SM_ARGS)
                m->kind = SM_T;
            if (strcmp(rest, "i") == 0)
                m->dots = SM_DOTS_TEXT;
            break;
        case 'b':
            if (strcmp(rest, "nq") == 0) /* -bm with bare names */
                break;
            /* -bm, -bs, -bS; not -bp, -bmalware … */
            b_option(m, &mtas[MO_MTA_EXIM], rest[0] && rest[1] ? "?" : rest);
            break;
        case 'o':
            if (strcmp(rest, "i") == 0 || strcmp(rest, "itrue") == 0)
                m->dots = SM_DOTS_TEXT;
            else if (rest[0] == 'M' || strcmp(rest, "A") == 0 ||
                     strcmp(rest, "P") == 0 || strcmp(rest, "r") == 0 ||
                     strcmp(rest, "s") == 0 || strcmp(rest, "X") == 0)
                i++;
            else if (strcmp(rest, "B") == 0 && i + 1 < argc)
                i += argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9';
            break;
        case 'M':
        case 'q':
        case 'R':
        case 'S':
            m->kind = SM_OTHER;
            break;
        default:
            break;
        }
        if (m->kind == SM_OTHER)
            return;
    }
    for (; i < argc; i++)
        operand(m, argv[i]);
}

void sm_mode_find(struct sm_mode *m, enum mo_mta mta, int argc,
                  char *const *argv)
{
    /* names under which an MTA is called for something else */
    static const char *const names[] = {"mailq",     "newaliases", "hoststat",
                                        "purgestat", "smtpd",      "runq",
                                        "makemap"};
    const char *name = argc > 0 && argv[0] ? argv[0] : "";
    const char *slash = strrchr(name, '/');
    size_t i;

    memset(m, 0, sizeof(*m));
    m->kind = SM_ARGS;
    m->dots = mtas[mta].dots;
    m->from = mtas[mta].from;
    if (slash)
        name = slash + 1;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) {
            m->kind = SM_OTHER;
            return;
        }
    if (strcmp(name, "rsmtp") == 0 || strcmp(name, "bsmtp") == 0)
        m->kind = mtas[mta].has_batch ? SM_BATCH : SM_OTHER;
    if (m->kind == SM_OTHER)
        return;
    if (strcmp(name, "rmail") == 0)
        m->dots = SM_DOTS_TEXT;
    if (mta == MO_MTA_EXIM)
        read_exim(m, argc, argv);
    else
        read_getopt(m, mta, argc, argv);
    if (m->kind == SM_BATCH || (m->kind == SM_BS && mta == MO_MTA_EXIM))
        m->from = MO_FROM_NONE;
}
