/*
 * Limits that the caller set low are raised as far as it may be while we
 * run, and put back before the real sendmail begins, which then sees what it
 * would have seen.
 */
#include "wrapper.h"

#include <signal.h>
#include <sys/resource.h>

static struct rlimit files, size;
static int files_raised, size_raised, xfsz_ignored;
static struct sigaction xfsz;

static int raise_limit(int what, struct rlimit *was)
{
    struct rlimit r;

    if (getrlimit((__rlimit_resource_t)what, was) < 0 ||
        was->rlim_cur >= was->rlim_max)
        return 0;
    r.rlim_cur = r.rlim_max = was->rlim_max;
    return setrlimit((__rlimit_resource_t)what, &r) == 0;
}

int sm_limits_files(void)
{
    if (files_raised)
        return 0;
    files_raised = raise_limit(RLIMIT_NOFILE, &files);
    return files_raised;
}

void sm_limits_size(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit now;

    if (size_raised || xfsz_ignored || getrlimit(RLIMIT_FSIZE, &now) < 0 ||
        now.rlim_cur == RLIM_INFINITY)
        return;
    size_raised = raise_limit(RLIMIT_FSIZE, &size);
    /* EFBIG is to be told by exit status, not by a signal */
    xfsz_ignored = sigaction(SIGXFSZ, &ignore, &xfsz) == 0;
}

void sm_limits_restore(void)
{
    if (files_raised)
        setrlimit(RLIMIT_NOFILE, &files);
    if (size_raised)
        setrlimit(RLIMIT_FSIZE, &size);
    if (xfsz_ignored)
        sigaction(SIGXFSZ, &xfsz, NULL);
    files_raised = size_raised = xfsz_ignored = 0;
}
