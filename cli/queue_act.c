/*
 * Holds, releases and deletes picked mails by the MTA's own programs, in one
 * batch, and reads what they confirm.  See queue_pick.h.
 *
 * Only ids go to them, each checked to be one, so that no name in a mail can
 * become an option or a pattern.  Postfix's short ids are used again when a
 * mail has left: it is deleted from the hold queue only, where none is lost
 * or made while we look.
 */
#include "queue_pick.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uthash.h>

#include "mo_msg.h"

#define EXIM_BATCH 500 /* ids on one command line */

struct index {
    UT_hash_handle hh;
    struct pick *p;
};

static struct index *index_make(struct picks *ps, struct index **mem)
{
    struct index *head = NULL, *e;
    size_t i, n = 0;

    *mem = calloc(ps->n + 1, sizeof **mem);
    if (!*mem)
        mo_fatal(CLI_TROUBLE, "out of memory");
    for (i = 0; i < ps->n; i++) {
        if (!ps->p[i]->todo)
            continue;
        e = &(*mem)[n++];
        e->p = ps->p[i];
        HASH_ADD_KEYPTR(hh, head, e->p->id, strlen(e->p->id), e);
    }
    return head;
}

static void index_free(struct index *head, struct index *mem)
{
    HASH_CLEAR(hh, head);
    free(mem);
}

static struct pick *index_find(struct index *head, const char *id, size_t n)
{
    struct index *e;

    HASH_FIND(hh, head, id, n, e);
    return e ? e->p : NULL;
}

void pick_fail(struct pick *p, enum pick_state state, const char *why)
{
    p->state = state;
    p->todo = 0;
    free(p->why);
    p->why = why ? strdup(why) : NULL;
}

void pick_busy(struct pick *p)
{
    pick_fail(p, PICK_BUSY, "it is being delivered; try again");
}

/* ---- Postfix */
static const struct {
    const char *flag, *said;
    enum pick_state done;
} postsuper[] = {
    [ACT_HOLD] = {"-h", ": placed on hold", PICK_HELD},
    [ACT_RELEASE] = {"-H", ": released from hold", PICK_RELEASED},
    [ACT_DELETE] = {"-d", ": removed", PICK_DELETED},
};

/* "postsuper: ID: placed on hold" for each, then a sum */
static size_t postsuper_said(struct index *ix, char *out, enum act what)
{
    char *line, *save = NULL;
    size_t n = 0;

    for (line = strtok_r(out, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *id = strstr(line, ": "), *end;
        struct pick *p;

        if (!id)
            continue;
        id += 2;
        end = strstr(id, ": ");
        if (!end || strcmp(end, postsuper[what].said) != 0)
            continue;
        p = index_find(ix, id, (size_t)(end - id));
        if (p && p->todo) {
            p->state = postsuper[what].done;
            p->todo = 0;
            if (what == ACT_HOLD)
                p->held_by_us = 1;
            n++;
        }
    }
    return n;
}

static int run_postsuper(struct queue *q, struct picks *ps, enum act what,
                         const char *queue)
{
    char dash[] = "-", cflag[] = "-c", flag[4], name[16];
    char *argv[8], *ids, *out, *copy;
    struct index *mem, *ix = index_make(ps, &mem);
    size_t len = 0, i, n = 0, want = 0;
    int rc, argc = 0;

    ids = malloc(ps->n * (QUEUE_ID_MAX + 1) + 1);
    if (!ids)
        mo_fatal(CLI_TROUBLE, "out of memory");
    for (i = 0; i < ps->n; i++) {
        const struct pick *p = ps->p[i];

        if (!p->todo ||
            (strcmp(p->queue, "maildrop") == 0) != !strcmp(queue, "maildrop"))
            continue;
        len += (size_t)sprintf(ids + len, "%s\n", p->id);
        want++;
    }
    if (!want) {
        free(ids);
        index_free(ix, mem);
        return 0;
    }
    snprintf(flag, sizeof flag, "%s", postsuper[what].flag);
    snprintf(name, sizeof name, "%s", queue);
    argv[argc++] = q->program;
    if (q->config[0]) {
        argv[argc++] = cflag;
        argv[argc++] = q->config;
    }
    argv[argc++] = flag;
    argv[argc++] = dash;
    if (queue[0])
        argv[argc++] = name;
    argv[argc] = NULL;
    rc = queue_run(argv, ids, len, 1, &out);
    copy = out ? strdup(out) : NULL;
    if (rc >= 0 && out)
        n = postsuper_said(ix, out, what);
    if (rc != 0)
        mo_error("%s %s: %s", q->program, flag,
                 rc < 0          ? strerror(errno)
                 : copy && *copy ? strtok(copy, "\n")
                                 : "it failed and said nothing");
    for (i = 0; i < ps->n; i++) {
        struct pick *p = ps->p[i];

        if (p->todo &&
            (strcmp(p->queue, "maildrop") == 0) == !strcmp(queue, "maildrop")) {
            if (rc == 0)
                pick_fail(p, PICK_GONE, NULL);
            else
                pick_fail(p, PICK_FAILED, "postsuper failed");
        }
    }
    free(copy);
    free(out);
    free(ids);
    index_free(ix, mem);
    return rc == 0 || n ? 0 : -1;
}

static int postfix_do(struct queue *q, struct picks *ps, enum act what)
{
    switch (what) {
    case ACT_HOLD:
        /* what is in maildrop can't be held, see postsuper(1) */
        for (size_t i = 0; i < ps->n; i++)
            if (ps->p[i]->todo && strcmp(ps->p[i]->queue, "maildrop") == 0)
                pick_fail(ps->p[i], PICK_FAILED,
                          "in maildrop, where Postfix can't hold it");
        return run_postsuper(q, ps, what, "");
    case ACT_RELEASE:
        return run_postsuper(q, ps, what, "");
    case ACT_DELETE:
        if (run_postsuper(q, ps, what, "hold") < 0)
            return -1;
        return run_postsuper(q, ps, what, "maildrop");
    }
    return -1;
}

/* ---- Exim */
static void exim_said(struct index *ix, char *out, enum act what)
{
    static const char *const good[][2] = {
        [ACT_HOLD] = {" is now frozen", " is already frozen"},
        [ACT_RELEASE] = {" is no longer frozen", " is not frozen"},
        [ACT_DELETE] = {" has been removed", NULL},
    };
    static const char gone[] = "Spool data file for ";
    static const char head[] = "Message ";
    char *line, *save = NULL;

    for (line = strtok_r(out, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        struct pick *p;
        char *id, *rest;

        if (strncmp(line, gone, sizeof gone - 1) == 0)
            id = line + sizeof gone - 1;
        else if (strncmp(line, head, sizeof head - 1) == 0)
            id = line + sizeof head - 1;
        else
            continue;
        rest = id + strcspn(id, " ");
        p = index_find(ix, id, (size_t)(rest - id));
        if (!p || !p->todo)
            continue;
        if (*line == 'S') {
            pick_fail(p, PICK_GONE, NULL);
        }
        else if (strcmp(rest, good[what][0]) == 0) {
            p->todo = 0;
            p->state = what == ACT_HOLD      ? PICK_HELD
                       : what == ACT_RELEASE ? PICK_RELEASED
                                             : PICK_DELETED;
            p->held_by_us |= what == ACT_HOLD;
        }
        else if (good[what][1] && strcmp(rest, good[what][1]) == 0) {
            p->todo = 0;
            p->state = what == ACT_HOLD ? PICK_HELD : PICK_RELEASED;
        }
        else if (strstr(rest, "did not exist")) {
            pick_fail(p, PICK_GONE, NULL);
        }
        else if (strstr(rest, "locked")) {
            pick_busy(p);
        }
        else {
            pick_fail(p, PICK_FAILED, rest + (*rest == ' '));
        }
    }
}

static int exim_do(struct queue *q, struct picks *ps, enum act what)
{
    static const char *const flags[] = {
        [ACT_HOLD] = "-Mf", [ACT_RELEASE] = "-Mt", [ACT_DELETE] = "-Mrm"};
    char cflag[] = "-C", flag[8], *argv[EXIM_BATCH + 6], *out;
    struct index *mem, *ix = index_make(ps, &mem);
    size_t i = 0, j, n;
    int rc, argc, trouble = 0;

    snprintf(flag, sizeof flag, "%s", flags[what]);
    while (i < ps->n) {
        size_t from = i;

        argc = 0;
        argv[argc++] = q->program;
        if (q->config[0]) {
            argv[argc++] = cflag;
            argv[argc++] = q->config;
        }
        argv[argc++] = flag;
        for (n = 0; i < ps->n && n < EXIM_BATCH; i++)
            if (ps->p[i]->todo) {
                argv[argc++] = ps->p[i]->id;
                n++;
            }
        argv[argc] = NULL;
        if (!n)
            break;
        rc = queue_run(argv, NULL, 0, 1, &out);
        if (rc < 0 || rc == 127 || !out) {
            mo_error("%s %s: %s", q->program, flag,
                     rc < 0 ? strerror(errno) : "it could not be run");
            trouble = -1;
        }
        else {
            exim_said(ix, out, what);
        }
        for (j = from; j < i; j++)
            if (ps->p[j]->todo)
                pick_fail(ps->p[j], PICK_FAILED,
                          "exim did not say what became "
                          "of it");
        free(out);
        if (trouble)
            break;
    }
    index_free(ix, mem);
    return trouble;
}

int act_do(struct cli *c, struct queue *q, struct picks *ps, enum act what)
{
    size_t i, n = 0;

    for (i = 0; i < ps->n; i++) {
        struct pick *p = ps->p[i];

        if (p->todo && !queue_id_ok(q->mta, p->id))
            pick_fail(p, PICK_FAILED, "that is no queue id");
        n += (size_t)p->todo;
    }
    if (!n)
        return 0;
    switch (q->mta) {
    case MO_MTA_POSTFIX:
        return postfix_do(q, ps, what);
    case MO_MTA_EXIM:
        return exim_do(q, ps, what);
    case MO_MTA_SENDMAIL:
        for (i = 0; i < ps->n; i++)
            if (ps->p[i]->todo)
                sendmail_act(c, q, ps->p[i], what);
        return 0;
    default:
        return -1;
    }
}

/* ---- looking again */
static void look(struct cli *c, struct queue *q, struct pick *p,
                 const char *path, const char *queue)
{
    static struct queue_mail m;

    queue_mail_init(&m, q->mta);
    snprintf(m.id, sizeof m.id, "%s", p->id);
    if (queue_read(q, path, queue, &m) < 0) {
        if (errno == ENOENT)
            pick_fail(p, PICK_GONE, NULL);
        else
            pick_fail(p, PICK_CHANGED, strerror(errno));
        return;
    }
    if (!pick_is(c, p, &m)) {
        pick_fail(p, PICK_CHANGED, "another mail is under that id now");
        return;
    }
    if (strcmp(path, p->path) != 0) {
        free(p->path);
        p->path = strdup(path);
    }
}

/* the hold queue may be hashed: its names are looked up rather than made */
static void look_hold(struct cli *c, struct queue *q, struct index *ix,
                      const char *dir, int depth)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return;
    while ((e = readdir(d)) != NULL) {
        char path[1024];
        size_t n = strlen(e->d_name);
        struct index *i;

        if (e->d_name[0] == '.' || snprintf(path, sizeof path, "%s/%s", dir,
                                            e->d_name) >= (int)sizeof path)
            continue;
        if (n == 1 && depth < 8) {
            look_hold(c, q, ix, path, depth + 1);
            continue;
        }
        HASH_FIND(hh, ix, e->d_name, n, i);
        if (i && i->p->todo && strcmp(i->p->queue, "maildrop") != 0) {
            look(c, q, i->p, path, "hold");
            i->p->unsure = 1; /* seen */
        }
    }
    closedir(d);
}

void act_verify(struct cli *c, struct queue *q, struct picks *ps)
{
    size_t i;

    if (q->mta == MO_MTA_POSTFIX) {
        struct index *mem, *ix = index_make(ps, &mem);
        char dir[600];

        snprintf(dir, sizeof dir, "%s/hold", q->dir[0]);
        look_hold(c, q, ix, dir, 0);
        index_free(ix, mem);
        for (i = 0; i < ps->n; i++) {
            struct pick *p = ps->p[i];

            if (p->todo && strcmp(p->queue, "maildrop") == 0)
                look(c, q, p, p->path, p->queue);
            else if (p->todo && !p->unsure)
                pick_fail(p, PICK_GONE, NULL);
            p->unsure = 0;
        }
        return;
    }
    for (i = 0; i < ps->n; i++)
        if (ps->p[i]->todo)
            look(c, q, ps->p[i], ps->p[i]->path, ps->p[i]->queue);
}

/* ---- keeping copies */
static int copy_file(const char *path, int dirfd, const char *name)
{
    char buf[65536];
    int in, out, saved;
    ssize_t n = -1, w;

    in = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (in < 0)
        return -1;
    out = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) {
        saved = errno;
        close(in);
        errno = saved;
        return -1;
    }
    while ((n = read(in, buf, sizeof buf)) > 0) {
        ssize_t done = 0;

        while (done < n) {
            w = write(out, buf + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0) {
                n = -1;
                goto out;
            }
            done += w;
        }
    }
out:
    saved = errno;
    close(in);
    if (close(out) < 0 && n == 0) {
        n = -1;
        saved = errno;
    }
    if (n < 0)
        unlinkat(dirfd, name, 0);
    errno = saved;
    return n < 0 ? -1 : 0;
}

/* a copy from before under that name stays; ours gets another */
static int copy_new(const char *path, int dirfd)
{
    const char *name = strrchr(path, '/') + 1;
    char other[QUEUE_ID_MAX + 16];
    int i, rc = copy_file(path, dirfd, name);

    for (i = 1; rc < 0 && errno == EEXIST && i < 100; i++) {
        snprintf(other, sizeof other, "%.*s.%d", QUEUE_ID_MAX, name, i);
        rc = copy_file(path, dirfd, other);
    }
    return rc;
}

static int act_save_pick(struct queue *q, const struct pick *p, int dirfd)
{
    char data[1024];

    if (q->mta != MO_MTA_POSTFIX) {
        if (queue_data_path(q->mta, p->path, data, sizeof data) < 0 ||
            copy_new(data, dirfd) < 0)
            return -1;
    }
    return copy_new(p->path, dirfd);
}

int act_save(struct queue *q, struct picks *ps, const char *save)
{
    struct stat st;
    size_t i;
    int dirfd;

    if (mkdir(save, 0700) < 0 && errno != EEXIST) {
        mo_error("--save %s: %s", save, strerror(errno));
        return -1;
    }
    dirfd = open(save, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) {
        mo_error("--save %s: %s", save, strerror(errno));
        return -1;
    }
    /* whoever can write there could take the copies away again, or put
     * others in their place */
    if (fstat(dirfd, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & 022)) {
        mo_error("--save %s: others may write there; name a folder that is "
                 "root's alone, or a new one",
                 save);
        close(dirfd);
        return -1;
    }
    for (i = 0; i < ps->n; i++) {
        char why[256];

        if (!ps->p[i]->todo || act_save_pick(q, ps->p[i], dirfd) == 0)
            continue;
        if (errno == ENOENT && access(ps->p[i]->path, F_OK) < 0 &&
            errno == ENOENT) { /* the MTA took it meanwhile */
            pick_fail(ps->p[i], PICK_GONE, NULL);
            continue;
        }
        snprintf(why, sizeof why, "no copy in %.100s: %s", save,
                 strerror(errno));
        pick_fail(ps->p[i], PICK_FAILED, why);
    }
    /* once for all, before the first is deleted */
    if (syncfs(dirfd) < 0) {
        mo_error("--save %s: %s", save, strerror(errno));
        close(dirfd);
        return -1;
    }
    close(dirfd);
    return 0;
}
