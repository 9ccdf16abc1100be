/*
 * Mail that the MTA took on this host and of which there is no record.
 */
#ifndef MO_CLI_UNRECORDED_H
#define MO_CLI_UNRECORDED_H

#include "cli.h"

/*
 * log --unrecorded: reads the MTA's logs (none named: those of /var/log that
 * are there, with their rotated ones) and prints each mail taken from a local
 * process or by SMTP from this host that no record of ours is for.  Returns
 * an exit status.
 */
int log_unrecorded(struct cli *c, const char *const *maillog, size_t n);

#endif
