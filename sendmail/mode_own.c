/*
 * The arguments of those MTAs that read them without getopt: Exim, nullmailer
 * and ssmtp.
 */
#include "mode.h"

#include <string.h>

/* ---- Exim: one option an argument, no bundles */

/* -bm, -bs, -bS; not -bp, -bmalware...  Once it is SMTP, it stays that. */
static void exim_b(struct sm_reading *r, const char *v)
{
    if (strcmp(v, "S") == 0)
        r->op = SM_BATCH;
    else if (strcmp(v, "s") == 0)
        r->op = r->op == SM_BATCH ? SM_BATCH : SM_BS;
    else if (strcmp(v, "m") != 0 && strcmp(v, "nq") != 0)
        r->never = 1; /* (-bnq is -bm with bare names) */
}

void sm_read_exim(struct sm_reading *r, int argc, char *const *argv)
{
    struct sm_mode *m = r->m;
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
            r->never = 1;
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
            r->t = 1;
            if (strcmp(rest, "i") == 0)
                m->dots = SM_DOTS_TEXT;
            break;
        case 'b':
            exim_b(r, rest);
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
            r->never = 1;
            break;
        default:
            break;
        }
        if (r->never)
            return;
    }
    for (; i < argc; i++)
        sm_operand(m, argv[i]);
}

/* ---- nullmailer: short options bundle, long ones have one dash or two */

/* One word of a long option; its '=' is refused. */
static void nullmailer_long(struct sm_reading *r, const char *word)
{
    if (strcmp(word, "bm") == 0)
        r->op = SM_ARGS;
    else if (strcmp(word, "bs") == 0)
        r->op = SM_BS;
    else if (strcmp(word, "bp") == 0)
        r->op = SM_OTHER;
    else if (strcmp(word, "em") != 0 && strcmp(word, "ep") != 0 &&
             strcmp(word, "eq") != 0)
        r->never = 1; /* help, and what it refuses */
}

void sm_read_nullmailer(struct sm_reading *r, int argc, char *const *argv)
{
    static const char flags[] = "imntUv", strings[] = "BCdFfhLNOopqRrVX";
    struct sm_mode *m = r->m;
    int i = 1;

    while (i < argc) {
        const char *arg = argv[i], *p;

        if (arg[0] != '-')
            break;
        i++;
        if (arg[1] == '\0' || strcmp(arg, "--") == 0)
            break;
        if (!strchr(flags, arg[1]) && !strchr(strings, arg[1])) {
            nullmailer_long(r, arg + 1 + (arg[1] == '-'));
            continue;
        }
        for (p = arg + 1; *p; p++) {
            const char *v = p + 1;

            r->t |= *p == 't';
            if (!strchr(strings, *p))
                continue;
            if (*v == '\0')
                v = i < argc ? argv[i++] : "";
            if (*p == 'f' || *p == 'r')
                m->sender = v;
            break;
        }
    }
    for (; i < argc; i++)
        sm_operand(m, argv[i]);
    /* without operands it looks into the head, asked to or not */
    r->t |= m->nrcpts == 0;
}

/*
 * ---- ssmtp: each word that begins with '-' is a row of letters, wherever it
 * stands; there is no end to options.
 */

/* The letter behind p.  Behind the word's end stands the next one, as the
 * kernel puts them, and ssmtp, having stepped there, reads on in it. */
static const char *ssmtp_step(const char *p, const char *next, int *over)
{
    if (*p != '\0')
        return p + 1;
    if (*over || !next)
        return p;
    *over = 1;
    return next;
}

/* One word; returns how many arguments it takes. */
static int ssmtp_word(struct sm_reading *r, const char *p, const char *next)
{
    int over = 0;

    while (*(p = ssmtp_step(p, next, &over)) != '\0') {
        switch (*p) {
        case 'a': /* -au USER, -ap PASSWORD, -am METHOD */
            p = ssmtp_step(p, next, &over);
            return *p && strchr("upm", *p) && p[1] == '\0' && next ? 2 : 1;
        case 'b':
            p = ssmtp_step(p, next, &over);
            if (*p == 'm')
                break;
            if (*p && strchr("adipstvz", *p)) {
                r->never = 1;
                return 1;
            }
            if (*p == '\0') /* the byte behind is looked at */
                return next && *next == '\0' ? 2 : 1;
            return p[1] == '\0' && next ? 2 : 1; /* goes on as -C */
        case 'C':
        case 'F':
            return p[1] == '\0' && next ? 2 : 1;
        case 'f':
        case 'r':
            r->m->sender = p[1] == '\0' && next ? next : p + 1;
            return r->m->sender == next ? 2 : 1;
        case 'R':
            if (p[1] == '\0')
                return 2;
            break;
        case 'M':
            return 1;
        case 'N': /* the next, even where this has a value */
            return 2;
        case 'o':
            p = ssmtp_step(p, next, &over);
            if (*p && strchr("AFgLQrSTtu", *p))
                return 1;
            if (*p == 'D' || *p == 'o') {
                r->never = 1;
                return 1;
            }
            if (*p == 'e')
                p = ssmtp_step(p, next, &over);
            break;
        case 'q':
        case 'V':
            r->never = 1;
            return 1;
        case 't':
            r->t = 1;
            break;
        default:
            break;
        }
    }
    return 1;
}

void sm_read_ssmtp(struct sm_reading *r, int argc, char *const *argv)
{
    int i = 1;

    while (i < argc && !r->never) {
        if (argv[i][0] == '-')
            i += ssmtp_word(r, argv[i], argv[i + 1]);
        else
            sm_operand(r->m, argv[i++]);
    }
    /* it wants recipients from the one or the other, and else reads nothing */
    if (r->t == (r->m->nrcpts > 0))
        r->never = 1;
}
