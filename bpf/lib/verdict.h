/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The verdict on a packet: the policy is asked, the answer is counted, and recorded. Nothing else does all three (for calls,
 * which come before there is a packet, connect.h does).
 */
#pragma once
#include "account.h"
#include "hook.h"
#include "identity.h"
#include "policy.h"

/* The record of a packet that was judged: refused (`flags` say more), or the first of a conversation. `direction` is the
 * packet's. Returns 0.
 */
SP_FUNCTION int sp_record_verdict(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
				  __u32 direction, __u32 flags)
{
	struct sp_record *record;
	int refused;

	SP_USED(skb);
	if (!packet || !flow)
		return 0;
	refused = flow->action == SP_REJECT;
	if (refused && sp_is_repeated(flow, direction == SP_OUTGOING ? packet->destination : packet->source)) {
		sp_stat_add(SP_STAT_RECORDS_SUPPRESSED);
		return 0;
	}
	record = sp_record_begin(flow->subject.workload);
	if (!record)
		return 0;
	record->kind = refused ? SP_RECORD_REFUSED : SP_RECORD_OPEN;
	record->uid = sp_socket_uid(skb, flow);
	if (direction == SP_OUTGOING)
		sp_record_sender_task(record, skb, flow);
	sp_record_packet(record, packet, direction);
	sp_record_flow(record, flow);
	record->flags |= flags;
	sp_record_end(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* In the mark view nothing is global, and the verifier has to be shown where a function ends. */
#ifdef SP_MARK
#define SP_BEGIN_FUNCTION static __noinline
#else
#define SP_BEGIN_FUNCTION static __always_inline
#endif

/* Asks the policy, counts its answer and records a refusal. What passes is counted where a flow begins, and not again where
 * it is asked once more.
 */
static __always_inline enum sp_verdict sp_ask_policy(struct __sk_buff *skb, struct sp_packet *packet,
						     struct sp_flow *flow, __u32 direction, __u32 flags, int begins)
{
	enum sp_verdict verdict = sp_judge(flow);

	if (begins || verdict == SP_REFUSE)
		sp_count(flow);
	if (verdict == SP_PASS_ON)
		return SP_PASS_ON;
	sp_record_verdict(skb, packet, flow, direction, flags);
	return SP_REFUSE;
}

/* Likewise for the first packet of a conversation, which is recorded also when it passes. */
SP_BEGIN_FUNCTION enum sp_verdict sp_ask_policy_first(struct __sk_buff *skb, struct sp_packet *packet,
						      struct sp_flow *flow)
{
	sp_judge(flow);
	sp_count(flow);
	sp_record_verdict(skb, packet, flow, flow->direction, 0);
	return flow->action == SP_ALLOW ? SP_PASS_ON : SP_REFUSE;
}

/* In one namespace both sockets are known: whichever end a flow is new to asks the other's side as well. So a port that
 * changes hands, while the other end still holds the conversation of its former owner, inherits nothing. A group is judged
 * by its address, not by its members. Likewise when a sender was allowed to reach the workload that an address belongs to,
 * and another receives there.
 */
SP_FUNCTION enum sp_verdict sp_other_side(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_flow other = {};

	if (!packet || !flow)
		return SP_REFUSE;
	if (flow->peer.assurance != SP_ASSURED_SOCKET &&
	    !(flow->peer.flags & (SP_ENDPOINT_MISDIRECTED | SP_ENDPOINT_TRANSLATED)))
		return SP_PASS_ON;
	if (sp_is_multicast(packet->destination))
		return SP_PASS_ON;
	other.direction = !flow->direction;
	other.generation = flow->generation;
	other.cookie = flow->cookie;
	other.port_index = flow->port_index;
	if (flow->other_port)
		other.port_index = (other.port_index & ~0xffffu) | bpf_ntohs(flow->other_port);
	other.subject = flow->peer;
	other.peer = flow->subject;
	return sp_ask_policy(skb, packet, &other, other.direction, SP_RECORD_PEER_SIDE, 0);
}

/* What is refused without asking policy. A subject in observe mode is let through, and what would have happened is recorded. */
static __always_inline enum sp_verdict sp_refuse_by(struct __sk_buff *skb, struct sp_packet *packet,
						    struct sp_flow *flow, __u8 decided_by)
{
	flow->action = SP_REJECT;
	flow->decided_by = decided_by;
	if (flow->subject.flags & SP_WORKLOAD_OBSERVE) {
		flow->action = SP_ALLOW;
		flow->observed_action = SP_REJECT;
	}
	sp_count(flow);
	sp_record_verdict(skb, packet, flow, flow->direction, 0);
	return flow->action == SP_ALLOW ? SP_PASS_ON : SP_REFUSE;
}

/* A packet whose headers cannot be read, or a fragment without its transport header. */
static __always_inline enum sp_verdict sp_refuse_unreadable(struct __sk_buff *skb, struct sp_packet *packet,
							    struct sp_flow *flow)
{
	sp_find_subject(skb, flow);
	sp_endpoint_unknown(&flow->peer);
	return sp_refuse_by(skb, packet, flow, SP_BY_INVALID);
}

/* A packet that the receiver would take for another workload's. */
static __noinline enum sp_verdict sp_refuse_sender(struct __sk_buff *skb, struct sp_packet *packet,
						   struct sp_flow *flow)
{
	if (!packet || !flow)
		return SP_REFUSE;
	flow->direction = SP_OUTGOING;
	flow->rule = 0;
	flow->observed_rule = 0;
	flow->observed_action = SP_NONE;
	return sp_refuse_by(skb, packet, flow, SP_BY_SENDER);
}

#ifdef SP_NETFILTER
/* Who receives is not known: refused, counted on the host and recorded, so that a list that somebody made long, or a
 * socket that somebody put beside another's, lets nothing pass.
 */
static __noinline enum sp_verdict sp_refuse_receiver(struct __sk_buff *skb, struct sp_packet *packet,
						     struct sp_flow *flow, __u32 decided_by)
{
	flow->direction = SP_INCOMING;
	flow->generation = sp_generation();
	flow->action = SP_REJECT;
	flow->decided_by = decided_by;
	sp_endpoint_host(&flow->subject, SP_ASSURED_NOT);
	sp_endpoint_unknown(&flow->peer);
	sp_count(flow);
	sp_record_verdict(skb, packet, flow, SP_INCOMING, 0);
	return SP_REFUSE;
}
#endif
