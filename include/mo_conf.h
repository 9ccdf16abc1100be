/*
 * mailorigin.conf: for wrapper, recorder and command.  Lines of `key value`;
 * '#' begins a comment at a line's start; blanks around are no matter; a
 * value goes to the line's end.  Every key stands in
 * conf.d/mail/mailorigin.conf, which a test checks.  libc only.
 */
#ifndef MO_CONF_H
#define MO_CONF_H

#include <stddef.h>

enum mo_on_failure { MO_FAIL_SEND, MO_FAIL_REFUSE };
enum mo_handover { MO_HANDOVER_MEMFD, MO_HANDOVER_PIPE };
/* what `block --hold` does: refuse for now, or let go with "hold=1" in the
 * field, by which a rule of the MTA's puts it on hold */
enum mo_hold { MO_HOLD_DEFER, MO_HOLD_HEADER };
enum mo_disclose {
    MO_DISCLOSE_NONE,
    MO_DISCLOSE_VHOST,
    MO_DISCLOSE_SCRIPT,
    MO_DISCLOSE_URI
};
enum mo_key_by { MO_BY_VHOST = 1, MO_BY_SCRIPT, MO_BY_CLIENT, MO_BY_UID };
enum mo_mta {
    MO_MTA_UNKNOWN, /* options of all are minded */
    MO_MTA_POSTFIX,
    MO_MTA_EXIM,
    MO_MTA_SENDMAIL,
    MO_MTA_OPENSMTPD,
    MO_MTA_MSMTP,
    MO_MTA_DMA,
    MO_MTA_NULLMAILER,
    MO_MTA_SSMTP
};

#define MO_CONF_RULES 64
#define MO_CONF_VALUE 1024

struct mo_limit { /* limit N/PERIOD by KEY [burst N] */
    unsigned n;
    unsigned period; /* seconds */
    unsigned burst; /* 0: n */
    enum mo_key_by by;
};
struct mo_alert { /* alert N/PERIOD by KEY PROGRAM */
    unsigned n;
    unsigned period;
    enum mo_key_by by;
    char program[256];
};
struct mo_access_log { /* access-log GLOB FORMAT */
    char glob[512];
    char format[512]; /* a nickname or as httpd writes it */
};

struct mo_conf {
    char sendmail[MO_CONF_VALUE]; /* the real one; "" : none */
    enum mo_mta mta;
    enum mo_on_failure on_failure;
    unsigned timeout_ms; /* for the recorder's answer */
    enum mo_handover handover;
    char header[64]; /* the field's name */
    enum mo_disclose disclose;
    enum mo_hold hold;
    char log[MO_CONF_VALUE];
    unsigned budget; /* mails a minute that a uid may send; 0: no end */
    unsigned nlimits;
    struct mo_limit limit[MO_CONF_RULES];
    unsigned nalerts;
    struct mo_alert alert[MO_CONF_RULES];
    unsigned naccess_logs;
    struct mo_access_log access_log[MO_CONF_RULES];
};

/* All defaults, as conf.d/mail/mailorigin.conf shows them commented out. */
void mo_conf_defaults(struct mo_conf *c);
/*
 * Reads path over *c.  Returns 0; -1 with one line in err: path, line number,
 * key, value and what is allowed; errno is the failed call's, 0 for content.
 * All good lines are kept, also those after a bad one; err names the first.
 */
int mo_conf_read(struct mo_conf *c, const char *path, char *err,
                 size_t errsize);
/* One line, without "\n"; as above, err without path and line number. */
int mo_conf_line(struct mo_conf *c, const char *line, char *err,
                 size_t errsize);
/* the keys, for drift checks and completion; NULL past the last */
const char *mo_conf_key(unsigned i);

#endif
