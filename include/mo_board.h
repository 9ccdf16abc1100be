/*
 * The board: which requests are in progress, in a file that httpd's children
 * write and the recorder reads: MO_BOARD_DIR/PARENTPID, 0640.
 *
 *   head              one page (MO_BOARD_HEAD bytes)
 *   owner words       nslots of 8 bytes, side by side, filled up to a page:
 *                     pid << 32 | tid of the slot's thread; 0: free
 *   slots             nslots of MO_SLOT_SIZE bytes
 *
 * Numbers are in the machine's own order.  A thread claims a free owner word
 * by compare-and-swap, then writes its slot under the slot's sequence number
 * (odd while it is being written).  A reader copies a slot, and takes the
 * copy only if the sequence was even and the same before and after, and the
 * owner word still says the same.  A mod_php script can scribble on the
 * board: a reader trusts no length and no index on it, and retries at most
 * MO_BOARD_RETRIES times.
 */
#ifndef MO_BOARD_H
#define MO_BOARD_H

#include <stddef.h>
#include <stdint.h>

#include "mo_origin.h"

#define MO_BOARD_MAGIC "MAILORG1"
#define MO_BOARD_VERSION 1
#define MO_BOARD_HEAD 4096
#define MO_SLOT_SIZE 4096
#define MO_BOARD_SLOTS_MAX 262144
#define MO_BOARD_LISTENERS 128
#define MO_BOARD_RETRIES 64

enum mo_conn_kind {
    MO_CONN_NONE = 0,
    MO_CONN_UNIX = 1,
    MO_CONN_TCP4 = 2,
    MO_CONN_TCP6 = 3,
    MO_CONN_UNKNOWN = 4 /* mod_proxy serves it, on a connection that isn't
                            followed */
};

/*
 * A kept connection serves one request after the other, and so do those at
 * its end: after fastcgi_finish_request() the last one's script runs on
 * while httpd gives the connection to the next.
 */
enum mo_conn_use {
    MO_CONN_FRESH = 0, /* this request is its first */
    MO_CONN_WAITS = 1, /* kept; nothing was sent that a script could begin by */
    MO_CONN_TAKEN = 2, /* kept; by `since` the backend had read the request's
                           begin, so that the last one's script was over, and
                           this one's could not have begun */
    MO_CONN_BUSY = 3 /* kept; at `since` it had not, and this one's script had
                         not begun; when it did is not known */
};

/* The FastCGI connection that serves a request, as httpd's end sees it. */
struct mo_conn {
    uint8_t kind;
    uint8_t use; /* enum mo_conn_use */
    uint16_t local_port, peer_port; /* host order */
    uint8_t local[16], peer[16]; /* network order; TCP4: the first four */
    int32_t listener_pid; /* L: SO_PEERCRED of httpd's end; 0: unknown */
    uint32_t listener_uid;
    uint64_t inode; /* of httpd's end of a unix socket */
    uint64_t netns; /* inode of httpd's network namespace */
    uint64_t made; /* CLOCK_BOOTTIME ns before it was made; 0: unknown */
    uint64_t since; /* CLOCK_BOOTTIME ns; see enum mo_conn_use */
    int32_t last_pid; /* the last pid given out then; 0: unknown */
    int32_t pad;
};

struct mo_slot {
    uint32_t seq;
    int32_t child; /* MPM child: the slot goes when that process ends */
    int32_t pid, tid;
    uint64_t serial; /* of this use; never the same twice on one board */
    uint64_t start; /* CLOCK_BOOTTIME ns when the request began */
    int32_t last_pid; /* the last pid given out then (mo_last_pid) */
    uint32_t origin_len; /* 0: a request that is not to be named (Off) */
    uint32_t uid; /* whose uid a process has that it starts: suexec's */
    uint32_t pad;
    struct mo_conn conn;
    unsigned char origin[MO_ORIGIN_MAX];
};

/* A FastCGI listener seen: a php-fpm master's pid and start. */
struct mo_listener {
    int32_t pid;
    uint32_t uid;
    uint64_t start; /* clock ticks, /proc/PID/stat field 22; 0: not known */
};

struct mo_board_head {
    char magic[8];
    uint32_t version;
    uint32_t nslots;
    uint32_t slot_size;
    int32_t parent_pid;
    uint64_t parent_start; /* clock ticks, /proc/PID/stat field 22 */
    uint64_t serial; /* the last one given; atomic */
    uint32_t full; /* requests that found no slot; atomic */
    uint32_t nlisteners; /* entries used; atomic */
    uint32_t full_said; /* 1: httpd's error log says that it was; atomic */
    uint32_t follows; /* 1: a request of mod_proxy's that shows no connection
                          has none on which its script could have begun, or none
                          any more; atomic */
    uint32_t keys_said; /* 1: it says that a child has no keys; atomic */
    uint32_t pad;
    struct mo_listener listener[MO_BOARD_LISTENERS];
};

struct mo_board {
    struct mo_board_head *head; /* NULL: not mapped */
    uint64_t *owner;
    char *slots;
    uint32_t nslots; /* checked against the file's size when mapped */
    size_t size;
    int writable;
};

size_t mo_board_size(uint32_t nslots);

/*
 * Makes the file anew (a temporary name, then rename), 0640, group gid
 * ((gid_t)-1: leave).  Returns 0, or -1 with errno.
 */
int mo_board_create(const char *path, uint32_t nslots, int32_t parent_pid,
                    unsigned gid);
/*
 * Maps the file.  It must be a regular file (no link) owned by root or by
 * owner, not writable by others, and of the size its head says.  Returns 0,
 * or -1 with errno (EPERM: owner or mode; EINVAL: not a board).
 */
int mo_board_map(struct mo_board *b, const char *path, int writable,
                 unsigned owner);
void mo_board_unmap(struct mo_board *b);

/* A slot in use by its writer. */
struct mo_board_use {
    uint32_t index;
    uint64_t serial; /* 0: no slot */
};

/*
 * A slot for the calling thread (getpid(), gettid()): the one it has already
 * or a free one, with the origin in it; len 0 is a nameless request.  uid: as
 * whom it starts processes.  start is CLOCK_BOOTTIME ns.  use->serial is 0 when
 * the board is full (counted in head->full).
 */
void mo_board_begin(struct mo_board *b, int32_t child, uint32_t uid,
                    uint64_t start, int32_t last_pid, const void *origin,
                    size_t len, struct mo_board_use *use);
/* A new origin for the same request (an internal redirect runs another
 * script); nothing happens where the serial is no longer the slot's. */
void mo_board_origin(struct mo_board *b, const struct mo_board_use *use,
                     const void *origin, size_t len);
/* conn NULL: no connection any more. */
void mo_board_conn(struct mo_board *b, const struct mo_board_use *use,
                   const struct mo_conn *conn);
/* As whom it starts processes from now on. */
void mo_board_runs_as(struct mo_board *b, const struct mo_board_use *use,
                      uint32_t uid);
/* Frees the slot if its serial is still use's; may run on any thread. */
void mo_board_end(struct mo_board *b, const struct mo_board_use *use);
/* Frees all slots of an MPM child that ended, those in mid-write too;
 * returns how many. */
unsigned mo_board_reclaim(struct mo_board *b, int32_t child);
void mo_board_listener(struct mo_board *b, int32_t pid, uint32_t uid,
                       uint64_t start);

/*
 * Readers.  Each copies the slot whole; 1: *out holds it, 0: none such.
 * Between MO_BOARD_RETRIES torn reads the slot counts as not there.
 */
int mo_board_read(const struct mo_board *b, uint32_t index,
                  struct mo_slot *out);
/* the slot of thread tid in process pid */
int mo_board_find(const struct mo_board *b, int32_t pid, int32_t tid,
                  struct mo_slot *out);
/* the next slot at or after *index whose owner's pid is pid (0: any);
 * *index is moved past it */
int mo_board_next(const struct mo_board *b, int32_t pid, uint32_t *index,
                  struct mo_slot *out);
/* is pid (with that start in ticks, 0: any) a listener seen? */
int mo_board_is_listener(const struct mo_board *b, int32_t pid, uint64_t start);

/* CLOCK_BOOTTIME in ns */
uint64_t mo_boottime(void);
/*
 * A file that says the last pid given out in its reader's pid namespace:
 * ns_last_pid where the kernel has it, which is the quicker one, or
 * /proc/loadavg.  -1 with errno; the descriptor is the caller's.
 */
int mo_last_pid_open(void);
/* That pid; 0: not known.  fd: of such a file, or -1 to open it anew. */
int32_t mo_last_pid(int fd);
/*
 * Did a process with start tick ptick (clock ticks since boot) and this pid
 * begin after the moment (ns, CLOCK_BOOTTIME; last_pid)?  By the tick where
 * they differ, else by pid: pids are given out in turn, from 300 again past
 * pid_max.  1: after, 0: before, or not known and so not to be trusted.
 */
int mo_began_after(uint64_t ptick, int32_t pid, uint64_t ns, int32_t last_pid);

#endif
