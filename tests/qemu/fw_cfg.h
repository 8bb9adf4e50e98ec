/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables of a machine without firmware, read from QEMU's fw_cfg device by its DMA interface.
 */
#ifndef QEMU_FW_CFG_H
#define QEMU_FW_CFG_H

#include "qtest.h"

/*
 * Copies the table with a four-letter signature ("DMAR", "IVRS") to buf and returns its length.
 * Returns 0 when the machine has no such table, and the length needed, with nothing copied, when
 * size is too small. The checksum, which QEMU leaves to firmware, is filled in. Takes RAM from
 * qt_alloc() and gives it back.
 */
size_t qt_acpi_table(struct qt *qt, const char *signature, void *buf, size_t size);

#endif
