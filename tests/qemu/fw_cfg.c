/* SPDX-License-Identifier: MIT */
/*
 * fw_cfg DMA: a big-endian control block in RAM, started by two port writes, finished when the
 * second is answered.
 */
#include <inttypes.h>
#include <string.h>

#include "fw_cfg.h"

#define PORT_DMA_HIGH    0x514
#define PORT_DMA_LOW     0x518
#define CONTROL_BYTES    16u
#define CONTROL_READ     2u
#define CONTROL_SELECT   8u
#define SELECT_DIRECTORY 0x19u
#define TABLES_FILE      "etc/acpi/tables"
#define ENTRY_BYTES      64u
#define ENTRY_NAME       8u
#define ENTRIES_MAX      256u
#define FILE_MAX         (1u << 24)
#define TABLE_MIN        48u
#define TABLE_MAX        4096u
#define TABLE_CHECKSUM   9u

static uint32_t load_be(const uint8_t *p, unsigned int bytes)
{
    uint32_t value = 0;

    while (bytes--)
        value = value << 8 | *p++;
    return value;
}

static void store_be(uint8_t *p, uint64_t value, unsigned int bytes)
{
    while (bytes--) {
        p[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static uint8_t *read_item(struct qt *qt, uint16_t selector, uint32_t len)
{
    uint64_t control_pa = qt_alloc(qt, CONTROL_BYTES, CONTROL_BYTES);
    uint64_t data_pa = qt_alloc(qt, len, 4096);
    uint8_t *control = qt_ptr(qt, control_pa, CONTROL_BYTES);
    uint8_t low[4];
    uint32_t start;

    store_be(control, (uint64_t)selector << 16 | CONTROL_SELECT | CONTROL_READ, 4);
    store_be(control + 4, len, 4);
    store_be(control + 8, data_pa, 8);
    store_be(low, control_pa, 4);
    memcpy(&start, low, sizeof(start));
    qt_out32(qt, PORT_DMA_HIGH, 0);
    qt_out32(qt, PORT_DMA_LOW, start);
    if (load_be(control, 4) != 0)
        qt_fatal(qt, "fw_cfg item 0x%x: control reads 0x%" PRIx32 " after DMA", selector,
                 load_be(control, 4));
    return qt_ptr(qt, data_pa, len);
}

/* The selector and size of a file; size 0 = no such file. */
static uint32_t find_file(struct qt *qt, const char *name, uint16_t *selector)
{
    uint32_t nr = load_be(read_item(qt, SELECT_DIRECTORY, 4), 4);
    const uint8_t *entry;
    uint32_t i;

    if (nr > ENTRIES_MAX)
        qt_fatal(qt, "fw_cfg directory of %" PRIu32 " files", nr);
    entry = read_item(qt, SELECT_DIRECTORY, 4 + nr * ENTRY_BYTES) + 4;
    for (i = 0; i < nr; i++, entry += ENTRY_BYTES) {
        if (strncmp((const char *)entry + ENTRY_NAME, name, ENTRY_BYTES - ENTRY_NAME) == 0) {
            *selector = (uint16_t)load_be(entry + 4, 2);
            return load_be(entry, 4);
        }
    }
    return 0;
}

/*
 * Only the length tells a table from its name in another table's data: the file carries no
 * checksums yet.
 */
static const uint8_t *find_table(const uint8_t *file, uint32_t size, const char *signature,
                                 uint32_t *len)
{
    uint32_t at;

    for (at = 0; size - at >= TABLE_MIN; at++) {
        if (memcmp(file + at, signature, 4) != 0)
            continue;
        memcpy(len, file + at + 4, sizeof(*len));
        if (*len > TABLE_MIN && *len < TABLE_MAX && *len <= size - at)
            return file + at;
    }
    return NULL;
}

size_t qt_acpi_table(struct qt *qt, const char *signature, void *buf, size_t size)
{
    uint64_t mark = qt_alloc_mark(qt);
    const uint8_t *table = NULL;
    uint8_t *copy = buf;
    uint8_t sum = 0;
    uint16_t selector = 0;
    uint32_t len = 0;
    uint32_t file_size = find_file(qt, TABLES_FILE, &selector);
    uint32_t i;

    if (file_size > FILE_MAX)
        qt_fatal(qt, "%s of %" PRIu32 " bytes", TABLES_FILE, file_size);
    if (file_size >= TABLE_MIN)
        table = find_table(read_item(qt, selector, file_size), file_size, signature, &len);
    if (table && len <= size) {
        memcpy(copy, table, len);
        /* Firmware's part: the byte that makes the sum over the table zero. */
        copy[TABLE_CHECKSUM] = 0;
        for (i = 0; i < len; i++)
            sum = (uint8_t)(sum + copy[i]);
        copy[TABLE_CHECKSUM] = (uint8_t)(0x100u - sum);
    }
    qt_alloc_reset(qt, mark);
    return table ? len : 0;
}
