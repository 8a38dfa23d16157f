/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Evidence: counters by reason and workload, and records of flows; every lost record is counted. */
#pragma once
#include "../maps.h"
#include "kernel.h"
#include "packet.h"
#include "share.h"
#include "tables.h"

/* Counts a verdict on the subject's row; a workload without a row (just labelled) is counted nowhere. Returns 0. */
SP_FUNCTION int sp_count(struct sp_flow *flow)
{
	struct sp_counts *counts;
	__u32 reason, direction;
	__u64 key;

	if (!flow)
		return 0;
	key = flow->subject.workload;
	direction = flow->direction & 1;
	reason = (flow->decided_by & 15) << 1 | (flow->action == SP_REJECT);
	if (flow->decided_by == SP_BY_ERROR)
		sp_stat_add(SP_STAT_TABLE_MISSING);
	counts = bpf_map_lookup_elem(&sp_counts, &key);
	if (!counts || reason >= SP_COUNT_EVICTED)
		return 0;
	counts->n[direction][reason & 31]++;
	if (flow->observed_action && flow->observed_action != flow->action)
		counts->n[direction][SP_COUNT_OBSERVED]++;
	return 0;
}

/* Counts a packet that passes beside policy, on its subject's row. Returns 0. */
SP_FUNCTION int sp_count_excluded(struct sp_flow *flow)
{
	if (!flow)
		return 0;
	flow->action = SP_ALLOW;
	flow->decided_by = SP_BY_EXCLUDED;
	return sp_count(flow);
}

static __always_inline void sp_count_revoked(struct sp_flow *flow)
{
	__u64 key = flow->subject.workload;
	struct sp_counts *counts = bpf_map_lookup_elem(&sp_counts, &key);

	if (counts)
		counts->n[flow->direction & 1][SP_COUNT_REVOKED]++;
}

/* True if the same refusal was recorded less than a second ago on this CPU. Each word is mixed before the next comes in: of
 * two that were only laid over each other a caller could choose address and port so that they hide somebody else's.
 */
static __always_inline int sp_is_repeated(const struct sp_flow *flow, const __u8 remote[16])
{
	const __u64 *words = (const __u64 *)remote;
	__u64 who = sp_mix(flow->subject.workload);
	__u32 index;
	__u64 *last, now;

	who = sp_mix(who ^ words[0]);
	who = sp_mix(who ^ words[1]);
	who = sp_mix(who ^ ((__u64)flow->peer.identity << 32 | flow->port_index));
	who = sp_mix(who ^ ((__u64)flow->decided_by << 8 | flow->direction));
	index = (who >> 40) & 1023;
	last = bpf_map_lookup_elem(&sp_suppress, &index);
	if (!last)
		return 0;
	now = sp_now();
	if (last[0] == who && now - last[1] < 1000000000ull)
		return 1;
	last[0] = who;
	last[1] = now;
	return 0;
}

/* A record was lost, and whose: counted. Returns 0. */
SP_FUNCTION int sp_record_lost(__u64 workload)
{
	__u64 key = workload;
	struct sp_counts *counts = bpf_map_lookup_elem(&sp_counts, &key);

	sp_stat_add(SP_STAT_RECORDS_LOST);
	if (counts)
		counts->n[SP_OUTGOING][SP_COUNT_RECORDS_LOST]++;
	return 0;
}

/* A record to fill, or null (counted). `workload` is an expression: whose it is, asked only while the ring fills. */
#define sp_record_begin(workload)                                        \
	({                                                               \
		struct sp_record *sp_made = 0;                           \
		__u64 sp_whose = 0;                                      \
                                                                         \
		if (!sp_ring_is_filling())                               \
			sp_made = sp_record_reserve();                   \
		else if (sp_whose = (workload), sp_ring_admit(sp_whose)) \
			sp_made = sp_record_reserve();                   \
		if (!sp_made)                                            \
			sp_record_lost(sp_whose);                        \
		sp_made;                                                 \
	})

static __always_inline struct sp_record *sp_record_reserve(void)
{
	struct sp_record *record = bpf_ringbuf_reserve(&sp_records, sizeof(*record), 0);

	if (!record)
		return 0;
	__builtin_memset(record, 0, sizeof(*record));
	record->time = bpf_ktime_get_ns();
	return record;
}

static __always_inline void sp_record_flow(struct sp_record *record, const struct sp_flow *flow)
{
	record->socket = flow->cookie;
	record->direction = flow->direction;
	record->generation = flow->generation;
	record->workload = flow->subject.workload;
	record->subject = flow->subject.identity;
	record->peer_workload = flow->peer.workload;
	record->peer = flow->peer.identity;
	record->assurance = flow->peer.assurance;
	record->action = flow->action;
	record->observed_action = flow->observed_action;
	record->rule = flow->rule;
	record->observed_rule = flow->observed_rule;
	record->decided_by = flow->decided_by;
	record->flags = flow->log ? SP_RECORD_LOG : 0;
}

/* `wakeup` is BPF_RB_NO_WAKEUP for most records: the reader reads on a timer, and a wake-up costs more than the rest of a
 * record; it is woken when a quarter of the ring is full, and for a process that it has not seen (sp_wakeup_for).
 */
static __always_inline void sp_record_end(struct sp_record *record, __u64 wakeup)
{
	if (sp_ring_is_filling())
		wakeup = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(record, wakeup);
	sp_stat_add(SP_STAT_RECORDS);
}

/* Wakes the reader for the first record of each process, so that it can be looked at while it lives. By force: a reader
 * that has not caught up with records before it, which did not wake it, would sleep on.
 */
static __always_inline __u64 sp_wakeup_for(__u32 pid)
{
	__u32 index = pid & 4095;
	__u32 *last = bpf_map_lookup_elem(&sp_woken, &index);

	if (!last || *last == pid)
		return BPF_RB_NO_WAKEUP;
	*last = pid;
	return BPF_RB_FORCE_WAKEUP;
}

/* What of the packet a record tells, from the view of the end whose hook runs. */
static __always_inline void sp_record_packet(struct sp_record *record, const struct sp_packet *packet, __u32 direction)
{
	int out = direction == SP_OUTGOING;

	record->protocol = packet->protocol;
	sp_copy_address(record->local, out ? packet->source : packet->destination);
	sp_copy_address(record->remote, out ? packet->destination : packet->source);
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
		record->local_port = bpf_ntohs(packet->icmp_id);
		record->remote_port = packet->icmp_type;
	} else {
		record->local_port = bpf_ntohs(out ? packet->source_port : packet->destination_port);
		record->remote_port = bpf_ntohs(out ? packet->destination_port : packet->source_port);
	}
}

/* The calling task. */
static __always_inline void sp_record_task(struct sp_record *record)
{
	__u64 pid = bpf_get_current_pid_tgid();

	record->pid = pid >> 32;
	record->tid = pid;
	record->uid = bpf_get_current_uid_gid();
	record->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(record->comm, sizeof(record->comm));
}

/* The payload of a connection that ends: the kernel counts a FIN as a byte; ours was acknowledged on the way out, theirs
 * came before the last ACK. `before` is the state it had.
 */
static __always_inline void sp_record_bytes(struct sp_record *record, __u32 before, __u64 acknowledged, __u64 received)
{
	if (before == BPF_TCP_SYN_SENT || before == BPF_TCP_SYN_RECV)
		record->flags = SP_RECORD_FAILED;
	if (acknowledged && (before == BPF_TCP_FIN_WAIT2 || before == BPF_TCP_TIME_WAIT || before == BPF_TCP_LAST_ACK ||
			     before == BPF_TCP_CLOSING))
		acknowledged--;
	if (received && (before == BPF_TCP_CLOSE_WAIT || before == BPF_TCP_LAST_ACK || before == BPF_TCP_CLOSING))
		received--;
	record->bytes_sent = acknowledged;
	record->bytes_received = received;
}
