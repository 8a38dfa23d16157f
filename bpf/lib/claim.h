/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* An address that belongs to a workload of this host may be taken by another, or by somebody whose packets pass no hook. Who
 * connects there is allowed to reach that workload, so only what passed an ingress hook may answer: the hook that judges the
 * SYN confirms it, and the SYN-ACK of an unconfirmed one is judged as from an unknown sender.
 */
#pragma once
#include "handoff.h"
#include "hook.h"
#include "identity.h"
#include "verdict.h"

/* The workload of this host that an address belongs to, 0 = none. */
static __always_inline __u64 sp_claimant(__u32 slot, const __u8 address[16])
{
	struct sp_endpoint endpoint;

	sp_endpoint_of_address(&endpoint, slot, address);
	return endpoint.workload;
}

/* Ingress of a SYN that was let in: tells its sender so. */
static __noinline void sp_claim_confirm(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_confirmed confirmed = {};
	struct sp_handoff *row;
	__u64 socket;

	if (!packet || !flow)
		return;
	row = sp_handoff_row(skb, packet, flow);
	if (!row)
		return;
	socket = row->socket;
	confirmed.sequence = bpf_ntohl(packet->sequence);
	if (bpf_map_update_elem(&sp_confirmed, &socket, &confirmed, BPF_ANY))
		sp_stat_add(SP_STAT_SENDERS_FAILED);
}

/* Ingress of the answer to our own SYN. */
static __noinline enum sp_verdict sp_claim_verdict(struct __sk_buff *skb, struct sp_packet *packet,
						   struct sp_flow *flow)
{
	struct sp_confirmed *confirmed;
	__u64 socket;

	if (!packet || !flow)
		return SP_REFUSE;
	if (sp_is_looped(skb) || !(packet->tcp_flags & SP_TCP_SYN) ||
	    !sp_claimant(SP_SLOT(flow->generation), packet->source))
		return SP_PASS_ON;
	socket = bpf_get_socket_cookie(skb);
	confirmed = bpf_map_lookup_elem(&sp_confirmed, &socket);
	if (confirmed && confirmed->sequence == sp_initial_sequence(skb, flow))
		return SP_PASS_ON;
	sp_find_subject(skb, flow);
	sp_endpoint_unknown(&flow->peer);
	flow->direction = SP_OUTGOING;
	flow->port_index = sp_port_index(IPPROTO_TCP, bpf_ntohs(packet->source_port));
	SP_JOIN(flow);
	return sp_ask_policy(skb, packet, flow, SP_INCOMING, SP_RECORD_REVOKED, 0);
}
