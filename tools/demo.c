/* SPDX-License-Identifier: MIT */
/* pviommu-demo: the main job, shown on two IOMMUs that are not ours. */
#include "demo.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: pviommu-demo [--unit vtd|amdvi] [--json] [--no-speed]\n"
    "\n"
    "Boots QEMU with an IOMMU, brings the unit up through the library, submits guest batches, lets\n"
    "emulated devices do DMA, and compares what they did with what must happen.\n"
    "\n"
    "  --unit U     only this unit; both by default\n"
    "  --json       a JSON object on standard output instead of tables\n"
    "  --no-speed   leave the throughput figures out\n"
    "  --help       this text\n"
    "\n"
    "exit status: 0 all as expected, 1 something differs, 2 wrong usage, 77 no QEMU\n";

struct options {
    bool json, speed, unit[2];
};

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"unit", required_argument, NULL, 'u'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"no-speed", no_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int c;

    o->speed = o->unit[0] = o->unit[1] = true;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return 1;
        }
        if (c == 'u' && (strcmp(optarg, "vtd") == 0 || strcmp(optarg, "amdvi") == 0)) {
            o->unit[0] = optarg[0] == 'v';
            o->unit[1] = !o->unit[0];
        } else if (c == 'j') {
            o->json = true;
        } else if (c == 's') {
            o->speed = false;
        } else {
            fprintf(stderr, "try pviommu-demo --help\n");
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct demo d;
    struct options o = {0};
    json_t *steps = NULL, *speed = NULL;
    unsigned failed = 0, i;
    int rc = parse(argc, argv, &o);

    if (rc != 0) {
        return rc < 0 ? 2 : 0;
    }
    if (o.json) {
        steps = json_array();
        speed = json_array();
    }
    for (i = 0; i < 2 && rc == 0; i++) {
        if (o.unit[i]) {
            d.rows = steps;
            rc = demo_start(&d, i == 1);
            if (rc == 0) {
                demo_steps(&d);
                failed += d.failed;
            }
            demo_stop(&d);
        }
    }
    if (rc == 0 && o.speed) {
        rc = demo_speed(speed, o.unit);
    }
    if (o.json) {
        json_t *all = json_pack("{s:o, s:o, s:i}", "steps", steps, "throughput", speed, "failed", (int)failed);

        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else if (rc == 0) {
        printf("\n%s\n", failed ? "something differs from what was expected" : "everything as expected");
    }
    return rc != 0 ? rc : failed != 0;
}
