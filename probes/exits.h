/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every probe shares: the maps, the key of a class of exits, and how an exit is counted.
 *
 * Constants come from Python as -D definitions (tifbpf/recorder/abi.py): CONTEXT_*, ABI_*, TS_COMPAT,
 * PLAIN_WORD and PLAIN_SYSCALL_WORK (what a fast exit shows when nothing but our own tracepoint bit is set),
 * MAX_CLASSES; structure offsets (TASK_*, THREAD_INFO_*, REGS_*) from BTF. BY_* says which dimensions were
 * asked for; the others are not compiled. FILTER_* are conditions made from the options. TYPED_* say what the
 * verifier lets programs read of the running task by plain loads (tifbpf/recorder/typed.py): any helper's call
 * costs more than all the loads that an exit takes.
 *
 * A program counts what it sees, or, while the recorder tests itself, shows every exit of one process: the
 * hooks that were proven are the hooks that record.
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
	u8 all;			/* not one more exit, but one of all exits of this context, its word not looked at */
	u8 latency_log2;	/* of the nanoseconds in the slowpath; UNMEASURED */
	u8 pad[2];
};

struct class_value {
	u64 count;
#ifdef LATENCY
	u64 ns;
	u64 ns_max;
#endif
};

/*
 * Per set, CPU and context: seen = plain + classes + map_full + read_failed + unclassified, and
 * all = all_plain + classes of all + all_map_full. What was not sampled is in none of them.
 */
struct counters {
	u64 seen;
	u64 plain;
	u64 map_full;
	u64 read_failed;
	u64 unclassified;
	u64 filtered;
	u64 all;
	u64 all_plain;
	u64 all_map_full;
	u64 not_sampled;
	u64 all_not_sampled;
	u64 until_sampled;	/* how many exits it takes until one is looked at, that one included; 0: not drawn */
	u64 all_until_sampled;
};

struct settings {
	u32 active;		/* the set to write: 0 or 1 */
	u32 self_tgid;		/* whose exits to leave out; 0: nobody's */
	u32 check_tgid;		/* 0: record; else show the exits of this process, and record none */
	u32 user_regs;		/* from the task's stack to the registers that its user mode was left with */
};

/* What the self-test and own_words are shown. */
struct check_key {
	u64 word;
	u64 syscall_work;
	s32 syscall;
	u32 abi;
	u32 context;
	u32 all;
};

struct own_words {
	u64 word;
	u64 syscall_work;
	u64 pid_tgid;
	u64 read_failed;
	u64 user_regs;		/* 0: not found */
};

#define UNMEASURED 0xff

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

/* `const`, so that a program calls a helper once: its task does not change. */
#ifdef TYPED_TASK
static char *(*const current_task)(void) __attribute__((const)) = (void *)GET_CURRENT_TASK_BTF;
#else
static char *(*const current_task)(void) __attribute__((const)) = (void *)GET_CURRENT_TASK;
#endif
#ifdef TYPED_REGS
static char *(*const task_regs)(char *task) __attribute__((const)) = (void *)TASK_PT_REGS;
#endif

struct words {
	u64 word;
	u64 syscall_work;
	u32 status;
};

#ifdef TYPED_TASK
static __always_inline int read_words(struct words *words)
{
	char *thread_info = current_task() + TASK_THREAD_INFO;

	words->word = *(u64 *)(thread_info + THREAD_INFO_FLAGS);
#ifdef THREAD_INFO_SYSCALL_WORK
	words->syscall_work = *(u64 *)(thread_info + THREAD_INFO_SYSCALL_WORK);
#else
	words->syscall_work = 0;
#endif
	words->status = *(u32 *)(thread_info + THREAD_INFO_STATUS);
	return 0;
}
#else
static __always_inline int read_words(struct words *words)
{
	char *thread_info = current_task() + TASK_THREAD_INFO;
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
#endif

/* As the kernel calls the process. */
static __always_inline u32 kernel_tgid(void)
{
#ifdef TYPED_TASK
	return *(u32 *)(current_task() + TASK_TGID);
#else
	return bpf_get_current_pid_tgid() >> 32;
#endif
}

union comm {
	char text[16];
	u64 half[2];
};

#ifdef TYPED_TASK
/* The bytes of a string, as a number, up to its end. */
static __always_inline u64 until_end(u64 text)
{
	u64 ends = (text - 0x0101010101010101ULL) & ~text & 0x8080808080808080ULL;

	return text & (ends ^ (ends - 1));
}

/* Where __set_task_comm() copies by strlcpy(), some of a former name stays behind a shorter one. */
static __always_inline void cut_at_end(union comm *comm)
{
	comm->half[0] = until_end(comm->half[0]);
	comm->half[1] = comm->half[0] >> 56 ? until_end(comm->half[1]) : 0;
}

static __always_inline void read_comm(union comm *comm)
{
	comm->half[0] = *(u64 *)(current_task() + TASK_COMM);
	comm->half[1] = *(u64 *)(current_task() + TASK_COMM + sizeof(comm->half[0]));
	cut_at_end(comm);
}
#else
static __always_inline void read_comm(union comm *comm)
{
	bpf_get_current_comm(comm->text, sizeof(comm->text));
}
#endif

/* What bpf_get_current_cgroup_id() returns. */
static __always_inline u64 cgroup_id(void)
{
#ifdef TYPED_CGROUP
	char *css_set = *(char **)(current_task() + TASK_CGROUPS);
	char *cgroup = *(char **)(css_set + CSS_SET_DFL_CGRP);
	char *node = *(char **)(cgroup + CGROUP_KN);

	return *(u64 *)(node + KERNFS_NODE_ID);
#else
	return bpf_get_current_cgroup_id();
#endif
}

#ifdef PID_NAMESPACE
/* Where the recorder's pid namespace is not the initial one: that, as read_own_words found it. */
struct namespace {
	u64 address;
	u32 level;
	u32 pad;
};
BPF_ARRAY(pid_namespace, struct namespace, 1);

static __always_inline char *pid_of(char *task)
{
	char *pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), task + TASK_THREAD_PID);
	return pid;
}

static __always_inline void find_pid_namespace(void)
{
	char *pid = pid_of(current_task());
	struct namespace *own;
	int zero = 0;

	own = pid_namespace.lookup(&zero);
	if (!own || own->address)
		return;
	bpf_probe_read_kernel(&own->level, sizeof(own->level), pid + PID_LEVEL);
	bpf_probe_read_kernel(&own->address, sizeof(own->address),
			      pid + PID_NUMBERS + own->level * UPID_SIZE + UPID_NS);
}

/* The process as it is called there; 0 outside. */
static __always_inline u32 tgid_of(char *task)
{
	u64 address = 0, number;
	char *leader = 0, *pid;
	struct namespace *own;
	u32 level = 0, nr = 0;
	int zero = 0;

	own = pid_namespace.lookup(&zero);
	if (!own)
		return 0;
	bpf_probe_read_kernel(&leader, sizeof(leader), task + TASK_GROUP_LEADER);
	pid = pid_of(leader);
	bpf_probe_read_kernel(&level, sizeof(level), pid + PID_LEVEL);
	if (level < own->level)
		return 0;
	number = PID_NUMBERS + own->level * UPID_SIZE;
	bpf_probe_read_kernel(&address, sizeof(address), pid + number + UPID_NS);
	if (address != own->address)
		return 0;
	bpf_probe_read_kernel(&nr, sizeof(nr), pid + number + UPID_NR);
	return nr;
}

static __always_inline u32 current_tgid(void)
{
	return tgid_of(current_task());
}
#else
static __always_inline u32 tgid_of(char *task)
{
	u32 tgid = 0;

	bpf_probe_read_kernel(&tgid, sizeof(tgid), task + TASK_TGID);
	return tgid;
}

static __always_inline u32 current_tgid(void)
{
	return kernel_tgid();
}
#endif

static __always_inline u32 abi_of(u32 status, s32 syscall)
{
	if (status & TS_COMPAT)
		return ABI_I386;
	return syscall != -1 && syscall & X32_SYSCALL_BIT ? ABI_X32 : ABI_X86_64;
}

/* What a hook knows of an exit when it calls see(). */
struct exit {
	u32 context;
	u32 all;		/* see struct class_key */
	u32 has_word;		/* the word is given, not to be read */
	u64 word;
	u64 also;		/* bits that the exit had, and that are cleared by now */
	u64 ns;			/* in the slowpath, where that was measured */
};

static __always_inline char *user_regs(struct settings *setting)
{
#ifdef TYPED_TASK
	char *stack = *(char **)(current_task() + TASK_STACK);
#else
	char *stack = 0;

	bpf_probe_read_kernel(&stack, sizeof(stack), current_task() + TASK_STACK);
#endif
	return stack + setting->user_regs;
}

/* The number that the call was made with; -1 outside system calls. */
static __always_inline s32 syscall_of(struct settings *setting, u32 context)
{
	u64 orig_ax = -1;

	if (context == CONTEXT_SYSCALL)
#ifdef TYPED_REGS
		orig_ax = *(u64 *)(task_regs(current_task()) + REGS_ORIG_AX);
#else
		bpf_probe_read_kernel(&orig_ax, sizeof(orig_ax), user_regs(setting) + REGS_ORIG_AX);
#endif
	return orig_ax;
}

static __always_inline void show(struct settings *setting, const struct exit *exit)
{
	struct words words = {};
	struct check_key key = {};
	u64 *count, none = 0;

	if (setting->check_tgid != kernel_tgid())
		return;
	if (read_words(&words))
		return;
	key.syscall = syscall_of(setting, exit->context);
	key.abi = abi_of(words.status, key.syscall);
	key.context = exit->context;
	key.all = exit->all;
	if (!exit->all) {
		key.word = (exit->has_word ? exit->word : words.word) | exit->also;
		key.syscall_work = words.syscall_work;
	}
	count = checked.lookup_or_try_init(&key, &none);
	if (count)
		__sync_fetch_and_add(count, 1);
}

#ifdef LATENCY
static __always_inline u8 log2_of(u64 ns)
{
	u8 log = 0;

	if (ns >> 32) { log += 32; ns >>= 32; }
	if (ns >> 16) { log += 16; ns >>= 16; }
	if (ns >> 8) { log += 8; ns >>= 8; }
	if (ns >> 4) { log += 4; ns >>= 4; }
	if (ns >> 2) { log += 2; ns >>= 2; }
	return log + (ns >> 1);
}
#endif

/* Read once for an exit, whatever the recorder writes meanwhile: all of it belongs to one set. */
static __always_inline u32 active_set(struct settings *setting)
{
	return *(volatile u32 *)&setting->active & 1;
}

static __always_inline struct counters *counters_of(u32 set, u32 context)
{
	int index = set * NR_CONTEXTS + context;

	return counters.lookup(&index);
}

#ifdef SAMPLE_ODDS
/*
 * How many exits to pass by if each is looked at with one probability, independently of all others: a geometric
 * number, whose binary digits are independent of each other. One number drawn for many exits costs them less
 * than one each.
 */
static __always_inline u64 exits_to_pass_by(void)
{
	const u32 odds[] = SAMPLE_ODDS;
	u64 number = 0;

#pragma unroll
	for (int digit = 0; digit < sizeof(odds) / sizeof(odds[0]); digit++) {
		u64 below = (u64)bpf_get_prandom_u32() - odds[digit];

		/* Its sign is the digit. The compiler would compare and branch, and the verifier follow each way. */
		asm volatile("" : "+r"(below));
		number |= below >> 63 << digit;
	}
	return number;
}

static __always_inline int passed_by(u64 *until_sampled, u64 *not_sampled)
{
	if (!*until_sampled)
		*until_sampled = exits_to_pass_by() + 1;
	if (!--*until_sampled)
		return 0;
	++*not_sampled;
	return 1;
}
#endif

static __always_inline void count(struct settings *setting, const struct exit *exit)
{
	struct words words = {};
	struct class_key key = {};
	struct class_value *value, none = {};
	struct counters *counter;
	u32 set = active_set(setting);

	counter = counters_of(set, exit->context);
	if (!counter)
		return;

#ifdef SAMPLE_ODDS
	if (exit->all ? passed_by(&counter->all_until_sampled, &counter->all_not_sampled)
		      : passed_by(&counter->until_sampled, &counter->not_sampled))
		return;
#endif

#ifdef LEAVE_OUT_SELF
	if (kernel_tgid() == setting->self_tgid)
		return;
#endif
#if defined(FILTER_PIDS) || defined(BY_PID) || defined(LEAVE_OUT_HELPER)
	u32 tgid = current_tgid();
#endif
#ifdef LEAVE_OUT_HELPER
	if (tgid == LEAVE_OUT_HELPER)
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
#if defined(FILTER_COMM) || defined(BY_COMM)
	union comm comm = {};
	read_comm(&comm);
#endif
#ifdef FILTER_COMM
	if (!(FILTER_COMM))
		goto filtered;
#endif

	if (read_words(&words)) {
		counter->seen++;
		counter->read_failed++;
		return;
	}

#if defined(FILTER_SYSCALL) || defined(BY_SYSCALL)
	s32 syscall = syscall_of(setting, exit->context);
	u32 abi = abi_of(words.status, syscall);
#endif
#ifdef FILTER_SYSCALL
	if (!(FILTER_SYSCALL))
		goto filtered;
#endif

	if (exit->all) {
		counter->all++;
#ifndef DIMENSIONS
		counter->all_plain++;
		return;
#endif
		key.all = 1;
	} else {
		counter->seen++;
		key.word = (exit->has_word ? exit->word : words.word) | exit->also;
		key.syscall_work = words.syscall_work;
#ifndef DIMENSIONS
		if (key.word == PLAIN_WORD && key.syscall_work == PLAIN_SYSCALL_WORK) {
			counter->plain++;
			return;
		}
#endif
	}
	key.context = exit->context;
#ifdef BY_CGROUP
	key.cgroup = cgroup_id();
#endif
#ifdef BY_COMM
	__builtin_memcpy(key.comm, comm.text, sizeof(key.comm));
#endif
#ifdef BY_PID
	key.pid = tgid;
#endif
#ifdef BY_SYSCALL
	key.syscall = syscall;
	key.abi = abi;
#endif
	key.latency_log2 = UNMEASURED;
#ifdef LATENCY
	if (exit->ns)
		key.latency_log2 = log2_of(exit->ns);
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
			if (exit->all)
				counter->all_map_full++;
			else
				counter->map_full++;
			return;
		}
	}
	value->count++;
#ifdef LATENCY
	value->ns += exit->ns;
	if (exit->ns > value->ns_max)
		value->ns_max = exit->ns;
#endif
	return;

#if defined(FILTER_PIDS) || defined(FILTER_CPU) || defined(NR_CGROUPS) || defined(FILTER_COMM) || \
	defined(FILTER_SYSCALL)
filtered:
	if (!exit->all)
		counter->filtered++;
#endif
}

static __always_inline void see(struct settings *setting, const struct exit *exit)
{
	if (setting->check_tgid)
		show(setting, exit);
	else
		count(setting, exit);
}

static __always_inline struct settings *current_settings(void)
{
	int zero = 0;

	return settings.lookup(&zero);
}

/*
 * Run by BPF_PROG_TEST_RUN in the recorder itself: its words while nothing of ours is attached, and where on
 * its stack the registers are that it called bpf(2) with. Between them and the stack's end there is what
 * TOP_OF_KERNEL_STACK_PADDING says, which is no symbol and depends on the configuration.
 */
int read_own_words(void *ctx)
{
	const u32 places[] = USER_REGS_PLACES;
	struct words words = {};
	struct own_words *mine;
	char *stack = 0;
	int zero = 0;

	mine = own.lookup(&zero);
	if (!mine)
		return 0;
	mine->read_failed = read_words(&words) != 0;
	mine->word = words.word;
	mine->syscall_work = words.syscall_work;
	mine->pid_tgid = bpf_get_current_pid_tgid();
	mine->user_regs = 0;
#ifdef PID_NAMESPACE
	find_pid_namespace();
#endif
	bpf_probe_read_kernel(&stack, sizeof(stack), current_task() + TASK_STACK);
#pragma unroll
	for (int i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		u64 orig_ax = 0, cs = 0;

		bpf_probe_read_kernel(&orig_ax, sizeof(orig_ax), stack + places[i] + REGS_ORIG_AX);
		bpf_probe_read_kernel(&cs, sizeof(cs), stack + places[i] + REGS_CS);
		if (orig_ax == NR_BPF && cs == USER_CS)
			mine->user_regs = places[i];
	}
	return 0;
}

#ifdef LATENCY
/*
 * Slow exits wait here for their return; an exit that never returns, because a signal killed its task, is none.
 */
struct began {
	u64 at;
	u64 word;
};
BPF_TABLE("lru_hash", u64, struct began, slow_exits, 16384);

static __always_inline void exit_begins(u64 word)
{
	struct began began = { .at = bpf_ktime_get_ns(), .word = word };
	u64 id = bpf_get_current_pid_tgid();

	slow_exits.update(&id, &began);
}

static __always_inline int exit_ends(struct exit *exit)
{
	u64 id = bpf_get_current_pid_tgid();
	struct began *began = slow_exits.lookup(&id);

	if (!began)
		return 0;
	exit->has_word = 1;
	exit->word = began->word;
	exit->ns = bpf_ktime_get_ns() - began->at;
	slow_exits.delete(&id);
	return 1;
}
#endif

#ifdef FILTER_PIDS
/* --pid follows children: sched_process_fork(parent, child). A new thread has its process's tgid. */
int follow_fork(struct bpf_raw_tracepoint_args *ctx)
{
	u32 parent = tgid_of((char *)ctx->args[0]), child;
	u8 one = 1;
	int zero = 0;
	u64 *lost;

	if (!followed.lookup(&parent))
		return 0;
	child = tgid_of((char *)ctx->args[1]);
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
	u32 tgid = current_tgid();
	char *signal = 0;
	s32 live = 0;

	bpf_probe_read_kernel(&signal, sizeof(signal), (char *)ctx->args[0] + TASK_SIGNAL);
	bpf_probe_read_kernel(&live, sizeof(live), signal + SIGNAL_LIVE);
	if (live == 0)
		followed.delete(&tgid);
	return 0;
}
#endif
