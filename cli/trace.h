/*
 * How trace shows a case.
 */
#ifndef MO_CLI_TRACE_H
#define MO_CLI_TRACE_H

#include "cases.h"
#include "correlate.h"

/* Is there anything to show: a record, or a stamp that opened? */
int trace_known(const struct cli_case *k);
/* what there was and why it says nothing, to stderr */
void trace_unknown(struct cli *c, const struct cli_case *k);
void trace_text(struct cli *c, const struct cli_case *k,
                const struct cli_want *w, int again);
void trace_json(const struct cli_case *k, const struct cli_want *w);
/* For the site's owner, without other customers' data.  -1: the mail log
 * could not be read, said. */
int trace_report(struct cli *c, const struct cli_case *k,
                 const struct cli_want *w);
void trace_searched(struct cli *c, const struct cli_found *found);
/* The filter options that name this record's origin, shell-quoted. */
void trace_filter(FILE *f, const struct mo_record *r);

#endif
