/* SPDX-License-Identifier: MIT */
/* The report: one line for each test, the plan at the end. */
#include "dom0.h"

static unsigned done, bad;

static void report(bool good, const char *what, va_list args)
{
    char text[256];

    text[format_text(text, sizeof(text) - 1, what, args)] = '\0';
    done++;
    bad += !good;
    print("%sok %u - %s", good ? "" : "not ", done, text);
}

void ok(bool good, const char *what, ...)
{
    va_list args;

    va_start(args, what);
    report(good, what, args);
    va_end(args);
}

void is(long got, long want, const char *what, ...)
{
    va_list args;

    va_start(args, what);
    report(got == want, what, args);
    va_end(args);
    if (got != want) {
        note("got %ld (0x%lx), wanted %ld (0x%lx)", got, (unsigned long)got, want, (unsigned long)want);
    }
}

unsigned tap_end(void)
{
    print("1..%u", done);
    return bad;
}
