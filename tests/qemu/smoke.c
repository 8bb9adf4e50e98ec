/* SPDX-License-Identifier: MIT */
/*
 * The harness judged by itself: both IOMMU models brought up by bare register writes, one domain,
 * single DMAs, copies, faults, ACPI tables, trace log, RAM above 4 GiB, a bridge, and the ways in
 * which QEMU can fail. One line a check; exit status 0, 1 (a check failed), 77 (no QEMU).
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "e1000.h"
#include "edu.h"
#include "fw_cfg.h"
#include "raw_unit.h"

#define MIB            (UINT64_C(1) << 20)
#define GIB            (UINT64_C(1) << 30)
#define PAGE           UINT64_C(4096)

#define IOVA_BOUNCE    UINT64_C(0x7000)
#define IOVA_TARGET    UINT64_C(0x123456789000)
#define IOVA_NOWHERE   UINT64_C(0x999000)
#define IOVA_READ_ONLY UINT64_C(0x300000)
#define IOVA_EDGE      UINT64_C(0x200000)
#define IOVA_STALE     UINT64_C(0x500000)
#define IOVA_TX_RING   UINT64_C(0x7F0000000000)
#define IOVA_RX_RING   UINT64_C(0x7F0000001000)
#define IOVA_SRC       UINT64_C(0x123400000000)
#define IOVA_DST       UINT64_C(0x345600000000)
#define IOVA_SELF      (UINT64_C(5) << 39)
#define COPY_PAGES     256u
#define COPY_BYTES     64u

static unsigned int nr_ok;
static unsigned int nr_bad;
static const char *section;

__attribute__((format(printf, 2, 3))) static void check(bool ok, const char *format, ...)
{
    va_list ap;

    printf("%-4s %s: ", ok ? "ok" : "FAIL", section);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    if (ok)
        nr_ok++;
    else
        nr_bad++;
}

static void check_invalidate(bool completed)
{
    check(completed, "invalidation completes");
}

static void check_verdict(enum qt_verdict got, enum qt_verdict expected, const char *what)
{
    check(got == expected, "%s is %s (got: %s)", what, qt_verdict_name(expected),
          qt_verdict_name(got));
}

static void check_fault(struct raw_unit *m, unsigned int reason, uint16_t bdf, uint64_t iova)
{
    check(raw_vtd_fault_is(m, reason, bdf, iova), "fault reason %u, requester %04x, 0x%" PRIx64,
          reason, bdf, iova);
}

static struct qt *start(const struct qt_config *config)
{
    struct qt *qt = NULL;
    enum qt_status status = qt_start(&qt, config);

    if (status == QT_ABSENT) {
        puts("skip: no QEMU; install qemu-system-x86 or set QEMU to a qemu-system-x86_64");
        exit(QT_EXIT_SKIP);
    }
    if (status != QT_OK)
        exit(EXIT_FAILURE);
    return qt;
}

static void bring_up(struct raw_unit *m, struct qt *qt, bool amd)
{
    const char *step = "";
    bool ok = raw_up(m, qt, amd, &step);

    check(ok, "unit brought up by bare registers (last step: %s)", step);
}

static void test_dma(struct raw_unit *m, struct qt_edu *edu, uint64_t root, uint64_t page)
{
    uint8_t sent[256];
    uint8_t got[256];
    unsigned int i;

    check_verdict(qt_dma_write_lands(edu, IOVA_TARGET, page, 512), QT_LANDED,
                  "write to the mapped page");
    check_verdict(qt_dma_read_lands(edu, IOVA_TARGET, page, 512), QT_LANDED,
                  "read of the mapped page");
    check_verdict(qt_dma_write_lands(edu, IOVA_TARGET + 8, page + 8, QT_EDU_MAX), QT_LANDED,
                  "largest write");
    check_verdict(qt_dma_read_lands(edu, IOVA_TARGET + 3, page + 3, 101), QT_LANDED,
                  "unaligned read");
    for (i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 7 + 1);
    qt_edu_write(edu, IOVA_TARGET + 256, sent, sizeof(sent));
    check(memcmp(qt_ptr(m->qt, page + 256, sizeof(sent)), sent, sizeof(sent)) == 0,
          "qt_edu_write puts the buffer");
    qt_edu_read(edu, IOVA_TARGET + 256, got, sizeof(got));
    check(memcmp(got, sent, sizeof(sent)) == 0, "qt_edu_read gets it back");

    check_verdict(qt_dma_write_lands(edu, IOVA_NOWHERE, page, 512), QT_BLOCKED, "write elsewhere");
    if (!m->amd)
        check_fault(m, 5, edu->bdf, IOVA_NOWHERE);
    check_verdict(qt_dma_read_lands(edu, IOVA_NOWHERE, page, 512), QT_BLOCKED, "read elsewhere");
    if (!m->amd)
        check_fault(m, 6, edu->bdf, IOVA_NOWHERE);
    raw_map(m, root, IOVA_READ_ONLY, page, RAW_READ);
    check_verdict(qt_dma_read_lands(edu, IOVA_READ_ONLY, page, 64), QT_LANDED,
                  "read of a read-only page");
    check_invalidate(raw_invalidate_all(m));
    check_verdict(qt_dma_write_lands(edu, IOVA_READ_ONLY, page, 64), QT_BLOCKED,
                  "write to a read-only page");
    if (!m->amd)
        check_fault(m, 5, edu->bdf, IOVA_READ_ONLY);
    raw_map(m, root, IOVA_EDGE, page, RAW_READ | RAW_WRITE);
    check_verdict(qt_dma_write_lands(edu, IOVA_EDGE + 0xF00, page + 0xF00, 512), QT_CORRUPT,
                  "write across the end of a mapping");
    if (!m->amd)
        check_fault(m, 5, edu->bdf, IOVA_EDGE + PAGE);
    qt_edu_set_bounce(edu, IOVA_NOWHERE, page);
    check_verdict(qt_dma_read_lands(edu, IOVA_TARGET, page + 2048, 64), QT_NO_BOUNCE,
                  "read without a bounce page");
    if (!m->amd)
        check_fault(m, 6, edu->bdf, IOVA_NOWHERE);
}

static void test_other_domain(struct raw_unit *m, struct qt_edu *other, uint64_t page)
{
    check_verdict(qt_dma_write_lands(other, IOVA_TARGET, page, 64), QT_BLOCKED,
                  "write of a device of another domain");
    if (!m->amd)
        check_fault(m, 5, other->bdf, IOVA_TARGET);
    check_invalidate(raw_invalidate_all(m));
}

static void test_stale(struct raw_unit *m, struct qt_edu *edu, uint64_t root)
{
    const char *event = m->amd ? "amdvi_pages_inval" : "vtd_inv_desc_iotlb_pages";
    const char *fault = m->amd ? "amdvi_page_fault" : "vtd_dmar_fault";
    uint64_t old = qt_alloc_page(m->qt);
    uint64_t new = qt_alloc_page(m->qt);
    size_t count;
    char *text;

    raw_map(m, root, IOVA_STALE, old, RAW_READ | RAW_WRITE);
    check_verdict(qt_dma_write_lands(edu, IOVA_STALE, old, 64), QT_LANDED, "write to the old page");
    raw_map(m, root, IOVA_STALE, new, RAW_READ | RAW_WRITE);
    check_verdict(qt_dma_write_lands(edu, IOVA_STALE, old, 64), QT_LANDED,
                  "stale write to the old page");
    qt_trace_mark(m->qt);
    check(qt_trace_count(m->qt, "*inv*") == 0, "no invalidation logged before one is made");
    check_invalidate(raw_invalidate_page(m, 1, IOVA_STALE));
    text = qt_trace_text(m->qt, event, &count);
    check(count == 1 && strstr(text, event) == text, "logged once: %.*s", (int)strcspn(text, "\n"),
          text);
    free(text);
    check_verdict(qt_dma_write_lands(edu, IOVA_STALE, new, 64), QT_LANDED, "write to the new page");
    raw_map(m, root, IOVA_STALE, 0, 0);
    check_invalidate(raw_invalidate_page(m, 1, IOVA_STALE));
    check_verdict(qt_dma_write_lands(edu, IOVA_STALE, new, 64), QT_BLOCKED,
                  "write after the unmap");
    if (!m->amd)
        check_fault(m, 5, edu->bdf, IOVA_STALE);
    check(qt_trace_count(m->qt, event) == 2, "two page invalidations logged");
    text = qt_trace_text(m->qt, fault, &count);
    check(count > 0 || m->amd, "%zu %s logged: %.*s", count, fault, (int)strcspn(text, "\n"), text);
    free(text);
}

/* A table link without PR: the one kind of fault that the model reports in the PCI status. */
static void test_amd_abort(struct raw_unit *m, struct qt_edu *edu, uint64_t root, uint64_t page)
{
    uint64_t iova = UINT64_C(5) << 39;

    qt_amd_target_abort(m->qt);
    check(!qt_amd_target_abort(m->qt), "target abort status clears");
    raw_store64(m, root + 5 * 8, raw_entry(m, page, 3, false, RAW_READ | RAW_WRITE) & ~UINT64_C(1));
    qt_trace_mark(m->qt);
    check_verdict(qt_dma_write_lands(edu, iova, page, 64), QT_BLOCKED,
                  "write through an entry without PR");
    check(qt_amd_target_abort(m->qt), "target abort signalled");
    check(qt_trace_count(m->qt, "amdvi_page_fault") > 0, "amdvi_page_fault logged");
    raw_store64(m, root + 5 * 8, 0);
}

static uint64_t source_page(unsigned int i)
{
    return (i * UINT64_C(2654435761)) % COPY_PAGES * PAGE;
}

static uint64_t target_page(unsigned int i)
{
    return (i * UINT64_C(40503) + 7) % COPY_PAGES * PAGE;
}

/* Four rounds over a ring of 256 entries: the indices wrap three times. */
static void copy_rounds(struct qt_nic *nic, uint64_t src, uint64_t dst)
{
    struct qt_copy copies[QT_NIC_BATCH];
    unsigned int done = 0;
    unsigned int landed = 0;
    unsigned int round;
    unsigned int i;
    uint64_t at;

    for (round = 0; round < 4; round++) {
        at = (uint64_t)round * COPY_BYTES;
        for (i = 0; i < QT_NIC_BATCH; i++) {
            memset(qt_ptr(nic->qt, src + source_page(i) + at, COPY_BYTES),
                   (int)((i + round) % 255) + 1, COPY_BYTES);
            copies[i].src = IOVA_SRC + i * PAGE + at;
            copies[i].dst = IOVA_DST + i * PAGE + at;
            copies[i].len = COPY_BYTES;
        }
        done += qt_nic_copy(nic, copies, QT_NIC_BATCH);
        for (i = 0; i < QT_NIC_BATCH; i++)
            landed +=
                memcmp(qt_ptr(nic->qt, src + source_page(i) + at, COPY_BYTES),
                       qt_ptr(nic->qt, dst + target_page(i) + at, COPY_BYTES), COPY_BYTES) == 0;
    }
    check(done == 4 * QT_NIC_BATCH && landed == done, "%u copies done, %u landed of %u", done,
          landed, 4 * QT_NIC_BATCH);
}

static void copy_blocked(struct raw_unit *m, struct qt_nic *nic, uint64_t src, uint64_t dst)
{
    struct qt_copy copies[2] = {
        { .src = IOVA_SRC, .dst = IOVA_NOWHERE, .len = QT_COPY_MAX },
        { .src = IOVA_SRC, .dst = IOVA_DST, .len = QT_COPY_MAX },
    };
    uint8_t *last = qt_ptr(m->qt, dst + target_page(0) + QT_COPY_MAX - 1, 2);

    memset(qt_ptr(m->qt, src + source_page(0), PAGE), 0x11, PAGE);
    memset(qt_ptr(m->qt, dst, COPY_PAGES * PAGE), 0x22, COPY_PAGES * PAGE);
    check(qt_nic_copy(nic, copies, 2) == 2, "a blocked copy does not stop the next");
    check(last[0] == 0x11 && last[1] == 0x22, "which lands to its last byte");
    if (!m->amd)
        check_fault(m, 5, nic->bdf, IOVA_NOWHERE);
}

static void test_copies(struct raw_unit *m, uint64_t root)
{
    struct qt_copy copy = { .src = IOVA_SRC, .dst = IOVA_DST, .len = COPY_BYTES };
    struct qt_nic nic;
    uint64_t tx = qt_alloc_page(m->qt);
    uint64_t rx = qt_alloc_page(m->qt);
    uint64_t src = qt_alloc(m->qt, COPY_PAGES * PAGE, PAGE);
    uint64_t dst = qt_alloc(m->qt, COPY_PAGES * PAGE, PAGE);
    unsigned int i;

    check(qt_nic_open(m->qt, 0, &nic), "network device found");
    raw_attach(m, nic.bdf, root, 1);
    raw_map(m, root, IOVA_TX_RING, tx, RAW_READ | RAW_WRITE);
    raw_map(m, root, IOVA_RX_RING, rx, RAW_READ | RAW_WRITE);
    for (i = 0; i < COPY_PAGES; i++) {
        raw_map(m, root, IOVA_SRC + i * PAGE, src + source_page(i), RAW_READ);
        raw_map(m, root, IOVA_DST + i * PAGE, dst + target_page(i), RAW_WRITE);
    }
    check_invalidate(raw_invalidate_all(m));
    check(qt_nic_init(&nic, IOVA_TX_RING, tx, IOVA_RX_RING, rx), "it reaches its rings");
    copy_rounds(&nic, src, dst);
    copy_blocked(m, &nic, src, dst);
    raw_map(m, root, IOVA_RX_RING, 0, 0);
    check_invalidate(raw_invalidate_all(m));
    check(qt_nic_copy(&nic, &copy, 1) == 0 && !copy.done, "no copy done without receive ring");
    raw_map(m, root, IOVA_RX_RING, rx, RAW_READ | RAW_WRITE);
    check_invalidate(raw_invalidate_all(m));
    check(qt_nic_copy(&nic, &copy, 1) == 1 && copy.done, "done again with it");
    copy_rounds(&nic, src, dst);
    if (!m->amd)
        raw_vtd_fault_is(m, 0, 0, 0);
}

static void test_acpi(struct qt *qt, bool amd)
{
    /* Both have the first unit's structure at 48 and the register base at 8 in it (hwspec 8). */
    const char *signature = amd ? "IVRS" : "DMAR";
    uint8_t table[4096] = { 0 };
    uint64_t mark = qt_alloc_mark(qt);
    uint64_t base;
    uint8_t sum = 0;
    size_t len = qt_acpi_table(qt, signature, table, sizeof(table));
    size_t i;

    check(len > 64, "%s found, %zu bytes", signature, len);
    memcpy(&base, table + 48 + 8, sizeof(base));
    check(base == (amd ? QT_AMD_BASE : QT_VTD_BASE), "unit at 0x%" PRIx64, base);
    for (i = 0; i < len; i++)
        sum = (uint8_t)(sum + table[i]);
    check(sum == 0, "%s sums to zero", signature);
    check(qt_acpi_table(qt, signature, table, 10) == len, "a short buffer gets the length");
    check(!qt_acpi_table(qt, amd ? "DMAR" : "IVRS", table, sizeof(table)), "no other table");
    check(qt_alloc_mark(qt) == mark, "RAM given back");
}

static void test_vendor(bool amd, const char *nic)
{
    const char *const devices[] = { QT_DEV_EDU, QT_DEV_EDU, nic, NULL };
    const char *const trace[] = {
        amd ? "amdvi_*inval*" : "vtd_inv_desc*",
        amd ? "amdvi_page_fault" : "vtd_dmar_fault",
        NULL,
    };
    const struct qt_config config = {
        .iommu = amd ? QT_IOMMU_AMD : QT_IOMMU_VTD,
        .devices = devices,
        .trace = trace,
    };
    struct qt *qt = start(&config);
    struct raw_unit m;
    struct qt_edu edu;
    struct qt_edu other;
    uint64_t root = qt_alloc_page(qt);
    uint64_t empty = qt_alloc_page(qt);
    uint64_t page = qt_alloc_page(qt);
    uint64_t bounce = qt_alloc_page(qt);

    check(!qt_edu_open(qt, 2, &edu), "no third edu device");
    check(qt_edu_open(qt, 0, &edu) && qt_edu_open(qt, 1, &other), "two edu devices");
    test_acpi(qt, amd);
    bring_up(&m, qt, amd);
    raw_map(&m, root, IOVA_BOUNCE, bounce, RAW_READ | RAW_WRITE);
    raw_map(&m, empty, IOVA_BOUNCE, bounce, RAW_READ | RAW_WRITE);
    raw_map(&m, root, IOVA_TARGET, page, RAW_READ | RAW_WRITE);
    if (!amd) {
        check_verdict(qt_dma_write_lands(&other, IOVA_TARGET, page, 64), QT_BLOCKED,
                      "write of a device never attached");
        check_fault(&m, 2, other.bdf, IOVA_TARGET);
    }
    raw_attach(&m, edu.bdf, root, 1);
    raw_attach(&m, other.bdf, empty, 2);
    check_invalidate(raw_invalidate_all(&m));
    qt_edu_set_bounce(&edu, IOVA_BOUNCE, bounce);
    qt_edu_set_bounce(&other, IOVA_BOUNCE, bounce);
    test_dma(&m, &edu, root, page);
    qt_edu_set_bounce(&edu, IOVA_BOUNCE, bounce);
    test_other_domain(&m, &other, page);
    test_stale(&m, &edu, root);
    if (amd)
        test_amd_abort(&m, &edu, root, page);
    test_copies(&m, root);
    qt_stop(qt);
}

/* RAM above 4 GiB through a 1 GiB leaf, and where the two parts end. */
static void test_high_ram(uint64_t ram_size)
{
    const uint64_t iova = UINT64_C(0x12340000000);
    const uint64_t end = 4 * GIB + (ram_size - 2 * GIB);
    const uint64_t last = end - PAGE;
    const char *const devices[] = { QT_DEV_EDU, NULL };
    const struct qt_config config = {
        .iommu = QT_IOMMU_VTD,
        .devices = devices,
        .ram_size = ram_size,
    };
    struct qt *qt = start(&config);
    struct raw_unit m;
    struct qt_edu edu;
    uint64_t root = qt_alloc_page(qt);
    uint64_t bounce = qt_alloc_page(qt);

    check(qt_ram_low_end(qt) == 2 * GIB && qt_ram_high_end(qt) == end,
          "%" PRIu64 " MiB are split at 2 GiB", ram_size / MIB);
    check(qt_is_ram(qt, 2 * GIB - 1, 1) && !qt_is_ram(qt, 2 * GIB - 1, 2), "low part's end");
    check(!qt_is_ram(qt, 4 * GIB - 1, 2) && qt_is_ram(qt, 4 * GIB, 8), "high part's start");
    check(qt_is_ram(qt, last, PAGE) && !qt_is_ram(qt, last, PAGE + 1), "high part's end");
    check(!qt_is_ram(qt, UINT64_MAX, 2), "no wrap");
    check(qt_edu_open(qt, 0, &edu), "edu found");
    bring_up(&m, qt, false);
    raw_map(&m, root, IOVA_BOUNCE, bounce, RAW_READ | RAW_WRITE);
    raw_map_at(&m, root, iova, last & ~(GIB - 1), RAW_READ | RAW_WRITE, 2);
    raw_attach(&m, edu.bdf, root, 1);
    qt_edu_set_bounce(&edu, IOVA_BOUNCE, bounce);
    check_verdict(qt_dma_write_lands(&edu, iova + (last & (GIB - 1)), last, 64), QT_LANDED,
                  "write to the last page of RAM");
    check_verdict(qt_dma_read_lands(&edu, iova, last & ~(GIB - 1), 64), QT_LANDED,
                  "read of the last gigabyte's start");
    qt_stop(qt);
}

static void test_bridge(void)
{
    const char *const devices[] = { QT_DEV_ROOT_PORT, QT_DEV_EDU_BEHIND, NULL };
    const struct qt_config config = { .devices = devices, .ram_size = 256 * MIB };
    struct qt *qt = start(&config);
    struct qt_edu edu;
    uint16_t port = 0;
    uint16_t bdf = 0;
    uint64_t window;
    uint64_t page = qt_alloc_page(qt);
    uint64_t bounce = qt_alloc_page(qt);

    check(qt_pci_find(qt, 0, QT_PCI_ROOT_PORT, 0, &port) && port == 0x30, "root port is 00:06.0");
    window = qt_pci_bridge(qt, port, 5);
    check(qt_pci_find(qt, 5, QT_PCI_EDU, 0, &bdf) && bdf == 0x0500, "edu is 05:00.0");
    qt_edu_open_at(qt, bdf, window, &edu);
    qt_edu_set_bounce(&edu, bounce, bounce);
    check_verdict(qt_dma_write_lands(&edu, page, page, 64), QT_LANDED, "untranslated write");
    check_verdict(qt_dma_read_lands(&edu, page, page, 64), QT_LANDED, "untranslated read");
    qt_pci_bus_master(qt, bdf, false);
    qt_edu_no_bounce(&edu);
    check_verdict(qt_dma_write_lands(&edu, page, page, 64), QT_BLOCKED, "write of no bus master");
    qt_stop(qt);
}

/* Runs a function that is meant to end the process; returns its exit status, output unseen. */
static int exit_status_of(void (*function)(void))
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout))
            _exit(EXIT_FAILURE);
        function();
        _exit(EXIT_SUCCESS);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* An AMD-Vi table that refers to itself: the model walks it for ever. */
static void hang(void)
{
    const char *const devices[] = { QT_DEV_EDU, NULL };
    const struct qt_config config = {
        .iommu = QT_IOMMU_AMD,
        .devices = devices,
        .ram_size = 256 * MIB,
        .timeout_s = 1,
    };
    struct qt *qt = start(&config);
    const char *step;
    struct raw_unit m;
    struct qt_edu edu;
    uint64_t root = qt_alloc_page(qt);

    if (!qt_edu_open(qt, 0, &edu) || !raw_up(&m, qt, true, &step))
        _exit(EXIT_FAILURE);
    raw_attach(&m, edu.bdf, root, 1);
    raw_store64(&m, root + (IOVA_SELF >> 39) * 8,
                raw_entry(&m, root, RAW_LEVELS, false, RAW_READ | RAW_WRITE));
    qt_edu_dma_to_ram(&edu, 0, IOVA_SELF, 64);
}

static void out_of_ram(void)
{
    const struct qt_config config = { .ram_size = 256 * MIB };

    qt_ptr(start(&config), 256 * MIB - 4, 8);
}

static void no_such_device(void)
{
    const char *const devices[] = { "no-such-device", NULL };
    const struct qt_config config = { .devices = devices, .ram_size = 256 * MIB };
    struct qt *qt;

    _exit(qt_start(&qt, &config) == QT_FAILED ? 10 : 11);
}

static void no_such_program(void)
{
    const struct qt_config config = { .ram_size = 256 * MIB };
    struct qt *qt;

    setenv("QEMU", "qemu-system-that-does-not-exist", 1);
    _exit(qt_start(&qt, &config) == QT_ABSENT ? 10 : 11);
}

static void no_trace(void)
{
    const struct qt_config config = { .ram_size = 256 * MIB };

    qt_trace_count(start(&config), "*");
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    section = "vtd";
    test_vendor(false, QT_DEV_E1000);
    section = "vtd, e1000e";
    test_vendor(false, QT_DEV_E1000E);
    section = "amdvi";
    test_vendor(true, QT_DEV_E1000);
    section = "high RAM";
    test_high_ram(8 * GIB);
    test_high_ram(2560 * MIB);
    section = "bridge";
    test_bridge();
    section = "failures";
    check(exit_status_of(hang) == QT_EXIT_DEAD, "a hung QEMU ends the process");
    check(exit_status_of(out_of_ram) == QT_EXIT_DEAD, "an address outside RAM ends the process");
    check(exit_status_of(no_trace) == QT_EXIT_DEAD, "a trace query without trace ends the process");
    check(exit_status_of(no_such_device) == 10, "a wrong device is QT_FAILED");
    check(exit_status_of(no_such_program) == 10, "an absent program is QT_ABSENT");
    printf("%u ok, %u failed\n", nr_ok, nr_bad);
    return nr_bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
