/*
 * The list of verbs, in the order of --help.
 */
#include "cli.h"

#define VERB(name) extern const struct cli_verb cli_##name;
#include "verbs.def"
#undef VERB

const struct cli_verb *const cli_verbs[] = {
#define VERB(name) &cli_##name,
#include "verbs.def"
#undef VERB
    NULL};
