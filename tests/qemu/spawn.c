/* SPDX-License-Identifier: MIT */
/* Starting and stopping the QEMU child: command line, descriptors it inherits, halt ROM. */
#define _GNU_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qt_internal.h"

#define ARGS_MAX  128
#define ROM_SIZE  65536u
#define ROM_RESET 0xFFF0u
#define MIB       (UINT64_C(1) << 20)

struct args {
    char *argv[ARGS_MAX + 1];
    unsigned int nr;
    bool overflow;
};

/*
 * Descriptors that QEMU inherits, -1 = none. All are close-on-exec until the child says otherwise.
 */
struct child_fds {
    int sock;
    int ram;
    int rom;
    int trace;
    int console;
    int null;
    int exec_error;
};

__attribute__((format(printf, 2, 3))) static void arg(struct args *args, const char *format, ...)
{
    va_list ap;
    char *text = NULL;
    int len;

    va_start(ap, format);
    len = vasprintf(&text, format, ap);
    va_end(ap);
    if (len < 0 || args->nr == ARGS_MAX) {
        if (len >= 0)
            free(text);
        args->overflow = true;
        return;
    }
    args->argv[args->nr++] = text;
}

static void args_free(struct args *args)
{
    unsigned int i;

    for (i = 0; i < args->nr; i++)
        free(args->argv[i]);
}

static void arg_iommu(struct args *args, const struct qt_config *config)
{
    const char *comma = config->iommu_extra ? "," : "";
    const char *extra = config->iommu_extra ? config->iommu_extra : "";

    if (config->iommu == QT_IOMMU_VTD) {
        arg(args, "-device");
        arg(args, "intel-iommu,intremap=off,aw-bits=%u%s%s%s",
            config->aw_bits ? config->aw_bits : 48, config->caching_mode ? ",caching-mode=on" : "",
            comma, extra);
    } else if (config->iommu == QT_IOMMU_AMD) {
        arg(args, "-device");
        /* Without pt=off QEMU 10 and later do not translate at all. */
        arg(args, "amd-iommu,intremap=off,pt=off%s%s", comma, extra);
    }
}

static void build_args(struct args *args, const struct qt_config *config, uint64_t ram_size,
                       const struct child_fds *fds)
{
    const char *program = getenv("QEMU");
    const char *const *item;

    arg(args, "%s", program && program[0] ? program : "qemu-system-x86_64");
    arg(args, "-nodefaults");
    arg(args, "-display");
    arg(args, "none");
    arg(args, "-machine");
    /* Every timer of the machine left on costs a warp of the virtual clock for each DMA of edu. */
    arg(args, "q35,memory-backend=mem,max-ram-below-4g=2G,graphics=off,pit=off,hpet=off,sata=off,"
              "i8042=off,smbus=off");
    arg(args, "-m");
    arg(args, "%lluM", (unsigned long long)(ram_size / MIB));
    arg(args, "-object");
    arg(args, "memory-backend-file,id=mem,size=%llu,mem-path=/proc/self/fd/%d,share=on",
        (unsigned long long)ram_size, fds->ram);
    arg(args, "-chardev");
    arg(args, "socket,id=qtest,fd=%d", fds->sock);
    arg(args, "-qtest");
    arg(args, "chardev:qtest");
    arg(args, "-qtest-log");
    arg(args, "/dev/null");
    arg(args, "-accel");
    arg(args, "tcg");
    arg(args, "-icount");
    arg(args, "shift=0,sleep=off");
    arg(args, "-bios");
    arg(args, "/proc/self/fd/%d", fds->rom);
    if (fds->trace >= 0) {
        for (item = config->trace; *item; item++) {
            arg(args, "-trace");
            arg(args, "enable=%s", *item);
        }
        /* Last: each further -trace without a file sends the log to stderr again. */
        arg(args, "-trace");
        arg(args, "file=/proc/self/fd/%d", fds->trace);
    }
    arg_iommu(args, config);
    for (item = config->devices; item && *item; item++) {
        arg(args, "-device");
        arg(args, "%s", *item);
    }
    args->argv[args->nr] = NULL;
}

/*
 * A CPU that sleeps for ever: the virtual clock then jumps to the next timer as soon as one is
 * armed.
 */
static int make_rom(void)
{
    static const unsigned char reset[4] = { 0xFA, 0xF4, 0xEB, 0xFD }; /* cli; hlt; jmp to the hlt */
    unsigned char *rom = malloc(ROM_SIZE);
    int fd = memfd_create("rom", MFD_CLOEXEC);
    bool ok = rom && fd >= 0;

    if (ok) {
        memset(rom, 0xF4, ROM_SIZE);
        memcpy(rom + ROM_RESET, reset, sizeof(reset));
        ok = write(fd, rom, ROM_SIZE) == (ssize_t)ROM_SIZE;
    }
    free(rom);
    if (!ok && fd >= 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool open_fds(struct qt *qt, const struct qt_config *config, struct child_fds *fds)
{
    int pair[2];
    void *ram;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    qt->sock = pair[0];
    fds->sock = pair[1];
    fds->ram = memfd_create("guest-ram", MFD_CLOEXEC);
    if (fds->ram < 0 || ftruncate(fds->ram, (off_t)qt->ram_size) < 0)
        return false;
    ram = mmap(NULL, (size_t)qt->ram_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
               fds->ram, 0);
    if (ram == MAP_FAILED)
        return false;
    qt->ram = ram;
    fds->rom = make_rom();
    qt->console_fd = memfd_create("console", MFD_CLOEXEC);
    fds->console = qt->console_fd;
    fds->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (config->trace && config->trace[0]) {
        qt->trace_fd = memfd_create("trace", MFD_CLOEXEC);
        if (qt->trace_fd < 0)
            return false;
    }
    fds->trace = qt->trace_fd;
    return fds->rom >= 0 && fds->console >= 0 && fds->null >= 0;
}

/* Only async-signal-safe calls: the parent may have threads. */
_Noreturn static void child(const struct child_fds *fds, char *const *argv, pid_t parent)
{
    const int keep[] = { fds->sock, fds->ram, fds->rom, fds->trace };
    unsigned int i;
    int error;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(QT_EXIT_DEAD);
    for (i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        if (keep[i] >= 0)
            fcntl(keep[i], F_SETFD, 0);
    }
    if (dup2(fds->null, 0) >= 0 && dup2(fds->console, 1) >= 0 && dup2(fds->console, 2) >= 0)
        execvp(argv[0], argv);
    error = errno;
    if (write(fds->exec_error, &error, sizeof(error)) < 0)
        _exit(QT_EXIT_DEAD);
    _exit(QT_EXIT_DEAD);
}

/*
 * 0, or the errno of a failed fork or exec. The pipe closes without a byte when the exec succeeds.
 */
static int fork_exec(struct qt *qt, struct child_fds *fds, struct args *args)
{
    pid_t parent = getpid();
    int report[2];
    int error = 0;
    ssize_t got;

    if (pipe2(report, O_CLOEXEC) < 0)
        return errno;
    fds->exec_error = report[1];
    qt->pid = fork();
    if (qt->pid == 0)
        child(fds, args->argv, parent);
    if (qt->pid < 0)
        error = errno;
    close_fd(&fds->exec_error);
    if (qt->pid > 0) {
        do {
            got = read(report[0], &error, sizeof(error));
        } while (got < 0 && errno == EINTR);
        if (got != (ssize_t)sizeof(error))
            error = 0;
    }
    close(report[0]);
    return error;
}

enum qt_status qt_spawn(struct qt *qt, const struct qt_config *config)
{
    struct child_fds fds = { -1, -1, -1, -1, -1, -1, -1 };
    struct args args = { .nr = 0 };
    enum qt_status status = QT_FAILED;
    int error;

    if (qt->ram_size % MIB) {
        fprintf(stderr,
                "qtest: RAM size %#llx is no multiple of 1 MiB; correct qt_config.ram_size\n",
                (unsigned long long)qt->ram_size);
    } else if (!open_fds(qt, config, &fds)) {
        fprintf(stderr, "qtest: no descriptors or memory for QEMU (%s); check ulimit -n and -v\n",
                strerror(errno));
    } else {
        build_args(&args, config, qt->ram_size, &fds);
        if (args.overflow) {
            fprintf(stderr,
                    "qtest: more than %d arguments for QEMU; use fewer devices or patterns\n",
                    ARGS_MAX);
        } else {
            error = fork_exec(qt, &fds, &args);
            if (error == 0)
                status = QT_OK;
            else if (error == ENOENT)
                status = QT_ABSENT;
            else
                fprintf(stderr, "qtest: cannot run %s (%s); set QEMU to another program\n",
                        args.argv[0], strerror(error));
        }
    }
    args_free(&args);
    close_fd(&fds.sock);
    close_fd(&fds.ram);
    close_fd(&fds.rom);
    close_fd(&fds.null);
    return status;
}

void qt_teardown(struct qt *qt)
{
    if (qt->pid > 0) {
        kill(qt->pid, SIGKILL);
        while (waitpid(qt->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        qt->pid = -1;
    }
    if (qt->ram) {
        munmap(qt->ram, (size_t)qt->ram_size);
        qt->ram = NULL;
    }
    close_fd(&qt->sock);
    close_fd(&qt->console_fd);
    close_fd(&qt->trace_fd);
}
