/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * loop fast|slow|signal N: N system calls of which no exit, or every exit, is slow without anybody's tracepoint.
 * Prints nanoseconds a call.
 *
 * Slow: syscall user dispatch (Linux 5.11) is on and lets all pass, so SYSCALL_USER_DISPATCH is set in
 * syscall_work at every exit; eight numbers in turn, as no program makes one call only.
 * Signal: kill of its own process, whose exit has SIGPENDING, and then rt_sigreturn, whose exit is fast.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

static const long calls[8] = {
	SYS_getppid, SYS_getuid, SYS_gettid, SYS_getgid, SYS_geteuid, SYS_getegid, SYS_getpid, SYS_getpgrp,
};
static volatile char all_pass = 0;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void handled(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	long n = argc == 3 ? atol(argv[2]) : 0;
	int slow = argc == 3 && !strcmp(argv[1], "slow");
	int signalled = argc == 3 && !strcmp(argv[1], "signal");
	long self = getpid();
	double began;

	if (n <= 0) {
		fprintf(stderr, "usage: loop fast|slow|signal N\n");
		return 2;
	}
	if (slow && prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &all_pass)) {
		perror("loop: prctl(PR_SET_SYSCALL_USER_DISPATCH)");
		return 1;
	}
	signal(SIGUSR1, handled);
	began = now();
	if (signalled)
		for (long i = 0; i < n; i++)
			syscall(SYS_kill, self, SIGUSR1);
	else if (slow)
		for (long i = 0; i < n; i++)
			syscall(calls[i & 7]);
	else
		for (long i = 0; i < n; i++)
			syscall(SYS_getppid);
	printf("%.2f\n", (now() - began) / n);
	return 0;
}
