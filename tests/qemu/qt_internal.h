/* SPDX-License-Identifier: MIT */
/* The state behind struct qt, shared by the files of the harness and by nobody else. */
#ifndef QEMU_QT_INTERNAL_H
#define QEMU_QT_INTERNAL_H

#include <sys/types.h>

#include "qtest.h"

#define QT_RAM_LOW_MAX (UINT64_C(2) << 30) /* max-ram-below-4g of the command line */
#define QT_RAM_HIGH    (UINT64_C(4) << 30)

struct qt {
    pid_t pid;
    int sock;       /* our end of the socket pair */
    int console_fd; /* memfd behind QEMU's stdout and stderr */
    int trace_fd;   /* memfd behind the trace log, -1 without tracing */
    size_t trace_mark;
    uint8_t *ram;
    uint64_t ram_size;
    uint64_t ram_next;
    uint64_t mmio_next;
    uint64_t seed; /* data patterns: never the same twice in one run */
    int timeout_ms;
    unsigned int batch;  /* nesting depth */
    unsigned int posted; /* writes in out[] that have no answer yet */
    size_t out_len;
    size_t in_pos;
    size_t in_len;
    char out[65536];
    char in[4096];
};

/*
 * Forks and execs QEMU; on success qt->pid, sock, console_fd and trace_fd are set and RAM is mapped
 * (spawn.c).
 */
enum qt_status qt_spawn(struct qt *qt, const struct qt_config *config);

/* Kills QEMU if it runs, unmaps, closes; qt itself stays. */
void qt_teardown(struct qt *qt);

#endif
