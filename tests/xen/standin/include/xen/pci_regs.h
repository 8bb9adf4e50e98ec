/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_PCI_REGS_H
#define STANDIN_XEN_PCI_REGS_H

#define PCI_CLASS_DEVICE 0x0a

#endif
