/* SPDX-License-Identifier: MIT */
/* Results in the schema of Google Benchmark, so that its compare.py reads them; and as text for gnuplot. */
#define _GNU_SOURCE
#include "sample.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* First line of a file that begins with `key`, what follows its colon; "" when there is none. */
static void file_value(const char *path, const char *key, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    char line[512];

    out[0] = '\0';
    while (f && fgets(line, sizeof(line), f)) {
        char *value = line;

        if (strncmp(line, key, strlen(key)) != 0) {
            continue;
        }
        if (key[0] != '\0') {
            value = strchr(line, ':');
            value = value ? value + 1 + strspn(value + 1, " \t") : line;
        }
        value[strcspn(value, "\n")] = '\0';
        snprintf(out, size, "%s", value);
        break;
    }
    if (f) {
        fclose(f);
    }
}

static void text(FILE *f, const char *key, const char *value)
{
    fprintf(f, "    \"%s\": \"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\') {
            fputc('\\', f);
        }
        if ((unsigned char)*value >= 0x20) {
            fputc(*value, f);
        }
    }
    fprintf(f, "\",\n");
}

static void write_context(FILE *f, int argc, char **argv)
{
    char value[512], date[40], options[512] = "";
    double load[3] = {0, 0, 0};
    struct utsname u;
    time_t t = time(NULL);
    int i;

    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S+00:00", gmtime(&t));
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "--data") == 0) {
            i++; /* where results go says nothing about them */
            continue;
        }
        snprintf(options + strlen(options), sizeof(options) - strlen(options), "%s%s", options[0] ? " " : "", argv[i]);
    }
    if (getloadavg(load, 3) < 0) {
        load[0] = 0;
    }
    uname(&u);
    fprintf(f, "  \"context\": {\n");
    text(f, "license", "SPDX-License-Identifier: MIT");
    text(f, "date", date);
    text(f, "host_name", "");
    text(f, "executable", "pviommu-bench");
    text(f, "options", options);
    fprintf(f, "    \"num_cpus\": %ld,\n", sysconf(_SC_NPROCESSORS_ONLN));
    fprintf(f, "    \"mhz_per_cpu\": %.0f,\n    \"cpu_scaling_enabled\": %s,\n", 1000 / ns_per_tick,
            access("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", F_OK) == 0 ? "true" : "false");
    fprintf(f, "    \"caches\": [],\n    \"load_avg\": [%.2f,%.2f,%.2f],\n", load[0], load[1], load[2]);
    file_value("/proc/cpuinfo", "model name", value, sizeof(value));
    text(f, "cpu_model", value);
    file_value("/sys/kernel/mm/transparent_hugepage/enabled", "", value, sizeof(value));
    text(f, "huge_pages", value);
    text(f, "kernel", u.release);
    text(f, "compilers", BENCH_COMPILERS);
    text(f, "flags", BENCH_FLAGS);
    text(f, "peers", BENCH_PEERS);
    fprintf(f, "    \"pinned\": [%d,%d],\n", cpus[0], cpus[1]);
    fprintf(f, "    \"library_build_type\": \"release\"\n  },\n");
}

struct writer {
    FILE *f;
    bool more;
};

static void write_one(struct writer *w, const char *name, const struct row *r, const char *aggregate, double real,
                      double cpu, unsigned nr, unsigned index)
{
    fprintf(w->f, "%s    {\"name\": \"%s%s%s\", \"run_name\": \"%s\", \"run_type\": \"%s\", ", w->more ? ",\n" : "", name,
            aggregate ? "_" : "", aggregate ? aggregate : "", name, aggregate ? "aggregate" : "iteration");
    fprintf(w->f, "\"repetitions\": %u, ", nr);
    if (aggregate) {
        fprintf(w->f, "\"aggregate_name\": \"%s\", \"aggregate_unit\": \"time\", ", aggregate);
    } else {
        fprintf(w->f, "\"repetition_index\": %u, ", index);
    }
    fprintf(w->f, "\"threads\": %u, \"iterations\": %llu, \"real_time\": %.4g, \"cpu_time\": %.4g, \"time_unit\": \"ns\"}",
            r && r->threads ? r->threads : 1u, r && r->calls && !aggregate ? (unsigned long long)r->calls : (unsigned long long)nr,
            real, cpu);
    w->more = true;
}

static void write_series(struct writer *w, const char *name, const struct row *r, const struct series *s, bool every)
{
    struct summary sum = summarise(s);
    unsigned i;

    for (i = 0; i < s->nr && every; i++) {
        write_one(w, name, r, NULL, (double)s->real[i], (double)s->cpu[i], s->nr, i);
    }
    if (sum.nr != 0) {
        write_one(w, name, r, "median", sum.median, sum.cpu_median, sum.nr, 0);
        write_one(w, name, r, "min", sum.min, sum.min, sum.nr, 0);
        if (every) {
            write_one(w, name, r, "mean", sum.mean, sum.mean, sum.nr, 0);
            write_one(w, name, r, "stddev", sum.stddev, sum.stddev, sum.nr, 0);
        }
    }
}

int write_json(const char *path, bool every_sample, int argc, char **argv)
{
    struct writer w = {.f = fopen(path, "w")};
    char name[160];
    unsigned i, p;

    if (!w.f) {
        return -1;
    }
    fprintf(w.f, "{\n");
    write_context(w.f, argc, argv);
    fprintf(w.f, "  \"benchmarks\": [\n");
    for (i = 0; i < FLOOR_NR; i++) {
        snprintf(name, sizeof(name), "machine/%s", floor_name((enum machine_floor)i));
        write_series(&w, name, NULL, &machine[i], every_sample);
    }
    for (i = 0; i < nr_entries; i++) {
        const struct entry *e = &entries[i];

        for (p = 0; p < MAX_PARTS && e->row->part[p]; p++) {
            snprintf(name, sizeof(name), "%s/%s/%s/%s", e->c->name, e->c->format, e->row->name, e->row->part[p]);
            write_series(&w, name, e->row, &e->cell.part[p], every_sample);
        }
    }
    fprintf(w.f, "\n  ]\n}\n");
    return fclose(w.f) == 0 ? 0 : -1;
}

/* For gnuplot ------------------------------------------------------------------------------------- */

/* Does the contender stand in a picture of this format? */
static bool drawn(const struct contender *c, const char *format)
{
    unsigned i;

    if (strcmp(c->format, format) != 0 && strcmp(c->format, "floor") != 0) {
        return false;
    }
    for (i = 0; i < nr_entries && entries[i].c != c; i++) {
    }
    return i < nr_entries;
}

/* One line of figures, if there are any. */
static void write_line(FILE *f, const char *format, const struct row *r, unsigned part)
{
    char line[512] = "";
    bool any = false;
    unsigned i;

    for (i = 0; contenders[i]; i++) {
        const struct series *s = find_series(contenders[i], r->name, part);
        size_t used = strlen(line);

        if (!drawn(contenders[i], format)) {
            continue;
        }
        if (s) {
            snprintf(line + used, sizeof(line) - used, " %.4g", summarise(s).median);
            any = any || strcmp(contenders[i]->format, "floor") != 0;
        } else {
            snprintf(line + used, sizeof(line) - used, " ?");
        }
    }
    if (any) {
        fprintf(f, "\"%s\" \"%s\" %llu%s\n", r->name, r->part[part], (unsigned long long)r->len, line);
    }
}

static int write_format(const char *dir, const char *format, const char *kind, const struct row *rows)
{
    char path[512];
    const struct row *r;
    unsigned i, p;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s-%s.dat", dir, kind, format);
    f = fopen(path, "w");
    if (!f) {
        return -1;
    }
    fprintf(f, "row figure bytes");
    for (i = 0; contenders[i]; i++) {
        if (drawn(contenders[i], format)) {
            fprintf(f, " %s", contenders[i]->name);
        }
    }
    fprintf(f, "\n");
    for (p = 0; p < MAX_PARTS && rows == rows_size; p++) { /* a curve is what stands together */
        for (r = rows; r->name; r++) {
            if (r->part[p]) {
                write_line(f, format, r, p);
            }
        }
    }
    for (r = rows; r->name && rows != rows_size; r++) {
        for (p = 0; p < MAX_PARTS && r->part[p]; p++) {
            write_line(f, format, r, p);
        }
    }
    return fclose(f) == 0 ? 0 : -1;
}

int write_data(const char *dir)
{
    unsigned i, k;
    int rc = 0;

    for (i = 0; contenders[i] && rc == 0; i++) {
        bool first = contenders[i]->ours && drawn(contenders[i], contenders[i]->format);

        for (k = 0; k < i; k++) {
            first = first && strcmp(contenders[k]->format, contenders[i]->format) != 0;
        }
        if (first) {
            rc |= write_format(dir, contenders[i]->format, "size", rows_size);
            rc |= write_format(dir, contenders[i]->format, "single", rows_single);
            rc |= write_format(dir, contenders[i]->format, "bulk", rows_bulk);
        }
    }
    return rc;
}
