/*
 * One gzip member after another, by ISA-L where it is there (three times
 * zlib's speed), else by zlib.
 */
#ifndef MO_CLI_GUNZIP_H
#define MO_CLI_GUNZIP_H

#include <stddef.h>

struct gunzip;
struct gunzip *gunzip_new(void); /* NULL: no memory */
void gunzip_free(struct gunzip *g);
/*
 * Inflates from in[0..*n) into out[0..*size): sets both to what was taken and
 * what was made.  1: the member is complete, and the next begins with what
 * was not taken; 0: go on; -1: it is damaged, *why says how.
 */
int gunzip_run(struct gunzip *g, const unsigned char *in, size_t *n, char *out,
               size_t *size, const char **why);

#endif
