/* SPDX-License-Identifier: MIT */
/*
 * Entry of the bare host: from the loader's 32-bit protected mode, by multiboot 1 or PVH, to C in
 * 64-bit mode, and the entry points of the CPU's exceptions.
 *
 * Memory is mapped 1:1 by 2 MiB pages: 0 to 2 GiB and 4 to 8 GiB cached, the 2 GiB of registers in
 * between (PCI, ACPI units, local APIC) uncached.
 */
#define MB_MAGIC 0x1BADB002
#define MB_FLAGS 0x00010003 /* address fields valid, memory information, aligned modules */

#define GIBS     8
#define LEAF     0x83 /* present, writable, 2 MiB */
#define UNCACHED 0x18 /* PCD, PWT */

#define CR0_ON   0x80010001 /* paging, supervisor write protection, protection */
#define CR4_PAE  0x20
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100

#define SEL_CODE 0x08
#define SEL_DATA 0x10

    .section .boot, "ax"
    .code32
    .balign 4
multiboot:
    .long MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)
    .long multiboot, multiboot, data_end, bss_end, start32

    .globl start32
start32:
    cli
    cld
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    xorl %eax, %eax
    rep stosb

    movl $pdpt + 3, pml4
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $12, %eax
    addl $page_dirs + 3, %eax
    movl %eax, pdpt(, %ecx, 8)
    incl %ecx
    cmpl $GIBS, %ecx
    jb 1b

    xorl %ecx, %ecx /* number of the 2 MiB page */
2:  movl %ecx, %eax
    shll $21, %eax
    orl $LEAF, %eax
    movl %ecx, %edx
    shrl $11, %edx
    cmpl $2 * 512, %ecx
    jb 3f
    cmpl $4 * 512, %ecx
    jae 3f
    orl $UNCACHED, %eax
3:  movl %eax, page_dirs(, %ecx, 8)
    movl %edx, page_dirs + 4(, %ecx, 8)
    incl %ecx
    cmpl $GIBS * 512, %ecx
    jb 2b

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_ON, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $SEL_CODE, $start64

    .code64
start64:
    movl $SEL_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    call bare_main
4:  hlt
    jmp 4b

/* One entry for each exception, 16 bytes apart; those without an error code push a zero. */
    .text
    .balign 16
    .globl bare_trap_entries
bare_trap_entries:
    vector = 0
    .rept 32
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    pushq $0
    .endif
    pushq $vector
    jmp trap
    vector = vector + 1
    .endr

/* No way back: an exception is the end of the run. */
trap:
    movq %rsp, %rdi
    movq %cr2, %rsi
    andq $-16, %rsp
    call bare_trap

    .section .rodata, "a"
    .balign 8
gdt:
    .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

/* PVH: name "Xen", type 18, the physical address of the 32-bit entry. */
    .section .note.pvh, "a", @note
    .long 4, 4, 18
    .asciz "Xen"
    .long start32

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
page_dirs:
    .skip GIBS * 4096
stack:
    .skip 65536
stack_top:

    .section .note.GNU-stack, "", @progbits
