/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* TCP streams: the SYN is judged on both sides, the ACK that completes a handshake once more (policy may have changed in
 * between), everything later passes by the socket's state. sock_ops tells when connections open and close.
 */
#pragma once
#include "claim.h"
#include "destination.h"
#include "handoff.h"
#include "hook.h"
#include "peer.h"
#include "verdict.h"

/* What the fast path found out about a packet's socket. */
struct sp_tcp_socket {
	__u8 state;	/* BPF_TCP_…, linux/bpf.h */
	__u8 is_stream; /* a TCP stream, not a raw socket that sends TCP headers */
	__u8 is_raw;
};

static __always_inline int sp_is_same_tuple(const struct sp_handshake *known, const struct sp_packet *packet)
{
	return known->client_port == packet->source_port && known->server_port == packet->destination_port &&
	       sp_same_address(known->client, packet->source) && sp_same_address(known->server, packet->destination);
}

/* Egress: true if connect() judged just this flow a moment ago, by the same generation. */
static __always_inline int sp_was_judged_at_connect(struct __sk_buff *skb, const struct sp_packet *packet,
						    const struct sp_flow *flow)
{
	struct sp_handshake *known = sp_handshake();

	if (!known || known->stage != SP_STAGE_ASKED || known->outgoing.cookie != flow->cookie ||
	    known->outgoing.generation != flow->generation || !sp_is_looped(skb) ||
	    known->server_port != packet->destination_port || !sp_same_address(known->server, packet->destination))
		return 0;
	sp_copy_address(known->client, packet->source);
	known->client_port = packet->source_port;
	known->sequence = bpf_ntohl(packet->sequence);
	known->stage = SP_STAGE_SENT;
	sp_count(&known->outgoing);
	return 1;
}

/* Ingress: true if this SYN, or the ACK that completes its handshake, was judged for this listener already. */
static __always_inline int sp_was_judged(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					 int is_syn)
{
	struct sp_handshake *known = sp_handshake();
	__u32 sequence = bpf_ntohl(packet->sequence);

	if (!known || known->incoming.generation != flow->generation || !sp_is_same_tuple(known, packet))
		return 0;
	if (!is_syn)
		return known->stage == SP_STAGE_ACCEPTED && known->sequence + 1 == sequence &&
		       known->incoming.cookie == flow->cookie;
	if (known->stage != SP_STAGE_SENT || known->sequence != sequence)
		return 0;
	/* of an SO_REUSEPORT group, connect() may have seen another member: the same endpoint is enough */
	sp_find_subject(skb, flow);
	if (flow->subject.workload != known->incoming.subject.workload ||
	    ((flow->subject.flags ^ known->incoming.subject.flags) & SP_ENDPOINT_UNLABELLED))
		return 0;
	known->incoming.cookie = flow->cookie;
	known->uid = sp_socket_uid(skb, flow);
	known->stage = SP_STAGE_ACCEPTED;
	sp_count(&known->incoming);
	return 1;
}

/* Leaves what was found to the steps that the same handshake may still take on this CPU. */
static __always_inline void sp_note_accepted(struct __sk_buff *skb, const struct sp_packet *packet,
					     const struct sp_flow *flow, int is_syn)
{
	struct sp_handshake *known = sp_handshake();

	if (!known)
		return;
	known->incoming = *flow;
	sp_copy_address(known->client, packet->source);
	sp_copy_address(known->server, packet->destination);
	known->client_port = packet->source_port;
	known->server_port = packet->destination_port;
	known->sequence = bpf_ntohl(packet->sequence) - !is_syn;
	known->uid = sp_socket_uid(skb, flow);
	known->stage = SP_STAGE_ACCEPTED;
}

/* True for what a handshake needs no verdict for, told without reading addresses: all that a listener sends is the answer to
 * a SYN that was let in, and what is no bare SYN is the answer to our own. Unusual headers take the long way, and so does the
 * answer from an address that belongs to a workload of this host (claim.h).
 */
static __always_inline int sp_is_answer(struct __sk_buff *skb, __u32 direction, __u8 state)
{
	__u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 source[16] __attribute__((aligned(8))), flags;

	if (direction == SP_OUTGOING)
		return state == BPF_TCP_LISTEN;
	if (state != BPF_TCP_SYN_SENT)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (data + 40 > end || !sp_is_plain_ipv4(data, IPPROTO_TCP))
			return 0;
		flags = data[33];
		sp_map_ipv4(source, *(__be32 *)(data + 12));
	} else {
		if (data + 60 > end || !sp_is_plain_ipv6(data, IPPROTO_TCP))
			return 0;
		flags = data[53];
		sp_copy_address(source, data + 8);
	}
	if (flags & SP_TCP_RST)
		return 1;
	return (flags & SP_TCP_ACK) && (sp_is_looped(skb) || !sp_claimant(SP_SLOT(sp_generation()), source));
}

static __always_inline enum sp_verdict sp_tcp_out(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if ((packet->tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) != SP_TCP_SYN)
		return SP_PASS_ON;
	if (SP_SEES_CONNECT && !packet->is_translated && !sp_is_bound(skb) &&
	    sp_was_judged_at_connect(skb, packet, flow))
		return SP_PASS_ON;
	sp_find_subject(skb, flow);
	if (packet->is_translated && sp_ask_translated(skb, packet, flow) == SP_REFUSE)
		return SP_REFUSE;
	SP_JOIN(packet);
	SP_JOIN(flow);
	sp_find_destination(skb, packet, flow);
	/* To a port of this namespace that nobody listens on: the kernel answers with a reset, which says more than a refusal
	 * of ours; and should a listener appear meanwhile, its ingress hook asks both sides (sp_other_side).
	 */
	if (sp_is_looped(skb) && flow->peer.assurance == SP_ASSURED_NOT &&
	    !(flow->peer.flags & SP_ENDPOINT_AMBIGUOUS) && !(flow->subject.flags & SP_ENDPOINT_UNLABELLED)) {
		if (sp_must_hand_over(skb, packet))
			sp_handoff_publish(skb, packet, flow);
		return SP_PASS_ON;
	}
	if (sp_ask_policy(skb, packet, flow, SP_OUTGOING, 0, 1) == SP_REFUSE)
		return SP_REFUSE;
	if (!SP_SEES_CONNECT) {
		if (sp_other_side(skb, packet, flow) == SP_REFUSE)
			return SP_REFUSE;
		sp_record_attempt(skb, packet, flow);
	}
	if (sp_must_hand_over(skb, packet))
		sp_handoff_publish(skb, packet, flow);
	return SP_PASS_ON;
}

static __always_inline enum sp_verdict sp_tcp_in(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
						 __u8 state)
{
	int is_syn = (packet->tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) == SP_TCP_SYN;

	if (packet->tcp_flags & SP_TCP_RST)
		return SP_PASS_ON;
	if (state != BPF_TCP_LISTEN && !is_syn)
		return sp_claim_verdict(skb, packet, flow); /* the answer to our own SYN */
	if (SP_SEES_CONNECT && sp_was_judged(skb, packet, flow, is_syn))
		return SP_PASS_ON;
	sp_find_subject(skb, flow);
	sp_find_caller(skb, packet, flow);
	if (sp_ask_policy(skb, packet, flow, SP_INCOMING, is_syn ? 0 : SP_RECORD_REVOKED, is_syn) == SP_REFUSE)
		return SP_REFUSE;
	if (is_syn && sp_other_side(skb, packet, flow) == SP_REFUSE)
		return SP_REFUSE;
	if (is_syn && (flow->peer.flags & SP_ENDPOINT_HANDED_OVER))
		sp_handoff_confirm(skb, packet, flow);
	if (is_syn && (flow->peer.flags & SP_ENDPOINT_CLAIMS))
		sp_claim_confirm(skb, packet, flow);
	sp_note_accepted(skb, packet, flow, is_syn);
	return SP_PASS_ON;
}

/* A segment of a TCP stream that listens, connects or is closed. */
static __always_inline enum sp_verdict sp_tcp_verdict(struct __sk_buff *skb, struct sp_packet *packet,
						      struct sp_flow *flow, __u32 direction, __u8 state)
{
	flow->port_index = sp_port_index(IPPROTO_TCP, bpf_ntohs(packet->destination_port));
	if (direction == SP_OUTGOING)
		return sp_tcp_out(skb, packet, flow);
	return sp_tcp_in(skb, packet, flow, state);
}
