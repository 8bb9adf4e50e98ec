/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi constants: registers, device table entries, v1 page-table entries, commands, events, IVRS.
 * Every group cites its place in hwspec and, where that is known, the chapter of AMD 48882.
 * "one source" marks a fact that a single source states; "recalled, unconfirmed" one that no source
 * does.
 */
#ifndef PVI_AMDVI_SPEC_H
#define PVI_AMDVI_SPEC_H

#include <stdint.h>

#define AMDVI_BIT(n) ((uint64_t)1 << (n))
/* bits hi..lo, inclusive */
#define AMDVI_MASK(hi, lo) ((~(uint64_t)0 >> (63u - (hi))) & (~(uint64_t)0 << (lo)))

/* PCI capability header: hwspec 6.1 */
#define AMDVI_CAP_NP_CACHE  ((uint32_t)1 << 26) /* not-present entries are cached */
#define AMDVI_CAP_EFR_SUP   ((uint32_t)1 << 27) /* the feature register exists */

/* Registers: hwspec 6.2, AMD 48882 3.3 */
#define AMDVI_REG_DEV_TAB_BASE 0x0000u /* 48882 3.3.6: 8:0 size, 51:12 base */
#define AMDVI_REG_CMD_BUF_BASE 0x0008u /* 51:12 base, 59:56 log2(entries) */
#define AMDVI_REG_EVT_LOG_BASE 0x0010u
#define AMDVI_REG_CONTROL      0x0018u
#define AMDVI_REG_EXCL_BASE    0x0020u /* bit 0 ExEn, 1 Allow */
#define AMDVI_REG_EXCL_LIMIT   0x0028u /* 51:12, inclusive */
#define AMDVI_REG_EFR          0x0030u
#define AMDVI_REG_CMD_HEAD     0x2000u /* heads and tails: 48882 3.3.13, bytes in 18:4 */
#define AMDVI_REG_CMD_TAIL     0x2008u
#define AMDVI_REG_EVT_HEAD     0x2010u
#define AMDVI_REG_EVT_TAIL     0x2018u
#define AMDVI_REG_STATUS       0x2020u

#define AMDVI_DEV_TAB_SIZE_2M 0x1FFu /* hwspec 6.2: (size + 1) * 4 KiB, 65536 entries */
#define AMDVI_DEV_TAB_LG2     21u
#define AMDVI_NR_DEVICES      0x10000u
#define AMDVI_NR_DOMAINS      0x10000u /* DomainID is 16 bits wide: hwspec 6.7 */
#define AMDVI_RING_LEN_256    ((uint64_t)8 << 56)
#define AMDVI_RING_BYTES      4096u /* 256 entries of 16 bytes */
#define AMDVI_RING_ENTRY      16u
#define AMDVI_RING_PTR        AMDVI_MASK(18, 4)

/* Control: hwspec 6.3 */
#define AMDVI_CONTROL_IOMMU_EN          AMDVI_BIT(0)
#define AMDVI_CONTROL_HT_TUN_EN         AMDVI_BIT(1)
#define AMDVI_CONTROL_EVENT_LOG_EN      AMDVI_BIT(2)
#define AMDVI_CONTROL_EVENT_INT_EN      AMDVI_BIT(3)
#define AMDVI_CONTROL_COM_WAIT_INT_EN   AMDVI_BIT(4)
#define AMDVI_CONTROL_INV_TIMEOUT       AMDVI_MASK(7, 5)
#define AMDVI_CONTROL_INV_TIMEOUT_1S    ((uint64_t)4 << 5)
#define AMDVI_CONTROL_PASS_PW           AMDVI_BIT(8)
#define AMDVI_CONTROL_RES_PASS_PW       AMDVI_BIT(9)
#define AMDVI_CONTROL_COHERENT          AMDVI_BIT(10) /* table walks snoop */
#define AMDVI_CONTROL_ISOC              AMDVI_BIT(11)
#define AMDVI_CONTROL_CMD_BUF_EN        AMDVI_BIT(12)
#define AMDVI_CONTROL_PPR_LOG_EN        AMDVI_BIT(13)
#define AMDVI_CONTROL_PPR_INT_EN        AMDVI_BIT(14)
#define AMDVI_CONTROL_PPR_EN            AMDVI_BIT(15)
#define AMDVI_CONTROL_GT_EN             AMDVI_BIT(16) /* v2 (guest) tables */
#define AMDVI_CONTROL_GA_LOG_EN         AMDVI_BIT(28)
#define AMDVI_CONTROL_GA_INT_EN         AMDVI_BIT(29)
#define AMDVI_CONTROL_DUAL_PPR_LOG_EN   AMDVI_MASK(31, 30)
#define AMDVI_CONTROL_DUAL_EVENT_LOG_EN AMDVI_MASK(33, 32)
#define AMDVI_CONTROL_DEV_TBL_SEG_EN    AMDVI_MASK(36, 34)
#define AMDVI_CONTROL_MARC_EN           AMDVI_BIT(40)
#define AMDVI_CONTROL_GCR3_TRP_MODE     AMDVI_BIT(58) /* a DTE's GCR3 root is guest-physical where Mode is not 0 */

/* Status: hwspec 6.5 */
#define AMDVI_STATUS_EVENT_OVERFLOW AMDVI_BIT(0) /* RW1C */
#define AMDVI_STATUS_EVENT_LOG_INT  AMDVI_BIT(1) /* RW1C */
#define AMDVI_STATUS_COM_WAIT_INT   AMDVI_BIT(2) /* RW1C */
#define AMDVI_STATUS_EVENT_LOG_RUN  AMDVI_BIT(3)
#define AMDVI_STATUS_CMD_BUF_RUN    AMDVI_BIT(4)

/* Extended features: hwspec 6.4 */
#define AMDVI_EFR_IA_SUP    AMDVI_BIT(6) /* INVALIDATE_IOMMU_ALL */
#define AMDVI_EFR_HATS_LO   10u          /* host levels: 0 four, 1 five, 2 six, 3 none */
#define AMDVI_EFR_HATS      0x3u
#define AMDVI_EFR_HATS_NONE 3u
#define AMDVI_EFR_GT_SUP    AMDVI_BIT(4) /* v2 (guest) tables */
#define AMDVI_EFR_GATS_LO   12u          /* v2 levels: 0 four, 1 four or five */
#define AMDVI_EFR_GATS      0x3u
#define AMDVI_EFR_GATS_5    1u
#define AMDVI_EFR_GLX_LO    14u /* GCR3 table levels: 0 one, 1 two, 2 three */
#define AMDVI_EFR_GLX       0x3u
#define AMDVI_EFR_GLX_MAX   2u
#define AMDVI_EFR_PAS_LO    32u /* PASID width minus 1 */
#define AMDVI_EFR_PAS       0x1Fu
#define AMDVI_EFR_GIO_SUP   AMDVI_BIT(48) /* v2 tables for requests without PASID */
#define AMDVI_EFR_HA_SUP    AMDVI_BIT(49)
#define AMDVI_EFR_HD_SUP    AMDVI_BIT(52)

/* Device table entry: hwspec 6.7 */
#define AMDVI_DTE_BYTES     32u
#define AMDVI_DTE_V         AMDVI_BIT(0) /* clear: DMA passes untranslated */
#define AMDVI_DTE_TV        AMDVI_BIT(1) /* page-table fields valid */
#define AMDVI_DTE_MODE_LO   9u
#define AMDVI_DTE_ROOT      AMDVI_MASK(51, 12)
#define AMDVI_DTE_GV        AMDVI_BIT(55)
#define AMDVI_DTE_HAD_AD    3u /* accessed and dirty */
#define AMDVI_DTE_GUEST     AMDVI_MASK(55, 54) /* w2: GuestPagingMode, 0 four levels, 1 five */
#define AMDVI_DTE_IR        AMDVI_BIT(61)
#define AMDVI_DTE_IW        AMDVI_BIT(62)
#define AMDVI_DTE_GCR3_A_LO 58u /* w0 60:58 = GCR3 14:12 */
#define AMDVI_DTE_GCR3_A    AMDVI_MASK(60, 58)
#define AMDVI_DTE_GCR3_B_LO 16u /* w1 31:16 = GCR3 30:15 */
#define AMDVI_DTE_GCR3_B    AMDVI_MASK(31, 16)
#define AMDVI_DTE_GCR3_C_LO 43u /* w1 63:43 = GCR3 51:31 */
#define AMDVI_DTE_GCR3_C    AMDVI_MASK(63, 43)
#define AMDVI_DTE_SE        AMDVI_BIT(33)
#define AMDVI_DTE_SA        AMDVI_BIT(34)
#define AMDVI_DTE_IOCTL     AMDVI_MASK(36, 35)
#define AMDVI_DTE_CACHE     AMDVI_BIT(37)
#define AMDVI_DTE_SD        AMDVI_BIT(38)
#define AMDVI_DTE_SYSMGT    AMDVI_MASK(41, 40)
#define AMDVI_DTE_INTR_ROOT AMDVI_MASK(51, 6)
/*
 * Mode 0 with neither right: every DMA is refused. It differs from an entry of zero, which has V
 * clear and lets everything pass (hwspec 6.7, combination table).
 */
#define AMDVI_DTE_BLOCK (AMDVI_DTE_V | AMDVI_DTE_TV)

/* v1 page-table entry: hwspec 6.9, AMD 48882 2.2.3 */
#define AMDVI_PTE_PR            AMDVI_BIT(0)
#define AMDVI_PTE_A             AMDVI_BIT(5) /* with DTE.HAD */
#define AMDVI_PTE_D             AMDVI_BIT(6) /* leaves, with DTE.HAD */
#define AMDVI_PTE_NEXT_LEVEL_LO 9u
#define AMDVI_PTE_NEXT_LEVEL    AMDVI_MASK(11, 9) /* 1..6 table, 0 leaf of default size, 7 leaf whose address says its size */
#define AMDVI_PTE_ADDR          AMDVI_MASK(51, 12)
#define AMDVI_PTE_FC            AMDVI_BIT(60) /* leaf: force coherent */
#define AMDVI_PTE_IR            AMDVI_BIT(61)
#define AMDVI_PTE_IW            AMDVI_BIT(62)

#define AMDVI_LEVELS_MIN  3u /* offered by default; modes 1 and 2 reach 2 MiB and 1 GiB only */
#define AMDVI_LEVELS_BASE 4u /* levels with HATS = 0: hwspec 6.9 */

/* GCR3 table: hwspec 6.10 */
#define AMDVI_GCR3_V          AMDVI_BIT(0)
#define AMDVI_GCR3_ADDR       AMDVI_MASK(51, 12)
#define AMDVI_GCR3_INDEX_BITS 9u
#define AMDVI_PASID_BITS      20u

#define AMDVI_REG_EFR2             0x01A0u        /* hwspec 6.2 */
#define AMDVI_EFR2_GCR3_TRP        AMDVI_BIT(3)  /* hwspec 6.4: Control.GCR3TRPMode exists */
#define AMDVI_EFR2_HT_RANGE_IGNORE AMDVI_BIT(11) /* hwspec 6.4 */

/* Never mapped: hwspec 6.11 */
#define AMDVI_MSI_FIRST 0xFEE00000u
#define AMDVI_MSI_LAST  0xFEEFFFFFu
#define AMDVI_HT_FIRST  0xFD00000000u
#define AMDVI_HT_LAST   0xFFFFFFFFFFu

/* Commands: hwspec 7.2, AMD 48882 2.4 */
#define AMDVI_CMD_OP_LO            60u
#define AMDVI_CMD_COMPLETION_WAIT  0x1u
#define AMDVI_CMD_INV_DEVTAB_ENTRY 0x2u
#define AMDVI_CMD_INV_IOMMU_PAGES  0x3u /* 48882 2.4.3 */
#define AMDVI_CMD_INV_INTR_TABLE   0x5u
#define AMDVI_CMD_INV_IOMMU_ALL    0x8u
#define AMDVI_CMD_WAIT_STORE       AMDVI_BIT(0)        /* w0 */
#define AMDVI_CMD_WAIT_FLUSH       AMDVI_BIT(2)        /* w0: later commands wait until it is done */
#define AMDVI_CMD_WAIT_ADDR        AMDVI_MASK(51, 3)   /* w0 */
#define AMDVI_CMD_PAGES_DOMAIN_LO  32u                 /* w0 47:32 */
#define AMDVI_CMD_PAGES_S          AMDVI_BIT(0)        /* w1 */
#define AMDVI_CMD_PAGES_PDE        AMDVI_BIT(1)        /* w1 */
#define AMDVI_CMD_PAGES_GN         AMDVI_BIT(2)        /* w1: address of a PASID's v2 table */
#define AMDVI_CMD_PAGES_PASID      AMDVI_MASK(19, 0)   /* w0, with GN */
#define AMDVI_CMD_PAGES_ADDR       AMDVI_MASK(63, 12)  /* w1 */
#define AMDVI_CMD_PAGES_ALL        0x7FFFFFFFFFFFF000u /* w1, with S */
/* Sizes above 2^51 are taken as everything (one source), and bits 63:52 as sign extension. */
#define AMDVI_CMD_PAGES_MAX_LG2 51u

/* Event log: hwspec 7.3, AMD 48882 2.5 */
#define AMDVI_EVENT_CODE_LO                60u
#define AMDVI_EVENT_FLAGS_LO               48u
#define AMDVI_EVENT_DID_LO                 32u                /* DomainID; with GN PASID 15:0 */
#define AMDVI_EVENT_PASID_HI               AMDVI_MASK(19, 16) /* with GN: PASID 19:16, in place */
#define AMDVI_EVENT_GN                     AMDVI_BIT(48) /* address of a v2 table, tagged with a PASID */
#define AMDVI_EVENT_I                      AMDVI_BIT(51) /* interrupt request */
#define AMDVI_EVENT_RW                     AMDVI_BIT(53)
#define AMDVI_EVENT_ILLEGAL_DTE            0x1u
#define AMDVI_EVENT_IO_PAGE_FAULT          0x2u
#define AMDVI_EVENT_DEV_TAB_HW_ERROR       0x3u
#define AMDVI_EVENT_PAGE_TAB_HW_ERROR      0x4u
#define AMDVI_EVENT_ILLEGAL_COMMAND        0x5u
#define AMDVI_EVENT_COMMAND_HW_ERROR       0x6u
#define AMDVI_EVENT_IOTLB_INV_TIMEOUT      0x7u
#define AMDVI_EVENT_INVALID_DEVICE_REQUEST 0x8u
#define AMDVI_EVENT_INVALID_PPR_REQUEST    0x9u
#define AMDVI_EVENT_COUNTER_ZERO           0xAu
#define AMDVI_EVENT_GUEST_FAULT            0xBu /* recalled, unconfirmed */
#define AMDVI_EVENT_RMP_PAGE_FAULT         0xDu /* one source */
#define AMDVI_EVENT_RMP_HW_ERROR           0xEu /* one source */

/* IVRS: hwspec 8.2 */
#define AMDVI_IVRS_HEADER          48u
#define AMDVI_IVINFO_EFR_SUP       0x1u
#define AMDVI_IVINFO_PA_LO         8u  /* 14:8 */
#define AMDVI_IVINFO_VA_LO         15u /* 21:15 */
#define AMDVI_IVINFO_SIZE          0x7Fu
#define AMDVI_IVINFO_HT_ATS_RESV   ((uint32_t)1 << 22)
#define AMDVI_IVHD_10              0x10u
#define AMDVI_IVHD_11              0x11u
#define AMDVI_IVHD_40              0x40u
#define AMDVI_IVHD_10_HEADER       24u
#define AMDVI_IVHD_11_HEADER       40u
#define AMDVI_IVHD_HT_TUN_EN       0x01u
#define AMDVI_IVHD_PASS_PW         0x02u
#define AMDVI_IVHD_RES_PASS_PW     0x04u
#define AMDVI_IVHD_ISOC            0x08u
#define AMDVI_IVHD_ATTR_HAT_DIS    0x1u /* one source */
#define AMDVI_IVMD_ALL             0x20u
#define AMDVI_IVMD_ONE             0x21u
#define AMDVI_IVMD_RANGE           0x22u
#define AMDVI_IVMD_UNIT            0x23u /* one source */
#define AMDVI_IVMD_BYTES           32u
#define AMDVI_IVMD_UNITY           0x01u
#define AMDVI_IVMD_READ            0x02u /* hwspec 10 item 17 */
#define AMDVI_IVMD_WRITE           0x04u
#define AMDVI_IVMD_EXCLUSION       0x08u
#define AMDVI_IVRS_DEV_PAD4        0x00u
#define AMDVI_IVRS_DEV_ALL         0x01u
#define AMDVI_IVRS_DEV_SELECT      0x02u
#define AMDVI_IVRS_DEV_RANGE_START 0x03u
#define AMDVI_IVRS_DEV_RANGE_END   0x04u
#define AMDVI_IVRS_DEV_PAD8        0x40u
#define AMDVI_IVRS_DEV_ALIAS       0x42u
#define AMDVI_IVRS_DEV_ALIAS_START 0x43u
#define AMDVI_IVRS_DEV_EXT         0x46u
#define AMDVI_IVRS_DEV_EXT_START   0x47u
#define AMDVI_IVRS_DEV_SPECIAL     0x48u
#define AMDVI_IVRS_DEV_FIXED       0x80u /* below: length 4 << (type >> 6) */
#define AMDVI_IVRS_DEV_HID         0xF0u
#define AMDVI_IVRS_DEV_HID_BYTES   22u /* and the uid */

#endif
