/*
 * mo_board.h, with many at once: readers never take half of one origin and
 * half of another's; a late end() on another thread never frees the next
 * request's slot; children killed anywhere leave nothing taken.
 */
#include "board.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#define ENOUGH 3000 /* good reads, after which a test has seen enough */

static int stop;

static int stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static int late(time_t since)
{
    return time(NULL) > since + 30;
}

/* Writes origins and connections of one letter each, lengths all about. */
static void write_letters(struct mo_board *b, int (*done)(void))
{
    unsigned char origin[MO_ORIGIN_MAX];
    struct mo_board_use use;
    struct mo_conn conn;
    unsigned n = 0;
    size_t len;
    int c;

    while (!done()) {
        c = 'a' + n++ % 26;
        len = 1 + n * 131 % MO_ORIGIN_MAX;
        memset(origin, c, len);
        memset(&conn, c, sizeof conn);
        mo_board_begin(b, c, geteuid(), (uint64_t)c, c, origin, len, &use);
        mo_board_conn(b, &use, &conn);
        c = 'a' + n++ % 26;
        memset(origin, c, len);
        mo_board_origin(b, &use, origin, len / 2 + 1);
        if (n % 16 == 0)
            mo_board_end(b, &use);
        /* readers need a moment in which nobody writes */
        if (n % 4 == 0)
            sched_yield();
    }
    mo_board_end(b, &use);
}

static void whole(const struct mo_slot *s)
{
    const unsigned char *p = (const unsigned char *)&s->conn;
    uint32_t i;

    assert_in_range(s->child, 'a', 'z');
    assert_int_equal(s->start, s->child);
    assert_int_equal(s->last_pid, s->child);
    assert_in_range(s->origin_len, 1, MO_ORIGIN_MAX);
    for (i = 1; i < s->origin_len; i++)
        assert_int_equal(s->origin[i], s->origin[0]);
    assert_true(p[0] == 0 || p[0] == s->child);
    for (i = 1; i < sizeof s->conn; i++)
        assert_int_equal(p[i], p[0]);
}

static void *writer_thread(void *arg)
{
    write_letters(arg, stopped);
    return NULL;
}

static void read_letters(struct mo_board *b)
{
    time_t since = time(NULL);
    struct mo_slot s;
    unsigned good = 0;
    uint32_t i;

    while (good < ENOUGH && !late(since))
        for (i = 0; mo_board_next(b, 0, &i, &s); good++)
            whole(&s);
    /* a machine that is too slow for all of them is none that fails */
    assert_true(good > 0);
}

static void torn_by_threads(void **state)
{
    pthread_t t[3];
    struct mo_board b, r;
    int i;

    (void)state;
    make(&b, 4);
    assert_int_equal(mo_board_map(&r, path, 0, geteuid()), 0);
    stop = 0;
    for (i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&t[i], NULL, writer_thread, &b), 0);
    read_letters(&r);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(in_use(&b), 0);
    assert_int_equal(b.head->full, 0);
    mo_board_unmap(&r);
    mo_board_unmap(&b);
}

static int orphaned(void)
{
    return getppid() == 1;
}

static void torn_by_a_process(void **state)
{
    struct mo_board b;
    pid_t pid;

    (void)state;
    make(&b, 4);
    pid = fork();
    if (!pid) {
        write_letters(&b, orphaned); /* until it is killed */
        _exit(0);
    }
    read_letters(&b);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    mo_board_reclaim(&b, pid);
    assert_int_equal(in_use(&b), 0);
    mo_board_unmap(&b);
}

/* Uses that one thread makes and another ends, late. */
#define ROUNDS 2000
struct line {
    struct mo_board *b;
    struct mo_board_use use[ROUNDS];
    unsigned made;
    unsigned lost;
};

static void *maker(void *arg)
{
    struct line *l = arg;
    struct mo_slot s;
    unsigned i;

    for (i = 0; i < ROUNDS; i++) {
        mo_board_begin(l->b, 1, geteuid(), i, 1, &i, sizeof i, &l->use[i]);
        __atomic_store_n(&l->made, i ? i : 1, __ATOMIC_RELEASE);
        /* the one before is being ended just now; this one stays */
        if (!mo_board_find(l->b, getpid(), gettid(), &s) || s.start != i ||
            memcmp(s.origin, &i, sizeof i) != 0)
            l->lost++;
        if (i % 8 == 0)
            sched_yield();
    }
    __atomic_store_n(&l->made, ROUNDS, __ATOMIC_RELEASE);
    return NULL;
}

static void *ender(void *arg)
{
    struct line *l = arg;
    unsigned done = 0, made;

    while (done < ROUNDS) {
        made = __atomic_load_n(&l->made, __ATOMIC_ACQUIRE);
        if (done >= made)
            sched_yield();
        for (; done < made; done++)
            mo_board_end(l->b, &l->use[done]);
    }
    return NULL;
}

static void late_ends(void **state)
{
    static struct line line[4];
    pthread_t t[8];
    struct mo_board b;
    int i;

    (void)state;
    make(&b, 16);
    memset(line, 0, sizeof line);
    for (i = 0; i < 4; i++) {
        line[i].b = &b;
        assert_int_equal(pthread_create(&t[2 * i], NULL, maker, &line[i]), 0);
        assert_int_equal(pthread_create(&t[2 * i + 1], NULL, ender, &line[i]),
                         0);
    }
    for (i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    for (i = 0; i < 4; i++)
        assert_int_equal(line[i].lost, 0);
    assert_int_equal(in_use(&b), 0);
    assert_int_equal(b.head->full, 0);
    assert_int_equal(b.head->serial, 4 * ROUNDS);
    mo_board_unmap(&b);
}

/* Children that begin and end as fast as they can, killed somewhere in it. */
static void killed(void **state)
{
    int *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned char origin[2048] = {0};
    struct mo_board_use use;
    struct mo_board b;
    uint32_t i;
    pid_t pid;
    int k;

    (void)state;
    assert_ptr_not_equal(count, MAP_FAILED);
    make(&b, 3);
    for (k = 0; k < 200; k++) {
        *count = 0;
        pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            for (;;) {
                mo_board_begin(&b, getpid(), geteuid(), 1, 1, origin,
                               sizeof origin, &use);
                __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
                mo_board_end(&b, &use);
            }
        }
        while (__atomic_load_n(count, __ATOMIC_RELAXED) < k)
            sched_yield();
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        mo_board_reclaim(&b, pid);
        assert_int_equal(in_use(&b), 0);
        assert_int_equal(b.head->full, 0);
    }
    /* and each slot is as good as ever */
    for (i = 0; i < b.nslots; i++) {
        mo_board_begin(&b, 1, geteuid(), 1, 1, "x", 1, &use);
        assert_true(use.serial > 0);
        /* as if it were another thread's */
        b.owner[use.index] = (uint64_t)(uint32_t)getpid() << 32 | 1;
    }
    assert_int_equal(in_use(&b), b.nslots);
    mo_board_unmap(&b);
    munmap(count, 4096);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EACH(torn_by_threads),
        EACH(torn_by_a_process),
        EACH(late_ends),
        EACH(killed),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("board, many at once", tests, NULL,
                                       NULL);
}
