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
#include "talk_key.h"
#include "verdict.h"

/* The other end of a conversation as it was when it was last known, with the labels of now. */
static __always_inline void sp_talk_peer(const struct sp_talk *talk, struct sp_party *peer)
{
	sp_party_unknown(peer);
	peer->identity = talk->peer;
	peer->assurance = talk->assurance;
	if (talk->peer_workload && !sp_party_of_cgroup(peer, talk->peer_workload))
		sp_party_unknown(peer); /* the label is gone: judged as nobody until it speaks again */
	peer->flags |= SP_PARTY_STALE;
}

/* Fills flow->peer with the other end of a conversation as it is now: an address by its networks, a socket by whom it
 * speaks for since labels have changed; if the packet does not tell, as it was. Who sent an incoming packet is found already.
 */
static __always_inline void sp_talk_find_peer(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					      const struct sp_talk *talk, __u32 direction)
{
	if (talk->assurance == SP_ASSURED_ADDRESS) {
		sp_party_of_address(&flow->peer, SP_SLOT(flow->generation),
				    direction == SP_OUTGOING ? packet->destination : packet->source);
		return;
	}
	if (direction == SP_OUTGOING) {
		sp_party_unknown(&flow->peer);
		if (sp_is_looped(skb))
			sp_find_destination(skb, packet, flow);
	}
	if (flow->peer.assurance < SP_ASSURED_SOCKET)
		sp_talk_peer(talk, &flow->peer);
}

static __always_inline void sp_talk_touch(struct sp_talk *talk, __u32 length, __u32 direction, __u64 now)
{
	direction &= 1;
	talk->last_seen = now;
	__atomic_fetch_add(&talk->packets[direction], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&talk->bytes[direction], length, __ATOMIC_RELAXED);
}

/* True if a packet in `direction` needs no verdict of its own. */
static __always_inline int sp_talk_is_judged(const struct sp_talk *talk, __u32 direction, __u32 generation)
{
	return talk->generation == generation && !(talk->find_peer && direction == SP_INCOMING);
}

/* A live conversation under a newer generation, with subject and peer as they are now: may it go on? If not, it is
 * told.
 */
SP_FUNCTION enum sp_verdict sp_talk_still_allowed(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
						  struct sp_talk *talk, __u32 direction)
{
	if (!packet || !talk || !flow)
		return SP_REFUSE;
	flow->direction = talk->direction & 1;
	flow->port_index = sp_talk_port_index(packet, direction, flow->direction);
	SP_JOIN(flow);
	if (sp_ask_policy(skb, packet, flow, direction, SP_RECORD_REVOKED, 1) == SP_PASS_ON) {
		talk->generation = flow->generation;
		talk->find_peer = (flow->peer.flags & SP_PARTY_STALE) != 0;
		talk->rule = flow->rule;
		talk->workload = flow->subject.workload;
		talk->peer_workload = sp_party_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
		talk->peer = flow->peer.identity;
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
SP_FUNCTION enum sp_verdict sp_talk_other(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					  struct sp_talk *talk)
{
	if (!packet || !talk || !flow)
		return SP_REFUSE;
	if (talk->direction == SP_OUTGOING && talk->assurance == SP_ASSURED_ADDRESS && !talk->peer_workload)
		sp_party_of_address(&flow->peer, SP_SLOT(flow->generation), packet->source);
	flow->direction = talk->direction & 1;
	flow->port_index = sp_talk_port_index(packet, SP_INCOMING, flow->direction);
	SP_JOIN(flow);
	return sp_ask_policy(skb, packet, flow, SP_INCOMING, 0, 1);
}

/* The conversation is that workload's from now on. */
static __always_inline void sp_talk_adopt(struct sp_talk *talk, const struct sp_flow *flow, __u64 sender)
{
	talk->sender = sender;
	talk->peer = flow->peer.identity;
	talk->peer_workload = sp_party_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
	talk->generation = flow->generation;
	talk->find_peer = (flow->peer.flags & SP_PARTY_STALE) != 0;
}

/* What a new conversation asks of its packets. Who answers at a workload's address must be that workload; at another it may
 * be somebody of this host, whom nobody else shall speak for then. ICMP is answered by kernels, a group by its members.
 */
static __always_inline __u8 sp_talk_handed(struct __sk_buff *skb, const struct sp_packet *packet,
					   const struct sp_flow *flow)
{
	if (!sp_must_tell(skb, packet))
		return 0;
	/* the answer's sender is here, and may be one that does not know that anything was handed over */
	if (sp_is_looped(skb))
		return SP_TALK_TELLS;
	if (flow->peer.assurance == SP_ASSURED_HANDOFF)
		return SP_TALK_TELLS | SP_TALK_WANTS;
	if (flow->direction == SP_INCOMING || packet->protocol != IPPROTO_UDP || sp_is_multicast(packet->destination))
		return SP_TALK_TELLS;
	return SP_TALK_TELLS | (flow->peer.workload ? SP_TALK_WANTS : SP_TALK_ASKS);
}

/* Keeps an allowed conversation at the place that sp_share_begin took. Returns 0. */
SP_FUNCTION int sp_talk_begin(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
			      struct sp_talk_key *key, __u64 place)
{
	struct sp_talk_key own; /* before 6.4 a map's key must be on this function's stack */
	struct sp_talk talk = {};
	int out;

	if (!packet || !flow || !key)
		return 0;
	own = *key;
	out = flow->direction == SP_OUTGOING;
	sp_copy_address(talk.local, out ? packet->source : packet->destination);
	if (!sp_is_icmp(packet))
		talk.local_port = out ? packet->source_port : packet->destination_port;
	talk.opened = bpf_ktime_get_ns();
	talk.last_seen = sp_now();
	talk.handed = sp_talk_handed(skb, packet, flow);
	talk.sender = flow->peer.workload;
	talk.workload = flow->subject.workload;
	talk.peer_workload = sp_party_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
	talk.peer = flow->peer.identity;
	talk.generation = flow->generation;
	talk.rule = flow->rule;
	talk.uid = sp_socket_uid(skb, flow);
	talk.direction = flow->direction;
	talk.assurance = flow->peer.assurance;
	talk.decided_by = flow->decided_by;
	talk.packets[flow->direction & 1] = 1;
	talk.bytes[flow->direction & 1] = packet->length;
	talk.owner = flow->subject.workload;
	talk.lane = SP_PLACE_LANE(place);
	talk.sequence = place;
	/* if another CPU has begun it meanwhile, its place is the one that counts; this one is given up as the oldest */
	if (!place ||
	    (bpf_map_update_elem(&sp_talks, &own, &talk, BPF_NOEXIST) && !bpf_map_lookup_elem(&sp_talks, &own))) {
		sp_stat_add(SP_STAT_CONVERSATIONS_FULL);
		return 0;
	}
#ifndef SP_NETFILTER
	if (out && sp_is_not_found(skb, packet)) {
		__u64 cookie = own.socket;

		own.socket = talk.workload;
		if (!sp_is_icmp(packet))
			own.id = packet->source_port;
		bpf_map_update_elem(&sp_raw_talks, &own, &cookie, BPF_ANY);
	}
#endif
	return 0;
}

/* True if the conversation carries an incoming packet of flow->peer: it asks for no credit, or this is whose it wants. */
static __always_inline int sp_talk_carries(struct sp_talk *talk, const struct sp_flow *flow)
{
	if (talk->handed & SP_TALK_ASKS) {
		talk->sender = flow->peer.workload;
		talk->handed =
			flow->peer.assurance == SP_ASSURED_HANDOFF ? SP_TALK_TELLS | SP_TALK_WANTS : SP_TALK_TELLS;
		return 1;
	}
	if (!(talk->handed & SP_TALK_WANTS))
		return 1;
	return flow->peer.assurance == SP_ASSURED_HANDOFF && flow->peer.workload == talk->sender;
}

/* Egress: tells who sends a packet of a live conversation. */
static __always_inline enum sp_verdict sp_talk_tell(struct __sk_buff *skb, struct sp_packet *packet,
						    struct sp_flow *flow, const struct sp_talk *talk)
{
	sp_find_subject(skb, flow);
	flow->direction = talk->direction & 1;
	flow->peer.assurance = talk->assurance;
	flow->peer.workload = talk->peer_workload;
	return sp_sender_tell(skb, packet, flow);
}

/* A packet of anything but a TCP stream. */
static __always_inline enum sp_verdict sp_talk_verdict(struct __sk_buff *skb, struct sp_packet *packet,
						       struct sp_flow *flow, __u32 direction)
{
	__u64 now = sp_now();
	struct sp_talk_key key;
	struct sp_talk *talk;
	int is_over;

	sp_talk_fill(&key, packet, direction, flow->cookie);
	SP_JOIN(&key);
	talk = bpf_map_lookup_elem(&sp_talks, &key);
	is_over = talk && (__s64)(now - talk->last_seen) >= (__s64)sp_idle_limit(packet->protocol);
	if (is_over)
		talk = 0;
	/* who sent it is found once, for that takes its credit */
	if (direction == SP_INCOMING &&
	    (!talk || (talk->handed & (SP_TALK_WANTS | SP_TALK_ASKS)) ||
	     (talk->assurance != SP_ASSURED_ADDRESS && !sp_talk_is_judged(talk, direction, flow->generation)))) {
		sp_find_subject(skb, flow);
		sp_find_caller(skb, packet, flow);
		SP_JOIN(flow);
	}
	if (talk) {
		int is_other = direction == SP_INCOMING && !sp_talk_carries(talk, flow);
		int is_new = is_other || !sp_talk_is_judged(talk, direction, flow->generation);
		enum sp_verdict verdict = SP_PASS_ON;
		int is_handed = flow->peer.assurance == SP_ASSURED_HANDOFF;
		__u64 sender = flow->peer.workload;

		if (is_other) {
			verdict = sp_talk_other(skb, packet, flow, talk);
		} else if (is_new) {
			sp_find_subject(skb, flow);
			sp_talk_find_peer(skb, packet, flow, talk, direction);
			SP_JOIN(flow);
			verdict = sp_talk_still_allowed(skb, packet, flow, talk, direction);
		}
		/* who was allowed to reach another workload than this is judged on its side too */
		if (is_new && verdict == SP_PASS_ON && (flow->peer.flags & SP_PARTY_MISDIRECTED) &&
		    flow->direction == SP_INCOMING)
			verdict = sp_other_side(skb, packet, flow);
		if (verdict == SP_REFUSE) {
			if (!is_other)
				sp_talk_end(&key);
			return SP_REFUSE;
		}
		if (is_other && is_handed)
			sp_talk_adopt(talk, flow, sender);
		if (direction == SP_OUTGOING && (talk->handed & SP_TALK_TELLS) &&
		    sp_talk_tell(skb, packet, flow, talk) == SP_REFUSE)
			return sp_refuse_sender(skb, packet, flow);
		sp_talk_touch(talk, packet->length, direction, now);
		return SP_PASS_ON;
	}

	flow->port_index = sp_talk_port_index(packet, direction, direction);
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
	if (direction == SP_OUTGOING && sp_must_tell(skb, packet) && sp_sender_tell(skb, packet, flow) == SP_REFUSE)
		return sp_refuse_sender(skb, packet, flow);
	if (packet->is_translated && direction == SP_OUTGOING)
		sp_asked_note(skb, packet, flow->subject.workload);
	/* a reply that nobody asked for was judged by itself; it must not open the way for a request */
	if (sp_initiator(packet, direction) == direction) {
		/* one that was silent for too long; asked of all, because a branch here is dear to old verifiers */
		sp_talk_end(&key);
		sp_talk_begin(skb, packet, flow, &key, sp_share_begin(flow, &key));
	}
	return SP_PASS_ON;
}
