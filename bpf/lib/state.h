/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* When TCP connections open and close, as the tracepoint inet_sock_set_state tells it, with the kernel's counts; and the
 * attempts, which the first SYN tells.
 */
#pragma once
#include "account.h"
#include "hook.h"
#include "kernel.h"
#include "tcp.h"

/* The cookie, if the kernel has made one: for our own SYN and SYN-ACK the programs had it made. */
static __always_inline __u64 sp_socket_cookie(__u64 socket)
{
	__u64 cookie = SP_READ(sock, socket, __sk_common.skc_cookie.counter);

	return cookie ? cookie : sp_name_socket(socket);
}

static __always_inline __u64 sp_workload_of(__u64 socket)
{
	struct sp_party party = {};

	sp_party_of_socket(&party, socket);
	return party.workload;
}

static __always_inline void sp_record_socket(struct sp_record *record, __u64 socket)
{
	record->socket = sp_socket_cookie(socket);
	record->protocol = SP_TCP;
	if (SP_READ(sock, socket, __sk_common.skc_family) == SP_AF_INET) {
		sp_map_ipv4(record->local, SP_READ(sock, socket, __sk_common.skc_rcv_saddr));
		sp_map_ipv4(record->remote, SP_READ(sock, socket, __sk_common.skc_daddr));
	} else {
		struct sock *sk = (struct sock *)socket;

		BPF_CORE_READ_INTO((struct in6_addr *)record->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)record->remote, sk, __sk_common.skc_v6_daddr);
	}
	record->local_port = SP_READ(sock, socket, __sk_common.skc_num);
	record->remote_port = bpf_ntohs(SP_READ(sock, socket, __sk_common.skc_dport));
	record->rtt = SP_READ(tcp_sock, socket, srtt_us) >> 3;
}

/* The first SYN of a connection that may go on, with the process that connects; not when it is sent again. */
static __always_inline void sp_record_attempt(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_record *record;

	if (SP_READ(inet_connection_sock, flow->socket, icsk_retransmits))
		return;
	record = sp_record_begin(flow->subject.workload);
	if (!record)
		return;
	record->kind = SP_RECORD_ATTEMPT;
	record->uid = sp_socket_uid(skb, flow);
	sp_record_sender_task(record, skb, flow);
	sp_record_packet(record, packet, SP_OUTGOING);
	sp_record_flow(record, flow);
	sp_record_end(record, sp_wakeup_for(record->pid));
}

static __always_inline void sp_tcp_opened(__u64 socket, __u32 direction)
{
	struct sp_record *record = sp_record_begin(sp_workload_of(socket));

	if (!record)
		return;
	record->kind = SP_RECORD_OPEN;
	record->direction = direction;
	record->action = SP_ALLOW;
	sp_record_socket(record, socket);
	if (direction == SP_INCOMING)
		sp_record_accepted(record);
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void sp_tcp_closed(__u64 socket, __u32 before)
{
	struct sp_handshake *known = sp_handshake();
	struct sp_record *record;

	/* that it was refused was told; the reset that ends it came within the same call */
	if (before == SP_STATE_SYN_SENT && known && known->refused == socket)
		return;
	record = sp_record_begin(sp_workload_of(socket));
	if (!record)
		return;
	record->kind = SP_RECORD_CLOSE;
	sp_record_socket(record, socket);
	sp_record_bytes(record, before, SP_READ(tcp_sock, socket, bytes_acked),
			SP_READ(tcp_sock, socket, bytes_received));
	record->packets_sent = SP_READ(tcp_sock, socket, segs_out);
	record->packets_received = SP_READ(tcp_sock, socket, segs_in);
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}
