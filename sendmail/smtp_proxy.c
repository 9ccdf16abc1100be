/*
 * -bs: a proxy between the caller and the real `sendmail -bs`.
 *
 * One command at a time: the client's next line is looked at only when the
 * reply to the last one has gone out.  So what it sends early, before the 220
 * or after a DATA, waits in our buffer or its pipe, and replies cannot get
 * out of step.  After 354 the head of the message is held until there is a
 * verdict; then it goes on with our field in it, and the rest follows as it
 * comes.  The dot that ends it is the client's, or there is none.
 *
 * A mail that is refused is read to its end and answered here; the backend,
 * which waits for the rest of a message, sees its input end instead (it
 * then drops what it has) and is replaced by a new one.
 */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "mo_msg.h"
#include "smtp.h"

#define BUF (64 * 1024)
#define HEAD_MAX (256 * 1024)
#define LOOSE_WAIT_MS 1000
#define ADDRESS 320

struct proxy {
    const struct mo_conf *conf;
    char **argv;
    const struct sm_mode *mode;
    struct sm_recorder *recorder;
    /* the backend */
    int to, from, pidfd;
    pid_t pid;
    struct sigaction chld, pipe; /* as the caller set them */
    /* what each side sent and we have not passed */
    size_t cpos, clen, blen;
    int client_eof, backend_eof, client_gone;
    /* the session */
    char hello[1024];
    size_t hello_len;
    int last_code;
    int in_line; /* a line's beginning went on without its end */
    /* the mail's envelope */
    char sender[ADDRESS];
    unsigned nrcpts;
    const char *rcpt[SM_RCPTS];
};

static char cbuf[BUF], bbuf[BUF], head_buf[HEAD_MAX + BUF + 4096];
static char rcpts[SM_RCPTS][ADDRESS];
static size_t head_len;

/* ---- the backend process */

static int spawn(struct proxy *p)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};

    if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        goto failed;
    p->pid = fork();
    if (p->pid < 0)
        goto failed;
    if (p->pid == 0) {
        sigaction(SIGCHLD, &p->chld, NULL);
        sigaction(SIGPIPE, &p->pipe, NULL);
        if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
            _exit(EX_TEMPFAIL);
        sm_exec(p->conf, p->argv);
    }
    close(in[0]);
    close(out[1]);
    p->to = in[1];
    p->from = out[0];
    fcntl(p->to, F_SETFL, O_NONBLOCK);
    fcntl(p->from, F_SETFL, O_NONBLOCK);
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    p->blen = 0;
    p->backend_eof = 0;
    return 0;
failed:
    if (in[0] >= 0) {
        close(in[0]);
        close(in[1]);
    }
    return -1;
}

static void drop_backend(struct proxy *p)
{
    if (p->to >= 0)
        close(p->to);
    if (p->from >= 0)
        close(p->from);
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->to = p->from = p->pidfd = -1;
}

/* ---- bytes */

static void to_client(struct proxy *p, const char *s, size_t n)
{
    if (!p->client_gone && sm_write_all(STDOUT_FILENO, s, n) < 0)
        p->client_gone = 1; /* as for the MTA: it hears it from its input */
}

static void say(struct proxy *p, const char *code, const char *text)
{
    char line[600];
    int n = snprintf(line, sizeof(line), "%s %.500s\r\n", code, text);

    to_client(p, line, (size_t)n);
}

static void read_backend(struct proxy *p)
{
    ssize_t n = read(p->from, bbuf + p->blen, sizeof(bbuf) - p->blen);

    if (n > 0)
        p->blen += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        p->backend_eof = 1;
}

static void pass_backend(struct proxy *p, size_t n)
{
    to_client(p, bbuf, n);
    p->blen -= n;
    memmove(bbuf, bbuf + n, p->blen);
}

/*
 * Waits for one of: bytes from the backend, its end, room to write to it
 * (writing), bytes from the client (reading).  Takes the backend's.
 * Returns the bits of what came: 1 client, 2 backend, 4 room; 0 timeout.
 */
static int wait_any(struct proxy *p, int reading, int writing, int timeout)
{
    struct pollfd f[4] = {
        {.fd = reading ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = p->blen < sizeof(bbuf) ? p->from : -1, .events = POLLIN},
        {.fd = writing ? p->to : -1, .events = POLLOUT},
        {.fd = p->pidfd, .events = POLLIN},
    };
    int n, got = 0;

    do {
        n = poll(f, 4, timeout);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    if (f[1].revents) {
        read_backend(p);
        got |= 2;
    }
    else if (f[3].revents) { /* it ended; a child of its own may live */
        p->backend_eof = 1;
        got |= 2;
    }
    if (f[0].revents)
        got |= 1;
    if (f[2].revents)
        got |= 4;
    return got;
}

static int to_backend(struct proxy *p, const char *s, size_t n)
{
    while (n) {
        ssize_t done = write(p->to, s, n);

        if (done >= 0) {
            s += done;
            n -= (size_t)done;
        }
        else if (errno == EAGAIN) {
            wait_any(p, 0, 1, -1);
            if (p->backend_eof)
                return -1;
        }
        else if (errno != EINTR)
            return -1;
    }
    return 0;
}

/* more from the client, behind what is there */
static void read_client(struct proxy *p)
{
    ssize_t n;

    if (p->cpos) {
        memmove(cbuf, cbuf + p->cpos, p->clen - p->cpos);
        p->clen -= p->cpos;
        p->cpos = 0;
    }
    n = read(STDIN_FILENO, cbuf + p->clen, sizeof(cbuf) - p->clen);
    if (n > 0)
        p->clen += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        p->client_eof = 1;
}

/* The reply to what was sent: its length in bbuf, 0: the backend is gone. */
static size_t get_reply(struct proxy *p)
{
    size_t n;

    while ((n = sm_smtp_reply(bbuf, p->blen, &p->last_code)) == 0) {
        if (p->backend_eof)
            return 0;
        if (p->blen == sizeof(bbuf)) /* longer than any: pass it on */
            pass_backend(p, p->blen);
        wait_any(p, 0, 0, -1);
    }
    return n;
}

/* Sends a command and passes its reply on.  -1: the backend is gone. */
static int exchange(struct proxy *p, const char *s, size_t n)
{
    size_t len;

    if (to_backend(p, s, n) < 0)
        return -1;
    len = get_reply(p);
    if (len == 0)
        return -1;
    pass_backend(p, len);
    return 0;
}

/* ---- the mail */

static void forget_mail(struct proxy *p)
{
    p->nrcpts = 0;
    p->sender[0] = '\0';
}

static int put_on(void *arg, const char *s, size_t n)
{
    return to_backend(arg, s, n);
}

static int put(void *arg, const char *s, size_t n)
{
    (void)arg;
    memcpy(head_buf + head_len, s, n);
    head_len += n;
    return 0;
}

/* The head is here: asks, and sends it with the field.  1: refused. */
static int judge(struct proxy *p, struct mo_head *h, struct sm_stamp *s)
{
    struct sm_mail m;

    memset(&m, 0, sizeof(m));
    sm_nonce(m.nonce);
    m.sender = p->sender;
    m.nrcpts = p->nrcpts;
    m.nlisted = p->nrcpts < SM_RCPTS ? p->nrcpts : SM_RCPTS;
    m.rcpt = p->rcpt;
    m.subject = h->subject;
    m.message_id = h->message_id;
    if (!h->know_crlf)
        h->crlf = 1;
    sm_stamp(s, p->recorder, p->conf, &m, h);
    if (s->action != MO_PASSED)
        return 1;
    if (to_backend(p, head_buf, h->insert) < 0 ||
        to_backend(p, s->text, s->len) < 0 ||
        to_backend(p, head_buf + h->insert, head_len - h->insert) < 0)
        return -1;
    return 0;
}

/* A new backend, where the old one was: in the state after the greeting. */
static int replace_backend(struct proxy *p)
{
    size_t n;

    drop_backend(p);
    if (spawn(p) < 0)
        return -1;
    n = get_reply(p);
    if (n == 0 || p->last_code != 220)
        return -1;
    p->blen = 0;
    if (p->hello_len == 0)
        return 0;
    if (to_backend(p, p->hello, p->hello_len) < 0 || get_reply(p) == 0)
        return -1;
    p->blen = 0;
    return 0;
}

static int refuse(struct proxy *p, const struct sm_stamp *s)
{
    char text[520];

    snprintf(text, sizeof(text), "%s %.480s",
             s->action == MO_REFUSED ? "5.7.1" : "4.7.1", s->reason);
    forget_mail(p);
    if (replace_backend(p) < 0) {
        say(p, "421",
            "4.3.0 the mail was refused, and the mail server is "
            "gone");
        return -1;
    }
    say(p, s->action == MO_REFUSED ? "550" : "451", text);
    return 0;
}

/* How the dot was taken.  1: the message is over, 0: it goes on. */
static int after_dot(struct proxy *p, int loose)
{
    size_t n;

    while (loose && p->blen == 0 && !p->backend_eof)
        if (wait_any(p, 0, 0, LOOSE_WAIT_MS) == 0)
            return 0;
    n = get_reply(p);
    if (n == 0)
        return -1;
    pass_backend(p, n);
    forget_mail(p);
    return 1;
}

/* After 354.  0: the mail is over, -1: backend or client is gone. */
static int message(struct proxy *p)
{
    static struct mo_head h;
    static struct sm_stamp stamp;
    struct sm_data d = {0, 0, 0};
    int judged = 0, refused = 0, loose_seen = 0;

    mo_head_start(&h, p->conf->header);
    h.from = p->mode->from;
    h.stuffed = 1;
    head_len = 0;
    for (;;) {
        struct sm_data_end end;
        size_t n = sm_data_scan(&d, cbuf + p->cpos, p->clen - p->cpos, &end);
        const char *at = cbuf + p->cpos;
        size_t used = 0;

        if (!judged) {
            int state = MO_HEAD_MORE;

            if (n)
                state = mo_head_feed(&h, at, n, &used, put, NULL);
            if (n > used)
                put(NULL, at + used, n - used);
            if (state == MO_HEAD_MORE &&
                (end.len || (head_len >= HEAD_MAX && !mo_head_settled(&h))))
                mo_head_end(&h, put, NULL);
            if (h.state == MO_HEAD_DONE || head_len >= HEAD_MAX) {
                int rv = judge(p, &h, &stamp);

                if (rv < 0)
                    return -1;
                judged = 1;
                refused = rv;
            }
        }
        else if (!refused) {
            if (h.state == MO_HEAD_MORE && n &&
                mo_head_feed(&h, at, n, &used, put_on, p) < 0)
                return -1;
            if (to_backend(p, at + used, n - used) < 0)
                return -1;
            if (h.state == MO_HEAD_MORE && end.len &&
                mo_head_end(&h, put_on, p) < 0)
                return -1;
        }
        p->cpos += n;
        if (end.len) {
            if (refused) {
                p->cpos += end.len;
                return refuse(p, &stamp);
            }
            if (to_backend(p, cbuf + p->cpos, end.len) < 0)
                return -1;
            p->cpos += end.len;
            switch (after_dot(p, end.loose)) {
            case 1:
                return 0;
            case 0:
                loose_seen = 1;
                d.lf = cbuf[p->cpos - 2] != '\r';
                continue;
            default:
                return -1;
            }
        }
        if (n && p->cpos < p->clen)
            continue;
        if (p->client_eof) {
            /* no dot came; what was held back is not more of one */
            if (judged && !refused)
                (void)!to_backend(p, cbuf + p->cpos, p->clen - p->cpos);
            p->cpos = p->clen;
            return -1;
        }
        if (wait_any(p, 1, 0, -1) & 1)
            read_client(p);
        if (p->backend_eof)
            return -1;
        if (loose_seen && p->blen) /* it was the end after all */
            return after_dot(p, 0) == 1 ? 0 : -1;
    }
}

/* ---- commands */

/* The client's next line in cbuf at cpos: its length; 0: no more. */
static size_t next_line(struct proxy *p)
{
    for (;;) {
        char *nl = memchr(cbuf + p->cpos, '\n', p->clen - p->cpos);
        int got;

        if (nl)
            return (size_t)(nl + 1 - (cbuf + p->cpos));
        if (p->client_eof || p->clen - p->cpos == sizeof(cbuf))
            return p->clen - p->cpos;
        got = wait_any(p, 1, 0, -1);
        if (p->blen) /* unasked: a timeout, a shutdown */
            pass_backend(p, p->blen);
        if (p->backend_eof)
            return 0;
        if (got & 1)
            read_client(p);
    }
}

static int skip_octets(struct proxy *p, unsigned long long n)
{
    while (n) {
        size_t have = p->clen - p->cpos;

        if (have > n)
            have = (size_t)n;
        p->cpos += have;
        n -= have;
        if (n == 0)
            break;
        if (p->client_eof)
            return -1;
        if (wait_any(p, 1, 0, -1) & 1)
            read_client(p);
        if (p->backend_eof)
            return -1;
    }
    return 0;
}

static int hello(struct proxy *p, const char *line, size_t n)
{
    size_t len, now;

    if (to_backend(p, line, n) < 0)
        return -1;
    len = get_reply(p);
    if (len == 0)
        return -1;
    if (p->last_code == 250) {
        p->hello_len = n <= sizeof(p->hello) ? n : 0;
        memcpy(p->hello, line, p->hello_len);
        forget_mail(p);
    }
    now = sm_smtp_ehlo(bbuf, len);
    to_client(p, bbuf, now);
    p->blen -= len;
    memmove(bbuf, bbuf + len, p->blen);
    return 0;
}

static void recipient(struct proxy *p, const char *line, size_t n)
{
    if (p->nrcpts < SM_RCPTS) {
        sm_smtp_path(line, n, rcpts[p->nrcpts], ADDRESS);
        p->rcpt[p->nrcpts] = rcpts[p->nrcpts];
    }
    p->nrcpts++;
}

static int command(struct proxy *p, size_t n)
{
    const char *line = cbuf + p->cpos;
    enum sm_cmd cmd = sm_smtp_command(line, n);
    unsigned long long octets;
    int ok;

    /* the answer to a challenge (AUTH), or a line longer than our buffer */
    if (p->last_code == 334 || p->in_line || line[n - 1] != '\n')
        cmd = SM_CMD_OTHER;
    p->in_line = line[n - 1] != '\n';
    p->cpos += n;
    switch (cmd) {
    case SM_CMD_BDAT:
        octets = sm_smtp_bdat(line, n);
        if (skip_octets(p, octets) < 0)
            return -1;
        say(p, "503", "5.5.1 BDAT is not offered here");
        return 0;
    case SM_CMD_STARTTLS:
        say(p, "502", "5.5.1 STARTTLS is not offered here");
        return 0;
    case SM_CMD_HELO:
        return hello(p, line, n);
    default:
        break;
    }
    if (p->in_line) /* there is no reply to half a line */
        return to_backend(p, line, n);
    if (exchange(p, line, n) < 0)
        return -1;
    ok = p->last_code >= 200 && p->last_code < 300;
    if (p->last_code == 354) /* whatever we took the command for */
        return message(p);
    if (ok && cmd == SM_CMD_MAIL) {
        forget_mail(p);
        sm_smtp_path(line, n, p->sender, sizeof(p->sender));
    }
    else if (ok && cmd == SM_CMD_RCPT)
        recipient(p, line, n);
    else if (ok && cmd == SM_CMD_RSET)
        forget_mail(p);
    return 0;
}

/* The backend's last words, and its status for our own. */
static int finish(struct proxy *p)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    int status = 0, sig;
    pid_t done;

    if (p->to >= 0)
        close(p->to);
    p->to = -1;
    pass_backend(p, p->blen);
    while (p->from >= 0 && !p->backend_eof) {
        wait_any(p, 0, 0, p->pidfd < 0 ? 200 : -1);
        pass_backend(p, p->blen);
        if (p->pidfd < 0 && kill(p->pid, 0) < 0)
            break;
    }
    if (p->from >= 0) {
        p->backend_eof = 0;
        while (!p->backend_eof && p->blen < sizeof(bbuf)) {
            size_t before = p->blen;

            read_backend(p);
            if (p->blen == before)
                break;
            pass_backend(p, p->blen);
        }
        close(p->from);
    }
    while ((done = waitpid(p->pid, &status, 0)) < 0 && errno == EINTR)
        ;
    if (done < 0)
        return EX_TEMPFAIL;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    sig = WTERMSIG(status);
    sigaction(sig, &dfl, NULL);
    raise(sig);
    return 128 + sig;
}

int sm_smtp(const struct mo_conf *conf, char **argv, const struct sm_mode *m,
            struct sm_recorder *r)
{
    static struct proxy p;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    size_t n;

    p.conf = conf;
    p.argv = argv;
    p.mode = m;
    p.recorder = r;
    sigaction(SIGCHLD, &dfl, &p.chld);
    sigaction(SIGPIPE, &ignore, &p.pipe);
    if (spawn(&p) < 0)
        mo_fatal(EX_TEMPFAIL, "cannot start %s: %s", conf->sendmail,
                 strerror(errno));
    n = get_reply(&p);
    if (n)
        pass_backend(&p, n);
    while (!p.backend_eof && (n = next_line(&p)) != 0)
        if (command(&p, n) < 0)
            break;
    return finish(&p);
}
