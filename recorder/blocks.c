/*
 * Changes of the blocks, by root's ADMIN messages (mo_blocks.h).  The file
 * is written anew and renamed before the change counts: what is answered as
 * done outlives a crash.
 */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mo_msg.h"

#define DONE 0u
#define NOTHING 2u /* exit status 1 */
#define TROUBLE 3u /* exit status 2 */

static int write_all(int fd, const char *s, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, s, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        s += n;
        len -= (size_t)n;
    }
    return 0;
}

static int save(const struct mo_blocks *b, const char *path)
{
    static const char head[] =
        "# mailorigin's blocks; change them with `mailorigin block` only\n";
    char tmp[PATH_MAX];
    char line[MO_BLOCK_LINE];
    size_t i;
    int rc;
    int fd;

    snprintf(tmp, sizeof tmp, "%s.new", path);
    unlink(tmp);
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -1;
    rc = fchmod(fd, 0644); /* the wrapper reads it while we are gone */
    if (rc == 0)
        rc = write_all(fd, head, sizeof head - 1);
    for (i = 0; rc == 0 && i < b->n; i++) {
        size_t n = mo_block_format(&b->block[i], line, sizeof line);

        if (n > 0)
            rc = write_all(fd, line, n);
    }
    if (rc == 0)
        rc = fsync(fd);
    if (close(fd) != 0)
        rc = -1;
    if (rc == 0)
        rc = rename(tmp, path);
    if (rc != 0) {
        int saved = errno;

        unlink(tmp);
        errno = saved;
    }
    return rc;
}

/* The blocks but for those that have run out and for index skip. */
static int copy(const struct mo_blocks *from, size_t skip, int64_t now,
                struct mo_blocks *to)
{
    size_t i;

    to->n = 0;
    to->block = malloc((from->n + 1) * sizeof *to->block);
    if (to->block == NULL)
        return -1;
    for (i = 0; i < from->n; i++) {
        const struct mo_block *b = &from->block[i];

        if (i == skip || (b->until != 0 && b->until <= now))
            continue;
        to->block[to->n++] = *b;
    }
    return 0;
}

static unsigned commit(struct rec_policy *p, const char *path,
                       struct mo_blocks *fresh, char *out, size_t size)
{
    if (save(fresh, path) != 0) {
        snprintf(out, size, "%s: %s; nothing is changed\n", path,
                 strerror(errno));
        mo_blocks_free(fresh);
        return TROUBLE;
    }
    mo_blocks_free(&p->blocks);
    p->blocks = *fresh;
    return DONE;
}

static size_t find(const struct mo_blocks *b, enum mo_block_type type,
                   const char *value)
{
    size_t i;

    for (i = 0; i < b->n; i++)
        if (b->block[i].type == type && strcmp(b->block[i].value, value) == 0)
            break;
    return i;
}

static int option(struct mo_block *b, const char *word, char *out, size_t size)
{
    char *end;

    if (strcmp(word, "action=refuse") == 0) {
        b->action = MO_REFUSED;
    }
    else if (strcmp(word, "action=hold") == 0) {
        b->action = MO_HELD;
    }
    else if (strcmp(word, "http=1") == 0 || strcmp(word, "http=0") == 0) {
        b->http = word[5] == '1';
    }
    else if (strncmp(word, "until=", 6) == 0 && word[6] >= '0' &&
             word[6] <= '9') {
        errno = 0;
        b->until = strtoll(word + 6, &end, 10);
        if (*end != '\0' || errno != 0) {
            snprintf(out, size, "%.80s: seconds since the epoch are allowed\n",
                     word);
            return -1;
        }
    }
    else if (strncmp(word, "reason=", 7) == 0) {
        if (strlen(word + 7) >= sizeof b->reason) {
            snprintf(out, size, "reason: at most %zu bytes are allowed\n",
                     sizeof b->reason - 1);
            return -1;
        }
        snprintf(b->reason, sizeof b->reason, "%s", word + 7);
    }
    else {
        snprintf(out, size,
                 "%.80s: allowed are action=refuse, action=hold, http=1, "
                 "until=EPOCH, reason=TEXT\n",
                 word);
        return -1;
    }
    return 0;
}

static unsigned add(struct rec_policy *p, const char *path, char **word,
                    unsigned nwords, int64_t now, char *out, size_t size)
{
    struct mo_blocks fresh;
    struct mo_block b;
    char err[512];
    unsigned i;
    int type;

    memset(&b, 0, sizeof b);
    type = nwords >= 2 ? mo_block_type_find(word[0]) : 0;
    if (type == 0) {
        snprintf(out, size,
                 "block add %.80s: allowed are vhost, script, dir, "
                 "uri-prefix, client, uid, and then a value\n",
                 nwords > 0 ? word[0] : "");
        return TROUBLE;
    }
    if (mo_block_set(&b, (enum mo_block_type)type, word[1], err, sizeof err) !=
        0) {
        snprintf(out, size, "%s\n", err);
        return TROUBLE;
    }
    b.action = MO_REFUSED;
    for (i = 2; i < nwords; i++)
        if (option(&b, word[i], out, size) != 0)
            return TROUBLE;
    if (b.until != 0 && b.until <= now) {
        snprintf(out, size, "until=%lld: that is over\n", (long long)b.until);
        return TROUBLE;
    }
    b.created = now;
    if (copy(&p->blocks, find(&p->blocks, b.type, b.value), now, &fresh) != 0) {
        snprintf(out, size, "out of memory\n");
        return TROUBLE;
    }
    if (fresh.n >= MO_BLOCKS_MAX) {
        mo_blocks_free(&fresh);
        snprintf(out, size, "there are %d blocks; more are not allowed\n",
                 MO_BLOCKS_MAX);
        return TROUBLE;
    }
    b.id = p->next_id;
    fresh.block[fresh.n++] = b;
    if (commit(p, path, &fresh, out, size) != DONE)
        return TROUBLE;
    p->next_id++;
    mo_block_format(&b, out, size);
    return DONE;
}

static unsigned del(struct rec_policy *p, const char *path, char **word,
                    unsigned nwords, int64_t now, char *out, size_t size)
{
    struct mo_blocks fresh;
    struct mo_block b;
    char err[512];
    char *end;
    size_t i = p->blocks.n;

    if (nwords == 1) {
        unsigned long id = strtoul(word[0], &end, 10);

        if (word[0][0] < '0' || word[0][0] > '9' || *end != '\0') {
            snprintf(out, size,
                     "block del %.80s: an id, or TYPE VALUE, is allowed\n",
                     word[0]);
            return TROUBLE;
        }
        for (i = 0; i < p->blocks.n && p->blocks.block[i].id != id;)
            i++;
    }
    else if (nwords == 2 && mo_block_type_find(word[0]) != 0) {
        if (mo_block_set(&b, (enum mo_block_type)mo_block_type_find(word[0]),
                         word[1], err, sizeof err) != 0) {
            snprintf(out, size, "%s\n", err);
            return TROUBLE;
        }
        i = find(&p->blocks, b.type, b.value);
    }
    else {
        snprintf(out, size, "block del: an id, or TYPE VALUE, is allowed\n");
        return TROUBLE;
    }
    if (i == p->blocks.n)
        return NOTHING;
    b = p->blocks.block[i];
    if (copy(&p->blocks, i, now, &fresh) != 0) {
        snprintf(out, size, "out of memory\n");
        return TROUBLE;
    }
    if (commit(p, path, &fresh, out, size) != DONE)
        return TROUBLE;
    mo_block_format(&b, out, size);
    return DONE;
}

unsigned rec_blocks_admin(struct rec_policy *p, const char *path, char **word,
                          unsigned nwords, int64_t now, char *out, size_t size)
{
    size_t len = 0;
    size_t i;

    out[0] = '\0';
    if (nwords >= 2 && strcmp(word[0], "block") == 0) {
        if (strcmp(word[1], "add") == 0)
            return add(p, path, word + 2, nwords - 2, now, out, size);
        if (strcmp(word[1], "del") == 0)
            return del(p, path, word + 2, nwords - 2, now, out, size);
        if (strcmp(word[1], "list") == 0 && nwords == 2) {
            for (i = 0; i < p->blocks.n; i++) {
                const struct mo_block *b = &p->blocks.block[i];

                if (b->until != 0 && b->until <= now)
                    continue;
                /* what does not fit in one answer is in the file */
                len += mo_block_format(b, out + len, size - len);
            }
            out[len] = '\0';
            return DONE;
        }
    }
    snprintf(out, size,
             "%.40s %.40s: allowed are block add, block del, block list\n",
             nwords > 0 ? word[0] : "", nwords > 1 ? word[1] : "");
    return TROUBLE;
}
