/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The kernel structures that tracepoints hand over, which of them are watched, and the ring that tells of them. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "datapath/abi.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id;
};
struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[]; /* by level, since 6.1 (kernel commit 7f203bc89eb6) */
};
struct cgroup___before_6_1 {
	int level;
	__u64 ancestor_ids[];
};
struct css_set {
	struct cgroup *dfl_cgrp; /* of the v2 hierarchy */
};
typedef struct {
	int counter;
} atomic_t;
struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};
struct task_struct {
	int tgid;
	struct css_set *cgroups;
	struct signal_struct *signal;
};
struct linux_binprm {
	const char *interp; /* what runs: the file given, or the interpreter that its first line names */
};
#pragma clang attribute pop

/* Written by the loader between open and load. */
const volatile struct sp_event_config config SEC(".rodata.config") = {};

/* What happened. Programs write, the agent reads. The loader sets the size; 4 MiB is 16,000 records: some ten milliseconds
 * of a storm on many CPUs, hundreds of one on a few.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} sp_events SEC(".maps");

/* How much of it. Programs write, the agent reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_event_stats);
} sp_event_stats SEC(".maps");

static __always_inline __u64 sp_cgroup_id(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, kn, id);
}

/* The cgroup of a task in the v2 hierarchy. */
static __always_inline struct cgroup *sp_task_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

/* The id of a cgroup's ancestor, or its own, at a level that it has. */
static __always_inline __u64 sp_ancestor_id(struct cgroup *cgroup, __u32 level)
{
	struct cgroup *ancestor = 0;
	__u64 id = 0;

	if (bpf_core_field_exists(struct cgroup, ancestors)) {
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
				      (void *)cgroup + bpf_core_field_offset(struct cgroup, ancestors) +
					      level * sizeof(ancestor));
		return sp_cgroup_id(ancestor);
	}
	bpf_probe_read_kernel(&id, sizeof(id),
			      (void *)cgroup + bpf_core_field_offset(struct cgroup___before_6_1, ancestor_ids) +
				      level * sizeof(id));
	return id;
}

/* Whether a cgroup is the watched one or below it. Hierarchies of v1 have cgroups of the same numbers: only 0 is v2. */
static __always_inline int sp_is_watched(struct cgroup *cgroup)
{
	if (BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	if ((__u32)BPF_CORE_READ(cgroup, level) < config.level)
		return 0;
	return !config.level || sp_ancestor_id(cgroup, config.level) == config.cgroup;
}

/* Whether a cgroup is of version 1, and somebody wants to know of it. */
static __always_inline int sp_is_told_v1(struct cgroup *cgroup)
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
	event->cgroup = sp_cgroup_id(cgroup);
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
