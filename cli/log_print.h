/*
 * A record as the verb log prints it, without the end of the line.
 */
#ifndef MO_CLI_LOG_PRINT_H
#define MO_CLI_LOG_PRINT_H

#include "cli.h"

void log_text(const struct cli *c, const struct mo_record *r);
void log_csv(const struct mo_record *r);
void log_csv_head(void);
void log_csv_value(const char *v, size_t len);

/*
 * log --access: all records that pass, each with its access_log lines.  csv:
 * a line for each of them.  *n: how many records.  0, or -1: trouble, said.
 */
int log_access(struct cli *c, int csv, int (*stop)(void), unsigned long *n,
               unsigned long *bad);

#endif
