/* SPDX-License-Identifier: MIT */
/* The benchmark program: options, and the rounds in which contenders take turns. See docs/bench.md. */
#define _GNU_SOURCE
#include "counts.h"
#include "sample.h"
#include "memory.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARENA_PAGES 49152u
#define COUNT_PAGES 4096u
#define PAGES_16G (16u * PAGES_1G)

uint32_t *perm_1g, *perm_1g_b, *perm_16g;

static struct {
    unsigned reps, enough;
    double seconds;
    const char *only, *row, *json, *data, *check, *update;
    bool every_sample, check_goals, list, counts;
} opt = {.reps = 9, .enough = 7, .seconds = 900};

static const struct row *const lists[] = {rows_single, rows_bulk, rows_lookup, rows_threads, rows_batch, rows_size};

static const char usage[] =
    "usage: pviommu-bench [option]...\n"
    "  --help           this text\n"
    "  --reps N         rounds (default 9), and up to twice as many more where samples were disturbed\n"
    "  --max-sec S      no new round after S seconds, but three (default 900)\n"
    "  --only TEXT      only contenders with TEXT in name/format, and the floor\n"
    "  --row TEXT       only rows with TEXT in their name; may hold several, separated by |\n"
    "  --cpu A[,B]      CPU of the first and of the second thread\n"
    "  --json FILE      results in Google Benchmark's schema; with --every-sample each repetition too\n"
    "  --data DIR       results as text for gnuplot\n"
    "  --check-goals    exit status 1 when a goal is missed\n"
    "  --list           contenders and rows\n"
    "  --counts         exact counts instead of times; with --check FILE they must equal that table,\n"
    "                   with --update FILE they become it\n";

static uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t *permutation(uint32_t n)
{
    uint32_t *a = malloc(n * sizeof(*a)), i;

    if (!a) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        a[i] = i;
    }
    for (i = n - 1; i != 0; i--) {
        uint32_t k = (uint32_t)(random_next() % (i + 1ull)), t = a[i];

        a[i] = a[k];
        a[k] = t;
    }
    return a;
}

static bool text_matches(const char *name, const char *patterns)
{
    char copy[512], *save = NULL, *p;

    if (!patterns) {
        return true;
    }
    snprintf(copy, sizeof(copy), "%s", patterns);
    for (p = strtok_r(copy, "|", &save); p; p = strtok_r(NULL, "|", &save)) {
        if (strstr(name, p)) {
            return true;
        }
    }
    return false;
}

static bool row_fits(const struct contender *c, const struct row *r)
{
    if (!text_matches(r->name, opt.row) || (r->threads == 2 && cpus[1] < 0)) {
        return false;
    }
    if (r->only == ROW_BATCH) {
        return c->batch != NULL;
    }
    if (r->only == ROW_DIRTY) {
        return c->dirty != NULL;
    }
    if (r->only == ROW_OURS) {
        return c->ours;
    }
    return r->leaf == 0 || (c->sizes & r->leaf) != 0;
}

static bool contender_chosen(const struct contender *c)
{
    char name[96];

    snprintf(name, sizeof(name), "%s/%s", c->name, c->format);
    return text_matches(name, opt.only) || strcmp(c->format, "floor") == 0;
}

/* Does what --only asks for exist, beside the floor that always runs? */
static bool only_matches(void)
{
    char name[96];
    unsigned i;

    for (i = 0; contenders[i]; i++) {
        snprintf(name, sizeof(name), "%s/%s", contenders[i]->name, contenders[i]->format);
        if (text_matches(name, opt.only)) {
            return true;
        }
    }
    return false;
}

/* Rows outermost, so that the contenders of one row are sampled right after each other. */
static void make_entries(void)
{
    unsigned l, i;
    const struct row *r;

    for (l = 0; l < ARRAY_SIZE(lists); l++) {
        for (r = lists[l]; r->name; r++) {
            for (i = 0; contenders[i]; i++) {
                if (!contender_chosen(contenders[i]) || !row_fits(contenders[i], r)) {
                    continue;
                }
                entries = realloc(entries, (nr_entries + 1) * sizeof(*entries));
                if (!entries) {
                    abort();
                }
                memset(&entries[nr_entries], 0, sizeof(*entries));
                entries[nr_entries].c = contenders[i];
                entries[nr_entries++].row = r;
            }
        }
    }
}

/* CPU 0 takes most interrupts: the next one is better for the first thread. */
static void choose_cpus(void)
{
    cpu_set_t set;
    int c, found[2] = {-1, -1};
    unsigned n = 0;

    sched_getaffinity(0, sizeof(set), &set);
    for (c = 0; c < CPU_SETSIZE && n < 2; c++) {
        if (CPU_ISSET(c, &set)) {
            found[n++] = c;
        }
    }
    if (cpus[0] < 0) {
        cpus[0] = n == 2 ? found[1] : found[0];
    }
    if (cpus[1] < 0 && n == 2) {
        cpus[1] = cpus[0] == found[0] ? found[1] : found[0];
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The contenders of a row take turns at being its first, who finds in caches what the row before has left there. */
static struct entry *turn_of(unsigned i, unsigned round)
{
    unsigned first = i, nr;

    while (first > 0 && entries[first - 1].row == entries[i].row) {
        first--;
    }
    for (nr = i - first + 1; first + nr < nr_entries && entries[first + nr].row == entries[i].row; nr++) {
    }
    return &entries[first + (i - first + round) % nr];
}

static void rounds(void)
{
    double start = now();
    bool terminal = isatty(STDERR_FILENO);
    unsigned round, i, todo = 1;

    for (round = 0; round < MAX_SAMPLES && round < 3 * opt.reps && todo != 0; round++) {
        bool late = round >= 3 && now() - start > opt.seconds;

        todo = 0;
        for (i = 0; i < nr_entries && !late; i++) {
            struct entry *e = turn_of(i, round);

            if (round >= opt.reps && has_enough(e, opt.enough)) {
                continue;
            }
            if (terminal) {
                fprintf(stderr, "\rround %u, %u of %u, %.0f s \033[K", round + 1, i + 1, nr_entries, now() - start);
            }
            sample_entry(e);
            if (i % 64 == 0) {
                sample_machine();
            }
            todo++;
        }
    }
    if (terminal) {
        fprintf(stderr, "\r\033[K");
    }
}

static void list(void)
{
    unsigned i, l;
    const struct row *r;

    for (i = 0; contenders[i]; i++) {
        printf("%s/%s\n", contenders[i]->name, contenders[i]->format);
    }
    for (l = 0; l < ARRAY_SIZE(lists); l++) {
        for (r = lists[l]; r->name; r++) {
            printf("    %s\n", r->name);
        }
    }
}

static bool parse(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(a, "--list") == 0) {
            opt.list = true;
        } else if (strcmp(a, "--every-sample") == 0) {
            opt.every_sample = true;
        } else if (strcmp(a, "--check-goals") == 0) {
            opt.check_goals = true;
        } else if (strcmp(a, "--counts") == 0) {
            opt.counts = true;
        } else if (!v) {
            return false;
        } else if (strcmp(a, "--check") == 0) {
            opt.check = argv[++i];
        } else if (strcmp(a, "--update") == 0) {
            opt.update = argv[++i];
        } else if (strcmp(a, "--reps") == 0) {
            opt.reps = (unsigned)strtoul(argv[++i], NULL, 0);
            opt.enough = opt.reps < opt.enough ? opt.reps : opt.enough;
            if (opt.reps == 0) {
                return false;
            }
        } else if (strcmp(a, "--max-sec") == 0) {
            opt.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(a, "--only") == 0) {
            opt.only = argv[++i];
        } else if (strcmp(a, "--row") == 0) {
            opt.row = argv[++i];
        } else if (strcmp(a, "--json") == 0) {
            opt.json = argv[++i];
        } else if (strcmp(a, "--data") == 0) {
            opt.data = argv[++i];
        } else if (strcmp(a, "--cpu") != 0 || sscanf(argv[++i], "%d,%d", &cpus[0], &cpus[1]) < 1) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    unsigned missed;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (opt.list) {
        list();
        return 0;
    }
    if (opt.counts) {
        return memory_init(COUNT_PAGES) == 0 ? counts_run(opt.check, opt.update) : 2;
    }
    choose_cpus();
    pin(cpus[0]);
    perm_1g = permutation(PAGES_1G);
    perm_1g_b = permutation(PAGES_1G);
    perm_16g = permutation(PAGES_16G);
    if (memory_init(ARENA_PAGES) != 0 || !perm_1g || !perm_1g_b || !perm_16g) {
        fprintf(stderr, "pviommu-bench: needs 300 MiB of memory: free some\n");
        return 2;
    }
    make_entries();
    if (nr_entries == 0 || !only_matches()) {
        fprintf(stderr, "pviommu-bench: nothing to measure; --list shows what there is\n");
        return 2;
    }
    quiet_calibrate();
    rounds();
    print_machine();
    print_tables();
    missed = print_goals();
    if ((opt.json && write_json(opt.json, opt.every_sample, argc, argv) != 0) ||
        (opt.data && write_data(opt.data) != 0)) {
        fprintf(stderr, "pviommu-bench: cannot write the results: %s\n", strerror(errno));
        return 2;
    }
    return opt.check_goals && missed != 0 ? 1 : 0;
}
