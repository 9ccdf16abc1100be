/*
 * Where things are.  Makefile.apxs compiles these in; no environment
 * variable and no option of the wrapper changes them, since a script could
 * set either.
 */
#ifndef MO_PATHS_H
#define MO_PATHS_H

#ifndef MO_SYSCONFDIR
#define MO_SYSCONFDIR "/etc"
#endif
#ifndef MO_RUNDIR
#define MO_RUNDIR "/run/mailorigin"
#endif
#ifndef MO_STATEDIR
#define MO_STATEDIR "/var/lib/mailorigin"
#endif
#ifndef MO_LOGDIR
#define MO_LOGDIR "/var/log/mailorigin"
#endif
#ifndef MO_LIBDIR
#define MO_LIBDIR "/usr/local/lib/mailorigin"
#endif
/* the recorder's user; empty: it keeps its caller's (a private PREFIX) */
#ifndef MO_USER
#define MO_USER ""
#endif
#ifndef MO_VERSION
#define MO_VERSION "0.1.0"
#endif

#define MO_CONF_PATH MO_SYSCONFDIR "/mailorigin/mailorigin.conf"
#define MO_KEYRING_PATH MO_SYSCONFDIR "/mailorigin/keyring"
#define MO_SOCKET_PATH MO_RUNDIR "/recorder.sock"
#define MO_BOARD_DIR MO_RUNDIR "/board"
#define MO_LAYOUT_DIR MO_RUNDIR "/httpd"
#define MO_BLOCKS_PATH MO_STATEDIR "/blocks"
#define MO_LOG_PATH MO_LOGDIR "/mail.log"
#define MO_WRAPPER_PATH MO_LIBDIR "/sendmail"
#define MO_RECORDER_PATH MO_LIBDIR "/recorder"

#endif
