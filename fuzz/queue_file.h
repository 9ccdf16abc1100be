/*
 * The readers of Exim's and Sendmail's queue files: no file may make one read
 * past its end, run on for ever, or leave a string without its NUL.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct queue_want want = {"Mail-Origin", 1};
    static struct queue_mail m;
    struct queue_src s;
    struct queue_src body;

    queue_mail_init(&m, MTA);
    queue_src_mem(&s, data, size);
    /* the same bytes as the body, too */
    queue_src_mem(&body, data, size);
    PARSE(&s, &body, &want, &m);
    if (!memchr(m.sender, 0, sizeof m.sender) ||
        !memchr(m.rcpts, 0, sizeof m.rcpts) ||
        !memchr(m.subject, 0, sizeof m.subject) ||
        !memchr(m.message_id, 0, sizeof m.message_id) ||
        !memchr(m.stamp.seal, 0, sizeof m.stamp.seal))
        abort();
    return 0;
}
