/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_STRING_H
#define STANDIN_XEN_STRING_H

#include <xen/types.h>

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
char *strchr(const char *s, int c);
size_t strlen(const char *s);
int strncmp(const char *a, const char *b, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
