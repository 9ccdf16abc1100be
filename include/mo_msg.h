/*
 * What our programs say to people: one family for all, one line a call.
 * To stderr ("PROGRAM: text\n"; printable ASCII, all else as \xHH), or to
 * syslog (LOG_MAIL) after mo_msg_syslog(1).  libc only.
 */
#ifndef MO_MSG_H
#define MO_MSG_H

void mo_msg_init(const char *program);
void mo_msg_syslog(int on);
void mo_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mo_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void mo_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* says it and exits with that sysexits.h status */
void mo_fatal(int status, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
