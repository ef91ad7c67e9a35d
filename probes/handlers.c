/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `handlers`: the functions that do the work, where nothing before them can be hooked. One exit may pass
 * several of them, and counts at the first, with the word as it is there and the bits that were cleared to get
 * there.
 */

/* In the order in which a pass of the loop comes to them. */
enum { ORDER_SCHEDULE = 1, ORDER_UPROBE, ORDER_PATCH, ORDER_SIGNAL, ORDER_RESUME };

/* Two visits belong to one exit if all this is equal, and the later one is further on in the loop. */
struct visit {
	u64 ip;
	u64 sp;
	u64 cx;
	u64 faults;
	u64 order;
};
BPF_TABLE("lru_hash", u64, struct visit, visits, 16384);

static __always_inline void handled(struct at *at, u32 order, u64 cleared)
{
	struct settings *setting = current_settings();
	struct exit exit = { .also = cleared };
	struct visit visit = { .order = order }, *last;
	u64 id = bpf_get_current_pid_tgid(), faults = 0;
	char *task = (char *)bpf_get_current_task(), *regs;

	if (!setting)
		return;
	exit.context = context_of(setting);
	if (exit.context == NO_CONTEXT || !(at->contexts & 1 << exit.context))
		return;
	regs = user_regs(setting);
	bpf_probe_read_kernel(&visit.ip, sizeof(visit.ip), regs + REGS_IP);
	bpf_probe_read_kernel(&visit.sp, sizeof(visit.sp), regs + REGS_SP);
	bpf_probe_read_kernel(&visit.cx, sizeof(visit.cx), regs + REGS_CX);
	bpf_probe_read_kernel(&visit.faults, sizeof(visit.faults), task + TASK_MIN_FLT);
	bpf_probe_read_kernel(&faults, sizeof(faults), task + TASK_MAJ_FLT);
	visit.faults += faults;
	last = visits.lookup(&id);
	if (last && last->ip == visit.ip && last->sp == visit.sp && last->cx == visit.cx &&
	    last->faults == visit.faults && last->order < order) {
		last->order = order;
		return;
	}
	visits.update(&id, &visit);
	see(setting, &exit);
}

static __always_inline void uprobe_handler(struct at *at)
{
	handled(at, ORDER_UPROBE, 0);
}

static __always_inline void patch_handler(struct at *at)
{
	handled(at, ORDER_PATCH, 0);
}

static __always_inline void signal_handler(struct at *at)
{
	handled(at, ORDER_SIGNAL, 0);
}

/* resume_user_mode_work() clears the bit before it calls anybody. */
static __always_inline void resume_handler(struct at *at)
{
	handled(at, ORDER_RESUME, TIF_NOTIFY_RESUME);
}

/* schedule() has many callers; the exit's return address lies next to the hook's frame, or it is not this one. */
static __always_inline void schedule_handler(struct at *at)
{
	u64 frames[12] = {};

	bpf_probe_read_kernel(frames, sizeof(frames), (void *)at->stack);
#pragma unroll
	for (int i = 0; i < 12; i++)
		if (FROM_EXIT(frames[i])) {
			handled(at, ORDER_SCHEDULE, 0);
			return;
		}
}
