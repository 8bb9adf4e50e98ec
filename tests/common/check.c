/* SPDX-License-Identifier: MIT */
/* See check.h. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char case_text[256], step_text[256];
static int failed;

/*
 * Asked by the leak checker at the end: a test that has been left in its middle leaks all that it had, and the report
 * would bury what went wrong.
 */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return failed;
}

void check_case(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(case_text, sizeof(case_text), fmt, ap);
    va_end(ap);
    step_text[0] = 0;
}

void check_step(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(step_text, sizeof(step_text), fmt, ap);
    va_end(ap);
}

const char *check_text(void)
{
    return case_text;
}

/* CMocka leaves the test by longjmp; it never returns from here. */
static void leave(const char *file, int line)
{
    failed = 1;
    print_error("in case: %s%s%s\n", case_text, step_text[0] ? "; " : "", step_text);
    _fail(file, line);
    abort();
}

void check_fail(const char *what, const char *file, int line)
{
    print_error("%s:%d: not true: %s\n", file, line, what);
    leave(file, line);
    abort();
}

void check_fail_eq(const char *what, uint64_t got, uint64_t want, const char *file, int line)
{
    print_error("%s:%d: not true: %s: 0x%llx (%lld), wanted 0x%llx (%lld)\n", file, line, what,
                (unsigned long long)got, (long long)got, (unsigned long long)want, (long long)want);
    leave(file, line);
    abort();
}

/* xorshift64* */
uint64_t rnd_next(struct rnd *r)
{
    if (r->state == 0) {
        r->state = 0x9e3779b97f4a7c15ull;
    }
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1dull;
}

uint64_t rnd_below(struct rnd *r, uint64_t below)
{
    return (rnd_next(r) >> 11) % below;
}
