/*
 * What the parts of the command's frame say to each other; verbs use cli.h.
 */
#ifndef MO_CLI_FRAME_H
#define MO_CLI_FRAME_H

#include "cli.h"

#define CLI_GO (-1)
/*
 * Finds the verb (c->verb), takes the common options out of argv into *c
 * and leaves argv[0] the verb.  CLI_GO, or an exit status: help was printed,
 * or what is wrong was said.
 */
int cli_options(struct cli *c, int *argc, char ***argv);

#endif
