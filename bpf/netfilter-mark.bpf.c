/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Entry points of the netfilter datapath where the kernel cannot be read (no BTF, lockdown, cgroup v1 only): who sends and
 * who receives is known from rules and from the agent. Only packets that conntrack calls NEW come here. 1 = refuse, the rule's
 * target acts; 0 = pass.
 */
#define SP_MARK
#define SP_NO_GLOBAL_FUNCTIONS
#include "maps.h"
#include "lib/handoff.h"
#include "lib/hook.h"
#include "lib/identity.h"
#include "lib/packet.h"
#include "lib/peer.h"
#include "lib/conv_key.h"
#include "lib/verdict.h"

/* The kernel asks whether it may call GPL-only helpers; the sources are under either licence. */
char sp_license[] SEC("license") = "Dual BSD/GPL";

/* A verdict in the words of a rule. Opaque, so that the verifier follows one end of the program and not one for each verdict. */
static __always_inline int sp_rule_result(enum sp_verdict verdict)
{
	asm volatile("" : "+r"(verdict));
	return verdict == SP_REFUSE;
}

/* The port that a packet is for, as policy numbers it. */
static __always_inline __u32 sp_mark_port(const struct sp_packet *packet, __u32 direction)
{
	return sp_conv_port_index(packet, direction, direction);
}

/* Longest neighbour discovery that passes: addresses and two options, no room for a payload. */
#define SP_MARK_DISCOVERY 96

/* The kernel's own discovery has no conntrack state, and which socket is the kernel's is not known here: so what passes is
 * what a host's kernel sends, by its form. Users may write it too, to neighbours on the link (docs/COVERAGE.md).
 */
static __always_inline int sp_mark_is_discovery(const struct sp_packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->protocol != IPPROTO_ICMPV6 || packet->is_ipv4 || packet->icmp_code || packet->is_fragment)
		return 0;
	if (type == SP_ROUTER_SOLICITATION || type == SP_NEIGHBOUR_SOLICITATION || type == SP_NEIGHBOUR_ADVERTISEMENT)
		return packet->hop_limit == 255 && packet->length <= SP_MARK_DISCOVERY;
	return (type == ICMPV6_MGM_REPORT || type == ICMPV6_MGM_REDUCTION || type == ICMPV6_MLD2_REPORT) &&
	       packet->hop_limit == 1;
}

/* True for a TCP segment that its socket did not send: the port is not its own. A reset without data may be the kernel's
 * (bpf_sock.src_port of a raw socket is its protocol number).
 */
static __always_inline int sp_mark_is_raw(struct __sk_buff *skb, const struct sp_packet *packet)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk || (packet->tcp_flags & SP_TCP_RST && packet->length <= 80))
		return 0;
	return sk->src_port != bpf_ntohs(packet->source_port) || sk->src_port == IPPROTO_TCP;
}

static __always_inline enum sp_verdict sp_output(struct __sk_buff *skb)
{
	struct sp_mark_endpoint *source = sp_mark_source(skb);
	struct sp_packet packet = {};
	struct sp_flow flow = {};
	enum sp_readable readable;
	__u64 stays, asks = 1;

	if (!source || (source->flags & SP_MARK_OUTSIDE))
		return SP_PASS_ON;
	flow.cookie = bpf_get_socket_cookie(skb);
	if (!flow.cookie)
		return SP_PASS_ON; /* no socket: the kernel's own packet */
	flow.direction = SP_OUTGOING;
	flow.generation = sp_generation();
	sp_endpoint_of_mark(&flow.subject, source);
	readable = sp_read(skb, &packet);
	SP_JOIN(&packet); /* here and below: many paths meet */
	if (readable != SP_READABLE)
		return sp_refuse_unreadable(skb, &packet, &flow);
	if (sp_mark_is_discovery(&packet))
		return SP_PASS_ON;
	if (packet.protocol == IPPROTO_TCP && (packet.tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) != SP_TCP_SYN &&
	    !sp_mark_is_raw(skb, &packet))
		return SP_PASS_ON;
	flow.port_index = sp_mark_port(&packet, SP_OUTGOING);
	stays = sp_is_looped_by_address(&packet) && !sp_is_multicast(packet.destination);
	SP_JOIN(&stays);
	SP_JOIN(&packet);
	SP_JOIN(&flow);
	if (stays && !sp_same_address(packet.source, packet.destination) && !sp_is_loopback(packet.source)) {
		/* whoever receives it answers there, the kernel first */
		sp_endpoint_of_address(&flow.peer, SP_SLOT(flow.generation), packet.source);
	} else if (!stays) {
		sp_endpoint_of_address(&flow.peer, SP_SLOT(flow.generation), packet.destination);
	} else if (packet.protocol == IPPROTO_TCP || packet.protocol == IPPROTO_UDP) {
		sp_find_receiver(skb, &packet, &flow.peer);
		/* who listens there is not known, or nobody: the way in decides */
		asks = flow.peer.assurance != SP_ASSURED_NOT || (flow.subject.flags & SP_ENDPOINT_UNLABELLED);
	} else {
		flow.peer = flow.subject; /* answered by the namespace's own kernel */
		flow.peer.assurance = SP_ASSURED_SOCKET;
	}
	SP_JOIN(&flow);
	SP_JOIN(&asks);
	if (asks &&
	    (sp_ask_policy_first(skb, &packet, &flow) == SP_REFUSE || sp_other_side(skb, &packet, &flow) == SP_REFUSE))
		return SP_REFUSE;
	if (sp_handoff_publish(skb, &packet, &flow) == SP_REFUSE)
		return sp_refuse_sender(skb, &packet, &flow);
	return SP_PASS_ON;
}

SEC("socket")
int sp_nf_output(struct __sk_buff *skb)
{
	return sp_rule_result(sp_output(skb));
}

/* A receiver that the agent does not know is nobody: only what policy allows to nobody passes (under a default of allow
 * everything), and the record of the refusal asks the agent to look.
 */
static __always_inline enum sp_verdict sp_input(struct __sk_buff *skb)
{
	struct sp_mark_endpoint *listener;
	struct sp_packet packet = {};
	struct sp_flow flow = {};
	__u32 assurance;

	switch (sp_read(skb, &packet)) {
	case SP_READABLE:
		break;
	case SP_FRAGMENT:
		return SP_PASS_ON; /* of no use without the first one, which is judged */
	default:
		flow.direction = SP_INCOMING;
		flow.generation = sp_generation();
		return sp_refuse_unreadable(skb, &packet, &flow);
	}
	SP_JOIN(&packet);
	if (packet.protocol == IPPROTO_TCP) {
		if ((packet.tcp_flags & (SP_TCP_SYN | SP_TCP_ACK)) != SP_TCP_SYN)
			return SP_PASS_ON;
	} else if (packet.protocol != IPPROTO_UDP || sp_is_multicast(packet.destination)) {
		return SP_PASS_ON;
	}
	listener = sp_mark_listener(skb, &packet);
	if (listener && (listener->flags & SP_MARK_OUTSIDE))
		return SP_PASS_ON;
	flow.direction = SP_INCOMING;
	flow.generation = sp_generation();
	flow.port_index = sp_mark_port(&packet, SP_INCOMING);
	sp_endpoint_of_mark(&flow.subject, listener);
	sp_find_caller(skb, &packet, &flow);
	assurance = flow.peer.assurance;
	/* nobody has the host's number, 0, and is not the host: a caller that is does not conv to itself */
	if (!listener && assurance >= SP_ASSURED_SOCKET)
		flow.peer.assurance = SP_ASSURED_ADDRESS;
	SP_JOIN(&flow);
	if (sp_ask_policy_first(skb, &packet, &flow) == SP_REFUSE)
		return SP_REFUSE;
	flow.peer.assurance = assurance;
	/* the way out may not have known the receiver */
	return sp_other_side(skb, &packet, &flow);
}

SEC("socket")
int sp_nf_input(struct __sk_buff *skb)
{
	return sp_rule_result(sp_input(skb));
}
