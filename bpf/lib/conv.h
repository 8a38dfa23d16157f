/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Conversations of everything but TCP: replies of an allowed one pass, nothing else rides on that, and a change of
 * policy is felt by the next packet.
 */
#pragma once
#include "destination.h"
#include "handoff.h"
#include "identity.h"
#include "peer.h"
#include "queue.h"
#include "conv_key.h"
#include "verdict.h"

/* The other end of a conversation as it was when it was last known, with the labels of now. */
static __always_inline void sp_conv_peer(const struct sp_conv *conv, struct sp_endpoint *peer)
{
	sp_endpoint_unknown(peer);
	peer->identity = conv->peer;
	peer->assurance = conv->assurance;
	if (conv->peer_workload && !sp_endpoint_of_cgroup(peer, conv->peer_workload))
		sp_endpoint_unknown(peer); /* the label is gone: judged as nobody until it speaks again */
	peer->flags |= SP_ENDPOINT_STALE;
}

/* Fills flow->peer with the other end of a conversation as it is now: an address by its networks, a socket by whom it
 * speaks for since labels have changed; if the packet does not tell, as it was. Who sent an incoming packet is found already.
 */
static __always_inline void sp_conv_find_peer(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					      const struct sp_conv *conv, __u32 direction)
{
	if (conv->assurance == SP_ASSURED_ADDRESS) {
		sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation),
				       direction == SP_OUTGOING ? packet->destination : packet->source);
		return;
	}
	if (direction == SP_OUTGOING) {
		sp_endpoint_unknown(&flow->peer);
		if (sp_is_looped(skb))
			sp_find_destination(skb, packet, flow);
	}
	if (flow->peer.assurance < SP_ASSURED_SOCKET)
		sp_conv_peer(conv, &flow->peer);
}

static __always_inline void sp_conv_touch(struct sp_conv *conv, __u32 length, __u32 direction, __u64 now)
{
	direction &= 1;
	conv->last_seen = now;
	__atomic_fetch_add(&conv->packets[direction], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&conv->bytes[direction], length, __ATOMIC_RELAXED);
}

/* True if a packet in `direction` needs no verdict of its own. */
static __always_inline int sp_conv_is_judged(const struct sp_conv *conv, __u32 direction, __u32 generation)
{
	return conv->generation == generation && !(conv->find_peer && direction == SP_INCOMING);
}

/* A live conversation under a newer generation, with subject and peer as they are now: may it go on? If not, it is
 * recorded.
 */
SP_FUNCTION enum sp_verdict sp_conv_still_allowed(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
						  struct sp_conv *conv, __u32 direction)
{
	if (!packet || !conv || !flow)
		return SP_REFUSE;
	flow->direction = conv->direction & 1;
	flow->port_index = sp_conv_port_index(packet, direction, flow->direction);
	SP_JOIN(flow);
	if (sp_ask_policy(skb, packet, flow, direction, SP_RECORD_REVOKED, 1) == SP_PASS_ON) {
		conv->generation = flow->generation;
		conv->find_peer = (flow->peer.flags & SP_ENDPOINT_STALE) != 0;
		conv->rule = flow->rule;
		conv->workload = flow->subject.workload;
		conv->peer_workload = sp_endpoint_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
		conv->peer = flow->peer.identity;
		return SP_PASS_ON;
	}
	sp_count_revoked(flow);
	return SP_REFUSE;
}

/* True if no lookup by the packet's addresses and ports finds its socket: that is raw, or connected to another end than this
 * packet's (busybox traceroute).
 */
static __always_inline int sp_is_not_found(struct __sk_buff *skb, const struct sp_packet *packet)
{
	struct bpf_sock *sk = skb->sk;

	if (packet->is_raw)
		return 1;
	return packet->protocol == IPPROTO_UDP && sk && sk->dst_port && sk->dst_port != packet->destination_port;
}

/* Ingress of a packet that a live conversation does not carry, because somebody else sent it: flow->peer, as its hand-off or
 * its address tells. Judged by itself. Where the conversation was allowed to an address that is no workload's, whoever is
 * there may answer.
 */
SP_FUNCTION enum sp_verdict sp_conv_other(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					  struct sp_conv *conv)
{
	if (!packet || !conv || !flow)
		return SP_REFUSE;
	if (conv->direction == SP_OUTGOING && conv->assurance == SP_ASSURED_ADDRESS && !conv->peer_workload)
		sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), packet->source);
	flow->direction = conv->direction & 1;
	flow->port_index = sp_conv_port_index(packet, SP_INCOMING, flow->direction);
	SP_JOIN(flow);
	return sp_ask_policy(skb, packet, flow, SP_INCOMING, 0, 1);
}

/* The conversation is that workload's from now on. */
static __always_inline void sp_conv_adopt(struct sp_conv *conv, const struct sp_flow *flow, __u64 sender)
{
	conv->sender = sender;
	conv->peer = flow->peer.identity;
	conv->peer_workload = sp_endpoint_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
	conv->generation = flow->generation;
	conv->find_peer = (flow->peer.flags & SP_ENDPOINT_STALE) != 0;
}

/* What a new conversation asks of its packets. Who answers at a workload's address must be that workload; at another it may
 * be somebody of this host, whom nobody else shall speak for then. ICMP is answered by kernels, a group by its members.
 */
static __always_inline __u8 sp_conv_handed(struct __sk_buff *skb, const struct sp_packet *packet,
					   const struct sp_flow *flow)
{
	if (!sp_must_hand_over(skb, packet))
		return 0;
	/* the answer's sender is here, and may be one that does not know that anything was handed over */
	if (sp_is_looped(skb))
		return SP_CONV_TELLS;
	if (flow->peer.assurance == SP_ASSURED_HANDOFF)
		return SP_CONV_TELLS | SP_CONV_WANTS;
	if (flow->direction == SP_INCOMING || packet->protocol != IPPROTO_UDP || sp_is_multicast(packet->destination))
		return SP_CONV_TELLS;
	return SP_CONV_TELLS | (flow->peer.workload ? SP_CONV_WANTS : SP_CONV_ASKS);
}

/* Keeps an allowed conversation at the place that sp_share_begin took. Returns 0. */
SP_FUNCTION int sp_conv_begin(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
			      struct sp_conv_key *key, __u64 place)
{
	struct sp_conv_key own; /* before 6.4 a map's key must be on this function's stack */
	struct sp_conv conv = {};
	int out;

	if (!packet || !flow || !key)
		return 0;
	own = *key;
	out = flow->direction == SP_OUTGOING;
	sp_copy_address(conv.local, out ? packet->source : packet->destination);
	if (!sp_is_icmp(packet))
		conv.local_port = out ? packet->source_port : packet->destination_port;
	conv.opened = bpf_ktime_get_ns();
	conv.last_seen = sp_now();
	conv.handed = sp_conv_handed(skb, packet, flow);
	conv.sender = flow->peer.workload;
	conv.workload = flow->subject.workload;
	conv.peer_workload = sp_endpoint_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
	conv.peer = flow->peer.identity;
	conv.generation = flow->generation;
	conv.rule = flow->rule;
	conv.uid = sp_socket_uid(skb, flow);
	conv.direction = flow->direction;
	conv.assurance = flow->peer.assurance;
	conv.decided_by = flow->decided_by;
	conv.packets[flow->direction & 1] = 1;
	conv.bytes[flow->direction & 1] = packet->length;
	conv.owner = flow->subject.workload;
	conv.lane = SP_PLACE_LANE(place);
	conv.sequence = place;
	/* if another CPU has begun it meanwhile, its place is the one that counts; this one is given up as the oldest */
	if (!place ||
	    (bpf_map_update_elem(&sp_convs, &own, &conv, BPF_NOEXIST) && !bpf_map_lookup_elem(&sp_convs, &own))) {
		sp_stat_add(SP_STAT_CONVERSATIONS_FULL);
		return 0;
	}
#ifndef SP_NETFILTER
	if (out && sp_is_not_found(skb, packet)) {
		__u64 cookie = own.socket;

		own.socket = conv.workload;
		if (!sp_is_icmp(packet))
			own.id = packet->source_port;
		bpf_map_update_elem(&sp_raw_convs, &own, &cookie, BPF_ANY);
	}
#endif
	return 0;
}

/* True if the conversation carries an incoming packet of flow->peer: it asks for no credit, or this is whose it wants. */
static __always_inline int sp_conv_carries(struct sp_conv *conv, const struct sp_flow *flow)
{
	if (conv->handed & SP_CONV_ASKS) {
		conv->sender = flow->peer.workload;
		conv->handed =
			flow->peer.assurance == SP_ASSURED_HANDOFF ? SP_CONV_TELLS | SP_CONV_WANTS : SP_CONV_TELLS;
		return 1;
	}
	if (!(conv->handed & SP_CONV_WANTS))
		return 1;
	return flow->peer.assurance == SP_ASSURED_HANDOFF && flow->peer.workload == conv->sender;
}

/* Egress: tells who sends a packet of a live conversation. */
static __always_inline enum sp_verdict sp_conv_publish(struct __sk_buff *skb, struct sp_packet *packet,
						       struct sp_flow *flow, const struct sp_conv *conv)
{
	sp_find_subject(skb, flow);
	flow->direction = conv->direction & 1;
	flow->peer.assurance = conv->assurance;
	flow->peer.workload = conv->peer_workload;
	return sp_handoff_publish(skb, packet, flow);
}

/* A packet of anything but a TCP stream. */
static __always_inline enum sp_verdict sp_conv_verdict(struct __sk_buff *skb, struct sp_packet *packet,
						       struct sp_flow *flow, __u32 direction)
{
	__u64 now = sp_now();
	struct sp_conv_key key;
	struct sp_conv *conv;
	int is_over;

	sp_conv_fill(&key, packet, direction, flow->cookie);
	SP_JOIN(&key);
	conv = bpf_map_lookup_elem(&sp_convs, &key);
	is_over = conv && (__s64)(now - conv->last_seen) >= (__s64)sp_idle_limit(packet->protocol);
	if (is_over)
		conv = 0;
	/* who sent it is found once, for that takes its credit */
	if (direction == SP_INCOMING &&
	    (!conv || (conv->handed & (SP_CONV_WANTS | SP_CONV_ASKS)) ||
	     (conv->assurance != SP_ASSURED_ADDRESS && !sp_conv_is_judged(conv, direction, flow->generation)))) {
		sp_find_subject(skb, flow);
		sp_find_caller(skb, packet, flow);
		SP_JOIN(flow);
	}
	if (conv) {
		int is_other = direction == SP_INCOMING && !sp_conv_carries(conv, flow);
		int is_new = is_other || !sp_conv_is_judged(conv, direction, flow->generation);
		enum sp_verdict verdict = SP_PASS_ON;
		int is_handed = flow->peer.assurance == SP_ASSURED_HANDOFF;
		__u64 sender = flow->peer.workload;

		if (is_other) {
			verdict = sp_conv_other(skb, packet, flow, conv);
		} else if (is_new) {
			sp_find_subject(skb, flow);
			sp_conv_find_peer(skb, packet, flow, conv, direction);
			SP_JOIN(flow);
			verdict = sp_conv_still_allowed(skb, packet, flow, conv, direction);
		}
		/* who was allowed to reach another workload than this is judged on its side too */
		if (is_new && verdict == SP_PASS_ON && (flow->peer.flags & SP_ENDPOINT_MISDIRECTED) &&
		    flow->direction == SP_INCOMING)
			verdict = sp_other_side(skb, packet, flow);
		if (verdict == SP_REFUSE) {
			if (!is_other)
				sp_conv_end(&key);
			return SP_REFUSE;
		}
		if (is_other && is_handed)
			sp_conv_adopt(conv, flow, sender);
		if (direction == SP_OUTGOING && (conv->handed & SP_CONV_TELLS) &&
		    sp_conv_publish(skb, packet, flow, conv) == SP_REFUSE)
			return sp_refuse_sender(skb, packet, flow);
		sp_conv_touch(conv, packet->length, direction, now);
		return SP_PASS_ON;
	}

	flow->port_index = sp_conv_port_index(packet, direction, direction);
	SP_JOIN(flow);
	if (direction == SP_OUTGOING) {
		sp_find_subject(skb, flow);
		if (packet->is_translated && sp_ask_translated(skb, packet, flow) == SP_REFUSE)
			return SP_REFUSE;
		SP_JOIN(packet);
		SP_JOIN(flow);
		sp_find_destination(skb, packet, flow);
	}
	if (sp_ask_policy_first(skb, packet, flow) == SP_REFUSE || sp_other_side(skb, packet, flow) == SP_REFUSE)
		return SP_REFUSE;
	if (direction == SP_OUTGOING && sp_must_hand_over(skb, packet) &&
	    sp_handoff_publish(skb, packet, flow) == SP_REFUSE)
		return sp_refuse_sender(skb, packet, flow);
	if (packet->is_translated && direction == SP_OUTGOING)
		sp_destination_note(skb, packet, flow->subject.workload);
	/* a reply that nobody asked for was judged by itself; it must not open the way for a request */
	if (sp_initiator(packet, direction) == direction) {
		/* one that was silent for too long; asked of all, because a branch here is dear to old verifiers */
		sp_conv_end(&key);
		sp_conv_begin(skb, packet, flow, &key, sp_share_begin(flow, &key));
	}
	return SP_PASS_ON;
}
