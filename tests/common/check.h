/* SPDX-License-Identifier: MIT */
/*
 * Checks that say what was being tested: one test function often runs many cases, and a line number alone would not
 * tell which of them failed.
 */
#ifndef CHECK_H
#define CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Names the case under test; printed when a check fails. */
void check_case(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Adds a detail behind the name of the case, until the next one. */
void check_step(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *check_text(void);

void check_fail(const char *what, const char *file, int line) __attribute__((noreturn));
void check_fail_eq(const char *what, uint64_t got, uint64_t want, const char *file, int line)
    __attribute__((noreturn));

#define CHECK(condition) ((condition) ? (void)0 : check_fail(#condition, __FILE__, __LINE__))
#define CHECK_EQ(got, want)                                                                                            \
    do {                                                                                                               \
        uint64_t check_got = (uint64_t)(got), check_want = (uint64_t)(want);                                           \
        if (check_got != check_want) {                                                                                 \
            check_fail_eq(#got " == " #want, check_got, check_want, __FILE__, __LINE__);                               \
        }                                                                                                              \
    } while (0)

/* A small generator: the same numbers for the same seed everywhere. */
struct rnd {
    uint64_t state;
};
uint64_t rnd_next(struct rnd *r);
/* 0 .. below - 1 */
uint64_t rnd_below(struct rnd *r, uint64_t below);

#endif
