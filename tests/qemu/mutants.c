/* SPDX-License-Identifier: MIT */
/*
 * Runs every mutant and demands that its judge notices. Each runs in a process of its own, with a
 * QEMU of its own, on which its check is run unspoilt before: a failure is then the mutant's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib_random.h"
#include "mutants.h"

#define SECONDS    20
#define PARALLEL   2u
#define RANDOM_OPS 400u
/* LIB_EXIT_FAILED: a check noticed; 0: nobody */
#define EXIT_OBJECTED 11 /* the recorder did, and no check on QEMU's unit */
#define EXIT_BOTH     12
#define EXIT_UNSOUND  13 /* the check failed before there was a mutant */

static const char *judge_name(enum judge judge)
{
    static const char *const names[] = { "DMA", "recorder", "trace", "walker" };

    return names[judge];
}

void check_random(struct lib *l)
{
    static struct lib_random r;

    lib_random_run(l, 1, RANDOM_OPS, &r);
}

/* In the child: the check as it is, then with the mutant, on one machine. */
_Noreturn static void run_child(const struct mutant *m, bool amd)
{
    static struct lib lib;
    struct lib_config cfg = {
        .amd = amd,
        .caching_mode = m->needs & NEED_CACHING_MODE,
        .nics = m->needs & NEED_NICS,
        .contexts = m->needs & NEED_NICS ? LIB_RANDOM_CONTEXTS : 0,
        .trace = m->judge == JUDGE_TRACE ? lib_trace_events : NULL,
    };
    unsigned failures = 0;

    alarm(SECONDS);
    if (!m->check) {
        lib_check_life(&cfg, NULL, &failures);
        if (failures || !freopen("/dev/null", "w", stderr))
            _exit(EXIT_UNSOUND);
        lib_check_life(&cfg, m->arm, &failures);
        _exit(failures ? LIB_EXIT_FAILED : EXIT_SUCCESS);
    }
    lib_start(&lib, &cfg);
    lib.what = m->name;
    m->check(&lib);
    if (lib.failures || !freopen("/dev/null", "w", stderr))
        _exit(EXIT_UNSOUND);
    /* DMA is to notice by itself, so the recorder only counts; it would end the process. */
    pvi_posix_count_violations(lib.host, true);
    lib.end_at_failure = m->judge != JUDGE_RECORDER;
    m->arm(&lib);
    m->check(&lib);
    if (m->judge == JUDGE_RECORDER && pvi_posix_violations(lib.host, PVI_RULE_NONE, NULL) != 0)
        _exit(lib.failures ? EXIT_BOTH : EXIT_OBJECTED);
    _exit(lib.failures ? LIB_EXIT_FAILED : EXIT_SUCCESS);
}

static pid_t start(const struct mutant *m, bool amd)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0)
        run_child(m, amd);
    return pid;
}

/* The child's exit status, or -1 when a signal ended it. */
static int finish(pid_t pid)
{
    int status = 0;

    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct run {
    const struct mutant *m;
    bool amd;
    pid_t pid; /* 0: not run */
};

struct tally {
    unsigned killed, survived, skipped, unsound;
};

static const char *verdict(const struct run *run, struct tally *tally)
{
    bool recorder = run->m->judge == JUDGE_RECORDER;
    int got;

    if (run->pid == 0) {
        tally->skipped++;
        return "skipped: no recorder in this build";
    }
    got = finish(run->pid);
    if (got == LIB_EXIT_FAILED && !recorder) {
        tally->killed++;
        return "killed";
    }
    if (recorder && (got == EXIT_OBJECTED || got == EXIT_BOTH)) {
        tally->killed++;
        return got == EXIT_OBJECTED ? "killed, QEMU sees nothing" : "killed";
    }
    if (got == EXIT_UNSOUND) {
        tally->unsound++;
        return "NOT JUDGED: the check fails without it";
    }
    tally->survived++;
    if (got == EXIT_SUCCESS)
        return "SURVIVED";
    return got == LIB_EXIT_FAILED ? "SURVIVED the recorder, though a check noticed"
                                  : "DIED without a verdict";
}

/* Up to PARALLEL at a time; reported in order. */
static void run_all(struct run *runs, unsigned nr, struct tally *tally)
{
    unsigned begun = 0, done;

    for (done = 0; done < nr; done++) {
        struct run *run = &runs[done];

        for (; begun < nr && begun < done + PARALLEL; begun++) {
            const struct mutant *m = runs[begun].m;

            if (m->judge != JUDGE_RECORDER || pvi_posix_recording())
                runs[begun].pid = start(m, runs[begun].amd);
        }
        printf("%-6s %-9s %-52s %s\n", run->amd ? "amdvi" : "vtd", judge_name(run->m->judge),
               run->m->name, verdict(run, tally));
    }
}

static unsigned collect(struct run *runs, unsigned nr, const struct mutant *mutants, unsigned more)
{
    unsigned i, amd;

    for (i = 0; i < more; i++) {
        for (amd = 0; amd < 2; amd++) {
            if (!(mutants[i].on & (amd ? ON_AMDVI : ON_VTD)))
                continue;
            runs[nr].m = &mutants[i];
            runs[nr].amd = amd;
            runs[nr++].pid = 0;
        }
    }
    return nr;
}

/* QEMU is looked for once, in a child: starting it is what lib_start() does. */
static bool qemu_is_absent(void)
{
    static struct lib lib;
    const struct lib_config cfg = { 0 };
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        lib_start_machine(&lib, &cfg);
        _exit(EXIT_SUCCESS);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == QT_EXIT_SKIP;
}

int main(void)
{
    struct tally tally = { 0, 0, 0, 0 };
    struct run *runs =
        calloc(2 * (size_t)(nr_wire_mutants + nr_table_mutants + nr_host_mutants), sizeof(*runs));
    unsigned nr = 0;

    if (!runs)
        return EXIT_FAILURE;
    if (qemu_is_absent()) {
        free(runs);
        return QT_EXIT_SKIP;
    }
    nr = collect(runs, nr, wire_mutants, nr_wire_mutants);
    nr = collect(runs, nr, table_mutants, nr_table_mutants);
    nr = collect(runs, nr, host_mutants, nr_host_mutants);
    run_all(runs, nr, &tally);
    free(runs);
    printf("%u killed, %u survived, %u skipped, %u not judged\n", tally.killed, tally.survived,
           tally.skipped, tally.unsound);
    return tally.survived || tally.unsound ? EXIT_FAILURE : EXIT_SUCCESS;
}
