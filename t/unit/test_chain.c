/*
 * The chain of parents: what was read a moment ago is taken for an ancestor,
 * never for the caller or its parent's number; read anew, it is as the kernel
 * has it now.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rec.h"

static struct rec_proc proc;

/* Ours is a, below it b, below it c, all asleep. */
static void make_three(pid_t pid[3])
{
    int p[2];

    assert_int_equal(pipe(p), 0);
    pid[0] = fork();
    assert_true(pid[0] >= 0);
    if (!pid[0]) {
        pid_t self[3] = {getpid(), 0, 0};

        alarm(60); /* where the test fails, too: it holds our output */
        self[1] = fork();
        if (!self[1]) {
            alarm(60);
            self[1] = getpid();
            self[2] = fork();
            if (!self[2])
                alarm(60);
            if (self[2] && write(p[1], self, sizeof self) != sizeof self)
                _exit(1);
        }
        pause();
        _exit(0);
    }
    assert_int_equal(read(p[0], pid, 3 * sizeof *pid), 3 * sizeof *pid);
    close(p[0]);
    close(p[1]);
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_parent_is_never_remembered(void **state)
{
    static struct rec_chain c;
    pid_t pid[3];

    (void)state;
    make_three(pid);
    rec_chain_read(&proc, &c, pid[2], 0);
    assert_int_equal(rec_chain_find(&c, pid[2]), 0);
    assert_int_equal(rec_chain_find(&c, pid[1]), 1);
    assert_int_equal(rec_chain_find(&c, pid[0]), 2);
    assert_int_equal(rec_chain_find(&c, getpid()), 3);
    assert_int_equal(c.gone, 0);
    end(pid[0]); /* b is ours then, and c is b's */
    end(pid[1]); /* c is ours */
    rec_chain_read(&proc, &c, pid[2], 0);
    assert_int_equal(rec_chain_find(&c, pid[1]), -1);
    assert_int_equal(rec_chain_find(&c, getpid()), 1);
    end(pid[2]);
    rec_chain_read(&proc, &c, pid[2], 0);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.gone, 1);
}

static void anew_it_is_as_it_is_now(void **state)
{
    static struct rec_chain c;
    pid_t pid[3];

    (void)state;
    make_three(pid);
    rec_chain_read(&proc, &c, pid[2], 0);
    assert_int_equal(rec_chain_find(&c, pid[0]), 2);
    end(pid[0]);
    rec_chain_read(&proc, &c, pid[2], 1);
    assert_int_equal(c.gone, 0);
    assert_int_equal(rec_chain_find(&c, pid[1]), 1);
    assert_int_equal(rec_chain_find(&c, pid[0]), -1);
    assert_int_equal(rec_chain_find(&c, getpid()), 2);
    end(pid[1]);
    end(pid[2]);
}

/* Not for longer than a moment, whoever asks. */
static void a_moment_ends(void **state)
{
    static struct rec_chain c;
    pid_t pid[3];

    (void)state;
    make_three(pid);
    rec_chain_read(&proc, &c, pid[2], 0);
    end(pid[0]);
    usleep(30000);
    rec_chain_read(&proc, &c, pid[2], 0);
    assert_int_equal(rec_chain_find(&c, pid[0]), -1);
    assert_int_equal(rec_chain_find(&c, getpid()), 2);
    end(pid[1]);
    end(pid[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parent_is_never_remembered),
        cmocka_unit_test(anew_it_is_as_it_is_now),
        cmocka_unit_test(a_moment_ends),
    };

    /* orphans are ours, whoever else is above us */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) || rec_proc_open(&proc))
        return 1;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
