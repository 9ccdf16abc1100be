/*
 * Feeds files to a fuzz target without a fuzzer: the seeds, and every input
 * that once broke something, on each run of the tests.
 *
 *   replay FILE|DIR…      one "ok" a file, as TAP; a crash ends it, and the
 *                         last line on stderr names the file
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned number, failed;

static void result(int good, const char *path, const char *why)
{
    printf("%sok %u - %s%s%s\n", good ? "" : "not ", ++number, path,
           why ? ": " : "", why ? why : "");
    fflush(stdout);
    failed += !good;
}

static void one_file(const char *path, size_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data;
    size_t n;

    if (!f || size > INPUT_MAX) {
        result(0, path, f ? "too large" : strerror(errno));
        if (f)
            fclose(f);
        return;
    }
    /* of its exact size, so that ASan sees a step past its end */
    data = malloc(size ? size : 1);
    if (!data) {
        fclose(f);
        result(0, path, "out of memory");
        return;
    }
    n = fread(data, 1, size, f);
    fclose(f);
    if (n == size) {
        fprintf(stderr, "# %s\n", path);
        LLVMFuzzerTestOneInput(data, size);
        result(1, path, NULL);
    }
    else
        result(0, path, "could not be read");
    free(data);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void one(const char *path)
{
    struct dirent **list;
    char *name;
    struct stat st;
    int n, i;

    if (stat(path, &st)) {
        result(0, path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        one_file(path, (size_t)st.st_size);
        return;
    }
    n = scandir(path, &list, visible, alphasort);
    if (n <= 0) {
        result(0, path, n ? strerror(errno) : "there is no file in it");
        return;
    }
    for (i = 0; i < n; i++) {
        if (asprintf(&name, "%s/%s", path, list[i]->d_name) > 0) {
            one(name);
            free(name);
        }
        free(list[i]);
    }
    free(list);
}

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++)
        one(argv[i]);
    printf("1..%u\n", number);
    return failed || !number;
}
