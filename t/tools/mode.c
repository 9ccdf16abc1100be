/*
 * mode MTA - prints what sm_mode_find makes of the arguments given on stdin,
 * where MTA is the mail server.  Words there end with a NUL; a number says
 * how many follow as one argv, and so on.  For each argv a line each of kind,
 * dots, from, sender where one is given, and rcpt for each operand, and an
 * empty line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../sendmail/wrapper.h"

static char input[1 << 20], *args[1000];

static void print(enum mo_mta mta, int argc, char **argv)
{
    /* in the order of enum sm_kind and sm_dots */
    static const char *const kinds[] = {"other", "t", "args", "bs", "batch"};
    static const char *const dots[] = {"text", "lf", "first", "both"};
    static struct sm_mode m;
    size_t i;

    sm_mode_find(&m, mta, argc, argv);
    printf("kind %s\ndots %s\nfrom %d\n", kinds[m.kind], dots[m.dots],
           (int)m.from);
    if (m.sender)
        printf("sender %s\n", m.sender);
    for (i = 0; i < m.nrcpts && i < SM_RCPTS; i++)
        printf("rcpt %s\n", m.rcpt[i]);
    puts("");
}

int main(int argc, char **argv)
{
    /* in the order of enum mo_mta */
    static const char *const mtas[] = {
        "unknown", "postfix", "exim",       "sendmail", "opensmtpd",
        "msmtp",   "dma",     "nullmailer", "ssmtp",
    };
    size_t mta = 0, n = fread(input, 1, sizeof(input) - 1, stdin);
    char *p = input;

    while (argc > 1 && strcmp(mtas[mta], argv[1]) != 0)
        if (++mta == sizeof(mtas) / sizeof(mtas[0]))
            argc = 1;
    if (argc != 2 || n == sizeof(input) - 1) {
        fprintf(stderr, "usage: mode MTA < WORDS\n");
        return 2;
    }
    while (p < input + n) {
        int words = atoi(p), i;

        if (words < 1 || words >= (int)(sizeof(args) / sizeof(args[0])))
            return 2;
        for (i = 0; i < words && p < input + n; i++)
            args[i] = p += strlen(p) + 1;
        args[i] = NULL;
        p += strlen(p) + 1;
        print((enum mo_mta)mta, i, args);
    }
    return 0;
}
