/* SPDX-License-Identifier: MIT */
/* The model's processors are numbers: xm_cpu. One that goes away loses its area: xm_cpus_gone(). */
#ifndef STANDIN_XEN_PERCPU_H
#define STANDIN_XEN_PERCPU_H

#define XM_CPUS 2
extern __thread unsigned int xm_cpu;

#define DEFINE_PER_CPU(type, name) __attribute__((__section__("xm_percpu"))) __typeof__(type) per_cpu__##name[XM_CPUS]
#define this_cpu(name) (per_cpu__##name[xm_cpu])

#endif
