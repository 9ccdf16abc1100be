/*
 * The mail logs: which files, one file's records, and those that a running
 * recorder adds.
 */
#ifndef MO_CLI_RECORDS_H
#define MO_CLI_RECORDS_H

#include "cli.h"
#include "files.h"

/* c->log, or the conf's with its rotated ones; 0, or -1 and it was said */
int cli_records_files(struct cli *c, struct cli_files *f);
/*
 * Goes on with the newest mail log from its end, or with --since from there,
 * older ones first; over rotation and truncation, until fn stops it or stop() is true.  Lines are given whole.
 */
int cli_records_follow(struct cli *c, int (*fn)(void *arg, struct mo_record *r),
                       void *arg, int (*stop)(void));
/* what a record says its time is; 0: it says none */
uint64_t cli_record_time(const struct mo_record *r);

#endif
