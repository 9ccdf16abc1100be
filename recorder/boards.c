/*
 * httpd's boards: all in MO_BOARD_DIR whose parent lives.  A board is mapped
 * once, and again when its file is replaced; a pidfd of the parent says when
 * it has ended, so that a recycled pid is never taken for it.
 */
#include "rec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mo_msg.h"
#include "mo_paths.h"

#define RETRY_NS 1000000000ull

static unsigned hash(int32_t pid, uint64_t start)
{
    return (unsigned)(((uint64_t)(uint32_t)pid * 0x9e3779b97f4a7c15ull ^
                       start * 0xc2b2ae3d27d4eb4full) >>
                      40) %
           REC_KNOWN;
}

void rec_known_add(struct rec_known *k, int32_t pid, uint64_t start)
{
    unsigned i = hash(pid, start);

    k->e[i].pid = pid;
    k->e[i].start = start;
}

int rec_known_has(const struct rec_known *k, int32_t pid, uint64_t start)
{
    unsigned i = hash(pid, start);

    return k->e[i].pid == pid && k->e[i].start == start && pid != 0;
}

static void drop(struct rec *r, struct rec_board *b)
{
    rec_unwatch(r, &b->source);
    close(b->source.fd);
    b->source.fd = -1;
    mo_board_unmap(&b->map);
    b->parent = 0;
}

static void parent_ended(struct rec *r, struct rec_source *s, uint32_t events)
{
    (void)events;
    drop(r, (struct rec_board *)s); /* its first member */
}

/* A pidfd of the process with that pid and start; -1: none such. */
static int pidfd_of(struct rec *r, int32_t pid, uint64_t start)
{
    struct mo_proc p;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (fd < 0)
        return -1;
    if (mo_proc_read(r->proc.fd, pid, &p) != 0 || p.start != start ||
        p.state == 'Z') {
        close(fd);
        return -1;
    }
    return fd;
}

static void take(struct rec *r, const char *name)
{
    char path[PATH_MAX];
    struct mo_board map;
    struct rec_board *b = NULL;
    struct stat st;
    char *end;
    long pid = strtol(name, &end, 10);
    int fd;
    int i;

    if (name[0] < '1' || name[0] > '9' || *end != '\0' || pid > INT_MAX)
        return;
    snprintf(path, sizeof path, "%s/%s", MO_BOARD_DIR, name);
    if (lstat(path, &st) != 0)
        return;
    for (i = 0; i < REC_BOARDS; i++) {
        struct rec_board *o = &r->boards.board[i];

        if (o->source.fd < 0) {
            if (b == NULL)
                b = o;
        }
        else if (o->parent == pid) {
            if (o->ino == (uint64_t)st.st_ino && o->dev == (uint64_t)st.st_dev)
                return;
            drop(r, o);
            b = o;
        }
    }
    if (b == NULL) {
        rec_trouble("%s: more than %d boards; this one is left out", path,
                    REC_BOARDS);
        return;
    }
    if (mo_board_map(&map, path, 0, geteuid()) != 0) {
        if (errno != ENOENT)
            mo_warn("%s: not a board that can be trusted: %s", path,
                    errno == EPERM
                        ? "it must belong to root or to the recorder, and "
                          "not be writable by others"
                        : strerror(errno));
        return;
    }
    fd = -1;
    if (map.head->parent_pid == pid)
        fd = pidfd_of(r, (int32_t)pid, map.head->parent_start);
    if (fd < 0) { /* of an httpd that has ended */
        mo_board_unmap(&map);
        return;
    }
    b->map = map;
    b->parent = (int32_t)pid;
    b->start = map.head->parent_start;
    b->dev = (uint64_t)st.st_dev;
    b->ino = (uint64_t)st.st_ino;
    b->source.fd = fd;
    b->source.ready = parent_ended;
    rec_watch(r, &b->source, EPOLLIN);
}

static void scan(struct rec *r)
{
    DIR *d = opendir(MO_BOARD_DIR);
    struct dirent *e;

    if (d == NULL)
        return;
    while ((e = readdir(d)) != NULL)
        take(r, e->d_name);
    closedir(d);
}

static int watch_path(struct rec *r, const char *path, uint32_t more)
{
    return inotify_add_watch(r->boards.watch.fd, path,
                             IN_MOVED_TO | IN_CREATE | IN_MOVE_SELF |
                                 IN_ONLYDIR | more);
}

static void changed(struct rec *r, struct rec_source *s, uint32_t events)
{
    union {
        struct inotify_event e;
        char bytes[8192];
    } in;
    int boards = 0;
    int keys = 0;
    ssize_t n;

    (void)events;
    while ((n = read(s->fd, &in, sizeof in)) > 0) {
        const char *at = in.bytes;

        while (at + sizeof(struct inotify_event) <= in.bytes + n) {
            const struct inotify_event *e = (const void *)at;

            at += sizeof *e + e->len;
            if (e->mask & IN_Q_OVERFLOW) {
                boards = keys = 1;
            }
            else if (e->wd == r->boards.wd_dir) {
                boards = 1;
                if (e->mask & (IN_IGNORED | IN_MOVE_SELF))
                    r->boards.wd_dir = -1;
            }
            else if (e->wd == r->boards.wd_keys) {
                if (e->mask & (IN_IGNORED | IN_MOVE_SELF))
                    r->boards.wd_keys = -1;
                else if (e->len > 0 && strcmp(e->name, "keyring") == 0)
                    keys = 1;
            }
        }
    }
    if (boards)
        scan(r);
    if (keys)
        rec_keys_read(r);
}

void rec_boards_open(struct rec *r)
{
    int i;

    for (i = 0; i < REC_BOARDS; i++)
        r->boards.board[i].source.fd = -1;
    r->boards.wd_dir = r->boards.wd_keys = -1;
    r->boards.watch.ready = changed;
    r->boards.watch.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (r->boards.watch.fd >= 0)
        rec_watch(r, &r->boards.watch, EPOLLIN);
    rec_boards_refresh(r);
}

void rec_boards_refresh(struct rec *r)
{
    struct rec_boards *b = &r->boards;

    if (b->watch.fd >= 0)
        changed(r, &b->watch, 0);
    if (b->watch.fd >= 0 && b->wd_keys < 0 &&
        (b->tried == 0 || r->now - b->tried >= RETRY_NS)) {
        b->tried = r->now;
        b->wd_keys = watch_path(r, MO_SYSCONFDIR "/mailorigin",
                                IN_CLOSE_WRITE | IN_ATTRIB);
    }
    /* each time: httpd may have made it, and sent mail, just now */
    if (b->wd_dir < 0) {
        if (b->watch.fd >= 0)
            b->wd_dir = watch_path(r, MO_BOARD_DIR, 0);
        scan(r); /* after the watch, so that none comes in between */
    }
}

void rec_boards_close(struct rec *r)
{
    int i;

    for (i = 0; i < REC_BOARDS; i++)
        if (r->boards.board[i].source.fd >= 0)
            drop(r, &r->boards.board[i]);
    if (r->boards.watch.fd >= 0)
        close(r->boards.watch.fd);
    r->boards.watch.fd = -1;
}
