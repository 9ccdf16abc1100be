/*
 * What /proc says of a process.  libc only.
 */
#ifndef MO_PROC_H
#define MO_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mo_proc {
    int32_t pid;
    int32_t ppid;
    int32_t session;
    int32_t threads;
    uint64_t start; /* clock ticks since boot, field 22 */
    char state; /* R S D Z … */
    char comm[17]; /* may hold any byte, parentheses too */
};

/* Parses the text of a stat file.  0, or -1 where it is none. */
int mo_proc_parse(const char *text, size_t len, struct mo_proc *p);
/*
 * Reads PID/stat below procfd, a descriptor of /proc.  0; -1 with errno:
 * ENOENT or ESRCH: no such process; EACCES: hidepid.
 */
int mo_proc_read(int procfd, int32_t pid, struct mo_proc *p);
/* The same from an open descriptor of a stat file. */
int mo_proc_read_fd(int fd, struct mo_proc *p);
/*
 * Is child in the text of a task's children file ("12 345 …")?
 */
int mo_proc_in_children(const char *text, size_t len, int32_t child);
/* The effective uid of a process; 0, or -1 with errno. */
int mo_proc_uid(int procfd, int32_t pid, uid_t *uid);
/* Is the process pid 1 in a pid namespace of its own?  1, 0; -1: not known */
int mo_proc_is_init(int procfd, int32_t pid);

#endif
