/* SPDX-License-Identifier: MIT */
/* What the guest runs, in 64 bits from its first instruction on, at any address: struct list of guest.c, to which rbx points. */

    .section .rodata
    .balign 16
    .globl guest_program, guest_program_end
guest_program:
    lea guest_program_end + 1024(%rip), %rsp
    xor %eax, %eax
    push %rbx
    cpuid
    mov %ebx, %r15d                     /* "Genu": the other instruction for hypercalls */
    pop %rbx
idle:
    mov $29, %eax                       /* SCHEDOP_yield */
    xor %edi, %edi
    xor %esi, %esi
    call hypercall
turn:
    cmpl $0, (%rbx)
    je idle
    mov 8(%rbx), %r12d
    lea 80(%rbx), %rbp
next:
    lea 24(%rbp), %rsi                  /* each time as it was written: calls change it */
    lea 16(%rbx), %rdi
    mov $8, %ecx
    rep movsq
    mov (%rbp), %rax
    mov 8(%rbp), %rdi
    lea 16(%rbx), %rsi
    call hypercall
    mov %rax, 16(%rbp)
    add $88, %rbp
    dec %r12d
    jnz next
    cmpl $1, (%rbx)                     /* once; else again */
    jne 1f
    movl $0, (%rbx)
1:  incl 4(%rbx)
    jmp turn

hypercall:
    cmp $0x756e6547, %r15d
    je 1f
    vmmcall
    ret
1:  vmcall
    ret
guest_program_end:

    .section .note.GNU-stack, "", @progbits
