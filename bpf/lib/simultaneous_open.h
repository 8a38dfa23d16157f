/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Two sockets of one namespace that connect to each other at the same time (simultaneous open): no listener is there to be
 * found, and a connecting socket is in no table that can be walked. So each notes, on its way out, whom it connects to.
 */
#pragma once
#include "handoff.h"
#include "hook.h"
#include "verdict.h"

/* The row of a connecting socket, in the words of the SYN that would come to it. Addresses of the kernel are even, so the
 * tag is no listener's.
 */
static __always_inline void sp_simultaneous_fill(struct __sk_buff *skb, struct sp_handoff_key *key,
						 const struct sp_packet *packet)
{
	sp_handoff_fill(key, packet);
	key->tag = sp_listener_tag(skb, 0) | 1;
}

/* Egress of an allowed SYN that stays here. */
static __noinline void sp_simultaneous_note(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_handoff sender = { .workload = flow->subject.workload,
				     .identity = flow->subject.identity,
				     .time = sp_now(),
				     .flags = flow->subject.flags & SP_ENDPOINT_UNLABELLED,
				     .generation = flow->generation };
	struct sp_handoff_key key;

	sp_simultaneous_fill(skb, &key, packet);
	if (bpf_map_update_elem(&sp_handoffs, &key, &sender, BPF_ANY))
		sp_stat_add(SP_STAT_SENDERS_FAILED);
}

/* Fills flow->subject if a socket connects to just where this SYN comes from; else returns 0. */
static __noinline int sp_simultaneous_subject(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_handoff *sender;
	struct sp_handoff_key key;

	sp_simultaneous_fill(skb, &key, packet);
	sp_copy_address(key.source, packet->destination);
	sp_copy_address(key.destination, packet->source);
	key.source_port = packet->destination_port;
	key.destination_port = packet->source_port;
	sender = bpf_map_lookup_elem(&sp_handoffs, &key);
	if (!sender)
		return 0;
	sp_endpoint_host(&flow->subject, SP_ASSURED_SOCKET);
	if (sender->workload && !sp_endpoint_of_cgroup(&flow->subject, sender->workload))
		sp_endpoint_unknown(&flow->subject);
	if (sender->flags & SP_ENDPOINT_UNLABELLED)
		sp_endpoint_is_child(&flow->subject);
	SP_JOIN(&flow->subject);
	return 1;
}

/* Ingress of a SYN that no listener waits for: judged for both sides, whose ways out did not know of each other.
 */
static __noinline enum sp_verdict sp_simultaneous_verdict(struct __sk_buff *skb, struct sp_packet *packet,
							  struct sp_flow *flow)
{
	if (!sp_simultaneous_subject(skb, packet, flow))
		return SP_PASS_ON;
	flow->direction = SP_INCOMING;
	flow->generation = sp_generation();
	flow->port_index = sp_port_index(IPPROTO_TCP, bpf_ntohs(packet->destination_port));
	sp_handoff_lookup(skb, packet, flow);
	SP_JOIN(flow);
	if (sp_ask_policy(skb, packet, flow, SP_INCOMING, 0, 1) == SP_REFUSE)
		return SP_REFUSE;
	return sp_other_side(skb, packet, flow);
}
