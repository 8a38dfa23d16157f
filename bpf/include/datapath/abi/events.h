/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the programs of workload.bpf.c tell. */
#pragma once
#include <linux/types.h>
#include "closed.h"

/* ---- sp_events: ring buffer of workload.bpf.c, an object of its own that is never pinned ------------------------------- */

enum SP_CLOSED sp_event_kind : __u8 {
	SP_EVENT_MADE = 1,	 /* a cgroup was made; its directory may not be visible yet */
	SP_EVENT_REMOVED = 2,	 /* a cgroup was removed */
	SP_EVENT_EMPTIED = 3,	 /* the last process of a cgroup's subtree is gone */
	SP_EVENT_ENTERED = 4,	 /* a task was moved into a cgroup, or was made in another one than its parent's */
	SP_EVENT_EXECUTED = 5,	 /* a process runs another program */
	SP_EVENT_EXITED = 6,	 /* the last thread of a process ends */
	SP_EVENT_LOST = 7,	 /* what happened before this record was lost, at least in part */
	SP_EVENT_ENTERED_V1 = 8, /* a task was moved into a cgroup of version 1, with a number of that hierarchy */
	SP_EVENT_REMOVED_V1 = 9, /* a cgroup of version 1 was removed; `path` is its path in the hierarchy */
	SP_EVENT_RELEASED = 10,	 /* nothing refers to a removed cgroup any more: its last socket is gone */
};

static inline _Bool sp_is_event_kind(__u8 value)
{
	switch ((enum sp_event_kind)value) {
	case SP_EVENT_MADE:
	case SP_EVENT_REMOVED:
	case SP_EVENT_EMPTIED:
	case SP_EVENT_ENTERED:
	case SP_EVENT_EXECUTED:
	case SP_EVENT_EXITED:
	case SP_EVENT_LOST:
	case SP_EVENT_ENTERED_V1:
	case SP_EVENT_REMOVED_V1:
	case SP_EVENT_RELEASED:
		return 1;
	}
	return 0;
}

/* Room for a path and its NUL. */
#define SP_EVENT_PATH 192u

struct sp_event {
	__u64 time;	   /* ns, CLOCK_MONOTONIC */
	__u64 cgroup;	   /* id */
	__u64 parent;	   /* MADE: id of the cgroup above */
	__u32 pid;	   /* ENTERED, EXECUTED, EXITED, ENTERED_V1: thread group, in the initial pid namespace */
	__u32 uid;	   /* of the calling task */
	__u16 path_length; /* EXECUTED, REMOVED_V1: bytes of `path`; 0 = it did not fit or is not absolute */
	enum sp_event_kind kind;
	__u8 pad[5];
	char comm[16];		  /* EXECUTED: the task's name */
	char path[SP_EVENT_PATH]; /* EXECUTED: what was given to execve(), for a script its interpreter */
};
_Static_assert(sizeof(struct sp_event) == 248, "sp_event");

/* What workload.bpf.c watches, read-only after load: cgroups at and below this one. */
struct sp_event_config {
	__u64 cgroup;	/* id */
	__u32 level;	/* depth of that cgroup below the hierarchy's root, which has 0 */
	__u32 tells_v1; /* 1 = also moves and removals in hierarchies of version 1, wherever */
};
_Static_assert(sizeof(struct sp_event_config) == 16, "sp_event_config");

/* sp_event_stats: per-CPU array of one. */
struct sp_event_stats {
	__u64 written; /* records put into the ring, SP_EVENT_LOST not counted */
	__u64 lost;    /* the ring was full */
};
_Static_assert(sizeof(struct sp_event_stats) == 16, "sp_event_stats");
