/*
 * Evidence by ancestry: the caller is below an httpd child, whose thread
 * that forked the process below it has a request on the board.
 *
 * A process that an older request left behind began before the request that
 * its thread serves now, so it names none.
 */
#include "rec.h"

#include <stdlib.h>
#include <string.h>

struct rec_evidence *rec_evidence_new(void)
{
    struct rec_evidence *e = calloc(1, sizeof *e);

    if (e != NULL)
        e->daemon = -1;
    return e;
}

void rec_evidence_clear(struct rec_evidence *e)
{
    unsigned i;

    for (i = 0; i < e->n && i < REC_CANDIDATES; i++)
        free(e->cand[i]);
    e->n = 0;
}

void rec_evidence_free(struct rec_evidence *e)
{
    unsigned i;

    if (e == NULL)
        return;
    rec_evidence_clear(e);
    for (i = 0; i < e->ntokens; i++)
        free(e->token[i].origin);
    free(e);
}

void rec_evidence_add(struct rec_evidence *e, const struct rec_board *b,
                      const struct mo_slot *s)
{
    struct rec_request *q;
    unsigned i;

    for (i = 0; i < e->n && i < REC_CANDIDATES; i++)
        if (e->cand[i]->board == b && e->cand[i]->serial == s->serial)
            return;
    if (e->n < REC_CANDIDATES) {
        q = malloc(sizeof *q + s->origin_len);
        if (q == NULL) { /* it is there, but can't be named */
            e->sure = 0;
            return;
        }
        q->board = b;
        q->serial = s->serial;
        q->start = s->start;
        q->last_pid = s->last_pid;
        q->len = s->origin_len;
        memcpy(q->origin, s->origin, s->origin_len);
        e->cand[e->n] = q;
    }
    e->n++;
}

int rec_all_after(const struct rec_chain *c, int i, uint64_t ns,
                  int32_t last_pid)
{
    for (; i >= 0; i--)
        if (!mo_began_after(c->p[i].start, c->p[i].pid, ns, last_pid))
            return 0;
    return 1;
}

static int has_slots(const struct rec_board *b, int32_t pid)
{
    struct mo_slot s;
    uint32_t i = 0;

    return mo_board_next(&b->map, pid, &i, &s);
}

/* The httpd child itself speaks: its thread is not known. */
static void itself(struct rec_evidence *e, const struct rec_board *b,
                   const struct mo_proc *x)
{
    struct mo_slot s;
    uint32_t i = 0;

    while (mo_board_next(&b->map, x->pid, &i, &s))
        rec_evidence_add(e, b, &s);
    e->sure = e->n == 1 && x->threads == 1;
}

static void below(struct rec *r, struct rec_evidence *e,
                  const struct rec_board *b, int at)
{
    const struct mo_proc *x = &e->chain.p[at];
    const struct mo_proc *top = &e->chain.p[at - 1];
    struct mo_slot s;
    uint32_t i = 0;

    while (mo_board_next(&b->map, x->pid, &i, &s)) {
        int after = rec_all_after(&e->chain, at - 1, s.start, s.last_pid);
        int forked = rec_proc_forked(&r->proc, x->pid, s.tid, top->pid);

        if (forked < 0 && x->threads == 1)
            forked = 1;
        if (forked == 1) {
            /* This thread's, whatever else there is.  One that began before
             * the request is an older one's, which has ended. */
            rec_evidence_clear(e);
            if (after)
                rec_evidence_add(e, b, &s);
            e->sure = e->n == 1;
            return;
        }
        if (after)
            rec_evidence_add(e, b, &s);
    }
    /* forked by a thread that serves no request itself: a helper's, of any
     * of these */
    e->sure = 0;
}

void rec_evidence_ancestry(struct rec *r, struct rec_evidence *e)
{
    int i;

    for (i = 0; i < REC_BOARDS; i++) {
        const struct rec_board *b = &r->boards.board[i];
        int parent;
        int at;

        if (b->source.fd < 0)
            continue;
        parent = rec_chain_find(&e->chain, b->parent);
        if (parent < 1 || e->chain.p[parent].start != b->start)
            continue;
        e->web = 1;
        e->board = b;
        at = parent - 1;
        /* mpm_itk: a process for each connection, below the MPM's child */
        if (!has_slots(b, e->chain.p[at].pid)) {
            if (at > 0 && has_slots(b, e->chain.p[at - 1].pid)) {
                at--;
            }
            else {
                if (rec_known_has(&r->boards.workers, e->chain.p[at].pid,
                                  e->chain.p[at].start))
                    e->worker = e->chain.p[at].pid;
                else
                    e->daemon = at;
                return;
            }
        }
        e->worker = e->chain.p[at].pid;
        rec_known_add(&r->boards.workers, e->chain.p[at].pid,
                      e->chain.p[at].start);
        if (at == 0)
            itself(e, b, &e->chain.p[0]);
        else
            below(r, e, b, at);
        if (e->n > 0)
            e->kind = REC_ANCESTRY;
        return;
    }
    for (i = 0; i < REC_BOARDS && !e->web; i++) {
        const struct rec_board *b = &r->boards.board[i];
        int j;

        if (b->source.fd < 0)
            continue;
        for (j = 1; j < e->chain.n && !e->web; j++)
            e->web = mo_board_is_listener(&b->map, e->chain.p[j].pid,
                                          e->chain.p[j].start);
    }
    for (i = 1; i < e->chain.n && !e->web; i++)
        e->web = rec_known_has(&r->boards.listeners, e->chain.p[i].pid,
                               e->chain.p[i].start);
}
