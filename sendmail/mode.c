/*
 * What the arguments ask for: each MTA's own way to read them, as data.
 *
 * Postfix and Sendmail (a getopt of its own) stop at the first operand; dma,
 * OpenSMTPD and msmtp use glibc's getopt, which looks for options behind
 * operands too.  Exim, nullmailer and ssmtp have ways of their own
 * (mode_own.c).  Whatever is not understood is left to the MTA to complain
 * about: argv goes on as it came.
 *
 * t/wrap/ and t/mta/ hold all this against the real programs.
 */
#include "mode.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct mta {
    const char *opts; /* as for getopt; "::" takes only an attached value;
                         NULL: mode_own.c */
    int permutes;
    int long_opts;
    enum sm_dots dots;
    enum mo_from from;
    const char *names; /* under which it does something else */
};

static const struct mta mtas[] = {
    /* all that is minded by any, where they do not contradict each other */
    [MO_MTA_UNKNOWN] = {"A:B:C:D::E::F:GIL:M:N:O:Q::R:TUV:X:b:cd::e:f:h:imno:"
                        "p:q::r:stvx",
                        0, 1, SM_DOTS_FIRST, MO_FROM_MANY,
                        "mailq newaliases hoststat purgestat smtpd runq "
                        "makemap"},
    [MO_MTA_POSTFIX] = {"A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx", 0, 0,
                        SM_DOTS_FIRST, MO_FROM_MANY, "mailq newaliases smtpd"},
    [MO_MTA_EXIM] = {NULL, 0, 0, SM_DOTS_BOTH, MO_FROM_DATED,
                     "mailq newaliases runq"},
    [MO_MTA_SENDMAIL] = {"A:B:b:C:cD:d:e:F:f:Gh:IiL:M:mN:nO:o:p:Q:q:R:r:sTtUV:v"
                         "X:",
                         0, 0, SM_DOTS_BOTH, MO_FROM_ONE,
                         "mailq newaliases smtpd hoststat purgestat"},
    /* (its names are looked at by themselves) */
    [MO_MTA_OPENSMTPD] = {"A:B:b:E::e:F:f:iJ::L:mN:o:p:qr:R:StvV:x", 1, 0,
                          SM_DOTS_TEXT, MO_FROM_ANY_CASE, ""},
    [MO_MTA_MSMTP] = {"Pd::SC:a:f:N:R:X:tA:B:b:F:Gh:iL:mnO:o:v", 1, 1,
                      SM_DOTS_TEXT, MO_FROM_MANY, ""},
    [MO_MTA_DMA] = {"A:b:B:C:d:Df:F:h:iL:N:no:O:q:r:R:tUV:vX:", 1, 0,
                    SM_DOTS_LF, MO_FROM_QUOTED_ANY_CASE, "mailq newaliases"},
    [MO_MTA_NULLMAILER] = {NULL, 0, 0, SM_DOTS_TEXT, MO_FROM_QUOTED, ""},
    [MO_MTA_SSMTP] = {NULL, 0, 0, SM_DOTS_TEXT, MO_FROM_MANY,
                      "mailq newaliases"},
};

void sm_operand(struct sm_mode *m, const char *arg)
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
static void named_option(struct sm_mode *m, const char *v)
{
    size_t n = strcspn(v, "=");

    if (n >= 2 && n <= 10 && strncasecmp(v, "IgnoreDots", n) == 0) {
        if (v[n] == '\0' || is_true(v + n + 1))
            m->dots = SM_DOTS_TEXT;
    }
}

/* -bX, of which the last one counts */
static void b_option(struct sm_reading *r, const char *v)
{
    switch (r->mta) {
    case MO_MTA_OPENSMTPD: /* ignores it */
        break;
    case MO_MTA_DMA: /* ignores the rest */
        r->never |= *v == 'p';
        break;
    case MO_MTA_MSMTP: /* refuses the rest */
        r->never |= strcmp(v, "m") != 0;
        break;
    default:
        r->never |= r->mta == MO_MTA_POSTFIX && *v == 'v';
        r->op = *v == 'm'                               ? SM_ARGS
                : *v == 's'                             ? SM_BS
                : *v == 'S' && r->mta == MO_MTA_UNKNOWN ? SM_BATCH
                                                        : SM_OTHER;
    }
}

/* One option, its value "" where it has none. */
static void option(struct sm_reading *r, char c, const char *v)
{
    struct sm_mode *m = r->m;

    switch (c) {
    case 't':
        r->t = 1;
        break;
    case 'i':
        m->dots = SM_DOTS_TEXT;
        break;
    case 'o':
        /* dma looks at no more than the letter */
        if (v[0] == 'i' && (r->mta == MO_MTA_DMA || is_true(v + 1)))
            m->dots = SM_DOTS_TEXT;
        break;
    case 'O':
        if (r->mta == MO_MTA_SENDMAIL || r->mta == MO_MTA_UNKNOWN)
            named_option(m, v);
        break;
    case 'A': /* dma goes on as if it were -b */
        if (r->mta == MO_MTA_DMA)
            b_option(r, v);
        break;
    case 'b':
        b_option(r, v);
        break;
    case 'f':
    case 'r':
        m->sender = v;
        break;
    case 'q': /* Postfix's bare one may be followed by -bm */
        if (r->mta == MO_MTA_POSTFIX && *v == '\0')
            r->op = SM_OTHER;
        else
            r->never = 1;
        break;
    case 'Q':
        r->never = 1;
        break;
    case 'I':
        if (r->mta == MO_MTA_POSTFIX || r->mta == MO_MTA_SENDMAIL ||
            r->mta == MO_MTA_UNKNOWN)
            r->op = SM_OTHER;
        break;
    case 'd': /* asks msmtp for its version */
        r->never |= r->mta == MO_MTA_MSMTP && strcmp(v, "0.1") == 0;
        break;
    case 'S':
    case 'P':
        r->never |= r->mta == MO_MTA_MSMTP;
        break;
    default:
        break;
    }
}

/* msmtp's --name, --name=value, --name value; returns how many arguments */
static int long_word(struct sm_reading *r, const char *arg, const char *next)
{
    /* ':' takes a value, which must be attached where it is "::"; before the
     * name, the letter of the same meaning; '!' is no submission */
    static const char *const words[] = {"!version",
                                        "!help",
                                        "!configure:",
                                        "Ppretend",
                                        "ddebug::",
                                        "Sserverinfo",
                                        "!rmqs:",
                                        "Cfile:",
                                        "aaccount:",
                                        " host:",
                                        " port:",
                                        " timeout:",
                                        " connect-timeout:",
                                        " auto-from::",
                                        "ffrom:",
                                        " maildomain:",
                                        " auth::",
                                        " user:",
                                        " passwordeval:",
                                        " tls::",
                                        " tls-starttls::",
                                        " tls-trust-file:",
                                        " tls-crl-file:",
                                        " tls-fingerprint:",
                                        " tls-key-file:",
                                        " tls-cert-file:",
                                        " tls-certcheck::",
                                        " tls-force-sslv3::",
                                        " tls-min-dh-prime-bits:",
                                        " tls-priorities:",
                                        " tls-host-override:",
                                        "Ndsn-notify:",
                                        "Rdsn-return:",
                                        " protocol:",
                                        " domain:",
                                        "Xlogfile:",
                                        " logfile-time-format:",
                                        " syslog::",
                                        " aliases:",
                                        " proxy-host:",
                                        " proxy-port:",
                                        " add-missing-from-header::",
                                        " add-missing-date-header::",
                                        " set-from-header::",
                                        " set-date-header::",
                                        " set-msgid-header::",
                                        " set-to-header::",
                                        " remove-bcc-headers::",
                                        " undisclosed-recipients::",
                                        " source-ip:",
                                        " socket:",
                                        " keepbcc::",
                                        "tread-recipients",
                                        " read-envelope-from"};
    const char *found = NULL, *value = NULL;
    size_t n = strcspn(arg, "="), i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const char *w = words[i] + 1;

        if (strncmp(w, arg, n) != 0)
            continue;
        if (w[n] == '\0' || w[n] == ':') {
            found = w;
            break;
        }
        if (found) { /* which of them?  It asks, too, and ends */
            r->never = 1;
            return 1;
        }
        found = w;
    }
    if (!found)
        return 1;
    if (arg[n] == '=')
        value = arg + n + 1;
    else if (found[strlen(found) - 1] == ':' && !strstr(found, "::"))
        value = next;
    if (found[-1] == '!')
        r->never = 1;
    else
        option(r, found[-1], value ? value : "");
    return value && value == next ? 2 : 1;
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
    default:
        return 0;
    }
}

static void read_getopt(struct sm_reading *r, int argc, char *const *argv)
{
    const struct mta *t = &mtas[r->mta];
    int permutes = t->permutes, i = 1;

    /* glibc's getopt asks for it, by its presence alone */
    if (permutes && getenv("POSIXLY_CORRECT"))
        permutes = 0;
    while (i < argc) {
        const char *arg = argv[i], *p;

        if (arg[0] != '-' || arg[1] == '\0') {
            if (!permutes)
                break;
            sm_operand(r->m, arg);
            i++;
            continue;
        }
        if (arg[1] == '-') {
            if (arg[2] == '\0') {
                i++;
                break;
            }
            i += t->long_opts ? long_word(r, arg + 2, argv[i + 1]) : 1;
            continue;
        }
        i++;
        if (alone(r->mta, arg, argv[i])) {
            option(r, arg[1], "");
            continue;
        }
        for (p = arg + 1; *p; p++) {
            const char *o = *p == ':' ? NULL : strchr(t->opts, *p);

            if (!o || o[1] != ':') {
                option(r, *p, "");
                continue;
            }
            if (p[1] != '\0' || o[2] == ':')
                option(r, *p, p + 1);
            else
                option(r, *p, i < argc ? argv[i++] : "");
            break;
        }
    }
    for (; i < argc; i++)
        sm_operand(r->m, argv[i]);
}

static int is_among(const char *name, const char *words)
{
    size_t n = strlen(name);
    const char *p;

    for (p = words; n && (p = strstr(p, name)) != NULL; p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return 1;
    return 0;
}

/* OpenSMTPD's program is many, by its name; and before all options it looks
 * for -bi, wherever that stands. */
static int is_opensmtpd(const char *name, int argc, char *const *argv)
{
    int i;

    for (i = 1; i < argc; i++)
        if (strncmp(argv[i], "-bi", 3) == 0)
            return 0;
    return is_among(name, "sendmail send-mail");
}

void sm_mode_find(struct sm_mode *m, enum mo_mta mta, int argc,
                  char *const *argv)
{
    struct sm_reading r = {m, mta, SM_ARGS, 0, 0};
    const char *name = argc > 0 && argv[0] ? argv[0] : "";
    const char *slash = strrchr(name, '/');

    memset(m, 0, sizeof(*m));
    m->dots = mtas[mta].dots;
    m->from = mtas[mta].from;
    if (slash)
        name = slash + 1;
    if (is_among(name, mtas[mta].names)) {
        r.op = SM_OTHER;
        /* for these two, options may say otherwise */
        r.never = mta != MO_MTA_POSTFIX && mta != MO_MTA_SENDMAIL;
    }
    /* dma 0.13 knows it without a path only, and else takes mail by it */
    if (mta == MO_MTA_DMA && slash && argc > 1 &&
        strcmp(name, "newaliases") == 0)
        r = (struct sm_reading){m, mta, SM_ARGS, 0, 0};
    if (mta == MO_MTA_OPENSMTPD)
        r.never = !is_opensmtpd(name, argc, argv);
    if (mta == MO_MTA_EXIM || mta == MO_MTA_UNKNOWN) {
        if (strcmp(name, "rsmtp") == 0)
            r.op = SM_BATCH;
        if (strcmp(name, "rmail") == 0)
            m->dots = SM_DOTS_TEXT;
    }
    if (mta == MO_MTA_EXIM)
        sm_read_exim(&r, argc, argv);
    else if (mta == MO_MTA_NULLMAILER)
        sm_read_nullmailer(&r, argc, argv);
    else if (mta == MO_MTA_SSMTP)
        sm_read_ssmtp(&r, argc, argv);
    else
        read_getopt(&r, argc, argv);
    m->kind = r.never ? SM_OTHER : r.op == SM_ARGS && r.t ? SM_T : r.op;
    if (m->kind == SM_BATCH || (m->kind == SM_BS && mta == MO_MTA_EXIM))
        m->from = MO_FROM_NONE;
}
