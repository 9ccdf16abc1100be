/* Sendmail's queue files */
#define MTA MO_MTA_SENDMAIL
#define PARSE queue_sendmail_parse
#include "queue_file.h"
