/* Exim's queue files */
#define MTA MO_MTA_EXIM
#define PARSE queue_exim_parse
#include "queue_file.h"
