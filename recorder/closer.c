/*
 * Closing what a stranger chose may wait: for a FUSE server (its flush), for
 * a TCP socket that lingers, or for one of these that lies unread in a unix
 * socket.  So it is closed on threads.  One uid keeps at most OF_ONE of them
 * busy; what it sends beyond is not even read, since the kernel closes on our
 * thread what it can't deliver.  Threads that have just begun will be done in
 * a moment; those that have not for STUCK_NS are what a stranger keeps busy.
 */
#include "rec.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#define CLOSERS 64
#define OF_ONE 8
#define STUCK_NS 1000000000ull

struct rec_closer {
    uint32_t uid; /* whose descriptors it closes */
    int running;
    int busy; /* cleared by the thread */
    uint64_t since; /* boot time, ns */
    unsigned n;
    int fd[MO_WIRE_FDS];
    sem_t go;
};
static struct rec_closer closers[CLOSERS];
static unsigned busy; /* as many at most */

static void *run(void *arg)
{
    struct rec_closer *c = arg;
    unsigned i;

    for (;;) {
        while (sem_wait(&c->go) != 0)
            ;
        for (i = 0; i < c->n; i++)
            close(c->fd[i]);
        __atomic_sub_fetch(&busy, 1, __ATOMIC_RELEASE);
        __atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
    }
    return NULL;
}

static int start(struct rec_closer *c)
{
    pthread_attr_t attr;
    pthread_t t;
    int rc;

    if (c->running)
        return 0;
    if (sem_init(&c->go, 0, 0) != 0)
        return -1;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 65536);
    rc = pthread_create(&t, &attr, run, c);
    pthread_attr_destroy(&attr);
    c->running = rc == 0;
    return rc == 0 ? 0 : -1;
}

struct rec_closer *rec_closer_for(uint32_t uid, uint64_t now, int *stuck)
{
    struct rec_closer *found = NULL;
    unsigned own = 0;
    unsigned own_stuck = 0;
    unsigned i;

    *stuck = 0;
    if (__atomic_load_n(&busy, __ATOMIC_ACQUIRE) == 0) {
        found = &closers[0]; /* its flag is cleared in a moment */
        if (__atomic_load_n(&found->busy, __ATOMIC_ACQUIRE) == 0)
            return start(found) == 0 ? found : NULL;
        found = NULL;
    }
    for (i = 0; i < CLOSERS; i++) {
        struct rec_closer *c = &closers[i];

        if (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE) == 0) {
            if (found == NULL)
                found = c;
        }
        else if (c->uid == uid) {
            own++;
            own_stuck += now - c->since > STUCK_NS && now > c->since;
        }
    }
    *stuck = own_stuck >= OF_ONE;
    if (own >= OF_ONE)
        return NULL;
    return found != NULL && start(found) == 0 ? found : NULL;
}

void rec_closer_close(struct rec_closer *c, uint32_t uid, uint64_t now,
                      const int *fd, unsigned n)
{
    c->uid = uid;
    c->since = now;
    c->n = n;
    memcpy(c->fd, fd, n * sizeof *fd);
    __atomic_add_fetch(&busy, 1, __ATOMIC_ACQUIRE);
    __atomic_store_n(&c->busy, 1, __ATOMIC_RELEASE);
    sem_post(&c->go);
}
