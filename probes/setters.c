/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who sets bits, and whose work NOTIFY_RESUME stands for: totals, for a map that is only ever added to.
 *
 * SETTER_* and HANDLER_* number the functions below (tifbpf/recorder/setters.py), SET_* are bits of this
 * kernel's word, 0 for those that it has not. Of the filters, those by process and by name hold for the thread
 * whose bit is set.
 */

struct setting_key {
	u64 bit;
	char comm[16];
	char target[16];
	u32 setter;
	u32 pad;
};

BPF_HASH(set_by, struct setting_key, u64, MAX_SETTERS);
BPF_ARRAY(ran_for, u64, NR_HANDLERS * NR_CONTEXTS);
BPF_ARRAY(set_by_lost, u64, 1);

static __always_inline u64 word_of(char *task)
{
	u64 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), task + TASK_THREAD_INFO + THREAD_INFO_FLAGS);
	return word;
}

/* Whether the exits of `task` are recorded: who has no user memory (any more) never makes one. */
static __always_inline int recorded(struct settings *setting, char *task)
{
	u64 mm = 0;

	bpf_probe_read_kernel(&mm, sizeof(mm), task + TASK_MM);
	if (!mm)
		return 0;
#ifdef LEAVE_OUT_SELF
	u32 own = 0;
	bpf_probe_read_kernel(&own, sizeof(own), task + TASK_TGID);
	if (own == setting->self_tgid)
		return 0;
#endif
#ifdef FILTER_PIDS
	u32 tgid = tgid_of(task);
	if (!followed.lookup(&tgid))
		return 0;
#endif
#ifdef FILTER_COMM
	union {
		char text[16];
		u64 half[2];
	} comm = {};
	bpf_probe_read_kernel_str(comm.text, sizeof(comm.text), task + TASK_COMM);
	if (!(FILTER_COMM))
		return 0;
#endif
	return 1;
}

static __always_inline void set_in(u32 setter, u64 bit, char *task)
{
	struct settings *setting = current_settings();
	struct setting_key key = { .bit = bit, .setter = setter };
	u64 *count, none = 0;
	int zero = 0;

	if (!bit || !setting || setting->check_tgid || !recorded(setting, task))
		return;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	bpf_probe_read_kernel_str(key.target, sizeof(key.target), task + TASK_COMM);
	count = set_by.lookup_or_try_init(&key, &none);
	if (!count)
		count = set_by_lost.lookup(&zero);
	if (count)
		__sync_fetch_and_add(count, 1);
}

/* From before the bit is set: who finds it set already does not set it. */
static __always_inline void sets_in(u32 setter, u64 bit, char *task)
{
	if (!(word_of(task) & bit))
		set_in(setter, bit, task);
}

static __always_inline void sets_in_current(u32 setter, u64 bit)
{
	sets_in(setter, bit, (char *)bpf_get_current_task());
}

/* sched_set_need_resched_tp(task, cpu, tif), where the bit was not set. */
static __always_inline void need_resched_traced(struct at *at)
{
	set_in(SETTER_NEED_RESCHED_TRACED, 1ULL << (at->arg3 & 63), (char *)at->arg1);
}

static __always_inline void resched(u32 setter, char *rq, u64 bit)
{
	char *task = 0;

	bpf_probe_read_kernel(&task, sizeof(task), rq + RQ_CURR);
	if (!(word_of(task) & SET_NEED_RESCHED))
		sets_in(setter, bit, task);
}

/* __resched_curr(rq, tif) */
static __always_inline void resched_entered(struct at *at)
{
	resched(SETTER_RESCHED_ENTERED, (char *)at->arg1, 1ULL << (at->arg2 & 63));
}

/* resched_curr(rq) */
static __always_inline void resched_curr_entered(struct at *at)
{
	resched(SETTER_RESCHED_CURR_ENTERED, (char *)at->arg1, SET_NEED_RESCHED);
}

/* signal_wake_up_state(task, state) */
static __always_inline void signal_woken(struct at *at)
{
	sets_in(SETTER_SIGNAL_WOKEN, SET_SIGPENDING, (char *)at->arg1);
}

/*
 * signal_generate(signal, info, task, group, result), with the signal's lock held: the thread that was chosen to
 * get it shows the bit, and cannot have taken it yet. Where that is not the one that a signal to the whole
 * process was sent to, complete_signal() has left it in curr_target.
 */
static __always_inline void signal_generated(struct at *at)
{
	char *task = (char *)at->arg3, *signal = 0;

	if ((u32)at->arg5 != TRACE_SIGNAL_DELIVERED)
		return;
	if ((u32)at->arg4 && !(word_of(task) & SET_SIGPENDING)) {
		bpf_probe_read_kernel(&signal, sizeof(signal), task + TASK_SIGNAL);
		bpf_probe_read_kernel(&task, sizeof(task), signal + SIGNAL_CURR_TARGET);
	}
	if (word_of(task) & SET_SIGPENDING)
		set_in(SETTER_SIGNAL_GENERATED, SET_SIGPENDING, task);
}

/* task_work_add(task, work, notify) */
static __always_inline void task_work_added(struct at *at)
{
	u32 how = at->arg3 & ~TWA_FLAGS;

	if (how == TWA_SIGNAL || how == TWA_SIGNAL_NO_IPI)
		sets_in(SETTER_TASK_WORK_ADDED, SET_NOTIFY_SIGNAL, (char *)at->arg1);
	else if (how == TWA_RESUME || how == TWA_NMI_CURRENT)
		sets_in(SETTER_TASK_WORK_ADDED, SET_NOTIFY_RESUME, (char *)at->arg1);
}

/* sched_switch, still in the thread that is switched away from. */
static __always_inline void rseq_preempted(struct at *at)
{
	char *task = (char *)bpf_get_current_task();
	u64 rseq = 0;

	bpf_probe_read_kernel(&rseq, sizeof(rseq), task + TASK_RSEQ);
	if (rseq)
		sets_in(SETTER_RSEQ_PREEMPTED, SET_NOTIFY_RESUME, task);
}

static __always_inline void throttle_scheduled(struct at *at)
{
	sets_in_current(SETTER_THROTTLE_SCHEDULED, SET_NOTIFY_RESUME);
}

/* The return of uprobe_pre_sstep_notifier(): the exit that follows clears the bit, so it is this call's. */
static __always_inline void uprobe_met(struct at *at)
{
	char *task = (char *)bpf_get_current_task();

	if (word_of(task) & SET_UPROBE)
		set_in(SETTER_UPROBE_MET, SET_UPROBE, task);
}

static __always_inline void notifier_registered(struct at *at)
{
	sets_in_current(SETTER_NOTIFIER_REGISTERED, SET_USER_RETURN_NOTIFY);
}

/*
 * Some handlers have other callers as well (task_work_run: get_signal(), io_uring, KVM before it enters a
 * guest). An exit's call returns into the exit: above the hook's own frame there is its return address.
 */
#define FRAMES 6
static __always_inline void ran(struct at *at, u32 handler)
{
	struct settings *setting = current_settings();
	char *task = (char *)bpf_get_current_task();
	u64 frames[FRAMES] = {}, *count;
	u32 context, from_exit = 0;

	if (!setting || setting->check_tgid || !recorded(setting, task))
		return;
	bpf_probe_read_kernel(frames, sizeof(frames), (void *)at->stack);
#pragma unroll
	for (int i = 0; i < FRAMES; i++)
		from_exit |= IN_EXIT(frames[i]);
	context = context_of(setting);
	if (!from_exit || context == NO_CONTEXT)
		return;
	context += handler * NR_CONTEXTS;
	count = ran_for.lookup(&context);
	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void task_work_ran(struct at *at)
{
	ran(at, HANDLER_TASK_WORK_RAN);
}

static __always_inline void rseq_ran(struct at *at)
{
	ran(at, HANDLER_RSEQ_RAN);
}

static __always_inline void patch_state_updated(struct at *at)
{
	ran(at, HANDLER_PATCH_STATE_UPDATED);
}

/* Whether a member of the current task is not 0. */
static __always_inline int has(u32 offset, u32 size)
{
	u64 value = 0;

	bpf_probe_read_kernel(&value, size, (char *)bpf_get_current_task() + offset);
	return value != 0;
}

static __always_inline void memcg_ran(struct at *at)
{
	if (has(TASK_MEMCG_NR_PAGES_OVER_HIGH, sizeof(u32)))
		ran(at, HANDLER_MEMCG_RAN);
}

static __always_inline void blkcg_ran(struct at *at)
{
	if (has(TASK_THROTTLE, sizeof(u64)))
		ran(at, HANDLER_BLKCG_RAN);
}
