/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Hand-off of everything but TCP: a sender is bound to its packets, never to an address and a time. The egress hook adds one
 * credit for each segment that leaves the namespace, the ingress hook of the receiver takes one. A packet that finds none did
 * not pass its sender's egress hook: a frame of a packet socket, or of somebody whose packets pass no hook at all.
 *
 * A row belongs to one workload at a time. Another that sends the same addresses and ports takes it over when nothing of
 * the owner is on the way; else the receiver could not tell whose packet arrives first, so it is refused.
 */
#pragma once
#include "handoff_key.h"
#include "hook.h"
#include "identity.h"
#include "tables.h"

/* Credits that nobody took are worth nothing after this long: their packets were lost. */
#define SP_CREDIT_LIFE 1000000000ull /* ns */
/* More than this are not kept: what may wait between two hooks, a backlog of 1,000 packets of 64 segments each. */
#define SP_CREDIT_CAP 65536

/* Credits of a packet: one that is cut into segments on the way arrives as that many. */
static __always_inline __u32 sp_credit_count(struct __sk_buff *skb)
{
	__u32 segments = skb->gso_segs;

	return segments ? segments : 1;
}

static __always_inline __s32 sp_credit_left(const struct sp_handoff *row)
{
	return (__s32)(*(volatile __u32 *)&row->sent - *(volatile __u32 *)&row->taken);
}

static __always_inline int sp_credit_is_young(const struct sp_handoff *row, __u64 now)
{
	return (__s64)(now - row->time) < (__s64)SP_CREDIT_LIFE;
}

/* Writes `to` if `word` still is `from`. True if it did. Kernels before 5.12 have no such atomic: there two that write within
 * the same nanoseconds both believe they did.
 */
static __always_inline int sp_swap(__u64 *word, __u64 from, __u64 to)
{
#ifdef SP_NO_GLOBAL_FUNCTIONS
	if (*(volatile __u64 *)word != from)
		return 0;
	*(volatile __u64 *)word = to;
	return 1;
#else
	return __sync_val_compare_and_swap(word, from, to) == from;
#endif
}

/* Adds credits to a row that is the sender's own, and is up to date. */
static __always_inline void sp_credit_give(struct sp_handoff *row, __u32 count, __u64 now)
{
	if (row->time != now)
		row->time = now;
	if (sp_credit_left(row) < SP_CREDIT_CAP)
		__atomic_fetch_add(&row->sent, count, __ATOMIC_RELAXED);
}

/* True if a row is another's, and stays so: packets of it are on the way, or the source address is that workload's. */
static __always_inline int sp_credit_is_foreign(struct sp_handoff *row, const struct sp_packet *packet,
						const struct sp_flow *flow, __u64 socket, __u64 now)
{
	__u64 was = row->workload, mine = flow->subject.workload;
	struct sp_endpoint owner;
	__s32 lost;

	if (was == mine)
		return 0;
	lost = sp_credit_left(row);
	if (row->socket != socket && sp_credit_is_young(row, now)) {
		sp_endpoint_of_address(&owner, SP_SLOT(flow->generation), packet->source);
		if (!owner.workload || owner.workload != mine) {
			if (lost > 0 || (owner.workload && owner.workload == was))
				return 1;
		}
	}
	if (!sp_swap(&row->workload, was, mine))
		return 1;
	if (row->socket != socket && lost > 0)
		__atomic_fetch_add(&row->taken, (__u32)lost, __ATOMIC_RELAXED);
	row->socket = socket;
	return 0;
}

/* Egress of a packet of anything but TCP that leaves the namespace: tells its receiver who sends it. Refused if the
 * receiver would take it for another's.
 */
SP_FUNCTION enum sp_verdict sp_credit_add(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_handoff fresh = {};
	struct sp_handoff_key key;
	struct sp_handoff *row;
	__u64 now, rolled;
	__u32 lost;

	if (!packet || !flow)
		return SP_REFUSE;
	now = sp_now();
	sp_handoff_fill(&key, packet);
	row = bpf_map_lookup_elem(&sp_handoffs, &key);
	if (!row) {
		fresh.workload = flow->subject.workload;
		fresh.socket = bpf_get_socket_cookie(skb);
		fresh.time = now;
		fresh.rolled = now;
		/* not by an update: two processors may write the first row of one sender at once, and both count */
		bpf_map_update_elem(&sp_handoffs, &key, &fresh, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&sp_handoffs, &key);
		if (!row) {
			sp_stat_add(SP_STAT_SENDERS_FAILED);
			return SP_PASS_ON;
		}
	}
	if (sp_credit_is_foreign(row, packet, flow, bpf_get_socket_cookie(skb), now)) {
		sp_stat_add(SP_STAT_SENDERS_AMBIGUOUS);
		return SP_REFUSE;
	}
	rolled = row->rolled;
	if ((__s64)(now - rolled) >= (__s64)SP_CREDIT_LIFE) {
		/* what left before the last roll, a second ago or more, and did not arrive, is lost */
		lost = (sp_credit_is_young(row, now) ? row->before : row->sent) - row->taken;
		if (sp_swap(&row->rolled, rolled, now)) {
			row->before = row->sent;
			if ((__s32)lost > 0)
				__atomic_fetch_add(&row->taken, lost, __ATOMIC_RELAXED);
		}
	}
	row->identity = flow->subject.identity;
	row->generation = flow->generation;
	row->claim = 0;
	if (flow->direction == SP_OUTGOING && flow->peer.assurance == SP_ASSURED_ADDRESS)
		row->claim = flow->peer.workload;
	sp_credit_give(row, sp_credit_count(skb), now);
	return SP_PASS_ON;
}

/* Ingress: true if the row vouches for this packet. A packet that reaches several sockets (a group, a raw socket beside the
 * one it is for) takes no credit; of a group the row cannot be asked for one, so there its age counts.
 */
static __always_inline int sp_credit_take(struct __sk_buff *skb, const struct sp_packet *packet, struct sp_handoff *row,
					  __u64 now)
{
#ifdef SP_MARK
	/* Of a conversation only what conntrack calls new comes here, at each end by its own table. */
	(void)skb;
	(void)packet;
	return (__s64)(now - row->time) < (__s64)config.udp_idle;
#else
	__u32 count = sp_credit_count(skb);

	if (!sp_credit_is_young(row, now))
		return 0;
	if (packet->protocol != IPPROTO_UDP || skb->pkt_type != PACKET_HOST)
		return 1;
	if (sp_credit_left(row) < (__s32)count)
		return 0;
	if (!sp_gets_a_copy(skb))
		__atomic_fetch_add(&row->taken, count, __ATOMIC_RELAXED);
	return 1;
#endif
}
