/*
 * log --access: the mail log and the access logs joined in bulk.  Records are
 * taken in batches, so that memory stays the same however long the logs are;
 * a batch is a stretch of time, of which alone plain logs are read.
 */
#include "correlate.h"
#include "log_print.h"

#include <stdlib.h>
#include <string.h>

#include "mo_msg.h"

#define BATCH 50000 /* records */
#define BLOCK (1u << 20) /* of their bytes */

struct block {
    struct block *next;
    size_t used;
    char bytes[BLOCK];
};

/* A record in a block: for each value its field's number, the value and its
 * NUL; 0xFF at the end. */
struct batch {
    struct cli *c;
    int csv;
    int (*stop)(void);
    struct block *blocks, *free;
    char **record;
    struct cli_want *want;
    size_t n;
    unsigned long total;
    int noted, rc;
};

static char *take(struct batch *b, size_t n)
{
    struct block *k = b->blocks;

    if (k == NULL || k->used + n > BLOCK) {
        if ((k = b->free) != NULL) {
            b->free = k->next;
        }
        else if ((k = malloc(sizeof(*k))) == NULL) {
            return NULL;
        }
        k->used = 0;
        k->next = b->blocks;
        b->blocks = k;
    }
    k->used += n;
    return k->bytes + k->used - n;
}

static void unpack(char *p, struct mo_record *r)
{
    memset(r, 0, sizeof(*r));
    for (; (unsigned char)*p != 0xFF; p += strlen(p) + 1) {
        enum mo_field f = (enum mo_field)(unsigned char)*p++;

        r->value[f] = p;
    }
}

static char *pack(struct batch *b, const struct mo_record *r)
{
    size_t n = 1, i, len;
    char *p, *start;

    for (i = 0; i < MO_F_COUNT; i++) {
        n += r->value[i] ? strlen(r->value[i]) + 2 : 0;
    }
    if ((p = start = take(b, n)) == NULL) {
        return NULL;
    }
    for (i = 0; i < MO_F_COUNT; i++) {
        if (r->value[i]) {
            *p++ = (char)i;
            len = strlen(r->value[i]) + 1;
            memcpy(p, r->value[i], len);
            p += len;
        }
    }
    *p = (char)0xFF;
    return start;
}

/* ---- printing */

static void print(const struct batch *b, size_t at)
{
    const struct cli_want *w = &b->want[at];
    const char *match = cli_match_name(w->match);
    const struct cli_hit *h = w->hits;
    struct mo_record r;
    int first = 1;

    unpack(b->record[at], &r);
    if (b->c->json) {
        putchar('{');
        cli_json_record(stdout, &first, &r);
        cli_json_str(stdout, &first, "access_match", match);
        fputs(",\"access_lines\":[", stdout);
        for (; h; h = h->next) {
            cli_json_text(stdout, h->line);
            fputs(h->next ? "," : "", stdout);
        }
        fputs("]}\n", stdout);
        return;
    }
    if (b->csv) {
        do {
            log_csv(&r);
            printf(",%s,", match);
            if (h) {
                log_csv_value(h->line, strlen(h->line));
                h = h->next;
            }
            putchar('\n');
        } while (h);
        return;
    }
    log_text(b->c, &r);
    putchar('\n');
    if (w->time_us == 0) {
        return; /* no request: there is no line to look for */
    }
    if (h == NULL) {
        printf("    %s\n", match);
    }
    for (; h; h = h->next) {
        printf("    %s ", match);
        cli_print_safe(stdout, h->line, strlen(h->line));
        putchar('\n');
    }
    if (w->nhits > CLI_HITS) {
        printf("    and %u more\n", w->nhits - CLI_HITS);
    }
}

/* Looks for the lines of what is in the batch, prints it and empties it. */
static void flush(struct batch *b)
{
    struct cli_found found;
    struct block *k;
    struct mo_record r;
    size_t i, looked = 0;

    memset(&found, 0, sizeof(found));
    for (i = 0; i < b->n; i++) {
        unpack(b->record[i], &r);
        cli_want_set(&b->want[i], &r);
        looked += b->want[i].time_us != 0;
    }
    if (looked && cli_correlate(b->c, b->want, b->n, &found) != 0) {
        b->rc = -1;
    }
    for (i = 0; i < b->n && b->rc == 0 && !b->stop() && !ferror(stdout); i++) {
        print(b, i);
    }
    b->total += i;
    if (b->c->verbose || !b->noted) {
        cli_found_say(b->c, &found);
    }
    b->noted |= looked != 0;
    cli_found_free(&found, b->want, b->n);
    while ((k = b->blocks) != NULL) {
        b->blocks = k->next;
        k->next = b->free;
        b->free = k;
    }
    b->n = 0;
}

static int on_record(void *arg, struct mo_record *r)
{
    struct batch *b = arg;

    if ((b->record[b->n] = pack(b, r)) == NULL) {
        mo_error("out of memory");
        b->rc = -1;
        return 1;
    }
    if (++b->n == BATCH) {
        flush(b);
    }
    return b->rc != 0 || b->stop() || ferror(stdout);
}

int log_access(struct cli *c, int csv, int (*stop)(void), unsigned long *n,
               unsigned long *bad)
{
    struct batch b = {.c = c, .csv = csv, .stop = stop};
    struct block *k;

    b.record = calloc(BATCH, sizeof(*b.record));
    b.want = calloc(BATCH, sizeof(*b.want));
    if (b.record == NULL || b.want == NULL) {
        mo_error("out of memory");
        b.rc = -1;
    }
    else if (cli_records(c, on_record, &b, bad) != 0) {
        b.rc = -1;
    }
    else if (b.n && b.rc == 0 && !stop()) {
        flush(&b);
    }
    while ((k = b.free) != NULL) {
        b.free = k->next;
        free(k);
    }
    while ((k = b.blocks) != NULL) {
        b.blocks = k->next;
        free(k);
    }
    free(b.record);
    free(b.want);
    *n = b.total;
    return b.rc;
}
