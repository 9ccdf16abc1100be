/*
 * A compiled LogFormat, as log_format.c makes it and log_parse.c reads it.
 */
#ifndef MO_CLI_LOG_ITEM_H
#define MO_CLI_LOG_ITEM_H

#include "log_format.h"
#include "log_time.h"

#define ITEMS 128

struct item {
    enum log_part kind;
    char *text; /* LOG_TEXT: what stands there; LOG_TIME: its format or NULL */
    size_t n;
    int quoted; /* the field is between '"' */
    int is_end; /* LOG_TIME: of the request's end */
};
struct log_format {
    char *source;
    struct item item[ITEMS];
    int n;
    int stop; /* items past this one tell nothing we use */
    int clf; /* index of a plain %t of the begin, -1: none */
    int has_time; /* some LOG_TIME */
    int in_words; /* some that is no plain %t */
    int end_only; /* they are of the request's end */
    struct log_clock clock;
};

#endif
