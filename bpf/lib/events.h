/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which cgroups and processes are watched, and the ring that tells of them. */
#pragma once
#include "../maps.h"
#include "kernel.h"

/* The cgroup of a task in the v2 hierarchy. */
static __always_inline struct cgroup *sp_task_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

/* Whether a cgroup is the watched one or below it. Hierarchies of v1 have cgroups of the same numbers: only 0 is v2. */
static __always_inline int sp_is_watched(struct cgroup *cgroup)
{
	if (BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	return !config.level || sp_ancestor_id((__u64)cgroup, config.level) == config.cgroup;
}

/* Whether a cgroup is of version 1, and somebody wants to know of it. */
static __always_inline int sp_is_watched_v1(struct cgroup *cgroup)
{
	return config.tells_v1 && BPF_CORE_READ(cgroup, root, hierarchy_id);
}

/* By an atomic, because newer kernels may interrupt a program by another on the same CPU; relaxed, because a result would
 * need 5.12.
 */
static __always_inline void sp_event_count(int is_lost)
{
	__u32 key = 0;
	struct sp_event_stats *stats = bpf_map_lookup_elem(&sp_event_stats, &key);

	if (stats)
		__atomic_fetch_add(is_lost ? &stats->lost : &stats->written, 1, __ATOMIC_RELAXED);
}

/* A record to fill, or null: then it is counted as lost, and the reader comes to know. First the count, then one more
 * attempt: if that fails too, the reader still has a whole ring to read after the count and looks at it then; if it
 * succeeds, the record itself says so.
 */
static __always_inline struct sp_event *sp_event_begin(__u8 kind, struct cgroup *cgroup)
{
	struct sp_event *event = bpf_ringbuf_reserve(&sp_events, sizeof(*event), 0);

	if (!event) {
		sp_event_count(1);
		event = bpf_ringbuf_reserve(&sp_events, sizeof(*event), 0);
		if (event) {
			__builtin_memset(event, 0, sizeof(*event));
			event->kind = SP_EVENT_LOST;
			bpf_ringbuf_submit(event, 0);
		}
		return 0;
	}
	/* The path is left as it is: its length says what of it counts. */
	__builtin_memset(event, 0, __builtin_offsetof(struct sp_event, path));
	event->time = bpf_ktime_get_ns();
	event->kind = kind;
	event->cgroup = sp_cgroup_id((__u64)cgroup);
	event->uid = bpf_get_current_uid_gid();
	return event;
}

/* Puts in an absolute path, if it fits. */
static __always_inline void sp_event_set_path(struct sp_event *event, const char *path)
{
	/* The result counts the NUL; one that fills the whole array may have been cut. */
	long length = bpf_probe_read_kernel_str(event->path, sizeof(event->path), path);

	if (length > 1 && length < (long)sizeof(event->path) && event->path[0] == '/')
		event->path_length = length - 1;
}

/* Wakes the reader if it has read everything before; one that is busy comes upon the record by itself. */
static __always_inline void sp_event_end(struct sp_event *event)
{
	bpf_ringbuf_submit(event, 0);
	sp_event_count(0);
}
