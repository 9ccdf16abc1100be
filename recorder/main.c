/*
 * mailorigin-recorder: arguments, the socket, privileges, signals.
 *
 * Under systemd the socket comes as LISTEN_FDS and is kept by systemd over a
 * restart, so that clients wait instead of failing.  Else it is made here,
 * and the folders that it needs with it.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include <sodium.h>

#include "mo_msg.h"
#include "mo_paths.h"

#define FILES 65536 /* descriptors we ask for */
#define BACKLOG 4096

static struct rec rec;

static void usage(FILE *f)
{
    fputs("usage: mailorigin-recorder [--foreground]\n"
          "       mailorigin-recorder --help | --version\n"
          "\n"
          "Answers the sendmail wrapper: which request sends this mail, and "
          "may it go?\n"
          "Socket: " MO_SOCKET_PATH "\n"
          "Conf:   " MO_CONF_PATH "\n",
          f);
}

static void open_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/* The user to become; NULL: stay. */
static const struct passwd *user_to_be(void)
{
    const struct passwd *pw;

    if (geteuid() != 0 || MO_USER[0] == '\0')
        return NULL;
    errno = 0;
    pw = getpwnam(MO_USER);
    if (pw == NULL)
        mo_fatal(EX_NOUSER, "user %s: no such user; make it, or install again",
                 MO_USER);
    return pw;
}

static void make_dir(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    char parent[4096];
    char *slash;
    struct stat st;

    if (stat(path, &st) == 0)
        return;
    snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent) {
        *slash = '\0';
        if (stat(parent, &st) != 0)
            make_dir(parent, 0755, (uid_t)-1, (gid_t)-1);
    }
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        mo_warn("%s: %s", path, strerror(errno));
        return;
    }
    if (chown(path, uid, gid) != 0 || chmod(path, mode) != 0)
        mo_warn("%s: %s", path, strerror(errno));
}

static void make_dirs(const struct passwd *pw)
{
    uid_t uid = pw != NULL ? pw->pw_uid : (uid_t)-1;
    gid_t gid = pw != NULL ? pw->pw_gid : (gid_t)-1;
    gid_t adm = gid;
    const struct group *g = pw != NULL ? getgrnam("adm") : NULL;

    if (g != NULL)
        adm = g->gr_gid;
    make_dir(MO_RUNDIR, 0755, (uid_t)-1, (gid_t)-1);
    make_dir(MO_BOARD_DIR, 0750, (uid_t)-1, gid);
    make_dir(MO_LAYOUT_DIR, 0755, (uid_t)-1, (gid_t)-1);
    make_dir(MO_STATEDIR, 0755, uid, gid); /* blocks: the wrapper reads it */
    make_dir(MO_LOGDIR, pw != NULL ? 02750 : 0750, uid, adm);
}

/* The one socket that systemd passes; -1: none. */
static int passed_socket(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *fds = getenv("LISTEN_FDS");
    int type = 0;
    int family = 0;
    int listens = 0;
    socklen_t len = sizeof type;
    int fd = 3;

    if (pid == NULL || fds == NULL || atol(pid) != (long)getpid())
        return -1;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (strcmp(fds, "1") != 0)
        mo_fatal(EX_CONFIG,
                 "LISTEN_FDS is %s; allowed: 1, an AF_UNIX "
                 "SOCK_SEQPACKET socket",
                 fds);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 ||
        type != SOCK_SEQPACKET || family != AF_UNIX || !listens)
        mo_fatal(EX_CONFIG, "LISTEN_FDS: descriptor 3 is no listening "
                            "AF_UNIX SOCK_SEQPACKET socket");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static int own_socket(void)
{
    struct sockaddr_un sun;
    int fd;

    memset(&sun, 0, sizeof sun);
    sun.sun_family = AF_UNIX;
    if (sizeof(MO_SOCKET_PATH) > sizeof sun.sun_path)
        mo_fatal(EX_CONFIG, "%s: %zu bytes; a socket's path has at most %zu",
                 MO_SOCKET_PATH, sizeof(MO_SOCKET_PATH) - 1,
                 sizeof sun.sun_path - 1);
    strcpy(sun.sun_path, MO_SOCKET_PATH);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        mo_fatal(EX_OSERR, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&sun, sizeof sun) == 0 ||
        errno == EAGAIN)
        mo_fatal(EX_UNAVAILABLE, "%s: another recorder listens there",
                 MO_SOCKET_PATH);
    close(fd);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(MO_SOCKET_PATH);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof sun) != 0 ||
        chmod(MO_SOCKET_PATH, 0666) != 0 || listen(fd, BACKLOG) != 0)
        mo_fatal(EX_OSERR, "%s: %s", MO_SOCKET_PATH, strerror(errno));
    return fd;
}

static void drop(const struct passwd *pw)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        if (geteuid() == 0 && lim.rlim_max < FILES)
            lim.rlim_max = FILES;
        lim.rlim_cur = lim.rlim_max < FILES ? lim.rlim_max : FILES;
        if (setrlimit(RLIMIT_NOFILE, &lim) != 0 &&
            getrlimit(RLIMIT_NOFILE, &lim) == 0) {
            lim.rlim_cur = lim.rlim_max;
            setrlimit(RLIMIT_NOFILE, &lim);
        }
    }
    if (pw != NULL && (initgroups(pw->pw_name, pw->pw_gid) != 0 ||
                       setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0))
        mo_fatal(EX_OSERR, "user %s: %s", pw->pw_name, strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        mo_fatal(EX_OSERR, "NO_NEW_PRIVS: %s", strerror(errno));
    /* keys are in memory: no core, no ptrace by the same user */
    lim.rlim_cur = lim.rlim_max = 0;
    setrlimit(RLIMIT_CORE, &lim);
#ifndef MO_SAN
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

static int open_signals(void)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        mo_fatal(EX_OSERR, "signalfd: %s", strerror(errno));
    return fd;
}

static void to_background(void)
{
    int null;
    pid_t pid = fork();

    if (pid < 0)
        mo_fatal(EX_OSERR, "fork: %s", strerror(errno));
    if (pid > 0)
        _exit(EX_OK);
    setsid();
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (null > 2)
            close(null);
    }
    if (chdir("/") != 0)
        mo_warn("/: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    const struct passwd *pw;
    int foreground = 0;
    int made = 0;
    int listener;
    int signals;
    int i;

    open_standard();
    mo_msg_init("mailorigin-recorder");
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--foreground") == 0) {
            foreground = 1;
        }
        else if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return EX_OK;
        }
        else if (strcmp(argv[i], "--version") == 0) {
            puts("mailorigin-recorder " MO_VERSION);
            return EX_OK;
        }
        else {
            mo_error("%s: no such option; allowed: --foreground, --help, "
                     "--version",
                     argv[i]);
            return EX_USAGE;
        }
    }
    if (sodium_init() < 0)
        mo_fatal(EX_SOFTWARE, "libsodium can't be initialised");
    umask(0027);
    pw = user_to_be();
    make_dirs(pw);
    listener = passed_socket();
    if (listener < 0) {
        listener = own_socket();
        made = 1;
        if (!foreground)
            to_background();
    }
    drop(pw);
    signals = open_signals();
    if (rec_open(&rec) != 0)
        return EX_OSERR;
    i = rec_serve(&rec, listener, signals);
    rec_close(&rec);
    if (made)
        unlink(MO_SOCKET_PATH);
    return i == 0 ? EX_OK : EX_OSERR;
}
