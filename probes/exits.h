/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every probe shares: the maps, the key of a class of exits, and how an exit is counted.
 *
 * Constants come from Python as -D definitions (tifbpf/recorder/abi.py): CONTEXT_*, ABI_*, TS_COMPAT,
 * PLAIN_WORD and PLAIN_SYSCALL_WORK (what a fast exit shows when nothing but our own tracepoint bit is set),
 * MAX_CLASSES; structure offsets (TASK_*, THREAD_INFO_*, PT_REGS_*) from BTF. BY_* says which dimensions were
 * asked for; the others are not compiled. FILTER_* are conditions made from the options.
 *
 * Two sets of counters and classes: programs write the active one, and the recorder reads the other after a
 * grace period, so that no exit falls between two reads.
 */

/* A dimension that is not asked for is no member: it would only make the key longer to hash. */
struct class_key {
	u64 word;
	u64 syscall_work;
#ifdef BY_CGROUP
	u64 cgroup;
#endif
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
	u32 pad;
};

struct class_value {
	u64 count;
};

/* seen = plain + classes + map_full + read_failed, per set, CPU and context. */
struct counters {
	u64 seen;
	u64 plain;
	u64 map_full;
	u64 read_failed;
	u64 filtered;
};

struct settings {
	u32 active;		/* the set to write: 0 or 1 */
	u32 self_tgid;		/* whose exits to leave out; 0: nobody's */
	u32 check_tgid;		/* the only process whose exits the check programs see */
	u32 pad;
};

/* What the check programs and own_words report. */
struct check_key {
	u64 word;
	u64 syscall_work;
	s32 syscall;
	u32 abi;
	u32 context;
	u32 pad;
};

struct own_words {
	u64 word;
	u64 syscall_work;
	u64 pid_tgid;
	u64 read_failed;
};

BPF_ARRAY(settings, struct settings, 1);
BPF_PERCPU_ARRAY(counters, struct counters, 2 * NR_CONTEXTS);
BPF_TABLE("percpu_hash", struct class_key, struct class_value, classes0, MAX_CLASSES);
BPF_TABLE("percpu_hash", struct class_key, struct class_value, classes1, MAX_CLASSES);
BPF_HASH(checked, struct check_key, u64, 4096);
BPF_ARRAY(own, struct own_words, 1);
#ifdef NR_CGROUPS
BPF_CGROUP_ARRAY(cgroups, NR_CGROUPS);
#endif
#ifdef FILTER_PIDS
BPF_TABLE("hash", u32, u8, followed, MAX_FOLLOWED);
BPF_ARRAY(not_followed, u64, 1);
#endif

struct words {
	u64 word;
	u64 syscall_work;
	u32 status;
};

static __always_inline int read_words(struct words *words)
{
	char *thread_info = (char *)bpf_get_current_task() + TASK_THREAD_INFO;
	char raw[THREAD_INFO_SPAN];

	if (bpf_probe_read_kernel(raw, sizeof(raw), thread_info))
		return -1;
	words->word = *(u64 *)(raw + THREAD_INFO_FLAGS);
#ifdef THREAD_INFO_SYSCALL_WORK
	words->syscall_work = *(u64 *)(raw + THREAD_INFO_SYSCALL_WORK);
#else
	words->syscall_work = 0;
#endif
	words->status = *(u32 *)(raw + THREAD_INFO_STATUS);
	return 0;
}

static __always_inline u32 abi_of(u32 status, s32 syscall)
{
	if (status & TS_COMPAT)
		return ABI_I386;
	return syscall != -1 && syscall & X32_SYSCALL_BIT ? ABI_X32 : ABI_X86_64;
}

/* The word is read where the route says; `syscall` is -1 outside system calls. */
static __always_inline void count_exit(u32 context, s32 syscall)
{
	struct words words = {};
	struct class_key key = {};
	struct class_value *value, none = {};
	struct counters *counter;
	struct settings *setting;
	int zero = 0, set, index;

	setting = settings.lookup(&zero);
	if (!setting)
		return;
	set = setting->active & 1;
	index = set * NR_CONTEXTS + context;
	counter = counters.lookup(&index);
	if (!counter)
		return;

#if defined(FILTER_PIDS) || defined(BY_PID) || defined(LEAVE_OUT_SELF)
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
#endif
#ifdef LEAVE_OUT_SELF
	if (tgid == setting->self_tgid)
		return;
#endif
#ifdef FILTER_PIDS
	if (!followed.lookup(&tgid))
		goto filtered;
#endif
#ifdef FILTER_CPU
	u32 cpu = bpf_get_smp_processor_id();
	if (!(FILTER_CPU))
		goto filtered;
#endif
#ifdef NR_CGROUPS
	int under = 0;
#pragma unroll
	for (int i = 0; i < NR_CGROUPS; i++)
		under |= cgroups.check_current_task(i) == 1;
	if (!under)
		goto filtered;
#endif
#ifdef FILTER_COMM
	union {
		char text[16];
		u64 half[2];
	} comm = {};
	bpf_get_current_comm(comm.text, sizeof(comm.text));
	if (!(FILTER_COMM))
		goto filtered;
#endif

	if (read_words(&words)) {
		counter->seen++;
		counter->read_failed++;
		return;
	}

#if defined(FILTER_SYSCALL) || defined(BY_SYSCALL)
	u32 abi = abi_of(words.status, syscall);
#endif
#ifdef FILTER_SYSCALL
	if (!(FILTER_SYSCALL))
		goto filtered;
#endif

	counter->seen++;
#ifndef DIMENSIONS
	if (words.word == PLAIN_WORD && words.syscall_work == PLAIN_SYSCALL_WORK) {
		counter->plain++;
		return;
	}
#endif
	key.word = words.word;
	key.syscall_work = words.syscall_work;
	key.context = context;
#ifdef BY_CGROUP
	key.cgroup = bpf_get_current_cgroup_id();
#endif
#ifdef BY_COMM
	bpf_get_current_comm(key.comm, sizeof(key.comm));
#endif
#ifdef BY_PID
	key.pid = tgid;
#endif
#ifdef BY_SYSCALL
	key.syscall = syscall;
	key.abi = abi;
#endif

	value = set ? classes1.lookup(&key) : classes0.lookup(&key);
	if (!value) {
		/* Another CPU may insert the same class first: only a second miss means that the map is full. */
		if (set) {
			classes1.insert(&key, &none);
			value = classes1.lookup(&key);
		} else {
			classes0.insert(&key, &none);
			value = classes0.lookup(&key);
		}
		if (!value) {
			counter->map_full++;
			return;
		}
	}
	value->count++;
	return;

#if defined(FILTER_PIDS) || defined(FILTER_CPU) || defined(NR_CGROUPS) || defined(FILTER_COMM) || \
	defined(FILTER_SYSCALL)
filtered:
	counter->filtered++;
#endif
}

/* Every exit of one process, for the self-test: same hook, same reads, no filter. */
static __always_inline void check_exit(u32 context, s32 syscall)
{
	struct words words = {};
	struct check_key key = {};
	struct settings *setting;
	u64 *count, none = 0;
	int zero = 0;

	setting = settings.lookup(&zero);
	if (!setting || setting->check_tgid != bpf_get_current_pid_tgid() >> 32)
		return;
	if (read_words(&words))
		return;
	key.word = words.word;
	key.syscall_work = words.syscall_work;
	key.syscall = syscall;
	key.abi = abi_of(words.status, syscall);
	key.context = context;
	count = checked.lookup_or_try_init(&key, &none);
	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Run by BPF_PROG_TEST_RUN in the recorder itself: its words while nothing of ours is attached. */
int read_own_words(void *ctx)
{
	struct words words = {};
	struct own_words *mine;
	int zero = 0;

	mine = own.lookup(&zero);
	if (!mine)
		return 0;
	mine->read_failed = read_words(&words) != 0;
	mine->word = words.word;
	mine->syscall_work = words.syscall_work;
	mine->pid_tgid = bpf_get_current_pid_tgid();
	return 0;
}

#ifdef FILTER_PIDS
/* --pid follows children: sched_process_fork(parent, child). A new thread has its process's tgid. */
int follow_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u32 parent = 0, child = 0;
	u8 one = 1;
	int zero = 0;
	u64 *lost;

	bpf_probe_read_kernel(&parent, sizeof(parent), (char *)ctx->args[0] + TASK_TGID);
	if (!followed.lookup(&parent))
		return 0;
	bpf_probe_read_kernel(&child, sizeof(child), (char *)ctx->args[1] + TASK_TGID);
	if (followed.update(&child, &one)) {
		lost = not_followed.lookup(&zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
	}
	return 0;
}

/*
 * sched_process_exit(task): forget a process with its last thread, or its pid may soon be somebody else's.
 * do_exit() has taken the thread out of signal->live by then; the leader may well go before the others.
 */
int forget_exited(struct bpf_raw_tracepoint_args *ctx)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	char *signal = 0;
	s32 live = 0;

	bpf_probe_read_kernel(&signal, sizeof(signal), (char *)ctx->args[0] + TASK_SIGNAL);
	bpf_probe_read_kernel(&live, sizeof(live), signal + SIGNAL_LIVE);
	if (live == 0)
		followed.delete(&tgid);
	return 0;
}
#endif
