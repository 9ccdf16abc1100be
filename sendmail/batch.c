/*
 * Exim's -bS: SMTP commands read from standard input in one go, without a
 * reply to any.  The whole batch is stamped on its way into the spool, a mail
 * at a time, and then handed to the real sendmail like one message.
 *
 * A mail that is refused refuses the batch, since there is no way to tell
 * which one it was: nothing of it is sent.
 *
 * QUIT ends the batch: what follows is not read, as Exim would not read it.
 * Other commands that end it for Exim, being wrong, are left to Exim.
 */
#include "wrapper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "smtp.h"

#define BUF (64 * 1024)
#define HEAD_MAX (256 * 1024)
#define ADDRESS 320

static char in[BUF], head[HEAD_MAX + BUF + 4096];
static char sender[ADDRESS], rcpts[SM_RCPTS][ADDRESS];
static const char *rcpt[SM_RCPTS];
static size_t pos, have, head_len;
static unsigned nrcpts;
static int eof;

/* 1: there is more in the buffer now, 0: there is not, -1: error */
static int more(void)
{
    ssize_t n;

    if (pos) {
        memmove(in, in + pos, have - pos);
        have -= pos;
        pos = 0;
    }
    if (eof || have == sizeof(in))
        return 0;
    n = sm_read_input(in + have, sizeof(in) - have);
    if (n < 0)
        return -1;
    eof = n == 0;
    have += (size_t)n;
    return n > 0;
}

/* The next line, or what there is of one: its length; 0: the end, -1 error. */
static ssize_t next_line(void)
{
    for (;;) {
        char *nl = memchr(in + pos, '\n', have - pos);
        int rv;

        if (nl)
            return nl + 1 - (in + pos);
        rv = more();
        if (rv < 0)
            return -1;
        if (rv == 0)
            return (ssize_t)(have - pos);
    }
}

static int put_head(void *arg, const char *p, size_t n)
{
    (void)arg;
    memcpy(head + head_len, p, n);
    head_len += n;
    return 0;
}

static int put(void *s, const char *p, size_t n)
{
    return sm_spool_put(s, p, n);
}

/* The head is there.  0: it went on, 1: refused, -1: error. */
static int judge(const struct mo_conf *conf, struct sm_recorder *r,
                 struct sm_spool *s, struct mo_head *h, struct sm_stamp *stamp)
{
    struct sm_mail m;

    memset(&m, 0, sizeof(m));
    sm_nonce(m.nonce);
    m.sender = sender;
    m.nrcpts = nrcpts;
    m.nlisted = nrcpts < SM_RCPTS ? nrcpts : SM_RCPTS;
    m.rcpt = rcpt;
    m.subject = h->subject;
    m.message_id = h->message_id;
    sm_stamp(stamp, r, conf, &m, h);
    if (stamp->action != MO_PASSED)
        return 1;
    if (put(s, head, h->insert) < 0 || put(s, stamp->text, stamp->len) < 0 ||
        put(s, head + h->insert, head_len - h->insert) < 0)
        return -1;
    return 0;
}

/*
 * After DATA, to the dot's line; crlf: the command's line ended so.  Where a
 * mail's first line ends with CR LF, Exim takes only CR LF, a dot, CR LF for
 * its end, and else LF too, before and after the dot.
 */
static int message(const struct mo_conf *conf, const struct sm_mode *m,
                   struct sm_recorder *r, struct sm_spool *s, int crlf,
                   struct sm_stamp *stamp)
{
    static struct mo_head h;
    struct sm_data d = {0, 0, 0};
    int judged = 0, strict = -1, rv;

    mo_head_start(&h, conf->header);
    h.from = m->from;
    h.stuffed = 1;
    h.crlf = crlf; /* for a message without a line */
    head_len = 0;
    for (;;) {
        struct sm_data_end end;
        char last = d.last;
        size_t n = sm_data_scan(&d, in + pos, have - pos, &end), used = 0;
        const char *nl = memchr(in + pos, '\n', n);
        int over = 0;

        if (strict < 0 && nl)
            strict = (nl > in + pos ? nl[-1] : last) == '\r';
        if (strict < 0 && end.len) /* our field will be the first line */
            h.crlf = end.len == 3;
        if (end.len && strict == 1 && end.loose) { /* text */
            n += end.len;
            d.lf = end.len == 2;
            d.in_line = 0;
            d.last = '\n';
        }
        else
            over = end.len != 0;
        if (n == 0 && !over) {
            rv = more();
            if (rv < 0)
                return -1;
            if (rv == 0) { /* what is left may begin like a dot's line */
                n = have - pos;
                over = 1;
            }
        }
        if (!judged) {
            if (n && mo_head_feed(&h, in + pos, n, &used, put_head, NULL) < 0)
                return -1;
            put_head(NULL, in + pos + used, n - used);
            if (over || (head_len >= HEAD_MAX && !mo_head_settled(&h)))
                mo_head_end(&h, put_head, NULL);
            if (h.state == MO_HEAD_DONE || head_len >= HEAD_MAX) {
                rv = judge(conf, r, s, &h, stamp);
                if (rv != 0)
                    return rv;
                judged = 1;
            }
        }
        else {
            if (h.state == MO_HEAD_MORE && n &&
                mo_head_feed(&h, in + pos, n, &used, put, s) < 0)
                return -1;
            if (put(s, in + pos + used, n - used) < 0)
                return -1;
            if (h.state == MO_HEAD_MORE && over && mo_head_end(&h, put, s) < 0)
                return -1;
        }
        s->given += n;
        pos += n;
        if (!over)
            continue;
        n = end.len;
        rv = put(s, in + pos, n);
        pos += n;
        return rv;
    }
}

int sm_batch_read(const struct mo_conf *conf, const struct sm_mode *m,
                  struct sm_recorder *r, struct sm_spool *s,
                  struct sm_stamp *stamp)
{
    ssize_t n;
    int whole = 1, rv;

    sm_spool_start(s);
    stamp->action = MO_PASSED;
    while ((n = next_line()) > 0) {
        const char *line = in + pos;
        size_t len = (size_t)n;
        enum sm_cmd cmd = whole ? sm_smtp_command(line, len) : SM_CMD_OTHER;
        int crlf = len > 1 && line[len - 2] == '\r';

        whole = line[len - 1] == '\n';
        if (cmd == SM_CMD_MAIL) {
            sm_smtp_path(line, len, sender, sizeof(sender));
            nrcpts = 0;
        }
        else if (cmd == SM_CMD_RCPT) {
            if (nrcpts < SM_RCPTS) {
                sm_smtp_path(line, len, rcpts[nrcpts], ADDRESS);
                rcpt[nrcpts] = rcpts[nrcpts];
            }
            nrcpts++;
        }
        else if (cmd == SM_CMD_HELO || cmd == SM_CMD_RSET) {
            sender[0] = '\0';
            nrcpts = 0;
        }
        if (put(s, line, len) < 0)
            return -1;
        pos += len;
        if (cmd == SM_CMD_QUIT && whole)
            return 0;
        if (cmd != SM_CMD_DATA || !whole)
            continue;
        rv = message(conf, m, r, s, crlf, stamp);
        if (rv != 0)
            return rv;
        sender[0] = '\0';
        nrcpts = 0;
    }
    return n < 0 ? -1 : 0;
}
