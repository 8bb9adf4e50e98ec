/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target without a fuzzing engine: runs it once on each file given, and on each file of each directory given.
 * Any compiler builds it, and it runs under Valgrind and in a debugger.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* A target may have one. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned long inputs;

static void fail(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(2);
}

/* The copy has exactly the input's size, so that a read past its end is seen. */
static void replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);

    if (!file || !data || fread(data, 1, size, file) != size) {
        fail(path);
    }
    fclose(file);
    if (isatty(STDOUT_FILENO)) {
        printf("\r%lu", inputs);
        fflush(stdout);
    }
    if (LLVMFuzzerTestOneInput(data, size) != 0) {
        fprintf(stderr, "replay: %s: the target did not return 0\n", path);
        exit(1);
    }
    inputs++;
    free(data);
}

static void replay(const char *path, int inside)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        fail(path);
    }
    if (S_ISREG(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
    } else if (S_ISDIR(st.st_mode) && !inside) {
        struct dirent **names;
        int nr = scandir(path, &names, NULL, alphasort);

        if (nr < 0) {
            fail(path);
        }
        for (int i = 0; i < nr; i++) {
            size_t len = strlen(path) + strlen(names[i]->d_name) + 2;
            char *name = malloc(len);

            if (!name) {
                fail(path);
            }
            snprintf(name, len, "%s/%s", path, names[i]->d_name);
            replay(name, 1);
            free(name);
            free(names[i]);
        }
        free(names);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FILE-OR-DIRECTORY...\n", argv[0]);
        return 2;
    }
    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        replay(argv[i], 0);
    }
    printf("%s%lu inputs\n", isatty(STDOUT_FILENO) ? "\r" : "", inputs);
    return inputs > 0 ? 0 : 2;
}
