/* SPDX-License-Identifier: MIT */
/* The tables: for each format one, a line for each figure, a column for each contender. */
#include "sample.h"
#include <stdio.h>
#include <string.h>

#define MAX_COLUMNS 16u

void figure(char out[24], double value)
{
    snprintf(out, 24, value < 10 ? "%.3f" : value < 100 ? "%.2f" : "%.0f", value);
}

void print_machine(void)
{
    unsigned f;

    printf("floors of the machine (ns)                   median      min\n");
    for (f = 0; f < FLOOR_NR; f++) {
        struct summary s = summarise(&machine[f]);
        char a[24], b[24];

        if (s.nr != 0) {
            figure(a, s.median);
            figure(b, s.min);
            printf("  %-38s %10s %8s%s\n", floor_name(f), a, b, s.disturbed ? " *" : "");
        }
    }
}

static void print_cell(const struct contender *c, const struct row *r, unsigned part)
{
    const struct series *s = find_series(c, r->name, part);
    struct summary sum;
    char a[24], b[24], text[64] = "-";

    if (s) {
        sum = summarise(s);
        figure(a, sum.median);
        figure(b, sum.min);
        snprintf(text, sizeof(text), "%s [%s]%s", a, b, sum.disturbed ? "*" : "");
    }
    printf(" %20s", text);
}

/* Fastest other contender of the format over the first of ours. */
static void print_ratio(const struct contender **column, unsigned nr, const struct row *r, unsigned part)
{
    double ours = 0, other = 0;
    unsigned i;

    for (i = 0; i < nr; i++) {
        const struct series *s = find_series(column[i], r->name, part);
        struct summary sum;

        if (!s || strcmp(column[i]->format, "floor") == 0) {
            continue;
        }
        sum = summarise(s);
        if (column[i]->ours) {
            ours = ours > 0 ? ours : sum.median;
        } else if (other <= 0 || sum.median < other) {
            other = sum.median;
        }
    }
    if (ours > 0 && other > 0) {
        printf(" %6.2fx", other / ours);
    } else {
        printf(" %7s", "-");
    }
}

static bool measured(const struct contender *c)
{
    unsigned i;

    for (i = 0; i < nr_entries && entries[i].c != c; i++) {
    }
    return i < nr_entries;
}

static void print_format(const char *format)
{
    const struct contender *column[MAX_COLUMNS];
    const struct row *last = NULL;
    unsigned nr = 0, i, p;

    for (i = 0; contenders[i] && nr < MAX_COLUMNS; i++) {
        if ((strcmp(contenders[i]->format, format) == 0 || strcmp(contenders[i]->format, "floor") == 0) &&
            measured(contenders[i])) {
            column[nr++] = contenders[i];
        }
    }
    printf("\n%-12s ns: median [min]; * = disturbed; ratio = fastest peer / first of ours\n%-38s %-9s", format,
           "work", "figure");
    for (i = 0; i < nr; i++) {
        printf(" %20s", column[i]->name);
    }
    printf(" %7s\n", "ratio");
    for (i = 0; i < nr_entries; i++) {
        const struct row *r = entries[i].row;

        if (r == last || (strcmp(entries[i].c->format, format) != 0)) {
            continue;
        }
        last = r;
        for (p = 0; p < MAX_PARTS && r->part[p]; p++) {
            unsigned k;
            char name[64];

            snprintf(name, sizeof(name), "%s (%s)", r->name, r->unit);
            printf("%-38s %-9s", p == 0 ? name : "", r->part[p]);
            for (k = 0; k < nr; k++) {
                print_cell(column[k], r, p);
            }
            print_ratio(column, nr, r, p);
            printf("\n");
        }
    }
}

void print_tables(void)
{
    unsigned i, k;

    for (i = 0; contenders[i]; i++) {
        bool first = strcmp(contenders[i]->format, "floor") != 0, any = false;

        for (k = 0; k < i; k++) {
            first = first && strcmp(contenders[k]->format, contenders[i]->format) != 0;
        }
        for (k = 0; contenders[k]; k++) {
            any = any || (strcmp(contenders[k]->format, contenders[i]->format) == 0 && measured(contenders[k]));
        }
        if (first && any) {
            print_format(contenders[i]->format);
        }
    }
}
