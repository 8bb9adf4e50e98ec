/* SPDX-License-Identifier: MIT */
/* Between lab.c and lab_check.c. */
#ifndef LAB_INTERNAL_H
#define LAB_INTERNAL_H

#include "lab.h"

#define LAB_DID 7
#define LAB_MAX_TABLES 4096u

/* Remembers table and flat model as what the unit knows. */
void lab_snapshot(struct lab *r);

#endif
