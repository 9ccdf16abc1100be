/*
 * Times in access logs.
 */
#ifndef MO_CLI_LOG_TIME_H
#define MO_CLI_LOG_TIME_H

#include <stddef.h>
#include <stdint.h>

/* What the %t items of one line have told so far. */
struct log_when {
    int year, mon, day, hour, min, sec; /* -1: not told */
    int pm; /* 1: PM, 0: AM, -1: not told */
    int zone; /* minutes east; -10000: not told */
    int has_epoch;
    uint64_t epoch; /* s */
    uint32_t us;
    uint64_t unit; /* precision */
};
/* the last day and zone seen, whose line's neighbours have the same */
struct log_clock {
    char day[12];
    char zone[5];
    int64_t day_s, zone_s;
};

/* "dd/Mon/yyyy:HH:MM:SS +zzzz" of n >= 26 bytes; 0, or -1 */
int log_clf_time(struct log_clock *k, const char *p, uint64_t *us);
void log_when_start(struct log_when *w);
/* Reads p by %{format}t; returns what is past it, NULL: it is not so. */
const char *log_when_read(struct log_when *w, const char *format, const char *p,
                          const char *end);
/* 0, or -1: too little was told.  *other as in struct log_line. */
int log_when_end(const struct log_when *w, uint64_t *us, uint64_t *other);

#endif
