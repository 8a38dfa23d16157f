/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* When TCP connections open and close, as sock_ops tells it, with the kernel's counts. */
#pragma once
#include "account.h"
#include "tcp.h"

/* Whose connection it is: its socket's; 0 if the kernel does not tell. Retagged sockets count for their creator here. */
static __always_inline __u64 sp_workload_of(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct sp_party party = {};
	const struct sock *kernel;

	if (!sk)
		return 0;
	kernel = (const struct sock *)bpf_skc_to_tcp_sock(sk);
	if (kernel)
		sp_party_of_kernel_socket(&party, sk, kernel);
	return party.workload;
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
	struct sp_record *record = sp_record_begin(sp_workload_of(ctx));

	if (!record)
		return;
	record->kind = SP_RECORD_OPEN;
	record->direction = direction;
	record->action = SP_ALLOW;
	sp_record_socket(record, ctx);
	if (direction == SP_INCOMING)
		sp_record_accepted(record);
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void sp_tcp_closed(struct bpf_sock_ops *ctx)
{
	struct sp_record *record = sp_record_begin(sp_workload_of(ctx));
	__u32 before = ctx->args[0];

	if (!record)
		return;
	record->kind = SP_RECORD_CLOSE;
	sp_record_socket(record, ctx);
	sp_record_bytes(record, before, ctx->bytes_acked, ctx->bytes_received);
	record->packets_sent = ctx->segs_out;
	record->packets_received = ctx->segs_in;
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}
