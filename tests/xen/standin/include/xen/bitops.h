/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name. The shim uses nothing of it: here are names that a careless one clashes with. */
#ifndef STANDIN_XEN_BITOPS_H
#define STANDIN_XEN_BITOPS_H

#define BIT(number, suffix) (1##suffix << (number))
#define GENMASK(high, low) ((~0UL << (low)) & (~0UL >> (63 - (high))))

unsigned int ffs(unsigned int x);
unsigned int ffsl(unsigned long x);
unsigned int fls(unsigned int x);
unsigned int flsl(unsigned long x);
unsigned int hweight32(unsigned int x);
unsigned int hweight64(unsigned long x);
unsigned int find_first_bit(const unsigned long *map, unsigned int size);
unsigned int find_next_bit(const unsigned long *map, unsigned int size, unsigned int from);
void set_bit(int number, volatile void *map);
void clear_bit(int number, volatile void *map);
int test_bit(int number, const volatile void *map);

#endif
