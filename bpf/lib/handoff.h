/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What an egress hook hands over to the ingress hook of another network namespace: who sends this very packet. It is filled
 * and published on the way out, looked up on the way in, and of a handshake confirmed for its last ACK.
 */
#pragma once
#include "credit.h"
#include "handoff_key.h"
#include "hook.h"
#include "identity.h"
#include "nat.h"
#include "tables.h"

/* True if the packet's receiver cannot find the sender's socket by itself. */
static __always_inline int sp_must_hand_over(struct __sk_buff *skb, const struct sp_packet *packet)
{
	return !sp_is_looped(skb) || !sp_sees_sender(packet) || packet->is_translated || sp_is_bound(skb);
}

/* Egress of a SYN: tells the receiver, wherever on this host it is, who sends it. */
SP_FUNCTION enum sp_verdict sp_handoff_publish_syn(struct __sk_buff *skb, struct sp_packet *packet,
						   struct sp_flow *flow)
{
	struct sp_handoff sender = {}, *known;
	struct sp_handoff_key key;

	if (!packet || !flow)
		return SP_REFUSE;
	sender.workload = flow->subject.workload;
	sender.identity = flow->subject.identity;
	sender.time = sp_now();
	sender.socket = bpf_get_socket_cookie(skb);
	sender.generation = flow->generation;
	sender.sent = 1;
	if (flow->peer.assurance == SP_ASSURED_ADDRESS)
		sender.claim = flow->peer.workload;
	sender.asked_port = packet->destination_port;
	sp_view(skb, packet, 1);
	sender.wire = sp_digest(packet);
	sp_handoff_fill_syn(skb, &key, packet);
	sp_view(skb, packet, 0);
	SP_JOIN(packet);
	known = bpf_map_lookup_elem(&sp_handoffs, &key);
	if (known && key.tag && known->socket != sender.socket) {
		sender.flags = SP_HANDOFF_CLASH;
		sp_stat_add(SP_STAT_SENDERS_AMBIGUOUS);
	}
	if (bpf_map_update_elem(&sp_handoffs, &key, &sender, BPF_ANY))
		sp_stat_add(SP_STAT_SENDERS_FAILED);
	return SP_PASS_ON;
}

/* Egress: tells who sends this packet. */
static __always_inline enum sp_verdict sp_handoff_publish(struct __sk_buff *skb, struct sp_packet *packet,
							  struct sp_flow *flow)
{
	enum sp_verdict verdict;

	if (packet->protocol == IPPROTO_TCP)
		return sp_handoff_publish_syn(skb, packet, flow);
	sp_view(skb, packet, 1);
	verdict = sp_credit_add(skb, packet, flow);
	sp_view(skb, packet, 0);
	return verdict;
}

/* The row of the packet's sender, or null: it passed no egress hook of this host. Takes the packet's credit. */
static __always_inline struct sp_handoff *sp_handoff_row(struct __sk_buff *skb, const struct sp_packet *packet,
							 const struct sp_flow *flow)
{
	struct sp_handoff_key key;
	struct sp_handoff *row;

	if (packet->protocol == IPPROTO_TCP && (packet->tcp_flags & SP_TCP_SYN)) {
		sp_handoff_fill_syn(skb, &key, packet);
		row = bpf_map_lookup_elem(&sp_handoffs, &key);
		if (!row || (row->flags & SP_HANDOFF_CLASH))
			return 0;
		/* a raw socket's SYN has no hash, and neither has a frame that repeats it: one packet */
		if (!key.tag) {
			if (sp_credit_left(row) < 1 || !sp_credit_is_young(row, sp_now()))
				return 0;
			__atomic_fetch_add(&row->taken, 1, __ATOMIC_RELAXED);
		}
		return row;
	}
	sp_handoff_fill(&key, packet);
	if (packet->protocol == IPPROTO_TCP) { /* completes a handshake */
		key.sequence = bpf_htonl(bpf_ntohl(packet->sequence) - 1);
		key.tag = sp_listener_tag(skb, flow);
		return bpf_map_lookup_elem(&sp_handoffs, &key);
	}
	row = bpf_map_lookup_elem(&sp_handoffs, &key);
	if (!row || !sp_credit_take(skb, packet, row, sp_now()))
		return 0;
	return row;
}

static __always_inline int sp_endpoint_of_handoff(const struct sp_packet *packet, struct sp_flow *flow,
						  const struct sp_handoff *sender)
{
	struct sp_endpoint *endpoint = &flow->peer;

	if (!sender)
		return 0;
	endpoint->workload = sender->workload;
	endpoint->identity = sender->identity;
	endpoint->flags = SP_ENDPOINT_HANDED_OVER | (sender->generation == flow->generation ? 0 : SP_ENDPOINT_STALE);
	if (sender->wire && sender->wire != sp_digest(packet))
		endpoint->flags |= SP_ENDPOINT_TRANSLATED;
	if (sender->asked_port != packet->destination_port)
		flow->other_port = sender->asked_port;
	if (sender->claim) {
		endpoint->flags |= SP_ENDPOINT_CLAIMS;
		if (sender->claim != flow->subject.workload)
			endpoint->flags |= SP_ENDPOINT_MISDIRECTED;
	}
	endpoint->assurance = SP_ASSURED_HANDOFF;
	return 1;
}

/* Fills flow->peer with the endpoint whose egress said that it sends the packet, else by the address. flow->subject is who
 * receives it. Returns 0.
 */
SP_FUNCTION int sp_handoff_lookup(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if (!packet || !flow)
		return 0;
	if (sp_endpoint_of_handoff(packet, flow, sp_handoff_row(skb, packet, flow))) {
		/* handed over within the namespace, where sockets cannot be looked up: as good as its socket */
		int is_looped = sp_is_looped(skb);

		if (is_looped)
			flow->peer.assurance = SP_ASSURED_SOCKET;
		/* it may be asked as a subject (sp_other_side) */
		if (is_looped || (flow->peer.flags & (SP_ENDPOINT_MISDIRECTED | SP_ENDPOINT_TRANSLATED))) {
			__u64 workload = flow->peer.workload; /* before 6.4 a key must be on this function's stack */
			struct sp_workload *row = bpf_map_lookup_elem(&sp_workload, &workload);

			if (row)
				flow->peer.flags |= row->flags & SP_WORKLOAD_OBSERVE;
		}
		return 0;
	}
	if (sp_is_looped(skb))
		return 0;
	sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), packet->source);
	/* a workload of this host that did not pass its egress hook with this packet: not the one it says it is */
	if (flow->peer.workload)
		sp_endpoint_unknown(&flow->peer);
	return 0;
}

/* Ingress: after the listener judged a SYN from another namespace, so that the handshake's last ACK finds its sender. A
 * function, because its rows would not fit beside what the netfilter programs have on their stack. Returns 0.
 */
SP_FUNCTION int sp_handoff_confirm(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_handoff sender = {};
	struct sp_handoff_key key;

	SP_USED(skb);
	if (!packet || !flow)
		return 0;
	sender.workload = flow->peer.workload;
	sender.identity = flow->peer.identity;
	sender.time = sp_now();
	sender.generation = flow->generation;
	sender.asked_port = flow->other_port ? flow->other_port : packet->destination_port;
	sp_handoff_fill(&key, packet);
	key.sequence = packet->sequence;
	key.tag = sp_listener_tag(skb, flow);
	if (bpf_map_update_elem(&sp_handoffs, &key, &sender, BPF_ANY))
		sp_stat_add(SP_STAT_SENDERS_FAILED);
	return 0;
}
