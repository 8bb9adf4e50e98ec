/* SPDX-License-Identifier: MIT */
#ifndef STANDIN_XEN_SMP_H
#define STANDIN_XEN_SMP_H

#include <xen/percpu.h>

#define smp_processor_id() xm_cpu

#endif
