/*
 * mailorigin-sendmail: stands where sendmail stood.
 *
 *   1. Descriptors 0 to 2 that the caller closed are kept busy while we run,
 *      so that none of ours takes their number; at exec they are closed again.
 *   2. The conf is read; a bad line goes to syslog and stops no mail.
 *   3. The target must be there and not be us: else exit 78.
 *   4. The arguments say what is wanted.  No submission: exec, stdin unread.
 *   5. HELLO to the recorder, while the script is still there.
 *   6. -bs: a proxy (smtp_proxy.c).  Else the message is read, judged,
 *      stamped, and handed to the real sendmail, which takes our place.
 *
 * Exit statuses of our own: 77 refused by policy, 75 not now (a limit, no
 * room, a read error: nothing was submitted), 78 not set up; each with one
 * line on stderr.  When all is well, we print nothing.  Signal handlers,
 * masks, umask, working directory and limits are the caller's throughout, but
 * for limits.c, which puts back what it changed.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

static struct mo_conf conf;
static struct sm_evidence evidence;

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

static void guard_012(void)
{
    int fd;

    for (fd = 0; fd < 3; fd++) {
        if (is_open(fd))
            continue;
        /* the lowest free number is this one */
        if (open("/dev/null", O_RDWR | O_CLOEXEC) < 0 &&
            open("/", O_PATH | O_CLOEXEC) < 0)
            mo_fatal(EX_TEMPFAIL, "cannot open /dev/null: %s", strerror(errno));
    }
}

static void read_conf(void)
{
    char err[1200];
    int rv;

    mo_conf_defaults(&conf);
    rv = mo_conf_read(&conf, MO_CONF_PATH, err, sizeof(err));
    if (rv < 0 && errno == EMFILE && sm_limits_files()) {
        mo_conf_defaults(&conf);
        rv = mo_conf_read(&conf, MO_CONF_PATH, err, sizeof(err));
    }
    if (rv == 0)
        return;
    if (errno == 0) {
        mo_msg_syslog(1);
        mo_error("%s", err);
        mo_msg_syslog(0);
        return;
    }
    mo_fatal(errno == ENOENT || errno == EACCES ? EX_CONFIG : EX_TEMPFAIL, "%s",
             err);
}

/* A socket of the network: inetd runs us for another host's mail, which has
 * no request here, and whose address the MTA wants to see. */
static int from_network(void)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    return getsockname(STDIN_FILENO, (struct sockaddr *)&sa, &len) == 0 &&
           (sa.ss_family == AF_INET || sa.ss_family == AF_INET6);
}

static void refused(const struct sm_stamp *stamp, const char *more)
    __attribute__((noreturn));
static void refused(const struct sm_stamp *stamp, const char *more)
{
    mo_fatal(stamp->action == MO_REFUSED ? EX_NOPERM : EX_TEMPFAIL, "%s%s",
             stamp->reason, more);
}

/* Whom the mail is for: operands, the message's fields, or both. */
static void find_rcpts(const struct sm_mode *mode, const struct mo_rcpts *named,
                       struct sm_mail *mail)
{
    static const char *rcpt[SM_RCPTS];
    unsigned n = 0, i;
    size_t at;

    mail->rcpt = rcpt;
    /* Exim takes operands of -t as those who get none of it */
    if (mode->kind == SM_ARGS || conf.mta != MO_MTA_EXIM) {
        mail->nrcpts = mode->nrcpts;
        for (i = 0; i < mode->nrcpts && n < SM_RCPTS; i++)
            rcpt[n++] = mode->rcpt[i];
    }
    mail->nrcpts += named->n;
    for (at = 0; at < named->used && n < SM_RCPTS; n++) {
        rcpt[n] = named->text + at;
        at += strlen(rcpt[n]) + 1;
    }
    mail->nlisted = n;
}

/* one message: read, judged */
static void read_mail(const struct sm_mode *mode, struct sm_recorder *recorder,
                      struct sm_spool *spool, struct sm_stamp *stamp)
{
    struct sm_mail mail;
    char err[256];

    if (sm_spool_read(spool, mode, conf.header, err, sizeof(err)) < 0)
        mo_fatal(EX_TEMPFAIL, "%s", err);
    memset(&mail, 0, sizeof(mail));
    sm_nonce(mail.nonce);
    mail.sender = mode->sender;
    find_rcpts(mode, &spool->rcpts, &mail);
    mail.subject = spool->head.subject;
    mail.message_id = spool->head.message_id;
    mail.size = spool->given;
    sm_stamp(stamp, recorder, &conf, &mail, &spool->head);
    if (stamp->action != MO_PASSED)
        refused(stamp, "");
}

int main(int argc, char **argv)
{
    static const char *const mode_names[] = {"other", "t", "args", "bs", "bs"};
    static struct sm_mode mode;
    static struct sm_recorder recorder;
    static struct sm_spool spool;
    static struct sm_stamp stamp;
    char err[256];

    guard_012();
    mo_msg_init("mailorigin-sendmail");
    read_conf();
    sm_target_check(&conf);
    sm_mode_find(&mode, conf.mta, argc, argv);
    if (mode.kind == SM_OTHER || (mode.kind == SM_BS && from_network()))
        sm_exec(&conf, argv);

    sm_evidence_find(&evidence);
    sm_recorder_hello(&recorder, mode_names[mode.kind], &evidence,
                      conf.timeout_ms);
    if (mode.kind == SM_BS)
        return sm_smtp(&conf, argv, &mode, &recorder);

    if (mode.kind == SM_BATCH) {
        int rv = sm_batch_read(&conf, &mode, &recorder, &spool, &stamp);

        if (rv < 0)
            mo_fatal(EX_TEMPFAIL,
                     "cannot read or keep the batch: %s; nothing was sent",
                     strerror(errno));
        if (rv > 0)
            refused(&stamp, "; nothing of the batch was sent");
        stamp.len = 0;
    }
    else
        read_mail(&mode, &recorder, &spool, &stamp);
    if (sm_spool_stamp(&spool, stamp.text, stamp.len, err, sizeof(err)) < 0)
        mo_fatal(EX_TEMPFAIL, "%s", err);
    sm_submit(&conf, argv, &spool);
}
