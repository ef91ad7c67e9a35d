/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a hook hands to the functions of a route, whatever kind of hook it is (tifbpf/recorder/hooks.py writes
 * the programs themselves), and how an exit's context is told.
 */

struct at {
	u64 arg1;
	u64 arg2;
	u64 arg3;
	u64 arg4;
	u64 arg5;
	u64 stack;		/* an address on the stack that the hook runs on; 0 where nobody asked */
	u32 contexts;		/* a set of 1 << CONTEXT_*: those that are somebody's to see from here */
};

/* struct pt_regs, as far as programs of the types KPROBE and PERF_EVENT may look at it. */
struct hook_regs {
	u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/*
 * A context pointer as a number. The verifier lets nobody compute with the pointer itself, but what lies on
 * our own stack may be read back as bytes.
 */
static __always_inline u64 address_of(void *ctx)
{
	void *pointer = ctx;
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* A perf event says how often it was hit; how often its program ran, nobody does. */
BPF_PERCPU_ARRAY(breakpoint_runs, u64, 1);

static __always_inline void breakpoint_ran(void)
{
	int zero = 0;
	u64 *runs = breakpoint_runs.lookup(&zero);

	if (runs)
		++*runs;
}

#define NO_CONTEXT NR_CONTEXTS

/*
 * The word below the registers that user mode was left with is the return address of the first call from the
 * assembly entry, so it lies in the stub that the CPU came in by: on every kernel whose handlers are C
 * functions (5.8 and later), and whatever has been called since. ENTRY_CONTEXT(address) is made from kallsyms.
 */
static __always_inline u32 context_of(struct settings *setting)
{
	u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), user_regs(setting) - sizeof(address));
	return ENTRY_CONTEXT(address);
}

static __always_inline void unclassified(struct settings *setting)
{
	struct counters *counter;

	if (setting->check_tgid)
		return;
	counter = counters_of(active_set(setting), CONTEXT_EXCEPTION);
	if (counter) {
		counter->seen++;
		counter->unclassified++;
	}
}

/* An exit from whatever context it turns out to be, if that is one to be seen from this hook. */
static __always_inline void see_any(struct at *at, struct exit *exit)
{
	struct settings *setting = current_settings();

	if (!setting)
		return;
	exit->context = context_of(setting);
	if (exit->context == NO_CONTEXT)
		unclassified(setting);
	else if (at->contexts & 1 << exit->context)
		see(setting, exit);
}
