/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Entry points of the datapath for hosts where programs cannot be attached to cgroups: rules of iptables run them
 * (-m bpf --object-pinned) in OUTPUT and INPUT. 1 = refuse, the rule's target acts; 0 = pass.
 */
#define SP_NETFILTER
#include "maps.h"
#include "lib/simultaneous_open.h"
#include "lib/hook.h"
#include "lib/lifecycle.h"
#include "lib/packet.h"
#include "lib/conv.h"
#include "lib/tcp.h"
#include "lib/verdict.h"

/* The kernel asks whether it may call GPL-only helpers; the sources are under either licence. */
char sp_license[] SEC("license") = "Dual BSD/GPL";

/* A verdict in the words of a rule. */
static __always_inline int sp_rule_result(enum sp_verdict verdict)
{
	return verdict == SP_REFUSE;
}

/* True for a TCP stream that is neither listening nor connecting: it was let in. */
static __always_inline int sp_is_established(__u64 socket, __u8 state)
{
	return state != BPF_TCP_LISTEN && state != BPF_TCP_SYN_SENT && state != BPF_TCP_CLOSE &&
	       SP_READ(sock, socket, sk_protocol) == IPPROTO_TCP && SP_READ(sock, socket, sk_type) == SP_SOCK_STREAM;
}

/* True if the socket itself sent the packet. Tunnels put headers of their own before a packet and leave its socket: what
 * is inside was judged.
 */
static __always_inline int sp_is_own(__u64 socket, const struct sp_packet *packet)
{
	__u16 protocol = SP_READ(sock, socket, sk_protocol);

	if (SP_READ(sock, socket, sk_type) == SP_SOCK_RAW || (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return 1;
	return protocol == packet->protocol &&
	       bpf_ntohs(packet->source_port) == SP_READ(sock, socket, __sk_common.skc_num);
}

static __always_inline void sp_flow_of(struct sp_flow *flow, __u64 socket, __u32 direction)
{
	flow->socket = socket;
	flow->direction = direction;
	flow->generation = sp_generation();
	flow->cookie = sp_name_socket(socket);
}

/* A SYN-ACK: has the kernel make the cookie that the accepted socket will have, for the records of it. */
static __always_inline enum sp_verdict sp_passed_answer(struct __sk_buff *skb)
{
	bpf_get_socket_cookie(skb);
	return SP_PASS_ON;
}

static __always_inline enum sp_verdict sp_output(struct __sk_buff *skb)
{
	__u64 socket = (__u64)SP_READ(sk_buff, skb, sk);
	struct sp_packet packet = {};
	struct sp_flow flow = {};
	__u8 state;

	if (!socket)
		return SP_PASS_ON;
	state = SP_READ(sock, socket, __sk_common.skc_state);
	if (state == BPF_TCP_NEW_SYN_RECV)
		return sp_passed_answer(skb);
	if (state == BPF_TCP_TIME_WAIT || sp_is_established(socket, state) || !sp_is_policed(socket))
		return SP_PASS_ON;
	sp_flow_of(&flow, socket, SP_OUTGOING);
	if (sp_is_control(socket)) {
		sp_find_subject(skb, &flow);
		sp_count_excluded(&flow);
		return SP_PASS_ON;
	}
	if (sp_read(skb, &packet) != SP_READABLE)
		return sp_refuse_unreadable(skb, &packet, &flow);
	packet.is_raw = SP_READ(sock, socket, sk_type) == SP_SOCK_RAW;
	sp_own_view(skb, &packet);
	SP_JOIN(&packet);
	if (!sp_is_own(socket, &packet))
		return SP_PASS_ON;
	if (packet.protocol != IPPROTO_TCP || SP_READ(sock, socket, sk_type) != SP_SOCK_STREAM)
		return sp_conv_verdict(skb, &packet, &flow, SP_OUTGOING);
	packet.protocol = IPPROTO_TCP; /* for the verifier, which knows nothing of it any more */
	flow.cookie = bpf_get_socket_cookie(skb);
	if (sp_tcp_verdict(skb, &packet, &flow, SP_OUTGOING, state) == SP_PASS_ON) {
		if (sp_is_looped(skb))
			sp_simultaneous_note(skb, &packet, &flow);
		return SP_PASS_ON;
	}
	sp_note_refused(socket);
	return SP_REFUSE;
}

SEC("socket")
int sp_nf_output(struct __sk_buff *skb)
{
	return sp_rule_result(sp_output(skb));
}

/* The socket that an early lookup of the kernel found (TCP that is not looped), as a full one; 0 = none. */
static __always_inline __u64 sp_found_early(struct __sk_buff *skb)
{
	__u64 socket = (__u64)SP_READ(sk_buff, skb, sk);
	__u8 state;

	if (!socket)
		return 0;
	state = SP_READ(sock, socket, __sk_common.skc_state);
	if (state == BPF_TCP_TIME_WAIT)
		return 0;
	if (state == BPF_TCP_NEW_SYN_RECV)
		return (__u64)SP_READ(sock, socket, __sk_common.skc_listener);
	return socket;
}

/* True for the ACK that completes a handshake, of a sender that handed over who it is, where the kernel has not looked its socket
 * up: a packet that comes over the loopback device brings its route, and then it does not.
 */
static __always_inline int sp_completes(struct __sk_buff *skb, const struct sp_packet *packet)
{
	struct sp_handoff_key key;

	if (packet->tcp_flags & (SP_TCP_SYN | SP_TCP_RST))
		return 0;
	sp_handoff_fill(&key, packet);
	key.sequence = bpf_htonl(bpf_ntohl(packet->sequence) - 1);
	key.tag = sp_listener_tag(skb, 0);
	return bpf_map_lookup_elem(&sp_handoffs, &key) != 0;
}

static __always_inline enum sp_verdict sp_input(struct __sk_buff *skb)
{
	__u64 socket = sp_found_early(skb);
	struct sp_packet packet = {};
	struct sp_flow flow = {};
	__u8 state = BPF_TCP_CLOSE;

	if (socket) {
		state = SP_READ(sock, socket, __sk_common.skc_state);
		if (sp_is_established(socket, state))
			return SP_PASS_ON;
	}
	switch (sp_read(skb, &packet)) {
	case SP_READABLE:
		break;
	case SP_FRAGMENT:
		return SP_PASS_ON; /* of no use without the first one, which is judged */
	default:
		return sp_refuse_receiver(skb, &packet, &flow, SP_BY_INVALID);
	}
	SP_JOIN(&packet);
	if (packet.protocol == IPPROTO_TCP) {
		if (!socket && (packet.tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) != SP_TCP_SYN &&
		    !sp_completes(skb, &packet))
			return SP_PASS_ON;
	} else if (packet.protocol != IPPROTO_UDP) {
		return SP_PASS_ON;
	} else {
		socket = 0;
	}
	if (!socket)
		socket = sp_find_socket(skb, &packet, 0);
	if (socket == SP_CANNOT_TELL)
		return sp_refuse_receiver(skb, &packet, &flow, SP_BY_AMBIGUOUS);
	if (!socket && packet.protocol == IPPROTO_TCP && sp_is_looped(skb))
		return sp_simultaneous_verdict(skb, &packet, &flow);
	if (!socket || !sp_is_policed(socket))
		return SP_PASS_ON;
	sp_flow_of(&flow, socket, SP_INCOMING);
	if (packet.protocol == IPPROTO_UDP) {
		packet.protocol = IPPROTO_UDP; /* for the verifier, which knows nothing of it any more */
		return sp_conv_verdict(skb, &packet, &flow, SP_INCOMING);
	}
	packet.protocol = IPPROTO_TCP;
	return sp_tcp_verdict(skb, &packet, &flow, SP_INCOMING, SP_READ(sock, socket, __sk_common.skc_state));
}

SEC("socket")
int sp_nf_input(struct __sk_buff *skb)
{
	return sp_rule_result(sp_input(skb));
}

/* (socket, state before, state). */
SEC("raw_tracepoint/inet_sock_set_state")
int sp_nf_state(struct bpf_raw_tracepoint_args *context)
{
	__u64 socket = context->args[0];
	__u32 before = context->args[1], state = context->args[2];

	if (state != BPF_TCP_ESTABLISHED && state != BPF_TCP_CLOSE)
		return 0;
	if (before == BPF_TCP_CLOSE || before == BPF_TCP_LISTEN || SP_READ(sock, socket, sk_protocol) != IPPROTO_TCP ||
	    !sp_is_policed(socket))
		return 0;
	if (state == BPF_TCP_CLOSE)
		sp_tcp_closed(socket, before);
	else
		sp_tcp_opened(socket, before == BPF_TCP_SYN_SENT ? SP_OUTGOING : SP_INCOMING);
	return 0;
}
