/*
 * What mode.c and mode_own.c promise each other.
 */
#ifndef MO_MODE_H
#define MO_MODE_H

#include "wrapper.h"

/* what is known of the arguments so far */
struct sm_reading {
    struct sm_mode *m; /* dots, sender, operands */
    enum mo_mta mta;
    enum sm_kind op; /* but for -t */
    int t;
    int never; /* whatever else there is, it is no submission */
};

void sm_operand(struct sm_mode *m, const char *arg);

/* Each reads argv as that MTA does. */
void sm_read_exim(struct sm_reading *r, int argc, char *const *argv);
void sm_read_nullmailer(struct sm_reading *r, int argc, char *const *argv);
void sm_read_ssmtp(struct sm_reading *r, int argc, char *const *argv);

#endif
