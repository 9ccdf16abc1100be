/*
 * The boards' requests, and how one is shown.
 */
#include "now.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mo_board.h"
#include "mo_msg.h"
#include "mo_paths.h"

static void add(struct now_list *l, const char *board, const struct mo_slot *s)
{
    uint64_t now = mo_boottime();
    struct now_req *r, *same;

    l->r = cli_grown(l->r, l->n, &l->cap, sizeof *l->r);
    r = calloc(1, sizeof *r);
    if (!r)
        mo_fatal(CLI_TROUBLE, "out of memory");
    snprintf(r->key, sizeof r->key, "%.20s %" PRIu64, board, s->serial);
    r->pid = s->pid;
    r->tid = s->tid;
    r->ms = now > s->start ? (now - s->start) / 1000000 : 0;
    r->nameless = !s->origin_len || s->origin_len > sizeof s->origin ||
                  mo_origin_decode(s->origin, s->origin_len, &r->o) < 0;
    l->r[l->n++] = r;
    if (!r->nameless && r->o.id[0]) {
        HASH_FIND_STR(l->by_id, r->o.id, same);
        if (!same)
            HASH_ADD_KEYPTR(hh, l->by_id, r->o.id, strlen(r->o.id), r);
    }
}

/* the boards that are httpd's: of root or of our own user, as the recorder
 * takes them.  How many could be read. */
static int read_boards(struct now_list *l, int quiet)
{
    DIR *d = opendir(MO_BOARD_DIR);
    struct dirent *e;
    int n = 0;

    if (!d) {
        if (!quiet)
            mo_error("%s: %s (no httpd with mod_mailorigin has run here)",
                     MO_BOARD_DIR, strerror(errno));
        return -1;
    }
    while ((e = readdir(d)) != NULL) {
        static struct mo_slot slot;
        struct mo_board b;
        uint32_t index = 0;
        char path[4096];

        if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
            e->d_name[strspn(e->d_name, "0123456789")])
            continue;
        snprintf(path, sizeof path, "%s/%s", MO_BOARD_DIR, e->d_name);
        if (mo_board_map(&b, path, 0, geteuid()) < 0) {
            if (errno != ENOENT && !quiet)
                mo_warn("board %s: %s", path, strerror(errno));
            continue;
        }
        n++;
        while (mo_board_next(&b, 0, &index, &slot))
            add(l, e->d_name, &slot);
        mo_board_unmap(&b);
    }
    closedir(d);
    return n;
}

int now_boards(struct now_list *l)
{
    return read_boards(l, 0);
}

int now_has(const char *id)
{
    struct now_list l = {0};
    struct now_req *r;
    int has = 0;

    if (*id && read_boards(&l, 1) > 0) {
        HASH_FIND_STR(l.by_id, id, r);
        has = r != NULL;
    }
    now_free(&l);
    return has;
}

int now_wanted(const struct cli *c, const struct now_req *r)
{
    struct mo_record rec;

    memset(&rec, 0, sizeof rec);
    if (!c->nfilters)
        return 1;
    if (r->nameless)
        return 0;
    rec.value[MO_F_REQUEST_ID] = r->o.id;
    rec.value[MO_F_CLIENT] = r->o.client;
    rec.value[MO_F_VHOST] = r->o.vhost;
    rec.value[MO_F_METHOD] = r->o.method;
    rec.value[MO_F_URI] = r->o.uri;
    rec.value[MO_F_SCRIPT] = r->o.script;
    rec.value[MO_F_HANDLER] = r->o.handler;
    rec.value[MO_F_USER] = r->o.user;
    return cli_match(c, &rec);
}

int now_order(const void *a, const void *b)
{
    const struct now_req *const *x = a, *const *y = b;

    if ((*x)->mails != (*y)->mails)
        return (*x)->mails < (*y)->mails ? 1 : -1;
    return (*x)->ms < (*y)->ms ? 1 : (*x)->ms > (*y)->ms ? -1 : 0;
}

static void safe(const char *s)
{
    cli_print_safe(stdout, s[0] ? s : "-", s[0] ? strlen(s) : 1);
}

void now_print(const struct cli *c, const struct now_req *r, const char *change)
{
    const struct mo_origin *o = &r->o;
    char time[32];
    int first = 1;

    if (c->json) {
        putchar('{');
        if (change)
            cli_json_str(stdout, &first, "change", change);
        cli_json_num(stdout, &first, "pid", (uint64_t)r->pid);
        cli_json_num(stdout, &first, "tid", (uint64_t)r->tid);
        cli_json_num(stdout, &first, "milliseconds", r->ms);
        cli_json_num(stdout, &first, "mails", r->mails);
        if (!r->nameless) {
            mo_time_format(o->time_us, time);
            cli_json_str(stdout, &first, "request_id", o->id);
            cli_json_str(stdout, &first, "request_time", time);
            cli_json_str(stdout, &first, "client", o->client);
            cli_json_str(stdout, &first, "vhost", o->vhost);
            cli_json_str(stdout, &first, "method", o->method);
            cli_json_str(stdout, &first, "uri", o->uri);
            cli_json_str(stdout, &first, "script", o->script);
            cli_json_str(stdout, &first, "handler", o->handler);
            cli_json_str(stdout, &first, "user", o->user);
        }
        fputs("}\n", stdout);
        return;
    }
    if (change)
        printf("%-6s ", change);
    printf("%7d %8.1fs %s%6lu mails%s  ", r->pid, (double)r->ms / 1000,
           r->mails ? cli_bold(c) : "", r->mails, cli_plain(c));
    if (r->nameless) {
        puts("(MailOrigin Off)");
        return;
    }
    safe(o->client);
    putchar(' ');
    safe(o->vhost);
    putchar(' ');
    safe(o->method);
    putchar(' ');
    safe(o->uri);
    putchar(' ');
    safe(o->script);
    putchar('\n');
}

void now_free(struct now_list *l)
{
    size_t i;

    HASH_CLEAR(hh, l->by_id);
    for (i = 0; i < l->n; i++)
        free(l->r[i]);
    free(l->r);
    memset(l, 0, sizeof *l);
}
