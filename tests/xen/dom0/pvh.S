/* SPDX-License-Identifier: MIT */
/* The test dom0 as a PVH guest: from 32 bits without paging to 64 bits with 4 GiB mapped 1:1 in pages of 2 MiB. */

#include "macros.h"

    .section .note.Xen, "a", @note
    note 6, .asciz "pviommu test dom0"
    note 5, .asciz "xen-3.0"
    note 8, .asciz "generic"
    note 18, .long start                /* entry in protected mode */

    .section .text.head, "ax", @progbits
    .code32
    .globl start
start:
    cld
    mov %ebx, %ebp                      /* start info */
    mov $tables, %edi
    mov $(6 * 1024), %ecx
    xor %eax, %eax
    rep stosl
    movl $(tables + 0x1007), tables
    mov $4, %ecx
    mov $(tables + 0x1000), %edi
    mov $(tables + 0x2007), %eax
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov $2048, %ecx
    mov $(tables + 0x2000), %edi
    mov $0x87, %eax
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $tables, %eax
    mov %eax, %cr3
    mov $0x20, %eax                     /* PAE */
    mov %eax, %cr4
    mov $0xc0000080, %ecx               /* EFER.LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax
    mov %eax, %cr0
    lgdt gdt_at
    ljmp $8, $start64

    .code64
start64:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    lea stack_end(%rip), %rsp
    mov %ebp, %edi
    call dom0_main
1:  jmp 1b

/* Where the second virtual CPU begins, on a stack of its own. */
    .globl second_entry
second_entry:
    cld
    lgdt gdt_at
    call second_main

    .globl event_entry
event_entry:
    event
    pop %rax
    pop %r11
    pop %rcx
    add $8, %rsp
    iretq

/* long xen_call(number, a1, a2, a3, a4) */
    .text
    .globl xen_call
xen_call:
    mov %rdi, %rax
    mov %rsi, %rdi
    mov %rdx, %rsi
    mov %rcx, %rdx
    mov %r8, %r10
    cmpb $0, intel(%rip)
    jne 1f
    vmmcall
    ret
1:  vmcall
    ret

    .data
    .globl intel
intel:
    .byte 0
    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_at:
    .word . - gdt - 1
    .long gdt

    .section .bss
    .balign 4096
    .globl tables
tables:
    .skip 6 * 4096
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
