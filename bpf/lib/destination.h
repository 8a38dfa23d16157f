/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a socket asked for, where NAT in its own namespace makes another destination of it. Who really receives is judged as
 * any other destination is, under the port that was asked for; here, that the address may be asked for at all.
 */
#pragma once
#include "identity.h"
#include "nat.h"
#include "tables.h"
#include "verdict.h"

#ifdef SP_MARK

static __always_inline enum sp_verdict sp_ask_translated(struct __sk_buff *, struct sp_packet *, struct sp_flow *)
{
	return SP_PASS_ON;
}

static __always_inline void sp_destination_note(struct __sk_buff *, struct sp_packet *, __u64)
{
}

static __always_inline void sp_destination_find(struct sp_packet *, struct sp_flow *)
{
}

#else
#include "local.h"

/* Egress: true if an address is one of the sender's namespace. Old verifiers have no patience for the whole question. */
static __always_inline int sp_is_own_address(struct __sk_buff *skb, const __u8 address[16])
{
#ifdef SP_NO_GLOBAL_FUNCTIONS
	SP_USED(skb);
	return sp_is_loopback(address);
#else
	__u64 socket = (__u64)SP_READ(sk_buff, skb, sk);
	struct sp_locals locals = { .net = (__u64)SP_READ(sock, socket, __sk_common.skc_net.net) };

	sp_copy_address(locals.address, address);
	return sp_locality(&locals) == SP_LOCAL_YES;
#endif
}

/* Egress of a new flow that NAT changes: judges the destination that the socket asked for, unless it is an address of its
 * own namespace, where nobody but NAT answers.
 */
SP_FUNCTION enum sp_verdict sp_ask_translated(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if (!packet || !flow)
		return SP_REFUSE;
	if (sp_is_own_address(skb, packet->destination))
		return SP_PASS_ON;
	sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), packet->destination);
	return sp_ask_policy(skb, packet, flow, SP_OUTGOING, 0, 0);
}

/* The row that tells a receiver in this namespace which port a datagram's sender asked for. */
#define SP_TAG_DESTINATION (1ull << 62)

static __always_inline void sp_destination_fill(struct sp_handoff_key *key, const struct sp_packet *wire)
{
	__builtin_memset(key, 0, sizeof(*key));
	sp_copy_address(key->source, wire->source);
	sp_copy_address(key->destination, wire->destination);
	key->source_port = wire->source_port;
	key->destination_port = wire->destination_port;
	key->protocol = wire->protocol;
	key->tag = SP_TAG_DESTINATION;
}

/* Egress of the first packet. Returns 0. */
SP_FUNCTION int sp_destination_note(struct __sk_buff *skb, struct sp_packet *packet, __u64 workload)
{
	struct sp_handoff sender = {};
	struct sp_handoff_key key;

	if (!packet)
		return 0;
	sender.workload = workload;
	sender.time = sp_now();
	sender.asked_port = packet->destination_port;
	sp_view(skb, packet, 1);
	sp_destination_fill(&key, packet);
	sp_view(skb, packet, 0);
	SP_JOIN(packet);
	if (bpf_map_update_elem(&sp_handoffs, &key, &sender, BPF_ANY))
		sp_stat_add(SP_STAT_SENDERS_FAILED);
	return 0;
}

/* Ingress: flow->other_port of a datagram whose sender is known. Its own side has been judged on the way out: this only
 * tells under which port it has to be asked once more. Returns 0.
 */
SP_FUNCTION int sp_destination_find(struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_handoff *sender;
	struct sp_handoff_key key;

	if (!packet || !flow)
		return 0;
	sp_destination_fill(&key, packet);
	sender = bpf_map_lookup_elem(&sp_handoffs, &key);
	if (sender && sender->workload == flow->peer.workload)
		flow->other_port = sender->asked_port;
	return 0;
}

#endif
