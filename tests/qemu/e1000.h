/* SPDX-License-Identifier: MIT */
/*
 * e1000 / e1000e in PHY loopback as a copy engine: one register write makes the model read up to
 * 250 packets and write them back to memory, every access through the IOMMU, before the write
 * returns.
 */
#ifndef QEMU_E1000_H
#define QEMU_E1000_H

#include "pci.h"

#define QT_NIC_BATCH      250u
#define QT_NIC_RING_BYTES 4096u /* each of the two rings is one page */
#define QT_COPY_MIN       60u   /* a shorter packet is padded */
#define QT_COPY_MAX       1514u

struct qt_nic {
    struct qt *qt;
    uint16_t bdf; /* the requester id */
    uint64_t mmio;
    uint64_t tx_iova, tx_pa;
    uint64_t rx_iova, rx_pa;
    uint32_t tx_next; /* index of the next descriptor in each ring */
    uint32_t rx_next;
};

struct qt_copy {
    uint64_t src; /* IOVA; the device reads */
    uint64_t dst; /* IOVA, not 0; the device writes */
    uint32_t len; /* QT_COPY_MIN to QT_COPY_MAX */
    bool done;    /* result, see qt_nic_copy() */
};

/* The nth e1000 or e1000e on bus 0 (either kind counts); false when there are not so many. */
bool qt_nic_open(struct qt *qt, unsigned int nth, struct qt_nic *nic);

/*
 * Programs the device: each ring is one page of RAM at pa, which has to be mapped at iova for the
 * device, the transmit ring readable and writable (the device writes back the descriptor status),
 * the receive ring as well. Both pages are overwritten, and read and written by the device, before
 * it returns. False when the device does not reach its rings. May be called again at any time with
 * other rings.
 */
bool qt_nic_init(struct qt_nic *nic, uint64_t tx_iova, uint64_t tx_pa, uint64_t rx_iova,
                 uint64_t rx_pa);

/*
 * Up to QT_NIC_BATCH copies with one kick; returns how many are done. "Done" says that the device
 * has worked through the copy and written its descriptors back, which it does as well when the
 * IOMMU blocked the data: whether the data landed has to be read in RAM. Not done: the device could
 * not reach its rings.
 */
unsigned int qt_nic_copy(struct qt_nic *nic, struct qt_copy *copies, unsigned int nr);

#endif
