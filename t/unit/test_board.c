/*
 * mo_board.h, with one thing going on at a time: the file, the life of a
 * slot, reclaiming.
 */
#include "board.h"

/* ---- the file */

static void created(void **state)
{
    struct mo_board b;
    struct stat st;

    (void)state;
    assert_int_equal(mo_board_create(path, 3, 1234567, (unsigned)-1), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_size, 4096 + 4096 + 3 * 4096);
    assert_int_equal(mo_board_size(512), 4096 + 4096 + 512 * 4096);
    assert_int_equal(mo_board_size(513), 4096 + 8192 + 513 * 4096);
    /* no holes: a full tmpfs must not kill who writes later */
    assert_true((uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size);
    assert_int_equal(mo_board_map(&b, path, 0, geteuid()), 0);
    assert_int_equal(b.nslots, 3);
    assert_int_equal(b.head->parent_pid, 1234567);
    assert_int_equal(in_use(&b), 0);
    mo_board_unmap(&b);
    assert_null(b.head);
    mo_board_unmap(&b);
}

static void made_anew_over_an_old_one(void **state)
{
    struct mo_board old, b;
    struct mo_board_use use;

    (void)state;
    make(&old, 2);
    assert_true(old.head->parent_start > 0);
    mo_board_begin(&old, 1, geteuid(), 1, 1, "x", 1, &use);
    make(&b, 5);
    assert_int_equal(b.nslots, 5);
    assert_int_equal(in_use(&b), 0);
    /* who has the old one mapped can go on with it */
    mo_board_end(&old, &use);
    assert_int_equal(in_use(&old), 0);
    mo_board_unmap(&old);
    mo_board_unmap(&b);
}

static void not_created(void **state)
{
    (void)state;
    errno = 0;
    assert_int_equal(mo_board_create(path, 0, 1, (unsigned)-1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(
        mo_board_create(path, MO_BOARD_SLOTS_MAX + 1, 1, (unsigned)-1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(mo_board_create("/nonexistent/x", 1, 1, (unsigned)-1), -1);
    assert_int_equal(errno, ENOENT);
    /* a directory is in its place: no temporary file is left beside it */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mo_board_create(path, 1, 1, (unsigned)-1), -1);
    assert_int_equal(rmdir(path), 0);
}

static void not_mapped(int want)
{
    struct mo_board b;

    errno = 0;
    assert_int_equal(mo_board_map(&b, path, 0, geteuid()), -1);
    assert_int_equal(errno, want);
    assert_null(b.head);
}

static void head_with(size_t offset, const void *bytes, size_t len, int want)
{
    int fd;

    assert_int_equal(mo_board_create(path, 4, 1, (unsigned)-1), 0);
    fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
    close(fd);
    if (want)
        not_mapped(want);
}

static void hostile_files(void **state)
{
    static const uint32_t slots[] = {0, 3, 5, MO_BOARD_SLOTS_MAX + 1, ~0u};
    char other[256];
    struct mo_board b;
    uint32_t n;
    size_t i;

    (void)state;
    not_mapped(ENOENT);
    head_with(offsetof(struct mo_board_head, magic), "X", 1, EINVAL);
    n = MO_BOARD_VERSION + 1;
    head_with(offsetof(struct mo_board_head, version), &n, 4, EINVAL);
    n = MO_SLOT_SIZE * 2;
    head_with(offsetof(struct mo_board_head, slot_size), &n, 4, EINVAL);
    for (i = 0; i < sizeof slots / sizeof *slots; i++)
        head_with(offsetof(struct mo_board_head, nslots), &slots[i], 4, EINVAL);
    head_with(0, "M", 1, 0);
    assert_int_equal(truncate(path, (off_t)mo_board_size(4) - 1), 0);
    not_mapped(EINVAL);
    assert_int_equal(truncate(path, (off_t)mo_board_size(4) + 1), 0);
    not_mapped(EINVAL);
    assert_int_equal(truncate(path, 100), 0);
    not_mapped(EINVAL);
    assert_int_equal(truncate(path, 0), 0);
    not_mapped(EINVAL);

    head_with(0, "M", 1, 0);
    assert_int_equal(chmod(path, 0660), 0);
    not_mapped(EPERM);
    assert_int_equal(chmod(path, 0642), 0);
    not_mapped(EPERM);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(mo_board_map(&b, path, 0, geteuid()), 0);
    mo_board_unmap(&b);

    /* links of both kinds, and what is no file */
    snprintf(other, sizeof other, "%s.link", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    not_mapped(ELOOP);
    unlink(path);
    assert_int_equal(link(other, path), 0);
    not_mapped(EPERM);
    unlink(other);
    assert_int_equal(mo_board_map(&b, path, 0, geteuid()), 0);
    mo_board_unmap(&b);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    not_mapped(EPERM);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    not_mapped(EPERM);
    rmdir(path);
}

static void another_owner(void **state)
{
    struct mo_board b;

    (void)state;
    if (geteuid() != 0) { /* only root can give a file away */
        skip();
    }
    assert_int_equal(mo_board_create(path, 1, 1, 12345), 0);
    assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
    not_mapped(EPERM);
    assert_int_equal(mo_board_map(&b, path, 0, 12345), 0);
    mo_board_unmap(&b);
    /* root's is everybody's */
    assert_int_equal(chown(path, 0, (gid_t)-1), 0);
    assert_int_equal(mo_board_map(&b, path, 0, 12345), 0);
    mo_board_unmap(&b);
}

/* ---- a slot's life */

static void a_life(void **state)
{
    struct mo_conn conn = {
        .kind = MO_CONN_UNIX, .inode = 99, .use = MO_CONN_TAKEN};
    struct mo_board b, r;
    struct mo_board_use use;
    struct mo_slot s;
    uint32_t i = 0;

    (void)state;
    make(&b, 8);
    assert_int_equal(mo_board_map(&r, path, 0, geteuid()), 0);
    assert_int_equal(mo_board_find(&r, getpid(), gettid(), &s), 0);
    mo_board_begin(&b, 42, 4711, 1000, 77, "origin", 6, &use);
    assert_int_equal(use.serial, 1);
    assert_int_equal(mo_board_find(&r, getpid(), gettid(), &s), 1);
    assert_int_equal(s.child, 42);
    assert_int_equal(s.uid, 4711);
    assert_int_equal(s.pid, getpid());
    assert_int_equal(s.tid, gettid());
    assert_int_equal(s.start, 1000);
    assert_int_equal(s.last_pid, 77);
    assert_int_equal(s.serial, use.serial);
    assert_int_equal(s.conn.kind, MO_CONN_NONE);
    assert_int_equal(s.origin_len, 6);
    assert_memory_equal(s.origin, "origin", 6);
    assert_int_equal(mo_board_find(&r, getpid(), gettid() + 1, &s), 0);
    assert_int_equal(mo_board_find(&r, getpid() + 1, gettid(), &s), 0);

    mo_board_origin(&b, &use, "another", 7);
    mo_board_conn(&b, &use, &conn);
    assert_int_equal(mo_board_next(&r, getpid(), &i, &s), 1);
    assert_int_equal(s.conn.kind, MO_CONN_UNIX);
    assert_int_equal(s.conn.inode, 99);
    assert_int_equal(s.origin_len, 7);
    assert_memory_equal(s.origin, "another", 7);
    assert_int_equal(i, use.index + 1);
    assert_int_equal(mo_board_next(&r, getpid(), &i, &s), 0);
    i = 0;
    assert_int_equal(mo_board_next(&r, getpid() + 1, &i, &s), 0);
    i = 0;
    assert_int_equal(mo_board_next(&r, 0, &i, &s), 1);

    mo_board_conn(&b, &use, NULL);
    assert_int_equal(mo_board_read(&r, use.index, &s), 1);
    assert_int_equal(s.conn.kind, MO_CONN_NONE);
    mo_board_end(&b, &use);
    assert_int_equal(mo_board_read(&r, use.index, &s), 0);
    assert_int_equal(mo_board_find(&r, getpid(), gettid(), &s), 0);
    assert_int_equal(in_use(&b), 0);
    assert_int_equal(mo_board_read(&r, 8, &s), 0);
    assert_int_equal(mo_board_read(&r, ~0u, &s), 0);
    mo_board_unmap(&r);
    mo_board_unmap(&b);
}

static void the_serial_decides(void **state)
{
    struct mo_conn conn = {.kind = MO_CONN_TCP4};
    struct mo_board_use first, second, wild;
    struct mo_board b;
    struct mo_slot s;

    (void)state;
    make(&b, 4);
    mo_board_begin(&b, 1, geteuid(), 1, 1, "first", 5, &first);
    mo_board_conn(&b, &first, &conn);
    mo_board_begin(&b, 1, geteuid(), 2, 2, "second", 6, &second);
    /* one thread, one slot; of the old use nothing is left */
    assert_int_equal(first.index, second.index);
    assert_true(second.serial > first.serial);
    assert_int_equal(in_use(&b), 1);
    /* what the first request's late cleanup does, does nothing */
    mo_board_origin(&b, &first, "late", 4);
    mo_board_conn(&b, &first, &conn);
    mo_board_end(&b, &first);
    assert_int_equal(mo_board_read(&b, second.index, &s), 1);
    assert_int_equal(s.serial, second.serial);
    assert_int_equal(s.conn.kind, MO_CONN_NONE);
    assert_memory_equal(s.origin, "second", 6);
    wild = second;
    wild.index = 1u << 31;
    mo_board_end(&b, &wild);
    wild.index = (second.index + 1) % 4;
    mo_board_end(&b, &wild);
    wild = second;
    wild.serial = 0;
    mo_board_end(&b, &wild);
    assert_int_equal(in_use(&b), 1);
    mo_board_end(&b, &second);
    mo_board_end(&b, &second);
    assert_int_equal(in_use(&b), 0);
    mo_board_unmap(&b);
}

static void lengths(void **state)
{
    static unsigned char big[MO_ORIGIN_MAX + 1];
    struct mo_board_use use;
    struct mo_board b;
    struct mo_slot s;

    (void)state;
    make(&b, 1);
    memset(big, 'o', sizeof big);
    mo_board_begin(&b, 1, geteuid(), 1, 1, big, MO_ORIGIN_MAX, &use);
    assert_int_equal(mo_board_read(&b, 0, &s), 1);
    assert_int_equal(s.origin_len, MO_ORIGIN_MAX);
    assert_memory_equal(s.origin, big, MO_ORIGIN_MAX);
    /* nameless: MailOrigin Off, and what cannot be held */
    mo_board_begin(&b, 1, geteuid(), 1, 1, NULL, 0, &use);
    assert_int_equal(mo_board_read(&b, 0, &s), 1);
    assert_int_equal(s.origin_len, 0);
    mo_board_begin(&b, 1, geteuid(), 1, 1, big, MO_ORIGIN_MAX + 1, &use);
    assert_int_equal(mo_board_read(&b, 0, &s), 1);
    assert_int_equal(s.origin_len, 0);
    mo_board_unmap(&b);
}

static void not_mapped_does_nothing(void **state)
{
    struct mo_board b = {0};
    struct mo_board_use use = {1, 1};
    struct mo_slot s;
    uint32_t i = 0;

    (void)state;
    mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
    assert_int_equal(use.serial, 0);
    mo_board_end(&b, &use);
    assert_int_equal(mo_board_reclaim(&b, 1), 0);
    mo_board_listener(&b, 1, 1, 1);
    assert_int_equal(mo_board_is_listener(&b, 1, 1), 0);
    assert_int_equal(mo_board_next(&b, 0, &i, &s), 0);
    assert_int_equal(mo_board_find(&b, 1, 1, &s), 0);
    /* nor does a writer on a board that is mapped to be read */
    assert_int_equal(mo_board_create(path, 2, 1, (unsigned)-1), 0);
    assert_int_equal(mo_board_map(&b, path, 0, geteuid()), 0);
    mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
    assert_int_equal(use.serial, 0);
    mo_board_listener(&b, 1, 1, 1);
    mo_board_unmap(&b);
}

/* ---- children */

/* A child that begins a request, does what act says, and dies. */
enum act { DIE, DIE_WRITING, DIE_UNWRITTEN, END };
static pid_t child(struct mo_board *b, int32_t of, enum act act)
{
    struct mo_board_use use;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid)
        return pid;
    mo_board_begin(b, of ? of : getpid(), geteuid(), 1, 1, "x", 1, &use);
    if (!use.serial)
        _exit(2);
    if (act == DIE_WRITING)
        raw(b, use.index)->seq |= 1;
    if (act == DIE_UNWRITTEN) { /* the owner word claimed, and no more */
        raw(b, use.index)->seq |= 1;
        raw(b, use.index)->child = 0;
        raw(b, use.index)->serial = 0;
    }
    if (act == END)
        mo_board_end(b, &use);
    _exit(0);
}

static void ended(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void reclaimed(void **state)
{
    static const enum act acts[] = {DIE, DIE_WRITING, DIE_UNWRITTEN};
    struct mo_board_use mine;
    struct mo_board b;
    struct mo_slot s;
    uint32_t i, k;
    pid_t pid;

    (void)state;
    make(&b, 4);
    mo_board_begin(&b, 1, geteuid(), 1, 1, "mine", 4, &mine);
    for (k = 0; k < 3; k++) {
        pid = child(&b, 0, acts[k]);
        ended(pid);
        assert_int_equal(in_use(&b), 2);
        assert_int_equal(mo_board_reclaim(&b, pid), 1);
        assert_int_equal(in_use(&b), 1);
        assert_int_equal(mo_board_reclaim(&b, pid), 0);
        for (i = 0; i < b.nslots; i++)
            assert_int_equal(raw(&b, i)->seq & 1, 0);
    }
    pid = child(&b, 0, END);
    ended(pid);
    assert_int_equal(mo_board_reclaim(&b, pid), 0);
    /* the living one's was never touched */
    assert_int_equal(mo_board_find(&b, getpid(), gettid(), &s), 1);
    assert_memory_equal(s.origin, "mine", 4);
    assert_int_equal(s.serial, mine.serial);
    mo_board_unmap(&b);
}

/* mpm_itk: the slot is of a process under the MPM child */
static void reclaimed_by_the_mpm_child(void **state)
{
    struct mo_board b;
    pid_t pid;

    (void)state;
    make(&b, 4);
    pid = child(&b, 1234567, DIE);
    ended(pid);
    assert_int_equal(in_use(&b), 1);
    assert_int_equal(mo_board_reclaim(&b, 1234567), 1);
    assert_int_equal(in_use(&b), 0);
    /* killed before it had written which child it is of */
    pid = child(&b, 1234567, DIE_UNWRITTEN);
    ended(pid);
    assert_int_equal(mo_board_reclaim(&b, 1234567), 1);
    assert_int_equal(in_use(&b), 0);
    mo_board_unmap(&b);
}

static void not_the_successors(void **state)
{
    struct mo_board_use use;
    struct mo_board b;
    pid_t pid;

    (void)state;
    make(&b, 1);
    /* a dead child had the slot and gave it back; a living thread has claimed
     * it and not yet written whose it is */
    pid = child(&b, 0, END);
    ended(pid);
    b.owner[0] = (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)gettid();
    assert_int_equal(mo_board_reclaim(&b, pid), 0);
    assert_int_equal(in_use(&b), 1);
    b.owner[0] = 0;
    mo_board_begin(&b, getpid(), geteuid(), 1, 1, "x", 1, &use);
    assert_true(use.serial > 0);
    mo_board_unmap(&b);
}

static void full(void **state)
{
    struct mo_board_use use;
    struct mo_board b;
    pid_t one, two;
    int status;

    (void)state;
    make(&b, 2);
    one = child(&b, 0, DIE);
    ended(one);
    mo_board_begin(&b, getpid(), geteuid(), 1, 1, "x", 1, &use);
    assert_true(use.serial > 0);
    two = child(&b, 0, DIE);
    assert_int_equal(waitpid(two, &status, 0), two);
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_int_equal(b.head->full, 1);
    /* one's own slot is had even then */
    mo_board_begin(&b, getpid(), geteuid(), 1, 1, "x", 1, &use);
    assert_true(use.serial > 0);
    assert_int_equal(b.head->full, 1);
    assert_int_equal(mo_board_reclaim(&b, one), 1);
    two = child(&b, 0, END);
    ended(two);
    mo_board_unmap(&b);
}

/* A slot whose sequence number was left odd, with no owner, is used again. */
static void a_free_slot_left_odd(void **state)
{
    struct mo_board_use use;
    struct mo_board b;
    struct mo_slot s;

    (void)state;
    make(&b, 1);
    raw(&b, 0)->seq = 7;
    mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
    assert_true(use.serial > 0);
    assert_int_equal(mo_board_read(&b, 0, &s), 1);
    mo_board_end(&b, &use);
    assert_int_equal(in_use(&b), 0);
    mo_board_unmap(&b);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(created),
        EACH(made_anew_over_an_old_one),
        EACH(not_created),
        EACH(hostile_files),
        EACH(another_owner),
        EACH(a_life),
        EACH(the_serial_decides),
        EACH(lengths),
        EACH(not_mapped_does_nothing),
        EACH(reclaimed),
        EACH(reclaimed_by_the_mpm_child),
        EACH(not_the_successors),
        EACH(full),
        EACH(a_free_slot_left_odd),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
