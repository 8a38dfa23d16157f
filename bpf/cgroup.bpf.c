/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Entry points of the main datapath: what is decided where. Everything else is in lib/. */
#include "maps.h"
#include "lib/connect.h"
#include "lib/hook.h"
#include "lib/icmp.h"
#include "lib/lifecycle.h"
#include "lib/packet.h"
#include "lib/conv_fast.h"
#include "lib/tcp.h"

/* The kernel asks whether it may call GPL-only helpers; the sources are under either licence. */
char sp_license[] SEC("license") = "Dual BSD/GPL";

/* A verdict in the words of these hooks: 1 = pass, 0 = refuse. The verifier must see that a program returns 0 or 1; the
 * compiler, which knows it, would drop the test.
 */
static __always_inline int sp_hook_result(enum sp_verdict verdict)
{
	asm volatile("" : "+r"(verdict));
	return verdict != SP_REFUSE;
}

/* One packet that no fast path let through. */
static __always_inline enum sp_verdict sp_packet_verdict(struct __sk_buff *skb, __u32 direction,
							 const struct sp_tcp_socket *tcp)
{
	struct sp_packet packet = {};
	struct sp_flow flow = {};
	enum sp_readable readable;

	flow.direction = direction;
	flow.generation = sp_generation();
	if (direction == SP_OUTGOING && tcp->is_raw && sp_is_kernels(skb, &flow))
		return SP_PASS_ON;
	flow.cookie = bpf_get_socket_cookie(skb);
	readable = sp_read(skb, &packet);
	packet.is_raw = tcp->is_raw;
	SP_JOIN(&packet);
	if (readable != SP_READABLE)
		return sp_refuse_unreadable(skb, &packet, &flow);
	if (direction == SP_OUTGOING)
		sp_own_view(skb, &packet);
	if (packet.protocol == IPPROTO_TCP && tcp->is_stream)
		return sp_tcp_verdict(skb, &packet, &flow, direction, tcp->state);
	if (direction == SP_INCOMING && tcp->is_raw && sp_is_expected(skb, &packet, &flow))
		return SP_PASS_ON;
	return sp_conv_verdict(skb, &packet, &flow, direction);
}

/* What needs no verdict. An established TCP connection needs no look at the packet: a TCP stream that is neither listening
 * nor connecting was let in. A raw, datagram or SCTP socket may say ESTABLISHED too, hence the type and the protocol. UDP
 * of a live conversation needs one lookup.
 */
static __always_inline int sp_fast(struct __sk_buff *skb, __u32 direction, struct sp_tcp_socket *tcp)
{
	struct bpf_sock *sk = skb->sk;

	tcp->is_stream = 0;
	tcp->is_raw = 0;
	tcp->state = BPF_TCP_CLOSE;
	if (!sk)
		return 0;
	tcp->state = sk->state;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	if (sk->type == SP_SOCK_STREAM && sk->protocol == IPPROTO_TCP) {
		tcp->is_stream = 1;
		if (tcp->state == BPF_TCP_LISTEN || tcp->state == BPF_TCP_SYN_SENT)
			return sp_is_answer(skb, direction, tcp->state);
		return tcp->state != BPF_TCP_CLOSE;
	}
	tcp->is_raw = sk->type == SP_SOCK_RAW;
	return sk->protocol == IPPROTO_UDP && !tcp->is_raw && sp_conv_fast(skb, direction);
}

SEC("cgroup_skb/egress")
int sp_egress(struct __sk_buff *skb)
{
	struct sp_tcp_socket tcp;

	if (sp_fast(skb, SP_OUTGOING, &tcp))
		return 1;
	return sp_hook_result(sp_packet_verdict(skb, SP_OUTGOING, &tcp));
}

SEC("cgroup_skb/ingress")
int sp_ingress(struct __sk_buff *skb)
{
	struct sp_tcp_socket tcp;

	if (sp_fast(skb, SP_INCOMING, &tcp))
		return 1;
	return sp_hook_result(sp_packet_verdict(skb, SP_INCOMING, &tcp));
}

SEC("cgroup/connect4")
int sp_connect4(struct bpf_sock_addr *ctx)
{
	struct sp_destination destination = {};

	sp_map_ipv4(destination.remote, ctx->user_ip4);
	return sp_hook_result(sp_connect(ctx, &destination));
}

SEC("cgroup/connect6")
int sp_connect6(struct bpf_sock_addr *ctx)
{
	struct sp_destination destination = {};

	sp_destination_ipv6(ctx, &destination);
	return sp_hook_result(sp_connect(ctx, &destination));
}

SEC("cgroup/sendmsg4")
int sp_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct sp_destination destination = {};

	sp_map_ipv4(destination.remote, ctx->user_ip4);
	return sp_hook_result(sp_sendmsg(ctx, &destination));
}

SEC("cgroup/sendmsg6")
int sp_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct sp_destination destination = {};

	sp_destination_ipv6(ctx, &destination);
	return sp_hook_result(sp_sendmsg(ctx, &destination));
}

SEC("cgroup/post_bind4")
int sp_post_bind4(struct bpf_sock *sk)
{
	__u8 local[16];

	sp_map_ipv4(local, sk->src_ip4);
	sp_bound(sk, local);
	return 1;
}

SEC("cgroup/post_bind6")
int sp_post_bind6(struct bpf_sock *sk)
{
	__u32 local[4] = { sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3] };

	sp_bound(sk, (__u8 *)local);
	return 1;
}

SEC("sockops")
int sp_sock_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		sp_tcp_opened(ctx, SP_OUTGOING);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		sp_tcp_opened(ctx, SP_INCOMING);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			sp_tcp_closed(ctx, ctx->args[0]);
		break;
	}
	return 1;
}
