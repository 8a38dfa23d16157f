/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What happens to cgroups and processes, told by raw tracepoints: they see it at once and cost nothing elsewhere. */
#define SP_EVENTS
#include "lib/events.h"

/* The kernel asks whether it may call GPL-only helpers; the sources are under either licence. */
char sp_license[] SEC("license") = "Dual BSD/GPL";

/* (cgroup, path). The directory becomes visible a moment after this. */
SEC("raw_tracepoint/cgroup_mkdir")
int sp_on_mkdir(struct bpf_raw_tracepoint_args *context)
{
	struct cgroup *cgroup = (void *)context->args[0];
	struct sp_event *event;

	if (!sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_MADE, cgroup);
	if (!event)
		return 0;
	event->parent = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id);
	sp_event_end(event);
	return 0;
}

/* (cgroup, path) */
SEC("raw_tracepoint/cgroup_rmdir")
int sp_on_rmdir(struct bpf_raw_tracepoint_args *context)
{
	struct cgroup *cgroup = (void *)context->args[0];
	struct sp_event *event;

	if (sp_is_watched_v1(cgroup)) {
		event = sp_event_begin(SP_EVENT_REMOVED_V1, cgroup);
		if (event) {
			sp_event_set_path(event, (void *)context->args[1]);
			sp_event_end(event);
		}
		return 0;
	}
	if (!sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_REMOVED, cgroup);
	if (event)
		sp_event_end(event);
	return 0;
}

/* (cgroup, path). A cgroup that was removed stays in memory while sockets that it made, dying tasks, or charges of the
 * memory controller refer to it; this is when the last of them is gone. It runs on a work queue, much later or at once.
 */
SEC("raw_tracepoint/cgroup_release")
int sp_on_release(struct bpf_raw_tracepoint_args *context)
{
	struct cgroup *cgroup = (void *)context->args[0];
	struct sp_event *event;

	if (!sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_RELEASED, cgroup);
	if (event)
		sp_event_end(event);
	return 0;
}

/* (cgroup, path, is populated): also for every ancestor of which it is true. */
SEC("raw_tracepoint/cgroup_notify_populated")
int sp_on_populated(struct bpf_raw_tracepoint_args *context)
{
	struct cgroup *cgroup = (void *)context->args[0];
	struct sp_event *event;

	if ((int)context->args[2] || !sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_EMPTIED, cgroup);
	if (event)
		sp_event_end(event);
	return 0;
}

/* (cgroup, path, task, whole process) */
SEC("raw_tracepoint/cgroup_attach_task")
int sp_on_attach(struct bpf_raw_tracepoint_args *context)
{
	struct cgroup *cgroup = (void *)context->args[0];
	struct task_struct *task = (void *)context->args[2];
	__u8 kind = sp_is_watched_v1(cgroup) ? SP_EVENT_ENTERED_V1 : SP_EVENT_ENTERED;
	struct sp_event *event;

	if (kind == SP_EVENT_ENTERED && !sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(kind, cgroup);
	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(task, tgid);
	sp_event_end(event);
	return 0;
}

/* (parent, child). clone3(CLONE_INTO_CGROUP) passes no cgroup_attach_task. */
SEC("raw_tracepoint/sched_process_fork")
int sp_on_fork(struct bpf_raw_tracepoint_args *context)
{
	struct task_struct *child = (void *)context->args[1];
	struct cgroup *cgroup = sp_task_cgroup(child);
	struct sp_event *event;

	if (cgroup == sp_task_cgroup((void *)context->args[0]) || !sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_ENTERED, cgroup);
	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(child, tgid);
	sp_event_end(event);
	return 0;
}

/* (task, its pid before, binary) */
SEC("raw_tracepoint/sched_process_exec")
int sp_on_exec(struct bpf_raw_tracepoint_args *context)
{
	struct task_struct *task = (void *)context->args[0];
	struct linux_binprm *binary = (void *)context->args[2];
	struct cgroup *cgroup = sp_task_cgroup(task);
	struct sp_event *event;

	if (!sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_EXECUTED, cgroup);
	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(task, tgid);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	sp_event_set_path(event, BPF_CORE_READ(binary, interp));
	sp_event_end(event);
	return 0;
}

/* (task, and since 6.16 whether it is the last of its process). The kernel has counted this thread off already. Two that
 * end together may both see zero: then it is told twice.
 */
SEC("raw_tracepoint/sched_process_exit")
int sp_on_exit(struct bpf_raw_tracepoint_args *context)
{
	struct task_struct *task = (void *)context->args[0];
	struct cgroup *cgroup = sp_task_cgroup(task);
	struct sp_event *event;

	if (BPF_CORE_READ(task, signal, live.counter) || !sp_is_watched(cgroup))
		return 0;
	event = sp_event_begin(SP_EVENT_EXITED, cgroup);
	if (!event)
		return 0;
	event->pid = BPF_CORE_READ(task, tgid);
	sp_event_end(event);
	return 0;
}
