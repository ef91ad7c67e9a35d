/* bcc includes <linux/kconfig.h> before everything else and expects the kernel's basic types from it. With
 * this tree in BCC_KERNEL_SOURCE, programs that bring their own structure offsets need no kernel headers. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
typedef unsigned long size_t;
typedef unsigned long uintptr_t;

#define CONFIG_BPF_SYSCALL 1
