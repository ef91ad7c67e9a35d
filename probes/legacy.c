/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Routes `notify` and `usermode-loop`, for kernels whose BPF is small: kprobe programs (Linux 4.1), plain maps,
 * bounded code. No helper but those of 4.1 is called, and bpf_get_current_task() (4.8) where thread_info has
 * moved into the task (4.9). So this shares no text with exits.h, only its structures' layouts.
 *
 * From Python (tifbpf/recorder/abi.py, legacy.py): CONTEXT_*, ABI_*, TS_COMPAT, X32_SYSCALL_BIT, UNMEASURED,
 * MAX_CLASSES; from BTF, or from the kernel's headers by legacy-offsets.h: TASK_*, THREAD_INFO_*, and
 * STACK_SIZE where thread_info lies on the stack. FROM_SYSCALL(a), FROM_EXCEPTION(a), FROM_RETURN(a) tell in
 * which part of the assembly entry an address lies. BY_* are dimensions, FILTER_* conditions, as in exits.h.
 *
 * A pointer into a map is used before the next call and then forgotten: until Linux commit 57a09bf0a416 ("bpf:
 * Detect identical PTR_TO_MAP_VALUE_OR_NULL registers", 4.10) the verifier took a copy of one for unchecked.
 */

/* struct pt_regs, which has not changed on x86-64. */
struct legacy_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* struct class_key of exits.h, and the CPU, as there are no maps per CPU before 4.6. */
struct class_key {
	u64 word;
	u64 syscall_work;
#ifdef BY_COMM
	char comm[16];
#endif
#ifdef BY_PID
	u32 pid;
	u32 pid_pad;
#endif
#ifdef BY_SYSCALL
	s32 syscall;
	u32 abi;
#endif
	u32 context;
	u8 all;
	u8 latency_log2;
	u8 pad[2];
#ifdef BY_CPU
	u32 cpu;
	u32 cpu_pad;
#endif
};

/*
 * The members of struct counters of exits.h, each an element of its own: until Linux commit 484611357c19 ("bpf:
 * allow access into map value arrays", 4.9) the verifier followed no pointer into the midst of a value, and the
 * compiler is free to make one.
 */
enum counter {
	SEEN,
	PLAIN,
	MAP_FULL,
	READ_FAILED,
	UNCLASSIFIED,
	FILTERED,
	ALL,
	ALL_PLAIN,
	ALL_MAP_FULL,
	NR_COUNTERS
};

struct settings {
	u32 active;
	u32 self_tgid;
	u32 check_tgid;
	u32 user_regs;
};

struct check_key {
	u64 word;
	u64 syscall_work;
	s32 syscall;
	u32 abi;
	u32 context;
	u32 all;
};

BPF_ARRAY(settings, struct settings, 1);
BPF_ARRAY(counters, u64, 2 * NR_CONTEXTS * NR_COUNTERS);
BPF_TABLE("hash", struct class_key, u64, classes0, MAX_CLASSES);
BPF_TABLE("hash", struct class_key, u64, classes1, MAX_CLASSES);
BPF_TABLE("hash", struct check_key, u64, checked, 4096);
#ifdef FILTER_PIDS
BPF_TABLE("hash", u32, u8, followed, MAX_FOLLOWED);
BPF_ARRAY(not_followed, u64, 1);
#endif

static __always_inline void add(u32 set, u32 context, enum counter counter)
{
	int index = ((set & 1) * NR_CONTEXTS + context) * NR_COUNTERS + counter;
	u64 *count = counters.lookup(&index);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline u64 *class_of(u32 set, struct class_key *key)
{
	return set & 1 ? classes1.lookup(key) : classes0.lookup(key);
}

struct self {
	char *task;
	char *thread_info;
	u32 flags;
	u32 tgid;
};

static __always_inline int read_self(struct legacy_regs *ctx, struct self *self)
{
#ifdef STACK_SIZE
	self->thread_info = (char *)(ctx->sp & ~(u64)(STACK_SIZE - 1));
	self->task = 0;
	if (bpf_probe_read(&self->task, sizeof(self->task), self->thread_info + THREAD_INFO_TASK))
		return -1;
#else
	self->task = (char *)bpf_get_current_task();
	self->thread_info = self->task + TASK_THREAD_INFO;
#endif
	self->flags = 0;
	self->tgid = 0;
	if (bpf_probe_read(&self->flags, sizeof(self->flags), self->thread_info + THREAD_INFO_FLAGS))
		return -1;
	return bpf_probe_read(&self->tgid, sizeof(self->tgid), self->task + TASK_TGID);
}

static __always_inline u32 abi_of(struct self *self, s32 syscall)
{
	u32 status = 0;

#ifdef TASK_STATUS
	bpf_probe_read(&status, sizeof(status), self->task + TASK_STATUS);
#else
	bpf_probe_read(&status, sizeof(status), self->thread_info + THREAD_INFO_STATUS);
#endif
	if (status & TS_COMPAT)
		return ABI_I386;
	return syscall != -1 && syscall & X32_SYSCALL_BIT ? ABI_X32 : ABI_X86_64;
}

static __always_inline u64 orig_ax_of(char *regs)
{
	u64 orig_ax = -1;

	bpf_probe_read(&orig_ax, sizeof(orig_ax), regs + __builtin_offsetof(struct legacy_regs, orig_ax));
	return orig_ax;
}

#define NO_CONTEXT NR_CONTEXTS

/*
 * The word below the registers that user mode was left with is the return address of the assembly entry's call.
 * Interrupts and exceptions return through the same call; what the stub pushed in place of a system call's
 * number still tells them apart, ~vector or -1, unless assembly has overwritten it (ORIG_AX_LOST).
 */
static __always_inline u32 context_of(char *regs)
{
	u64 address = 0;

	bpf_probe_read(&address, sizeof(address), regs - sizeof(address));
	if (FROM_SYSCALL(address))
		return CONTEXT_SYSCALL;
	if (FROM_EXCEPTION(address))
		return CONTEXT_EXCEPTION;
	if (!(FROM_RETURN(address)))
		return NO_CONTEXT;
#ifdef ORIG_AX_LOST
	return CONTEXT_INTERRUPT;
#else
	u64 pushed = orig_ax_of(regs);

	if (pushed == (u64)-1)
		return CONTEXT_EXCEPTION;
	return pushed >= (u64)~255 && pushed <= (u64)~FIRST_EXTERNAL_VECTOR ? CONTEXT_INTERRUPT : NO_CONTEXT;
#endif
}

struct exit {
	char *regs;
	u64 word;
	u32 context;
};

static __always_inline void show(struct self *self, struct exit *exit)
{
	struct check_key key = {};
	u64 *count, one = 1;

	key.word = exit->word;
	key.context = exit->context;
	key.syscall = exit->context == CONTEXT_SYSCALL ? orig_ax_of(exit->regs) : -1;
	key.abi = abi_of(self, key.syscall);
	count = checked.lookup(&key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		checked.update(&key, &one);
}

static __always_inline void count(u32 set, u32 self_tgid, struct self *self, struct exit *exit)
{
	struct class_key key = {};
	u64 *value, none = 0;

#ifdef LEAVE_OUT_SELF
	if (self->tgid == self_tgid)
		return;
#ifdef LEAVE_OUT_HELPER
	if (self->tgid == LEAVE_OUT_HELPER)
		return;
#endif
#endif
#ifdef FILTER_PIDS
	if (!followed.lookup(&self->tgid))
		goto filtered;
#endif
#if defined(FILTER_CPU) || defined(BY_CPU)
	u32 cpu = bpf_get_smp_processor_id();
#endif
#ifdef FILTER_CPU
	if (!(FILTER_CPU))
		goto filtered;
#endif
#if defined(FILTER_COMM) || defined(BY_COMM)
	union {
		char text[16];
		u64 half[2];
	} comm = {};
	bpf_probe_read(comm.text, sizeof(comm.text), self->task + TASK_COMM);
#endif
#ifdef FILTER_COMM
	if (!(FILTER_COMM))
		goto filtered;
#endif
#if defined(FILTER_SYSCALL) || defined(BY_SYSCALL)
	s32 syscall = exit->context == CONTEXT_SYSCALL ? orig_ax_of(exit->regs) : -1;
	u32 abi = abi_of(self, syscall);
#endif
#ifdef FILTER_SYSCALL
	if (!(FILTER_SYSCALL))
		goto filtered;
#endif

	add(set, exit->context, SEEN);
	key.word = exit->word;
	key.context = exit->context;
	key.latency_log2 = UNMEASURED;
#ifdef BY_COMM
	__builtin_memcpy(key.comm, comm.text, sizeof(key.comm));
#endif
#ifdef BY_PID
	key.pid = self->tgid;
#endif
#ifdef BY_SYSCALL
	key.syscall = syscall;
	key.abi = abi;
#endif
#ifdef BY_CPU
	key.cpu = cpu;
#endif

	value = class_of(set, &key);
	if (value) {
		__sync_fetch_and_add(value, 1);
		return;
	}
	/* Another CPU may insert the same class first: only a second miss means that the map is full. */
	if (set & 1)
		classes1.insert(&key, &none);
	else
		classes0.insert(&key, &none);
	value = class_of(set, &key);
	if (value) {
		__sync_fetch_and_add(value, 1);
		return;
	}
	add(set, exit->context, MAP_FULL);
	return;

#if defined(FILTER_PIDS) || defined(FILTER_CPU) || defined(FILTER_COMM) || defined(FILTER_SYSCALL)
filtered:
	add(set, exit->context, FILTERED);
#endif
}

enum what {
	WORK,			/* the handlers that a pending bit wants */
	ONE_TIME_WORK		/* of a system call: tracing, audit, single-stepping */
};

/*
 * An exit that has work of both kinds passes both hooks. ONE_TIME_SURE are the bits of the second kind that
 * always lead to its function: an exit that has one is counted there, and not again. By the others (AUDIT on
 * the `notify` kernels, which assembly may have dealt with itself) the work counts it, if there is some.
 */
static __always_inline void see(struct legacy_regs *ctx, enum what what, u32 has_word, u32 word)
{
	struct exit exit = { .regs = (char *)ctx->di };
	struct self self;
	struct settings *setting;
	u32 set, self_tgid, check_tgid;
	int zero = 0;

	setting = settings.lookup(&zero);
	if (!setting)
		return;
	set = *(volatile u32 *)&setting->active;
	self_tgid = setting->self_tgid;
	check_tgid = setting->check_tgid;

	exit.context = what == WORK ? context_of(exit.regs) : CONTEXT_SYSCALL;
	if (exit.context == NO_CONTEXT) {
		if (!check_tgid) {
			add(set, CONTEXT_EXCEPTION, SEEN);
			add(set, CONTEXT_EXCEPTION, UNCLASSIFIED);
		}
		return;
	}
	if (read_self(ctx, &self)) {
		if (!check_tgid) {
			add(set, exit.context, SEEN);
			add(set, exit.context, READ_FAILED);
		}
		return;
	}
	if (what == WORK) {
		if (exit.context == CONTEXT_SYSCALL && self.flags & ONE_TIME_SURE)
			return;
	} else if (!(self.flags & ONE_TIME_SURE) && self.flags & WORK_MASK) {
		return;
	}
	exit.word = has_word ? word : self.flags;
	if (!check_tgid)
		count(set, self_tgid, &self, &exit);
	else if (check_tgid == self.tgid)
		show(&self, &exit);
}

/* void do_notify_resume(struct pt_regs *regs, void *unused, __u32 thread_info_flags) */
int legacy_notify_resume(struct legacy_regs *ctx)
{
	see(ctx, WORK, 1, ctx->dx);
	return 0;
}

/* void syscall_trace_leave(struct pt_regs *regs) */
int legacy_trace_leave(struct legacy_regs *ctx)
{
	see(ctx, ONE_TIME_WORK, 0, 0);
	return 0;
}

/* static void exit_to_usermode_loop(struct pt_regs *regs, u32 cached_flags) */
int legacy_usermode_loop(struct legacy_regs *ctx)
{
	see(ctx, WORK, 1, ctx->si);
	return 0;
}

/* static void syscall_slow_exit_work(struct pt_regs *regs, u32 cached_flags) */
int legacy_slow_exit_work(struct legacy_regs *ctx)
{
	see(ctx, ONE_TIME_WORK, 1, ctx->si);
	return 0;
}

#ifdef FILTER_PIDS
/* --pid follows children: void wake_up_new_task(struct task_struct *p), called by the parent. */
int legacy_follow(struct legacy_regs *ctx)
{
	struct self parent;
	u32 child = 0;
	u8 one = 1;
	int zero = 0;
	u64 *lost;

	if (read_self(ctx, &parent))
		return 0;
	if (!followed.lookup(&parent.tgid))
		return 0;
	bpf_probe_read(&child, sizeof(child), (char *)ctx->di + TASK_TGID);
	if (followed.update(&child, &one)) {
		lost = not_followed.lookup(&zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
	}
	return 0;
}

/*
 * void release_task(struct task_struct *p): the leader's number is free from here on. An execve() in another
 * thread releases the former leader, who is no longer its own group's.
 */
int legacy_forget(struct legacy_regs *ctx)
{
	char *task = (char *)ctx->di, *leader = 0;
	u32 pid = 0, tgid = 0;

	bpf_probe_read(&pid, sizeof(pid), task + TASK_PID);
	bpf_probe_read(&tgid, sizeof(tgid), task + TASK_TGID);
	bpf_probe_read(&leader, sizeof(leader), task + TASK_GROUP_LEADER);
	if (leader == task && pid == tgid)
		followed.delete(&tgid);
	return 0;
}
#endif
