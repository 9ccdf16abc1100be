/*
 * Which mail program a sendmail binary belongs to.
 */
#ifndef MO_CLI_MTA_H
#define MO_CLI_MTA_H

#include <stddef.h>

#include "mo_conf.h"

/* the conf's word for it ("postfix", …); "unknown" */
const char *mta_name(enum mo_mta m);

/*
 * Finds out what stands at path: follows links, then goes by the file's own
 * name, then by words inside the program.  *real is the resolved path.
 * seen is one line for people: what was found.  Returns the MTA,
 * MO_MTA_UNKNOWN where nothing is known of it, or -1 with errno where path
 * cannot be read.
 */
int mta_find(const char *path, char *real, size_t realsize, char *seen,
             size_t seensize);

#endif
