/*
 * check: what the host itself gets in the way with: hidepid, a full disk,
 * files that others can read, a mail server that relays for anybody.
 */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <libgen.h>
#include <mntent.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "mo_paths.h"

void check_proc(struct check *k)
{
    FILE *f = setmntent("/proc/self/mounts", "re");
    const struct mntent *m;
    int hidden = 0, gid = 0;

    while (f != NULL && (m = getmntent(f)) != NULL) {
        const char *h;

        if (strcmp(m->mnt_dir, "/proc") != 0)
            continue;
        h = hasmntopt(m, "hidepid");
        hidden = h != NULL && strncmp(h, "hidepid=0", 9) != 0 &&
                 strncmp(h, "hidepid=off", 11) != 0;
        h = hasmntopt(m, "gid");
        gid = h != NULL ? atoi(h + 4) : 0;
    }
    if (f != NULL)
        endmntent(f);
    if (!hidden) {
        check_say(k, CHECK_OK, "proc", NULL,
                  "the recorder can see all processes");
        return;
    }
    /* the recorder's user has to be in the group that may see all */
    uid_t uid = (uid_t)-1;
    const struct passwd *pw;
    gid_t groups[64];
    int n = 64, in = 0;
    if (!*MO_USER && check_ping(&uid) == 0 && uid == 0) {
        check_say(k, CHECK_OK, "proc", NULL,
                  "hidepid is set, and the recorder is root's");
        return;
    }
    pw = *MO_USER ? getpwnam(MO_USER) : getpwuid(uid);
    if (pw != NULL && getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) >= 0) {
        for (int i = 0; i < n; i++)
            in |= groups[i] == (gid_t)gid;
    }
    if (in && gid != 0)
        check_say(k, CHECK_OK, "proc", NULL,
                  "hidepid is set, and the recorder's user is in group %d",
                  gid);
    else
        check_say(k, CHECK_BROKEN, "proc",
                  "mount /proc with gid= of a group that has the recorder's "
                  "user in it",
                  "hidepid hides the processes from the recorder: nothing "
                  "can be verified");
}

static void check_mode(struct check *k, const char *path, mode_t bad,
                       const char *mend)
{
    struct stat st;

    if (stat(path, &st) != 0)
        check_say(k, CHECK_BROKEN, "file", mend, "%s: %s", path,
                  strerror(errno));
    else if (st.st_mode & bad)
        check_say(k, CHECK_BROKEN, "file", mend,
                  "%s has mode %04o: others may %s it", path,
                  (unsigned)st.st_mode & 07777,
                  st.st_mode & bad & 0022 ? "write" : "read");
    else
        check_say(k, CHECK_OK, "file", NULL, "%s has mode %04o", path,
                  (unsigned)st.st_mode & 07777);
}

void check_files(struct check *k)
{
    const char *log = k->cli->conf.log;
    char dir[4096];
    struct statvfs fs;
    struct stat st;

    check_mode(k, MO_KEYRING_PATH, 0027,
               "mailorigin key init, or chmod 0640 and chown "
               "root:mailorigin");
    if (stat(MO_CONF_PATH, &st) == 0)
        check_mode(k, MO_CONF_PATH, 0022, "chmod 0644");
    if (stat(log, &st) == 0)
        check_mode(k, log, 0007,
                   "chmod 0640, the group of those who may "
                   "read it");
    else
        check_say(k, CHECK_OK, "file", NULL, "%s: no mail was logged yet", log);
    snprintf(dir, sizeof dir, "%s", log);
    if (statvfs(dirname(dir), &fs) != 0)
        check_say(k, CHECK_BROKEN, "disk", "make the directory",
                  "the mail log's directory: %s", strerror(errno));
    else {
        double mib = (double)fs.f_bavail * (double)fs.f_frsize / 1048576;

        check_say(k, mib < 100 ? CHECK_WARN : CHECK_OK, "disk",
                  mib < 100 ? "make room: a mail log that is full is a hole "
                              "in the evidence"
                            : NULL,
                  "%.0f MiB are free for %s", mib, log);
    }
}

/* Reads one SMTP reply, all its lines; the code, or -1. */
static int smtp_reply(int fd)
{
    char buf[4096];
    size_t len = 0;

    for (;;) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n;
        const char *line = buf;

        if (len >= sizeof buf - 1 || poll(&p, 1, 10000) != 1)
            return -1;
        n = recv(fd, buf + len, sizeof buf - 1 - len, 0);
        if (n <= 0)
            return -1;
        len += (size_t)n;
        buf[len] = '\0';
        for (const char *end; (end = strchr(line, '\n')) != NULL;
             line = end + 1) {
            if (end - line >= 4 && line[3] == ' ')
                return atoi(line);
        }
    }
}

static int smtp_say(int fd, const char *line)
{
    size_t len = strlen(line);

    return send(fd, line, len, MSG_NOSIGNAL) == (ssize_t)len ? smtp_reply(fd)
                                                             : -1;
}

/* 1: relays, 0: does not, -1: nobody listens there or it broke off */
static int relays(const struct sockaddr *sa, socklen_t len)
{
    int fd =
        socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = {fd, POLLOUT, 0};
    int r = -1, e = 0;
    socklen_t el = sizeof e;

    if (fd < 0)
        return -1;
    if ((connect(fd, sa, len) == 0 || errno == EINPROGRESS) &&
        poll(&p, 1, 5000) == 1 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &el) == 0 && e == 0 &&
        smtp_reply(fd) == 220 &&
        smtp_say(fd, "EHLO check.invalid\r\n") == 250 &&
        smtp_say(fd, "MAIL FROM:<check@check.invalid>\r\n") > 0) {
        int code = smtp_say(fd, "RCPT TO:<check@relay-test.example>\r\n");

        /* no DATA: nothing is sent whatever the answer is */
        r = code >= 200 && code < 300;
        smtp_say(fd, "RSET\r\n");
        smtp_say(fd, "QUIT\r\n");
    }
    close(fd);
    return r;
}

void check_relay(struct check *k)
{
    struct ifaddrs *list, *i;
    int open = 0, asked = 0;

    if (getifaddrs(&list) != 0)
        return;
    for (i = list; i != NULL; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "?";
        struct sockaddr_storage sa;
        socklen_t len;
        int r;

        if (i->ifa_addr == NULL || (i->ifa_flags & IFF_LOOPBACK) ||
            !(i->ifa_flags & IFF_UP))
            continue;
        if (i->ifa_addr->sa_family == AF_INET) {
            len = sizeof(struct sockaddr_in);
            memcpy(&sa, i->ifa_addr, len);
            ((struct sockaddr_in *)&sa)->sin_port = htons(25);
            inet_ntop(AF_INET, &((struct sockaddr_in *)&sa)->sin_addr, text,
                      sizeof text);
        }
        else if (i->ifa_addr->sa_family == AF_INET6) {
            len = sizeof(struct sockaddr_in6);
            memcpy(&sa, i->ifa_addr, len);
            ((struct sockaddr_in6 *)&sa)->sin6_port = htons(25);
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&sa)->sin6_addr, text,
                      sizeof text);
        }
        else {
            continue;
        }
        r = relays((struct sockaddr *)&sa, len);
        asked += r >= 0;
        if (r == 1) {
            open = 1;
            check_say(k, CHECK_BROKEN, "relay",
                      "restrict relaying (Postfix: mynetworks, "
                      "smtpd_relay_restrictions)",
                      "the mail server at %s took a foreign recipient: is it "
                      "an open relay?",
                      text);
        }
    }
    freeifaddrs(list);
    if (!open)
        check_say(k, CHECK_OK, "relay", NULL,
                  asked ? "the mail server refuses foreign recipients"
                        : "no mail server listens on an outside address");
}
