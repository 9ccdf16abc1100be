/*
 * lib/header.c: the field's form and its reading back when mangled; the head
 * filter over messages of every shape, given in pieces of every size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mo_head.h"
#include "mo_header.h"

#define ID "AbCdEf0123456_-x"

static void longest_line(const char *s, size_t max)
{
    while (*s) {
        size_t n = strcspn(s, "\n");

        assert_true(n <= max);
        s += n + (s[n] == '\n');
    }
}

static void test_format(void **state)
{
    char out[MO_HEADER_MAX], seal[300];
    struct mo_header h;
    size_t n, i;

    (void)state;
    for (i = 0; i < sizeof(seal) - 1; i++)
        seal[i] = (char)('a' + i % 26);
    seal[i] = '\0';
    n = mo_header_format(out, sizeof(out), "Mail-Origin", ID, NULL, 's', seal);
    assert_int_equal(n, strlen(out));
    assert_memory_equal(out, "Mail-Origin: v=1; id=" ID "; s=abc", 44);
    assert_int_equal(out[n - 1], '\n');
    assert_true(out[n - 2] != '\n');
    longest_line(out, 72);
    assert_int_equal(mo_header_parse(out + 12, n - 12, &h), 0);
    assert_string_equal(h.id, ID);
    assert_int_equal(h.tag, 's');
    assert_string_equal(h.seal, seal);

    n = mo_header_format(out, sizeof(out), "Mail-Origin", ID,
                         "vhost=www.example.org; ", 't', seal);
    longest_line(out, 72);
    assert_non_null(strstr(out, "vhost=www.example.org;"));
    assert_null(strstr(out, " \n"));
    assert_int_equal(mo_header_parse(out + 12, n - 12, &h), 0);
    assert_int_equal(h.tag, 't');
    assert_string_equal(h.seal, seal);

    n = mo_header_format(out, sizeof(out), "Mail-Origin", ID, NULL, 's', NULL);
    assert_string_equal(out, "Mail-Origin: v=1; id=" ID "\n");
    assert_int_equal(n, strlen(out));

    /* every size: it fits whole or is refused */
    for (i = 0; i < 420; i++) {
        char small[420];

        memset(small, '#', sizeof(small));
        n = mo_header_format(small, i, "Mail-Origin", ID, NULL, 's', seal);
        assert_true(n < (i ? i : 1));
        assert_int_equal(small[i], '#');
    }
}

static void test_parse(void **state)
{
    static const char *const same[] = {
        "v=1; id=" ID "; s=abcdef",
        " v=1;id=" ID ";s=abc\r\n\tdef\r\n",
        " v=1; id=AbCdEf01\n 23456_-x; s=a b c d e f",
        "v=1; id=" ID "; s=abc=\ndef",
        "v=3D1; id=3D" ID "; s=3Dabc=\r\ndef",
        "> v=1; id=" ID ";\n> \ts=abc\n> def",
        "v=1; id=" ID "; vhost=www.example.org; s=abcdef; s=zzz",
    };
    struct mo_header h;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(mo_header_parse(same[i], strlen(same[i]), &h), 0);
        assert_string_equal(h.id, ID);
        assert_int_equal(h.tag, 's');
        assert_string_equal(h.seal, "abcdef");
    }
    assert_int_equal(mo_header_parse("", 0, &h), -1);
    assert_int_equal(mo_header_parse("v=1", 3, &h), -1);
    assert_int_equal(mo_header_parse("v=1; id=short", 13, &h), -1);
    assert_int_equal(mo_header_parse("id=" ID ID, 35, &h), -1);
}

/* one that is longer than any of ours is cut, wherever it is folded */
static void test_parse_long(void **state)
{
    static char body[8000];
    struct mo_header h;
    size_t fold, i;

    (void)state;
    for (fold = 50; fold < 80; fold++) {
        memcpy(body, "v=1; s=", 7);
        for (i = 7; i < sizeof(body); i++)
            body[i] = i % fold ? (char)('a' + i % 26) : '\n';
        assert_int_equal(mo_header_parse(body, sizeof(body), &h), 0);
        assert_int_equal(strlen(h.seal), sizeof(h.seal) - 1);
        assert_null(strchr(h.seal, '\n'));
    }
}

struct sink {
    char buf[65536];
    size_t n;
};

static int put(void *arg, const char *p, size_t n)
{
    struct sink *s = arg;

    assert_true(s->n + n < sizeof(s->buf));
    memcpy(s->buf + s->n, p, n);
    s->n += n;
    s->buf[s->n] = '\0';
    return 0;
}

/* What the message becomes with the field "F" put where it belongs. */
static void stamp(const char *in, size_t len, size_t piece, enum mo_from from,
                  struct mo_head *h, char *out)
{
    static struct sink s;
    size_t pos = 0, used;
    int state = MO_HEAD_MORE;

    s.n = 0;
    s.buf[0] = '\0';
    mo_head_start(h, "Mail-Origin");
    h->from = from;
    while (pos < len && state == MO_HEAD_MORE) {
        size_t n = len - pos < piece ? len - pos : piece;

        state = mo_head_feed(h, in + pos, n, &used, put, &s);
        assert_true(state == MO_HEAD_DONE || used == n);
        pos += used;
    }
    if (state == MO_HEAD_MORE)
        assert_int_equal(mo_head_end(h, put, &s), 0);
    put(&s, in + pos, len - pos);
    assert_true(h->insert <= s.n);
    sprintf(out, "%.*s%s<F>%s%s%s", (int)h->insert, s.buf,
            h->break_before ? h->crlf ? "\r\n" : "\n" : "",
            h->crlf ? "\r\n" : "\n",
            h->blank_after ? h->crlf ? "\r\n" : "\n" : "", s.buf + h->insert);
}

static void test_head(void **state)
{
    static const struct {
        const char *in, *out;
        unsigned dropped;
        const char *subject, *id;
    } t[] = {
        {"", "<F>\n", 0, "", ""},
        {"\n", "<F>\n\n", 0, "", ""},
        {"\r\n", "<F>\r\n\r\n", 0, "", ""},
        {"\n\n\nx", "<F>\n\n\n\nx", 0, "", ""},
        {"To: a\n\nb\n", "<F>\nTo: a\n\nb\n", 0, "", ""},
        {"To: a\r\n\r\nb\r\n", "<F>\r\nTo: a\r\n\r\nb\r\n", 0, "", ""},
        {"To: a", "<F>\nTo: a", 0, "", ""},
        {"Hello\nTo: a\n", "<F>\n\nHello\nTo: a\n", 0, "", ""},
        {"Hello\r\nworld", "<F>\r\n\r\nHello\r\nworld", 0, "", ""},
        {"Hello", "<F>\n\nHello", 0, "", ""},
        {"Hello world: x\n", "<F>\n\nHello world: x\n", 0, "", ""},
        {": x\n", "<F>\n\n: x\n", 0, "", ""},
        {" lead\nTo: a\n\nb", "<F>\n\n lead\nTo: a\n\nb", 0, "", ""},
        {"\tlead\r\n", "<F>\r\n\r\n\tlead\r\n", 0, "", ""},
        {"From a b\nTo: a\n\nb", "From a b\n<F>\nTo: a\n\nb", 0, "", ""},
        {"From a b\n>From c\nTo: a\n", "From a b\n>From c\n<F>\nTo: a\n", 0, "",
         ""},
        {"From a\nTo: a\r\n\r\n", "From a\n<F>\r\nTo: a\r\n\r\n", 0, "", ""},
        {"From a", "From a\n<F>\n", 0, "", ""},
        {"From a\n", "From a\n<F>\n", 0, "", ""},
        {"From a\r\n", "From a\r\n<F>\r\n", 0, "", ""},
        {"From a\nHello\n", "From a\n<F>\n\nHello\n", 0, "", ""},
        {"From: a\nTo: b\n", "<F>\nFrom: a\nTo: b\n", 0, "", ""},
        {"From", "<F>\n\nFrom", 0, "", ""},
        {"To: a\nmail-ORIGIN: x\n y\n\tz\nCc: b\n\nMail-Origin: body\n",
         "<F>\nTo: a\nCc: b\n\nMail-Origin: body\n", 1, "", ""},
        {"Mail-Origin: x\nMail-Origin \t: y\nTo: a\n\n", "<F>\nTo: a\n\n", 2,
         "", ""},
        {"Mail-Origin: x\n y\nHello\n", "<F>\n\nHello\n", 1, "", ""},
        {"Mail-Origin: x\n\nb", "<F>\n\nb", 1, "", ""},
        {"Mail-Origin: x", "<F>\n", 1, "", ""},
        {"Mail-Origin", "<F>\n\nMail-Origin", 0, "", ""},
        {"Mail-Originx: x\nMail-Origi: y\n",
         "<F>\nMail-Originx: x\nMail-Origi: y\n", 0, "", ""},
        {"To: a\nHello\nMail-Origin: x\n",
         "<F>\nTo: a\nHello\nMail-Origin: x\n", 0, "", ""},
        {"\303\266: x\nMail-Origin: y\n\n", "<F>\n\303\266: x\n\n", 1, "", ""},
        {"Subject:  a\tb\n  c\r\nMessage-Id: <x@y>\nSubject: z\n\n",
         "<F>\nSubject:  a\tb\n  c\r\nMessage-Id: <x@y>\nSubject: z\n\n", 0,
         "a b c", "<x@y>"},
        {"\r", "<F>\n\n\r", 0, "", ""},
        {"To: a\n\rx", "<F>\nTo: a\n\rx", 0, "", ""},
    };
    char out[8192];
    struct mo_head h;
    size_t i, piece;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        for (piece = 1; piece < 30; piece++) {
            stamp(t[i].in, strlen(t[i].in), piece, MO_FROM_MANY, &h, out);
            assert_string_equal(out, t[i].out);
            assert_int_equal(h.dropped, t[i].dropped);
            assert_string_equal(h.subject, t[i].subject);
            assert_string_equal(h.message_id, t[i].id);
        }
    stamp("From a\nFrom b\nTo: c\n", 20, 100, MO_FROM_ONE, &h, out);
    assert_string_equal(out, "From a\n<F>\n\nFrom b\nTo: c\n");
    stamp(">From b\nTo: c\n", 14, 100, MO_FROM_ONE, &h, out);
    assert_string_equal(out, "<F>\n\n>From b\nTo: c\n");
    stamp(">From a\nFrom b\nTo: c\n", 21, 100, MO_FROM_QUOTED, &h, out);
    assert_string_equal(out, ">From a\nFrom b\n<F>\nTo: c\n");
    stamp(">>From a\nTo: c\n", 15, 100, MO_FROM_QUOTED, &h, out);
    assert_string_equal(out, "<F>\n\n>>From a\nTo: c\n");
    stamp("from a\nTo: c\n", 13, 100, MO_FROM_QUOTED, &h, out);
    assert_string_equal(out, "<F>\n\nfrom a\nTo: c\n");
    stamp("FROM a\n>fRom b\nTo: c\n", 21, 1, MO_FROM_QUOTED_ANY_CASE, &h, out);
    assert_string_equal(out, "FROM a\n>fRom b\n<F>\nTo: c\n");
    stamp("from a\nFROM:\n", 13, 100, MO_FROM_ANY_CASE, &h, out);
    assert_string_equal(out, "from a\n<F>\nFROM:\n");
    stamp(">From a\nTo: c\n", 14, 100, MO_FROM_ANY_CASE, &h, out);
    assert_string_equal(out, "<F>\n\n>From a\nTo: c\n");
    stamp("From\0a\nTo: c\n", 13, 100, MO_FROM_ANY_CASE, &h, out);
    assert_int_equal(h.insert, 0);
    stamp("From a\nTo: c\n", 13, 100, MO_FROM_NONE, &h, out);
    assert_string_equal(out, "<F>\n\nFrom a\nTo: c\n");
}

static void test_head_dated(void **state)
{
    static const struct {
        const char *line;
        int dated;
    } t[] = {
        {"From ph10 Fri Jan  5 12:35 GMT 1996\n", 1},
        {"From ph10 Fri, 7 Jan 97 14:00:00 GMT\n", 1},
        {"From ph10 Jan 5 1:3\n", 1},
        {"From a@b 7 Jan 1997 4:00\r\n", 1},
        {"From a@b 7 Jan 199 4:00\n", 0},
        {"From a\n", 0},
        {"From here to there\n", 0},
        {">From ph10 Fri Jan  5 12:35 GMT 1996\n", 0},
    };
    char in[200], out[8192], want[400];
    struct mo_head h;
    size_t i, piece;

    (void)state;
    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        for (piece = 1; piece < 60; piece += 7) {
            sprintf(in, "%sTo: x\n\n", t[i].line);
            stamp(in, strlen(in), piece, MO_FROM_DATED, &h, out);
            sprintf(want, "%s<F>\n%s%sTo: x\n\n", t[i].dated ? t[i].line : "",
                    t[i].dated ? "" : "\n", t[i].dated ? "" : t[i].line);
            assert_string_equal(out, want);
        }
}

static void test_head_long(void **state)
{
    static char in[20000], out[30000];
    struct mo_head h;
    size_t piece;

    (void)state;
    memset(in, 'x', sizeof(in));
    memcpy(in, "Subject: ", 9);
    memcpy(in + 5000, "\nMail-Origin:", 13);
    memcpy(in + 12000, "\n\n", 2);
    in[sizeof(in) - 1] = '\0';
    for (piece = 7; piece < 20000; piece *= 3) {
        stamp(in, strlen(in), piece, MO_FROM_MANY, &h, out);
        assert_int_equal(strlen(out), strlen(in) - 7000 + 4);
        assert_int_equal(strlen(h.subject), sizeof(h.subject) - 1);
        assert_int_equal(h.dropped, 1);
    }
    memset(in, 'x', sizeof(in) - 1); /* text without an end */
    stamp(in, strlen(in), 1000, MO_FROM_MANY, &h, out);
    assert_int_equal(h.blank_after, 1);
    assert_int_equal(strlen(out), strlen(in) + 5);
    memset(in, '>', sizeof(in) - 1);
    stamp(in, strlen(in), 1000, MO_FROM_MANY, &h, out);
    assert_int_equal(h.blank_after, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),     cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_long), cmocka_unit_test(test_head),
        cmocka_unit_test(test_head_dated), cmocka_unit_test(test_head_long),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
