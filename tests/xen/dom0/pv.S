/* SPDX-License-Identifier: MIT */
/* The test dom0 as a 64-bit PV guest: notes that tell Xen how to build it, and where it begins. */

#include "macros.h"

    .section .note.Xen, "a", @note
    note 6, .asciz "pviommu test dom0"
    note 7, .asciz "1"
    note 5, .asciz "xen-3.0"
    note 8, .asciz "generic"
    note 9, .asciz "yes"                /* PAE mode */
    note 3, .quad 0xffffffff80000000    /* where virtual addresses of physical 0 begin */
    note 4, .quad 0                     /* program headers tell physical addresses */
    note 1, .quad start
    note 10, .asciz "!writable_page_tables|pae_pgdir_above_4gb"

    .section .text.head, "ax", @progbits
    .globl start
start:
    cld
    lea stack_end(%rip), %rsp
    mov %rsi, %rdi                      /* start_info */
    call dom0_main
1:  jmp 1b

/* Where the second virtual CPU begins, on a stack of its own. */
    .globl second_entry
second_entry:
    cld
    call second_main

/* Xen comes here when an event is pending; it has put rcx and r11 below the interrupted frame. */
    .globl event_entry
event_entry:
    pop %rcx
    pop %r11
    event
    mov $23, %eax                       /* iret */
    syscall

    .globl failsafe_entry
failsafe_entry:
    ud2

/* long xen_call(number, a1, a2, a3, a4) */
    .text
    .globl xen_call
xen_call:
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    syscall
    ret

    .section .bss
    .balign 4096
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
