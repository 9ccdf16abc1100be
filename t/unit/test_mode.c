/*
 * sendmail/mode.c: what each MTA's command line asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../sendmail/wrapper.h"

/* below zero: several of them */
#define ANY -1
#define ALL_BUT(mta) (-1 - (mta))

static const struct {
    int mta;
    const char *line; /* words; '' is an empty one */
    enum sm_kind kind;
    const char *sender; /* NULL: none */
    int nrcpts;
    int dots; /* does a dot end it? */
} t[] = {
    {MO_MTA_UNKNOWN, "sendmail", SM_ARGS, NULL, 0, 1},
    {MO_MTA_POSTFIX, "sendmail", SM_ARGS, NULL, 0, 1},
    {MO_MTA_DMA, "sendmail", SM_ARGS, NULL, 0, 1},
    {MO_MTA_NULLMAILER, "sendmail", SM_T, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail", SM_OTHER, NULL, 0, 0},
    {ANY, "/usr/sbin/sendmail -t -i", SM_T, NULL, 0, 0},
    {ANY, "sendmail -i a b", SM_ARGS, NULL, 2, 0},
    {ALL_BUT(MO_MTA_SSMTP), "sendmail -oi -f me -- -bs", SM_ARGS, "me", 1, 0},
    {ANY, "sendmail -fme a", SM_ARGS, "me", 1, 1},
    {ANY, "sendmail -f -bs a", SM_ARGS, "-bs", 1, 1},
    {ANY, "sendmail -f '' a", SM_ARGS, "", 1, 1},
    {MO_MTA_POSTFIX, "sendmail -r me a", SM_ARGS, "me", 1, 1},
    {ANY, "sendmail -F Me -t", SM_T, NULL, 0, 1},
    {ANY, "sendmail -F -t a", SM_ARGS, NULL, 1, 1},
    {ALL_BUT(MO_MTA_OPENSMTPD), "sendmail -bp", SM_OTHER, NULL, 0, 0},
    {MO_MTA_UNKNOWN, "mailq", SM_OTHER, NULL, 0, 0},
    {MO_MTA_UNKNOWN, "rsmtp", SM_BATCH, NULL, 0, 1},
    {MO_MTA_UNKNOWN, "makemap", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "mailq", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "newaliases -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "newaliases -t", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "hoststat a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "runq a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "rsmtp a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "rmail a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "mail a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -bp -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -bv -bm a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail -q -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -qx -bm a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail -bm -bs", SM_BS, NULL, 0, 1},
    {MO_MTA_EXIM, "mailq a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "runq -bm a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "smtpd a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -bp -bm a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "sendmail -bS -bs", SM_BATCH, NULL, 0, 1},
    {MO_MTA_SENDMAIL, "purgestat a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SENDMAIL, "mailq -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "runq a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -bp -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -q1m -bm a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail -X /dev/null a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_UNKNOWN, "sendmail -bs", SM_BS, NULL, 0, 1},
    {MO_MTA_UNKNOWN, "sendmail -bm -t", SM_T, NULL, 0, 1},
    {MO_MTA_UNKNOWN, "sendmail -q", SM_OTHER, NULL, 0, 0},
    {MO_MTA_UNKNOWN, "sendmail -q30m", SM_OTHER, NULL, 0, 0},
    {MO_MTA_UNKNOWN, "sendmail -I", SM_OTHER, NULL, 0, 0},
    {MO_MTA_UNKNOWN, "sendmail -O IgnoreDots=true a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_UNKNOWN, "sendmail a -t", SM_ARGS, NULL, 2, 1},
    {MO_MTA_POSTFIX, "sendmail -ti", SM_T, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail -itfme", SM_T, "me", 0, 0},
    {MO_MTA_POSTFIX, "sendmail -itf me a", SM_T, "me", 1, 0},
    {MO_MTA_POSTFIX, "sendmail -N never -R hdrs a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -V ab cd", SM_ARGS, NULL, 2, 1},
    {MO_MTA_POSTFIX, "sendmail -V abc cd", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -XV a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_POSTFIX, "sendmail -bv a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail -bs", SM_BS, NULL, 0, 1},
    {MO_MTA_POSTFIX, "sendmail -vbs", SM_BS, NULL, 0, 1},
    {MO_MTA_POSTFIX, "sendmail -q -t", SM_OTHER, NULL, 0, 0},
    {MO_MTA_POSTFIX, "sendmail a -i", SM_ARGS, NULL, 2, 1},
    {MO_MTA_POSTFIX, "sendmail - a", SM_ARGS, NULL, 2, 1},
    {MO_MTA_POSTFIX, "sendmail -O IgnoreDots=true a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -ti", SM_T, NULL, 0, 0},
    {MO_MTA_EXIM, "sendmail -N a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -oMr smtp -oMa 1.2.3.4 a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -oee -odb -oi a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_EXIM, "sendmail -oitrue a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_EXIM, "sendmail -oB 5 a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -oB a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "sendmail -bS", SM_BATCH, NULL, 0, 1},
    {MO_MTA_EXIM, "sendmail -bnq a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "rsmtp", SM_BATCH, NULL, 0, 1},
    {MO_MTA_POSTFIX, "sendmail -bS", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "sendmail -bs", SM_BS, NULL, 0, 1},
    {MO_MTA_EXIM, "sendmail -bmalware /x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "sendmail -bm a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_EXIM, "exim4 -Mrm 1", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "exim4 --version", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "rmail a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_EXIM, "runq", SM_OTHER, NULL, 0, 0},
    {MO_MTA_EXIM, "sendmail -f <> a", SM_ARGS, "<>", 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -O IgnoreDots=true a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SENDMAIL, "sendmail -OIgnoreDots a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SENDMAIL, "sendmail -O ignoredots=f a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -oiF a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -C -t", SM_T, NULL, 0, 1},
    {MO_MTA_SENDMAIL, "sendmail -d -t", SM_T, NULL, 0, 1},
    {MO_MTA_SENDMAIL, "sendmail -d a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_SENDMAIL, "sendmail -C /x.cf -t", SM_T, NULL, 0, 1},
    {MO_MTA_SENDMAIL, "sendmail -q -v", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SENDMAIL, "sendmail -p smtp:host -t", SM_T, NULL, 0, 1},
    {MO_MTA_SENDMAIL, "sendmail -ba", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SENDMAIL, "smtpd", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SENDMAIL, "hoststat", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SENDMAIL, "sendmail -M mvalue -t", SM_T, NULL, 0, 1},
    {MO_MTA_OPENSMTPD, "sendmail a -t", SM_T, NULL, 1, 0},
    {MO_MTA_OPENSMTPD, "sendmail -bs a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_OPENSMTPD, "/x/send-mail -bp -t", SM_T, NULL, 0, 0},
    {MO_MTA_OPENSMTPD, "sendmail a -- -bix", SM_OTHER, NULL, 0, 0},
    {MO_MTA_OPENSMTPD, "sendmail -q a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_OPENSMTPD, "smtpctl a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_OPENSMTPD, "mail a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_OPENSMTPD, "sendmail -S -f me a", SM_ARGS, "me", 1, 0},
    {MO_MTA_DMA, "sendmail a -i b", SM_ARGS, NULL, 2, 0},
    {MO_MTA_DMA, "sendmail -bs a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_DMA, "sendmail -D a -- -i", SM_ARGS, NULL, 2, 1},
    {MO_MTA_DMA, "sendmail -q", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "/x/mailq", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "newaliases", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "newaliases a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "/x/newaliases", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "/x/newaliases a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_DMA, "rmail a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_DMA, "sendmail -Ap", SM_OTHER, NULL, 0, 0},
    {MO_MTA_DMA, "sendmail -A c -t", SM_T, NULL, 0, 1},
    {MO_MTA_DMA, "sendmail -oiF a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_DMA, "sendmail -oem a", SM_ARGS, NULL, 1, 1},
    {MO_MTA_MSMTP, "msmtp -a acct x", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "msmtp --read-recipients", SM_T, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --from=me x", SM_ARGS, "me", 1, 0},
    {MO_MTA_MSMTP, "msmtp --version", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp -P x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --pre x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --host h --from me x", SM_ARGS, "me", 1, 0},
    {MO_MTA_MSMTP, "msmtp --ho=h --auth x", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "msmtp --tls-starttls=on --tls x", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "msmtp --read- x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --read-r", SM_T, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --read-envelope-from x", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "msmtp --rmqs=h", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --nosuch x", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "msmtp -bmx x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp -d0.1 x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp --debug=0.1 x", SM_OTHER, NULL, 0, 0},
    {MO_MTA_MSMTP, "msmtp -d 0.1", SM_ARGS, NULL, 1, 0},
    {MO_MTA_MSMTP, "mailq -t", SM_T, NULL, 0, 0},
    {MO_MTA_NULLMAILER, "sendmail -t -fme", SM_T, "me", 0, 0},
    {MO_MTA_NULLMAILER, "sendmail -bs", SM_BS, NULL, 0, 0},
    {MO_MTA_NULLMAILER, "sendmail -bs --bm a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_NULLMAILER, "sendmail -vbs", SM_T, NULL, 0, 0},
    {MO_MTA_NULLMAILER, "sendmail -q x a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_NULLMAILER, "sendmail -em -f me - -t", SM_ARGS, "me", 1, 0},
    {MO_MTA_NULLMAILER, "sendmail --help", SM_OTHER, NULL, 0, 0},
    {MO_MTA_NULLMAILER, "mailq a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail x -t", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -bs", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -- -t", SM_T, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -odq a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -odb a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail -oem -t", SM_T, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -oe tq a", SM_OTHER, NULL, 0, 0},
    {MO_MTA_SSMTP, "sendmail -bx a b", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail -b a b", SM_ARGS, NULL, 2, 0},
    {MO_MTA_SSMTP, "sendmail -aux a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail -au x a", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail -Nnever a b", SM_ARGS, NULL, 1, 0},
    {MO_MTA_SSMTP, "sendmail -Rhdrs a", SM_ARGS, "s", 1, 0},
    {MO_MTA_SSMTP, "sendmail -vf me a", SM_ARGS, "me", 1, 0},
    {MO_MTA_SSMTP, "/x/mailq a", SM_OTHER, NULL, 0, 0},
};

/* those MTAs for which no dot ends a message */
static int minds_dots(int mta)
{
    return mta != MO_MTA_OPENSMTPD && mta != MO_MTA_MSMTP &&
           mta != MO_MTA_NULLMAILER && mta != MO_MTA_SSMTP;
}

static void try_one(size_t i, int mta)
{
    char words[256], copy[256], *argv[32], *p;
    struct sm_mode m;
    int argc = 0;

    strcpy(words, t[i].line);
    for (p = strtok(words, " "); p; p = strtok(NULL, " "))
        argv[argc++] = strcmp(p, "''") == 0 ? p + 2 : p;
    argv[argc] = NULL;
    memcpy(copy, words, sizeof(copy));
    sm_mode_find(&m, (enum mo_mta)mta, argc, argv);
    if (m.kind != t[i].kind)
        fail_msg("'%s' (mta %d): kind %d", t[i].line, mta, (int)m.kind);
    assert_memory_equal(copy, words, sizeof(copy));
    if (m.kind == SM_OTHER)
        return;
    if ((m.dots != SM_DOTS_TEXT) != (t[i].dots && minds_dots(mta)))
        fail_msg("'%s' (mta %d): dots %d", t[i].line, mta, (int)m.dots);
    if ((int)m.nrcpts != t[i].nrcpts)
        fail_msg("'%s' (mta %d): %u recipients", t[i].line, mta, m.nrcpts);
    if (!t[i].sender != !m.sender ||
        (m.sender && strcmp(m.sender, t[i].sender) != 0))
        fail_msg("'%s' (mta %d): sender %s", t[i].line, mta,
                 m.sender ? m.sender : "none");
}

static void test_table(void **state)
{
    size_t i;
    int mta;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        if (t[i].mta >= 0) {
            try_one(i, t[i].mta);
            continue;
        }
        for (mta = MO_MTA_UNKNOWN; mta <= MO_MTA_SSMTP; mta++)
            if (t[i].mta == ANY || mta != -1 - t[i].mta)
                try_one(i, mta);
    }
}

static void test_odd(void **state)
{
    static char *argv[100002], *none[] = {NULL};
    struct sm_mode m;
    int i;

    (void)state;
    sm_mode_find(&m, MO_MTA_UNKNOWN, 0, none);
    assert_int_equal(m.kind, SM_ARGS);
    argv[0] = "sendmail";
    for (i = 1; i <= 100000; i++)
        argv[i] = "a@example.org";
    sm_mode_find(&m, MO_MTA_POSTFIX, 100001, argv);
    assert_int_equal(m.nrcpts, 100000);
    setenv("POSIXLY_CORRECT", "", 1);
    argv[2] = "-i";
    argv[3] = NULL;
    sm_mode_find(&m, MO_MTA_DMA, 3, argv);
    assert_int_equal(m.dots, SM_DOTS_LF);
    unsetenv("POSIXLY_CORRECT");
    sm_mode_find(&m, MO_MTA_DMA, 3, argv);
    assert_int_equal(m.dots, SM_DOTS_TEXT);
    argv[1] = "-f";
    argv[2] = NULL; /* the value is missing */
    for (i = MO_MTA_UNKNOWN; i <= MO_MTA_SSMTP; i++)
        sm_mode_find(&m, (enum mo_mta)i, 2, argv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_odd),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
