/* SPDX-License-Identifier: MIT */
/* e1000 registers and legacy descriptors, as far as the loopback copy engine needs them. */
#define _GNU_SOURCE 1

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "e1000.h"

#define CTRL             0x0000
#define MDIC             0x0020
#define RCTL             0x0100
#define TCTL             0x0400
#define RDBAL            0x2800
#define RDBAH            0x2804
#define RDLEN            0x2808
#define RDH              0x2810
#define RDT              0x2818
#define TDBAL            0x3800
#define TDBAH            0x3804
#define TDLEN            0x3808
#define TDH              0x3810
#define TDT              0x3818

#define CTRL_SLU         0x40u                 /* set link up */
#define MDIC_WRITE_PHY_0 (1u << 26 | 1u << 21) /* write, PHY 1, register 0 */
#define PHY_LOOPBACK     0x4140u /* loopback, 1000 Mb/s, full duplex, no autonegotiation */
#define RCTL_EN          0x2u
#define RCTL_UPE         0x8u /* unicast and multicast promiscuous, broadcast */
#define RCTL_MPE         0x10u
#define RCTL_BAM         0x8000u
#define RCTL_SECRC       (1u << 26) /* no CRC in the buffer */
#define TCTL_EN          0x2u
#define TCTL_PSP         0x8u
#define TXD_EOP          1u
#define TXD_RS           8u
#define STATUS_DD        1u

#define RING             256u
#define DESC_BYTES       16u
#define DESC_STATUS      12u
#define PROBE_EAGER      20u
#define PROBE_MAX        1000u /* with 1 ms in between after the eager ones */

bool qt_nic_open(struct qt *qt, unsigned int nth, struct qt_nic *nic)
{
    unsigned int devfn;
    uint32_t id;

    memset(nic, 0, sizeof(*nic));
    for (devfn = 0; devfn < 256; devfn++) {
        id = qt_pci_read32(qt, (uint16_t)devfn, 0);
        if ((id == QT_PCI_E1000 || id == QT_PCI_E1000E) && nth-- == 0) {
            nic->qt = qt;
            nic->bdf = (uint16_t)devfn;
            nic->mmio = qt_pci_enable(qt, nic->bdf, 0);
            return true;
        }
    }
    return false;
}

static void set_reg(struct qt_nic *nic, uint32_t reg, uint32_t value)
{
    qt_write32(nic->qt, nic->mmio + reg, value);
}

static uint8_t *descriptor(struct qt_nic *nic, uint64_t ring_pa, uint32_t index)
{
    return (uint8_t *)qt_ptr(nic->qt, ring_pa, QT_NIC_RING_BYTES) +
           (size_t)(index % RING) * DESC_BYTES;
}

static void fill(struct qt_nic *nic, uint64_t ring_pa, uint32_t index, uint64_t addr,
                 uint64_t control)
{
    uint8_t *desc = descriptor(nic, ring_pa, index);

    memcpy(desc, &addr, sizeof(addr));
    memcpy(desc + sizeof(addr), &control, sizeof(control));
}

static bool is_done(struct qt_nic *nic, uint64_t ring_pa, uint32_t index)
{
    return descriptor(nic, ring_pa, index)[DESC_STATUS] & STATUS_DD;
}

static void start_rings(struct qt_nic *nic)
{
    memset(qt_ptr(nic->qt, nic->tx_pa, QT_NIC_RING_BYTES), 0, QT_NIC_RING_BYTES);
    memset(qt_ptr(nic->qt, nic->rx_pa, QT_NIC_RING_BYTES), 0, QT_NIC_RING_BYTES);
    nic->tx_next = 0;
    nic->rx_next = 0;
    qt_batch_begin(nic->qt);
    /* Off while the rings change: setting head and tail in turn would look like work in between. */
    set_reg(nic, RCTL, 0);
    set_reg(nic, TCTL, 0);
    set_reg(nic, TDBAL, (uint32_t)nic->tx_iova);
    set_reg(nic, TDBAH, (uint32_t)(nic->tx_iova >> 32));
    set_reg(nic, TDLEN, QT_NIC_RING_BYTES);
    set_reg(nic, TDH, 0);
    set_reg(nic, TDT, 0);
    set_reg(nic, RDBAL, (uint32_t)nic->rx_iova);
    set_reg(nic, RDBAH, (uint32_t)(nic->rx_iova >> 32));
    set_reg(nic, RDLEN, QT_NIC_RING_BYTES);
    set_reg(nic, RDH, 0);
    set_reg(nic, RDT, 0);
    set_reg(nic, RCTL, RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM | RCTL_SECRC);
    set_reg(nic, TCTL, TCTL_EN | TCTL_PSP);
    qt_batch_end(nic->qt);
}

static unsigned int kick(struct qt_nic *nic, struct qt_copy *copies, unsigned int nr)
{
    unsigned int done = 0;
    unsigned int i;

    for (i = 0; i < nr; i++) {
        fill(nic, nic->rx_pa, nic->rx_next + i, copies[i].dst, 0);
        fill(nic, nic->tx_pa, nic->tx_next + i, copies[i].src,
             copies[i].len | (uint64_t)(TXD_EOP | TXD_RS) << 24);
    }
    qt_batch_begin(nic->qt);
    /* One receive descriptor more than packets: with head equal to tail the receiver is overrun. */
    set_reg(nic, RDT, (nic->rx_next + nr + 1) % RING);
    set_reg(nic, TDT, (nic->tx_next + nr) % RING);
    qt_batch_end(nic->qt);
    for (i = 0; i < nr; i++) {
        copies[i].done = is_done(nic, nic->rx_pa, nic->rx_next + i) &&
                         is_done(nic, nic->tx_pa, nic->tx_next + i);
        done += copies[i].done;
    }
    nic->tx_next = (nic->tx_next + nr) % RING;
    nic->rx_next = (nic->rx_next + nr) % RING;
    if (done != nr) {
        /* Dropped packets used no receive descriptor: go on where the device stands. */
        nic->tx_next = qt_read32(nic->qt, nic->mmio + TDH) % RING;
        nic->rx_next = qt_read32(nic->qt, nic->mmio + RDH) % RING;
    }
    return done;
}

/*
 * The model drops what it receives until a second of virtual time has passed after the write of
 * RCTL. No register tells, so a packet is sent from ring to ring until one arrives.
 */
static bool wait_receiver(struct qt_nic *nic)
{
    const struct timespec pause = { .tv_sec = 0, .tv_nsec = 1000000 };
    struct qt_copy probe = {
        .src = nic->tx_iova,
        .dst = nic->rx_iova + QT_NIC_RING_BYTES / 2,
        .len = QT_COPY_MIN,
    };
    unsigned int tries;

    for (tries = 0; tries < PROBE_MAX; tries++) {
        if (kick(nic, &probe, 1))
            return true;
        if (tries > PROBE_EAGER)
            nanosleep(&pause, NULL);
    }
    return false;
}

bool qt_nic_init(struct qt_nic *nic, uint64_t tx_iova, uint64_t tx_pa, uint64_t rx_iova,
                 uint64_t rx_pa)
{
    nic->tx_iova = tx_iova;
    nic->tx_pa = tx_pa;
    nic->rx_iova = rx_iova;
    nic->rx_pa = rx_pa;
    set_reg(nic, CTRL, CTRL_SLU);
    set_reg(nic, MDIC, MDIC_WRITE_PHY_0 | PHY_LOOPBACK);
    start_rings(nic);
    return wait_receiver(nic);
}

unsigned int qt_nic_copy(struct qt_nic *nic, struct qt_copy *copies, unsigned int nr)
{
    unsigned int i;

    if (nr > QT_NIC_BATCH)
        qt_fatal(nic->qt, "%u copies in one kick; the limit is %u", nr, QT_NIC_BATCH);
    for (i = 0; i < nr; i++) {
        if (copies[i].len < QT_COPY_MIN || copies[i].len > QT_COPY_MAX)
            qt_fatal(nic->qt, "copy of %" PRIu32 " bytes; %u to %u are possible", copies[i].len,
                     QT_COPY_MIN, QT_COPY_MAX);
    }
    return kick(nic, copies, nr);
}
