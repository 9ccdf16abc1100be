/*
 * mo_board.h's readers: what a scribbler can do to them, the listeners seen,
 * the clock that processes and requests are compared by.
 */
#include "board.h"

/* ---- scribbles */

static uint32_t seed = 1;
static uint32_t chance(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static void scribbled(void **state)
{
    struct mo_board_use use;
    struct mo_board b;
    struct mo_slot *s, out;
    uint64_t me = (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)gettid();
    uint32_t i, k, n;
    char *p;

    (void)state;
    make(&b, 16);
    for (k = 0; k < 300; k++) {
        for (p = (char *)b.head; p < (char *)b.head + b.size; p += 4) {
            n = chance() << 12 ^ chance();
            memcpy(p, &n, 4);
        }
        for (i = 0; i < b.nslots; i++) {
            if (chance() & 1)
                b.owner[i] = me;
            if (chance() & 1) {
                raw(&b, i)->pid = getpid();
                raw(&b, i)->tid = gettid();
                raw(&b, i)->seq &= ~1u;
            }
        }
        n = 0;
        for (i = 0; mo_board_next(&b, 0, &i, &out); n++)
            assert_true(out.origin_len <= MO_ORIGIN_MAX);
        assert_true(n <= b.nslots);
        if (mo_board_find(&b, getpid(), gettid(), &out)) {
            assert_int_equal(out.pid, getpid());
            assert_int_equal(out.tid, gettid());
        }
        mo_board_is_listener(&b, 5, 5);
        mo_board_listener(&b, (int32_t)k + 1, 1, 1);
        mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
        mo_board_origin(&b, &use, "y", 1);
        mo_board_end(&b, &use);
        mo_board_reclaim(&b, 1);
    }
    /* a length that is none leaves a request that is there, with no name */
    memset(b.owner, 0, b.nslots * sizeof *b.owner);
    mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
    assert_true(use.serial > 0);
    s = raw(&b, use.index);
    s->origin_len = UINT32_MAX;
    assert_int_equal(mo_board_read(&b, use.index, &out), 1);
    assert_int_equal(out.origin_len, 0);
    /* one that says it is another's is nobody's */
    s->pid++;
    assert_int_equal(mo_board_read(&b, use.index, &out), 0);
    s->pid--;
    s->serial = 0;
    assert_int_equal(mo_board_read(&b, use.index, &out), 0);
    /* nor one that is always being written */
    s->serial = 1;
    assert_int_equal(mo_board_read(&b, use.index, &out), 1);
    s->seq |= 1;
    assert_int_equal(mo_board_read(&b, use.index, &out), 0);
    mo_board_unmap(&b);
}

/* A pid that came round again before its last bearer's slot was reclaimed:
 * the later request is the living one's. */
static void two_slots_of_one_thread(void **state)
{
    struct mo_board b;
    struct mo_slot s;
    uint32_t i;

    (void)state;
    make(&b, 3);
    for (i = 0; i < 3; i++) {
        b.owner[i] = 7ull << 32 | 8;
        raw(&b, i)->pid = 7;
        raw(&b, i)->tid = 8;
        raw(&b, i)->serial = i == 1 ? 20 : 10 + i;
    }
    assert_int_equal(mo_board_find(&b, 7, 8, &s), 1);
    assert_int_equal(s.serial, 20);
    raw(&b, 1)->seq |= 1;
    assert_int_equal(mo_board_find(&b, 7, 8, &s), 1);
    assert_int_equal(s.serial, 12);
    raw(&b, 0)->seq |= 1;
    raw(&b, 2)->seq |= 1;
    assert_int_equal(mo_board_find(&b, 7, 8, &s), 0);
    mo_board_unmap(&b);
}

/* ---- listeners */

static void listeners(void **state)
{
    struct mo_board b;
    int32_t i;

    (void)state;
    make(&b, 1);
    assert_int_equal(mo_board_is_listener(&b, 10, 0), 0);
    mo_board_listener(&b, 0, 0, 0);
    assert_int_equal(b.head->nlisteners, 0);
    assert_int_equal(mo_board_is_listener(&b, 0, 0), 0);
    mo_board_listener(&b, 10, 33, 500);
    mo_board_listener(&b, 10, 33, 500);
    assert_int_equal(b.head->nlisteners, 1);
    assert_int_equal(mo_board_is_listener(&b, 10, 500), 1);
    assert_int_equal(mo_board_is_listener(&b, 10, 0), 1);
    assert_int_equal(mo_board_is_listener(&b, 10, 501), 0);
    assert_int_equal(mo_board_is_listener(&b, 11, 0), 0);
    mo_board_listener(&b, 11, 33, 0);
    assert_int_equal(mo_board_is_listener(&b, 11, 77), 1);
    /* the oldest make way */
    for (i = 0; i < MO_BOARD_LISTENERS; i++)
        mo_board_listener(&b, 100 + i, 1, 1);
    assert_int_equal(mo_board_is_listener(&b, 10, 0), 0);
    for (i = 0; i < MO_BOARD_LISTENERS; i++)
        assert_int_equal(mo_board_is_listener(&b, 100 + i, 1), 1);
    mo_board_unmap(&b);
}

/* ---- the clock */

static int32_t pid_max(void)
{
    FILE *f = fopen("/proc/sys/kernel/pid_max", "r");
    int n = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    fclose(f);
    return n;
}

static void began_after(void **state)
{
    uint64_t tick = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    int32_t max = pid_max();

    (void)state;
    /* by the tick */
    assert_int_equal(mo_began_after(101, 5, 100 * tick, 9), 1);
    assert_int_equal(mo_began_after(99, 500, 100 * tick, 9), 0);
    assert_int_equal(mo_began_after(101, 5, 101 * tick - 1, 9), 1);
    assert_int_equal(mo_began_after(99, 500, 99 * tick + tick, 9), 0);
    /* in one tick: by the pid */
    assert_int_equal(mo_began_after(100, 501, 100 * tick, 500), 1);
    assert_int_equal(mo_began_after(100, 500, 100 * tick, 500), 0);
    assert_int_equal(mo_began_after(100, 499, 100 * tick, 500), 0);
    assert_int_equal(mo_began_after(100, 501, 101 * tick - 1, 500), 1);
    assert_int_equal(mo_began_after(100, 600, 100 * tick + tick / 2, 500), 1);
    /* pids go round */
    assert_int_equal(mo_began_after(100, 300, 100 * tick, max - 1), 1);
    assert_int_equal(mo_began_after(100, 305, 100 * tick, max - 2), 1);
    assert_int_equal(mo_began_after(100, max - 1, 100 * tick, 300), 0);
    assert_int_equal(mo_began_after(100, max - 2, 100 * tick, 305), 0);
    /* early in a pid namespace there are small ones too */
    assert_int_equal(mo_began_after(100, 7, 100 * tick, 6), 1);
    assert_int_equal(mo_began_after(100, 6, 100 * tick, 7), 0);
    /* not known: not trusted */
    assert_int_equal(mo_began_after(100, 501, 100 * tick, 0), 0);
    assert_int_equal(mo_began_after(100, 0, 100 * tick, 500), 0);
    assert_int_equal(mo_began_after(100, -1, 100 * tick, 500), 0);
}

/* With true processes, whichever tick they fall in. */
static void began_after_for_true(void **state)
{
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC), i;
    int other = mo_last_pid_open();
    unsigned long long start;
    uint64_t before, after;
    int32_t last, last_after;
    char name[64], text[1024], *p;
    pid_t pid;
    FILE *f;

    (void)state;
    assert_true(fd >= 0);
    assert_true(other >= 0);
    for (i = 0; i < 50; i++) {
        last = mo_last_pid(i % 3 ? i % 3 == 1 ? fd : other : -1);
        before = mo_boottime();
        pid = fork();
        if (!pid) {
            pause();
            _exit(0);
        }
        after = mo_boottime();
        last_after = mo_last_pid(fd);
        snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
        f = fopen(name, "r");
        assert_non_null(f);
        assert_non_null(fgets(text, sizeof text, f));
        fclose(f);
        p = strrchr(text, ')') + 2;
        assert_int_equal(sscanf(p,
                                "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                                "%*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                                &start),
                         1);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        assert_true(last > 0);
        assert_int_equal(mo_began_after(start, pid, before, last), 1);
        assert_int_equal(mo_began_after(start, pid, after, last_after), 0);
    }
    close(fd);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(scribbled),
        EACH(two_slots_of_one_thread),
        EACH(listeners),
        cmocka_unit_test(began_after),
        cmocka_unit_test(began_after_for_true),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("board_read", tests, NULL, NULL);
}
