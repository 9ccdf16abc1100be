/*
 * logs DIR GIGABYTES MAILS [SEED] - makes DIR/access.log of that size, in
 * combined format with our id at its end, over one day, out of order as slow
 * requests make it; and DIR/mail.log, the records of MAILS of its requests.
 * logs --records N - N records of a mail log to standard output.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mo_record.h"

#define T0 1795478400ull /* 2026-11-24 00:00 UTC */
#define DAY 86400ull
#define LINE 230 /* bytes of a line, about */

static unsigned long long state = 88172645463325252ull;

static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % n);
}

/* An id as mod_unique_id makes them: the time first, the rest looks random. */
static void make_id(char id[32], unsigned long long n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
                              "vwxyz0123456789@-";
    unsigned long long h = n;
    int i;

    memcpy(id, "aRq", 3);
    for (i = 3; i < 27; i++) {
        if ((i - 3) % 10 == 0) {
            h = (h + 0x9E3779B97F4A7C15ull) * 0xBF58476D1CE4E5B9ull;
            h ^= h >> 29;
        }
        id[i] = set[h >> (i - 3) % 10 * 6 & 63];
    }
    id[27] = '\0';
}

static void record(FILE *f, unsigned long long t, unsigned site, unsigned n,
                   const char *client, const char *id)
{
    char sent[32], asked[32];

    mo_time_format((t + rnd(3)) * 1000000 + rnd(1000000), sent);
    mo_time_format(t * 1000000 + rnd(1000000), asked);
    fprintf(f,
            "{\"time\":\"%s\",\"id\":\"%016x\",\"host\":\"web1.example\","
            "\"verdict\":\"%s\",\"evidence\":\"ancestry\","
            "\"action\":\"%s\",\"request_id\":\"%s\","
            "\"request_time\":\"%s\",\"client\":\"%s\","
            "\"vhost\":\"www.site%u.example\",\"method\":\"POST\","
            "\"uri\":\"/wp-content/plugins/p%u/x.php\","
            "\"script\":\"/srv/site%u/wp-content/plugins/p%u/x.php\","
            "\"handler\":\"application/x-httpd-php\",\"uid\":%u,\"gid\":33,"
            "\"pid\":%u,\"exe\":\"/usr/bin/php8.2\",\"mode\":\"t\","
            "\"envelope_from\":\"www@site%u.example\",\"recipients\":1,"
            "\"message_id\":\"<%08x@site%u.example>\",\"size\":%u}\n",
            sent, n, rnd(20) ? "verified" : "claimed",
            rnd(10) ? "passed" : "refused", id, asked, client, site, site % 7,
            site, site % 7, 1000 + site, 1000 + rnd(60000), site, n, site,
            600 + rnd(5000));
}

int main(int argc, char **argv)
{
    static const char *const agents[] = {
        "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 "
        "Firefox/131.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, "
        "like Gecko) Chrome/130.0.0.0 Safari/537.36",
        "Mozilla/5.0 (compatible; bot/2.1; +http://www.bot.example/bot.html)"};
    unsigned long long lines, i, t, every;
    char path[4096], day[64], client[32], id[32];
    unsigned mails, n = 0;
    FILE *a, *m;
    time_t s = 0;
    struct tm tm;

    if (argc == 3 && strcmp(argv[1], "--records") == 0) {
        mails = (unsigned)strtoul(argv[2], NULL, 10);
        for (n = 0; n < mails; n++) {
            snprintf(client, sizeof(client), "198.51.%u.%u", rnd(100),
                     rnd(250));
            make_id(id, n);
            record(stdout, T0 + DAY * n / mails, rnd(3000), n, client, id);
        }
        return fflush(stdout) != 0;
    }
    if (argc < 4) {
        fprintf(stderr, "usage: logs DIR GIGABYTES MAILS [SEED]\n"
                        "       logs --records N\n");
        return 2;
    }
    if (argc > 4) {
        state += strtoull(argv[4], NULL, 10) * 2654435761u;
    }
    lines = (unsigned long long)(strtod(argv[2], NULL) * 1e9 / LINE);
    mails = (unsigned)strtoul(argv[3], NULL, 10);
    every = mails ? lines / mails : lines + 1;
    snprintf(path, sizeof(path), "%s/access.log", argv[1]);
    a = fopen(path, "w");
    snprintf(path, sizeof(path), "%s/mail.log", argv[1]);
    m = fopen(path, "w");
    if (a == NULL || m == NULL) {
        perror(path);
        return 1;
    }
    setvbuf(a, NULL, _IOFBF, 1 << 20);
    for (i = 0; i < lines; i++) {
        int mail = every && i % every == every / 2 && n < mails;
        unsigned site = rnd(3000), late = rnd(100);

        t = T0 + DAY * i / lines;
        /* most end within their second, some took up to a minute */
        t -= late < 80 ? 0 : late < 99 ? rnd(5) : rnd(60);
        if ((time_t)t != s) {
            s = (time_t)t;
            gmtime_r(&s, &tm);
            strftime(day, sizeof(day), "%d/%b/%Y:%H:%M:%S +0000", &tm);
        }
        snprintf(client, sizeof(client), "%u.%u.%u.%u", 1 + rnd(220), rnd(256),
                 rnd(256), rnd(256));
        make_id(id, i);
        if (mail) {
            record(m, t, site, n++, client, id);
            fprintf(a,
                    "%s - - [%s] \"POST /wp-content/plugins/p%u/x.php "
                    "HTTP/1.1\" 200 %u \"-\" \"%s\" %s\n",
                    client, day, site % 7, rnd(100000), agents[rnd(3)], id);
            continue;
        }
        fprintf(a,
                "%s - - [%s] \"GET /page/%u/article-%u.html?ref=%u HTTP/1.1\" "
                "200 %u \"https://www.site%u.example/\" \"%s\" %s\n",
                client, day, rnd(1000), rnd(100000), rnd(50), rnd(100000), site,
                agents[rnd(3)], id);
    }
    return fclose(a) != 0 || fclose(m) != 0;
}
