/* SPDX-License-Identifier: MIT */
/*
 * VT-d constants, nothing else: no type, no function. "hwspec" is the project's
 * hardware reference; the manual's chapter stands beside it where the reference gives one
 * (registers are 10.4 in manuals of 2021, 11.4 since revision 4).
 */
#ifndef PVI_VTD_SPEC_H
#define PVI_VTD_SPEC_H

#include <stdint.h>

#define VTD_BIT(n)   ((uint64_t)1 << (n))
#define VTD_BIT32(n) ((uint32_t)1 << (n))

/* Registers (hwspec 1.1; VT-d 10.4 / 11.4) */
#define VTD_REG_CAP    0x08u  /* hwspec 1.2; 64 bits */
#define VTD_REG_ECAP   0x10u  /* hwspec 1.3; 64 bits */
#define VTD_REG_GCMD   0x18u  /* hwspec 1.4; VT-d 10.4.4; 32 bits, write-only */
#define VTD_REG_GSTS   0x1cu  /* hwspec 1.4; 32 bits */
#define VTD_REG_RTADDR 0x20u  /* hwspec 1.5; 64 bits */
#define VTD_REG_FSTS   0x34u  /* hwspec 1.8; 32 bits */
#define VTD_REG_FECTL  0x38u  /* hwspec 1.8; 32 bits */
#define VTD_REG_PMEN   0x64u  /* hwspec 1.9; 32 bits */
#define VTD_REG_IQH    0x80u  /* hwspec 1.10; 64 bits */
#define VTD_REG_IQT    0x88u  /* hwspec 1.10; 64 bits */
#define VTD_REG_IQA    0x90u  /* hwspec 1.10; 64 bits */
#define VTD_REG_IECTL  0xa0u  /* hwspec 1.1; 32 bits */
#define VTD_REG_IQERCD 0xb0u  /* hwspec 1.10; VT-d 11.4.9.9; 64 bits */
#define VTD_REG_PECTL  0xe0u  /* hwspec 1.1; 32 bits; with ECAP.PRS */
#define VTD_REG_WINDOW 0x100u /* hwspec 1.1: the registers above all lie below it */

/* CAP (hwspec 1.2) */
#define VTD_CAP_ND(cap)    ((unsigned)((cap)&7u))           /* hwspec 1.2, 2:0; 10 item 2 */
#define VTD_CAP_ND_MAX     6u                               /* hwspec 1.2: 7 is reserved */
#define VTD_CAP_RWBF       VTD_BIT(4)                       /* hwspec 1.2 */
#define VTD_CAP_PLMR       VTD_BIT(5)                       /* hwspec 1.2 */
#define VTD_CAP_PHMR       VTD_BIT(6)                       /* hwspec 1.2 */
#define VTD_CAP_CM         VTD_BIT(7)                       /* hwspec 1.2; VT-d 6.1 */
#define VTD_CAP_SAGAW(cap) ((unsigned)((cap) >> 8) & 0x1fu) /* hwspec 1.2, 12:8; VT-d 11.4.2 */
#define VTD_SAGAW_3LEVEL   0x2u                             /* hwspec 1.2: 39 bits */
#define VTD_SAGAW_4LEVEL   0x4u                             /* hwspec 1.2: 48 bits */
#define VTD_SAGAW_5LEVEL   0x8u                             /* hwspec 1.2: 57 bits */
#define VTD_CAP_MGAW(cap)  (((unsigned)((cap) >> 16) & 0x3fu) + 1u)   /* hwspec 1.2, 21:16 */
#define VTD_CAP_FRO(cap)   (((uint32_t)((cap) >> 24) & 0x3ffu) * 16u) /* hwspec 1.2, 33:24; 10.1 */
#define VTD_CAP_SSLPS_2M   VTD_BIT(34)                                /* hwspec 1.2 */
#define VTD_CAP_SSLPS_1G   VTD_BIT(35)                                /* hwspec 1.2 */
#define VTD_CAP_PSI        VTD_BIT(39)                                /* hwspec 1.2 */
#define VTD_CAP_NFR(cap)   (((unsigned)((cap) >> 40) & 0xffu) + 1u)   /* hwspec 1.2, 47:40 */
#define VTD_CAP_MAMV(cap)  ((unsigned)((cap) >> 48) & 0x3fu)          /* hwspec 1.2, 53:48 */
#define VTD_CAP_DWD        VTD_BIT(54)                                /* hwspec 1.2 */
#define VTD_CAP_DRD        VTD_BIT(55)                                /* hwspec 1.2 */
#define VTD_CAP_FS1GP      VTD_BIT(56)                                /* hwspec 1.2 */
#define VTD_CAP_FS5LP      VTD_BIT(60)                                /* hwspec 1.2 */
#define VTD_CAP_ESRTPS     VTD_BIT(63)                                /* hwspec 1.2 */

/* ECAP (hwspec 1.3) */
#define VTD_ECAP_C   VTD_BIT(0)  /* hwspec 1.3, 9.2 */
#define VTD_ECAP_QI  VTD_BIT(1)  /* hwspec 1.3 */
#define VTD_ECAP_DT  VTD_BIT(2)  /* hwspec 1.3 */
#define VTD_ECAP_PT  VTD_BIT(6)  /* hwspec 1.3 */
#define VTD_ECAP_SC  VTD_BIT(7)  /* hwspec 1.3; 10 item 4 */
#define VTD_ECAP_PRS VTD_BIT(29) /* hwspec 1.3 */

/* ECAP of scalable mode (hwspec 1.3) */
#define VTD_ECAP_NEST      VTD_BIT(26)                              /* hwspec 1.3 */
#define VTD_ECAP_SRS       VTD_BIT(31)                              /* hwspec 1.3 */
#define VTD_ECAP_PSS(ecap) (((unsigned)((ecap) >> 35) & 0x1fu) + 1u) /* hwspec 1.3, 39:35 */
#define VTD_ECAP_PASID     VTD_BIT(40)                              /* hwspec 1.3 */
#define VTD_ECAP_SMTS      VTD_BIT(43)                              /* hwspec 1.3 */
#define VTD_ECAP_SSADS     VTD_BIT(45)                              /* hwspec 1.3 */
#define VTD_ECAP_SSTS      VTD_BIT(46)                              /* hwspec 1.3 */
#define VTD_ECAP_FSTS      VTD_BIT(47)                              /* hwspec 1.3 */
#define VTD_ECAP_SMPWCS    VTD_BIT(48)                              /* hwspec 1.3, 9.2 */
#define VTD_ECAP_RPS       VTD_BIT(49)                              /* hwspec 1.3 */

/* GCMD and GSTS: the same bit in both (hwspec 1.4) */
#define VTD_GCMD_TE     VTD_BIT32(31) /* hwspec 1.4 */
#define VTD_GCMD_SRTP   VTD_BIT32(30) /* hwspec 1.4, one-shot */
#define VTD_GCMD_EAFL VTD_BIT32(28) /* hwspec 1.4 */
#define VTD_GCMD_WBF    VTD_BIT32(27) /* hwspec 1.4, 1.12, one-shot; VT-d 6.8 */
#define VTD_GCMD_QIE    VTD_BIT32(26) /* hwspec 1.4 */
#define VTD_GSTS_LEVELS 0x96ffffffu   /* hwspec 1.4 rule 1: GSTS without the one-shot bits */

/* FSTS (hwspec 1.8) */
#define VTD_FSTS_PFO       VTD_BIT32(0)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_PPF       VTD_BIT32(1)                      /* hwspec 1.8, RO: OR of all FRCD.F */
#define VTD_FSTS_AFO       VTD_BIT32(2)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_APF       VTD_BIT32(3)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_IQE       VTD_BIT32(4)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_ICE       VTD_BIT32(5)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_ITE       VTD_BIT32(6)                      /* hwspec 1.8, RW1C */
#define VTD_FSTS_FRI(fsts) (((unsigned)(fsts) >> 8) & 0xffu) /* hwspec 1.8, 15:8 */
#define VTD_FSTS_QUEUE     (VTD_FSTS_IQE | VTD_FSTS_ICE | VTD_FSTS_ITE)
#define VTD_FSTS_RW1C      (VTD_FSTS_PFO | VTD_FSTS_AFO | VTD_FSTS_APF | VTD_FSTS_QUEUE)

/* FECTL, IECTL, PECTL (hwspec 1.8) */
#define VTD_ECTL_IM VTD_BIT32(31) /* hwspec 1.8: 1 = masked; in PECTL recalled, unconfirmed */

/* PMEN (hwspec 1.9) */
#define VTD_PMEN_EPM VTD_BIT32(31) /* hwspec 1.9 */
#define VTD_PMEN_PRS VTD_BIT32(0)  /* hwspec 1.9, RO */

/* Invalidation queue (hwspec 1.10): IQA = base | width | size; the size is zero here: 4 KiB */
#define VTD_QUEUE_LG2      12u  /* hwspec 1.10: bytes, with QS 0 */
#define VTD_QUEUE_SLOT_LG2 4u   /* hwspec 1.10: 128 bits; 256 with DW */
#define VTD_IQA_DW         VTD_BIT(11)                   /* hwspec 1.10 */
#define VTD_IQH_BYTE(iqh)  ((unsigned)(iqh) & 0x7fff0u)  /* hwspec 1.10: byte offset, 18:4 */
#define VTD_IQERCD_SIDS    ((uint64_t)0xffffffff << 32)       /* hwspec 1.10: ICESID, ITESID */
#define VTD_IQERCD_IQEI    0xfu                               /* hwspec 1.10, 3:0 */

/* Fault records (hwspec 5.1; VT-d 7.2.1) */
#define VTD_FRCD_SIZE    16u                                /* hwspec 5.1 */
#define VTD_FRCD_FI      ((uint64_t)0xfffffffffffff000u)     /* hwspec 5.1, low 63:12 */
#define VTD_FRCD_SID(hi) ((uint16_t)((hi)&0xffffu))         /* hwspec 5.1, high 15:0 */
#define VTD_FRCD_T2      VTD_BIT(28)                        /* hwspec 5.1 */
#define VTD_FRCD_PP      VTD_BIT(31)                        /* hwspec 5.1 */
#define VTD_FRCD_PV(hi)  ((uint32_t)((hi) >> 40) & 0xfffffu) /* hwspec 5.1, high 59:40 */
#define VTD_FRCD_FR(hi)  ((uint16_t)(((hi) >> 32) & 0xffu)) /* hwspec 5.1, high 39:32 */
#define VTD_FRCD_T1      VTD_BIT(62)                        /* hwspec 5.1 */
#define VTD_FRCD_F       VTD_BIT(63)                        /* hwspec 5.1, RW1C */
#define VTD_FRCD_TOP     12u           /* hwspec 5.1: offset of the dword with F */
#define VTD_FRCD_TOP_F   VTD_BIT32(31) /* hwspec 5.1 */
#define VTD_FR_IR_FIRST  0x20u         /* hwspec 5.3: interrupt remapping */
#define VTD_FR_IR_LAST   0x2fu         /* hwspec 5.3 */

/* RTADDR (hwspec 1.5) */
#define VTD_RTADDR_SCALABLE VTD_BIT(10) /* hwspec 1.5, TTM 11:10 */

/* Root entry (hwspec 2.1) */
#define VTD_ROOT_P   VTD_BIT(0)                     /* hwspec 2.1 */
#define VTD_ROOT_CTP ((uint64_t)0xfffffffffffff000u) /* hwspec 2.1, 63:12 */

/* Legacy context entry (hwspec 2.2) */
#define VTD_CTX_P         VTD_BIT(0)                     /* hwspec 2.2 */
#define VTD_CTX_FPD       VTD_BIT(1)                     /* hwspec 2.2, 5.4 */
#define VTD_CTX_TT_LG2    2u                             /* hwspec 2.2, 3:2 */
#define VTD_CTX_TT_MASK   3u                             /* hwspec 2.2 */
#define VTD_CTX_SSPTPTR   ((uint64_t)0xfffffffffffff000u) /* hwspec 2.2, 63:12 */
#define VTD_CTX_AW_MASK   7u                             /* hwspec 2.2, high 2:0 */
#define VTD_CTX_AW_LEVELS 2u                             /* hwspec 2.2: AW = levels - 2 */
#define VTD_CTX_DID_LG2   8u                             /* hwspec 2.2, high 23:8; 10 item 3 */
#define VTD_CTX_DID_MASK  0xffffu                        /* hwspec 2.2 */

/* Scalable-mode context entry (hwspec 2.3) */
#define VTD_SMCTX_WORDS    4u                             /* hwspec 2.3 */
#define VTD_SMCTX_DEVFN    0x7fu                          /* hwspec 2.1: 128 entries a table */
#define VTD_SMCTX_P        VTD_BIT(0)                     /* hwspec 2.3 */
#define VTD_SMCTX_DTE      VTD_BIT(2)                     /* hwspec 2.3: only with ECAP.DT */
#define VTD_SMCTX_PASIDE   VTD_BIT(3)                     /* hwspec 2.3 */
#define VTD_SMCTX_PRE      VTD_BIT(4)                     /* hwspec 2.3: only with ECAP.PRS */
#define VTD_SMCTX_PDTS_LG2 9u                             /* hwspec 2.3, 11:9 */
#define VTD_SMCTX_DIR      ((uint64_t)0xfffffffffffff000u) /* hwspec 2.3, 63:12 */

/* PASID directory and table (hwspec 2.3 to 2.5) */
#define VTD_PASID_DIR_LG2   13u /* hwspec 2.3: PDTS 0 is 2^7 entries of 64 PASIDs */
#define VTD_PASID_BITS      20u /* hwspec 2.3: PDTS 7 */
#define VTD_PASID_TABLE_LG2 6u  /* hwspec 2.4: entries of a table */
#define VTD_PASID_WORDS     8u  /* hwspec 2.5: 512 bits */
#define VTD_PDE_P           VTD_BIT(0)                     /* hwspec 2.4 */
#define VTD_PDE_TABLE       ((uint64_t)0xfffffffffffff000u) /* hwspec 2.4, 63:12 */
#define VTD_PTE_P           VTD_BIT(0)                     /* hwspec 2.5, w0 */
#define VTD_PTE_AW_LG2      2u                             /* hwspec 2.5, w0 4:2; levels - 2 */
#define VTD_PTE_AW_LEVELS   2u                             /* hwspec 2.5, 2.2 */
#define VTD_PTE_PGTT_FS     ((uint64_t)1 << 6)             /* hwspec 2.5, w0 8:6 */
#define VTD_PTE_PGTT_SS     ((uint64_t)2 << 6)             /* hwspec 2.5 */
#define VTD_PTE_PGTT_NEST   ((uint64_t)3 << 6)             /* hwspec 2.5 */
#define VTD_PTE_PGTT_PASS   ((uint64_t)4 << 6)             /* hwspec 2.5 */
#define VTD_PTE_SSADE       VTD_BIT(9)  /* hwspec 2.5, w0: only with ECAP.SSADS */
#define VTD_PTE_PWSNP       VTD_BIT(23) /* hwspec 2.5, w1: only with ECAP.SMPWCS */
#define VTD_PTE_PGSNP       VTD_BIT(24) /* hwspec 2.5, w1: only with ECAP.SC */
#define VTD_PTE_SRE         VTD_BIT(0)  /* hwspec 2.5, w2: only with ECAP.SRS */
#define VTD_PTE_FSPM_5LEVEL VTD_BIT(2)  /* hwspec 2.5, w2 3:2: only with CAP.FS5LP */
#define VTD_PTE_WPE         VTD_BIT(4)  /* hwspec 2.5, w2 */

/* Second-stage entries (hwspec 3.1; VT-d 3.7, 9.8) */
#define VTD_SSPTE_R        VTD_BIT(0)  /* hwspec 3.1 */
#define VTD_SSPTE_W        VTD_BIT(1)  /* hwspec 3.1 */
#define VTD_SSPTE_PS       VTD_BIT(7)  /* hwspec 3.1: leaf at levels 2 and 3; reserved above */
#define VTD_SSPTE_A        VTD_BIT(8)  /* hwspec 3.1: with SSADE */
#define VTD_SSPTE_D        VTD_BIT(9)  /* hwspec 3.1: leaves, with SSADE */
#define VTD_SSPTE_SNP      VTD_BIT(11) /* hwspec 3.1: leaves, only with ECAP.SC; 10 item 4 */
#define VTD_SSPTE_ADDR     ((uint64_t)0x000ffffffffff000) /* hwspec 3.1, 51:12; 10 item 25 */

/* Writes here are interrupt requests, never translated (hwspec 3.3) */
#define VTD_MSI_FIRST ((uint64_t)0xfee00000u) /* hwspec 3.3 */
#define VTD_MSI_LAST  ((uint64_t)0xfeefffffu) /* hwspec 3.3 */

/* Descriptors (hwspec 4.1; VT-d 6.5.2) */
#define VTD_DESC_TYPE       0xfu               /* hwspec 4: 3:0 (11:9 are 0 here) */
#define VTD_DESC_CONTEXT    0x1u               /* hwspec 4.1 */
#define VTD_DESC_IOTLB      0x2u               /* hwspec 4.1 */
#define VTD_DESC_WAIT       0x5u               /* hwspec 4.1; VT-d 6.5.2.8 */
#define VTD_DESC_GLOBAL     ((uint64_t)1 << 4) /* hwspec 4.1, G 5:4 */
#define VTD_DESC_DOMAIN     ((uint64_t)2 << 4) /* hwspec 4.1 */
#define VTD_DESC_NARROW     ((uint64_t)3 << 4) /* hwspec 4.1: device, or pages of a domain */
#define VTD_DESC_DID_LG2    16u                /* hwspec 4.1, 31:16 */
#define VTD_CONTEXT_SID_LG2 32u                /* hwspec 4.1, 47:32 */
#define VTD_IOTLB_DW        VTD_BIT(6)         /* hwspec 4.1: only with CAP.DWD */
#define VTD_IOTLB_DR        VTD_BIT(7)         /* hwspec 4.1: only with CAP.DRD */
#define VTD_IOTLB_IH        VTD_BIT(6)         /* hwspec 4.1, second qword */
#define VTD_DESC_PIOTLB     0x6u               /* hwspec 4.1 */
#define VTD_DESC_PASID      0x7u               /* hwspec 4.1 */
#define VTD_DESC_PDEVTLB    0x8u               /* hwspec 4.1; VT-d 6.5.2.6 */
#define VTD_DESC_PASID_LG2  32u                /* hwspec 4.1, 51:32 of types 6 to 8 */
#define VTD_DESC_PASID_MASK ((uint64_t)0xfffff) /* hwspec 4.1 */
#define VTD_PIOTLB_ALL      ((uint64_t)2 << 4) /* hwspec 4.1: all pages of a PASID */
#define VTD_PIOTLB_PAGES    ((uint64_t)3 << 4) /* hwspec 4.1 */
#define VTD_PASID_DOMAIN    ((uint64_t)0 << 4) /* hwspec 4.1: all PASIDs of a domain id */
#define VTD_PASID_ONE       ((uint64_t)1 << 4) /* hwspec 4.1 */
#define VTD_PASID_GLOBAL    ((uint64_t)3 << 4) /* hwspec 4.1 */
#define VTD_PDEVTLB_MIP_LG2 4u                 /* hwspec 4.1, 8:4 */
#define VTD_PDEVTLB_MIP     0x1fu              /* hwspec 4.1 */
#define VTD_PDEVTLB_PF_LO   12u                /* hwspec 4.1: PFSID 3:0 in 15:12 */
#define VTD_PDEVTLB_PF_HI   52u                /* hwspec 4.1: PFSID 15:4 in 63:52 */
#define VTD_PDEVTLB_SID_LG2 16u                /* hwspec 4.1, 31:16 */
#define VTD_PDEVTLB_S       VTD_BIT(11)        /* hwspec 4.1, second qword: more than a page */
#define VTD_WAIT_SW         VTD_BIT(5)         /* hwspec 4.1 */
#define VTD_WAIT_FN         VTD_BIT(6)         /* hwspec 4.1 */
#define VTD_WAIT_DATA_LG2   32u                /* hwspec 4.1, 63:32 */
#define VTD_WAIT_ADDR       (~(uint64_t)3)     /* hwspec 4.1, second qword 63:2 */

#endif
