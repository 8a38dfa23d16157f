/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who is at the other end, on the same host: by its socket in this namespace, by what its egress hook handed over from
 * another, else by address. What is not known stays unknown, never a guess.
 */
#pragma once
#include "destination.h"
#include "handoff.h"
#include "hook.h"
#include "identity.h"
#include "nat.h"

/* In the netfilter programs there is no stack left for one more frame: kernels before 6.8 round each up to 32 bytes. */
#ifdef SP_NETFILTER
#define SP_CALLER_FUNCTION static __always_inline
#else
#define SP_CALLER_FUNCTION SP_FUNCTION
#endif

/* Ingress: fills flow->peer with the endpoint that sent the packet. Returns 0. */
SP_CALLER_FUNCTION int sp_find_caller(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if (!packet || !flow)
		return 0;
	sp_endpoint_unknown(&flow->peer);
	if (sp_is_looped(skb) && sp_sees_sender(packet))
		sp_find_sender(skb, packet, &flow->peer);
	/* also one that is not found under its tuple: NAT, a socket that is bound to a device */
	if (flow->peer.assurance == SP_ASSURED_NOT)
		sp_handoff_lookup(skb, packet, flow);
	if (packet->protocol == IPPROTO_UDP && flow->peer.assurance == SP_ASSURED_SOCKET)
		sp_destination_find(packet, flow);
	SP_JOIN(&flow->peer);
	return 0;
}

/* True for what stays in this namespace, but is written with another source than its own: whoever receives it, the kernel
 * first, answers there, with what the writer wants to be said.
 */
static __always_inline int sp_answers_elsewhere(const struct sp_packet *packet)
{
	return (packet->is_raw || sp_is_echo(packet)) && !sp_same_address(packet->source, packet->destination) &&
	       !sp_is_loopback(packet->source);
}

/* Fills flow->peer with the endpoint that a packet goes to, as it leaves. */
static __always_inline void sp_find_addressee(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if (!sp_is_looped(skb) || sp_is_multicast(packet->destination)) {
		sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), packet->destination);
		return;
	}
	if (sp_answers_elsewhere(packet)) {
		sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), packet->source);
		return;
	}
	sp_endpoint_unknown(&flow->peer);
	if (sp_is_echo(packet)) {
		/* answered by the namespace's own kernel; a raw socket that listens judges it as incoming */
		flow->peer = flow->subject;
		flow->peer.assurance = SP_ASSURED_SOCKET;
		return;
	}
	sp_find_receiver(skb, packet, &flow->peer);
}

/* Egress: fills flow->peer with the endpoint that the packet goes to. In this namespace its socket is found; elsewhere there
 * is its address. Returns 0.
 */
SP_FUNCTION int sp_find_destination(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if (!packet || !flow)
		return 0;
	sp_view(skb, packet, 1);
	sp_find_addressee(skb, packet, flow);
	/* one who is here is judged under the port that was asked for, and judges by the one that comes in; elsewhere both
	 * must be allowed (sp_ask_translated)
	 */
	if (packet->is_translated) {
		if (flow->peer.assurance == SP_ASSURED_ADDRESS)
			flow->port_index = sp_port_index(packet->protocol, bpf_ntohs(packet->destination_port));
		else
			flow->other_port = packet->destination_port;
	}
	sp_view(skb, packet, 0);
	SP_JOIN(packet);
	SP_JOIN(flow);
	return 0;
}
