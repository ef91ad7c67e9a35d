/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What probes/legacy.c needs to know of the kernel's structures, from the headers of the very build that runs,
 * where there is no BTF to ask.
 */
#include <linux/sched.h>
#include <linux/thread_info.h>

#ifdef CONFIG_THREAD_INFO_IN_TASK
#define TASK_THREAD_INFO offsetof(struct task_struct, thread_info)
#else
/* Until Linux commit 15f4eae70d36 ("x86: Move thread_info into task_struct", 4.9). */
#define STACK_SIZE THREAD_SIZE
#define THREAD_INFO_TASK offsetof(struct thread_info, task)
#endif
#define THREAD_INFO_FLAGS offsetof(struct thread_info, flags)
#ifdef STATUS_IN_THREAD
/* 4.9 to 4.15: b9d989c7218a ("x86/asm: Move the thread_info::status field to thread_struct"). */
#define TASK_STATUS offsetof(struct task_struct, thread.status)
#else
#define THREAD_INFO_STATUS offsetof(struct thread_info, status)
#endif
#define TASK_PID offsetof(struct task_struct, pid)
#define TASK_TGID offsetof(struct task_struct, tgid)
#define TASK_COMM offsetof(struct task_struct, comm)
#define TASK_GROUP_LEADER offsetof(struct task_struct, group_leader)
