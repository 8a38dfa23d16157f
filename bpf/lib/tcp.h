/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* TCP streams: the SYN is judged on both sides, the ACK that completes a handshake once more (policy may have changed in
 * between), everything later passes by the socket's state. sock_ops tells when connections open and close.
 */
#pragma once
#include "account.h"
#include "identity.h"
#include "sender.h"
#include "socket.h"

/* What the fast path found out about a packet's socket. */
struct sp_tcp_socket {
	__u8 state;	/* enum sp_socket_state and the kernel's others */
	__u8 is_stream; /* a TCP stream, not a raw socket that sends TCP headers */
};

/* Leaves what was found to the sock_ops callback that the same packet may lead to. */
static __always_inline void sp_accept_note(struct __sk_buff *skb, const struct sp_packet *packet,
					   const struct sp_flow *flow)
{
	__u32 key = 0;
	struct sp_accepted *note = bpf_map_lookup_elem(&sp_scratch, &key);

	if (!note)
		return;
	sp_copy_address(note->local, packet->destination);
	sp_copy_address(note->remote, packet->source);
	note->local_port = bpf_ntohs(packet->destination_port);
	note->remote_port = bpf_ntohs(packet->source_port);
	note->uid = bpf_get_socket_uid(skb);
	note->listener = flow->cookie;
	note->workload = flow->subject.workload;
	note->subject = flow->subject.identity;
	note->peer_workload = flow->peer.workload;
	note->peer = flow->peer.identity;
	note->assurance = flow->peer.assurance;
	note->rule = flow->rule;
	note->observed_rule = flow->observed_rule;
	note->observed_action = flow->observed_action;
	note->decided_by = flow->decided_by;
	note->flags = flow->log ? SP_RECORD_LOG : 0;
	note->generation = flow->generation;
}

static __always_inline int sp_tcp_out(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	if ((packet->tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) != SP_TCP_SYN)
		return 1;
	sp_party_of_skb(skb, &flow->subject);
	sp_find_destination(skb, packet, flow);
	sp_judge(flow);
	sp_count(flow);
	if (flow->action != SP_ALLOW) {
		sp_record_packet_verdict(skb, packet, flow, SP_OUTGOING, 0);
		return 0;
	}
	if (skb->ifindex != SP_LOOPBACK_IFINDEX)
		sp_sender_tell(skb, packet, &flow->subject);
	return 1;
}

static __always_inline int sp_tcp_in(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow, __u8 state)
{
	int is_syn = (packet->tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) == SP_TCP_SYN;

	if (packet->tcp_flags & SP_TCP_RST)
		return 1;
	if (state != SP_STATE_LISTEN && !is_syn)
		return 1; /* the answer to our own SYN */
	sp_party_of_skb(skb, &flow->subject);
	sp_find_caller(skb, packet, flow);
	sp_judge(flow);
	if (is_syn || flow->action != SP_ALLOW)
		sp_count(flow);
	if (flow->action != SP_ALLOW) {
		sp_record_packet_verdict(skb, packet, flow, SP_INCOMING, is_syn ? 0 : SP_RECORD_REVOKED);
		return 0;
	}
	if (is_syn && flow->peer.assurance == SP_ASSURED_HANDOFF)
		sp_sender_confirm(packet, flow);
	sp_accept_note(skb, packet, flow);
	return 1;
}

/* A segment of a TCP stream that listens, connects or is closed. Returns 1 to pass, 0 to drop. */
static __always_inline int sp_tcp_verdict(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					  __u8 state)
{
	flow->port_index = sp_port_index(SP_TCP, bpf_ntohs(packet->destination_port));
	if (flow->direction == SP_OUTGOING)
		return sp_tcp_out(skb, packet, flow);
	return sp_tcp_in(skb, packet, flow, state);
}

static __always_inline void sp_record_socket(struct sp_record *record, struct bpf_sock_ops *ctx)
{
	record->socket = bpf_get_socket_cookie(ctx);
	record->protocol = SP_TCP;
	if (ctx->family == 2 /* AF_INET */) {
		sp_map_ipv4(record->local, ctx->local_ip4);
		sp_map_ipv4(record->remote, ctx->remote_ip4);
	} else {
		__u32 *local = (__u32 *)record->local, *remote = (__u32 *)record->remote;

		local[0] = ctx->local_ip6[0];
		local[1] = ctx->local_ip6[1];
		local[2] = ctx->local_ip6[2];
		local[3] = ctx->local_ip6[3];
		remote[0] = ctx->remote_ip6[0];
		remote[1] = ctx->remote_ip6[1];
		remote[2] = ctx->remote_ip6[2];
		remote[3] = ctx->remote_ip6[3];
	}
	record->local_port = ctx->local_port;
	record->remote_port = bpf_ntohl(ctx->remote_port);
	record->rtt = ctx->srtt_us >> 3;
}

static __always_inline void sp_tcp_opened(struct bpf_sock_ops *ctx, __u32 direction)
{
	struct sp_record *record = sp_record_begin();
	struct sp_accepted *note;
	__u32 key = 0;

	if (!record)
		return;
	record->kind = SP_RECORD_OPEN;
	record->direction = direction;
	record->action = SP_ALLOW;
	sp_record_socket(record, ctx);
	if (direction == SP_INCOMING) {
		note = bpf_map_lookup_elem(&sp_scratch, &key);
		if (note && note->local_port == record->local_port && note->remote_port == record->remote_port &&
		    sp_same_address(note->local, record->local) && sp_same_address(note->remote, record->remote)) {
			record->uid = note->uid;
			record->listener = note->listener;
			record->workload = note->workload;
			record->subject = note->subject;
			record->peer_workload = note->peer_workload;
			record->peer = note->peer;
			record->assurance = note->assurance;
			record->rule = note->rule;
			record->observed_rule = note->observed_rule;
			record->observed_action = note->observed_action;
			record->decided_by = note->decided_by;
			record->flags = note->flags;
			record->generation = note->generation;
			note->local_port = 0;
		}
	}
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void sp_tcp_closed(struct bpf_sock_ops *ctx)
{
	struct sp_record *record = sp_record_begin();
	__u32 before = ctx->args[0];

	if (!record)
		return;
	record->kind = SP_RECORD_CLOSE;
	if (before == SP_STATE_SYN_SENT || before == SP_STATE_SYN_RECEIVED)
		record->flags = SP_RECORD_FAILED;
	sp_record_socket(record, ctx);
	record->bytes_sent = ctx->bytes_acked;
	record->bytes_received = ctx->bytes_received;
	record->packets_sent = ctx->segs_out;
	record->packets_received = ctx->segs_in;
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}
