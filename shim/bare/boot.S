/* SPDX-License-Identifier: MIT */
/*
 * Entry of the bare host: from the loader's 32-bit protected mode, by multiboot 1 or PVH, to C in
 * 64-bit mode, and the entry points of the CPU's exceptions.
 *
 * Memory is mapped 1:1 by 2 MiB pages: 0 to 2 GiB and 4 to 8 GiB cached, the 2 GiB of registers in
 * between (PCI, ACPI units, local APIC) uncached. The tables have 5 levels where the CPU can
 * (LA57), else 4.
 */
#define MB_MAGIC 0x1BADB002
#define MB_FLAGS 0x00010003 /* address fields valid, memory information, aligned modules */

#define GIBS     8
#define LEAF     0x83 /* present, writable, 2 MiB */
#define UNCACHED 0x18 /* PCD, PWT */

#define CR0_ON   0x80010001 /* paging, supervisor write protection, protection */
#define CR4_PAE  0x20
#define CR4_LA57 0x1000
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100

#define CPUID_FEATURES 7
#define CPUID_ECX_LA57 0x10000

#define VECTOR_PF 14

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

    movl $CR4_PAE, %esi
    movl $pml4, %edi
    xorl %eax, %eax
    cpuid
    cmpl $CPUID_FEATURES, %eax
    jb 4f
    movl $CPUID_FEATURES, %eax
    xorl %ecx, %ecx
    cpuid
    testl $CPUID_ECX_LA57, %ecx
    jz 4f
    movl $pml4 + 3, pml5
    movl $CR4_PAE | CR4_LA57, %esi
    movl $pml5, %edi
4:  movl %esi, %cr4
    movl %edi, %cr3
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
5:  hlt
    jmp 5b

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

/*
 * A page fault of an instruction in .fixups goes on where that says, with the error code in RAX,
 * the address in RDX and RCX lost. Any other exception is the end of the run.
 */
trap:
    cmpq $VECTOR_PF, (%rsp)
    jne 3f
    movq 16(%rsp), %rcx
    movl $fixups_start, %eax
1:  cmpq $fixups_end, %rax
    jae 3f
    cmpq %rcx, (%rax)
    je 2f
    addq $16, %rax
    jmp 1b
2:  movq 8(%rax), %rax
    movq %rax, 16(%rsp)
    movq 8(%rsp), %rax
    movq %cr2, %rdx
    addq $16, %rsp
    iretq
3:  movq %rsp, %rdi
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
pml5:
    .skip 4096
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
