/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_GUEST_ACCESS_H
#define STANDIN_XEN_GUEST_ACCESS_H

#define XEN_GUEST_HANDLE_PARAM(type) standin_handle_##type
typedef struct {
    void *p;
} XEN_GUEST_HANDLE_PARAM(void);

/* Both: how many bytes were not copied. */
unsigned int raw_copy_from_guest(void *to, const void *from, unsigned int len);
unsigned int raw_copy_to_guest(void *to, const void *from, unsigned int len);

#endif
