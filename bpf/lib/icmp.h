/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What passes beside policy, so that IP itself works: what the kernel says by its own sockets; and on the way in to a raw
 * socket, errors that quote a live flow of the receiver, and discovery that only a neighbour can have sent. The same
 * messages written by users are judged by policy like everything else: they carry any payload.
 */
#pragma once
#include "account.h"
#include "hook.h"
#include "identity.h"
#include "kernel.h"
#include "conv.h"

/* Egress of a raw socket: true, and counted, if it is the kernel's own. */
static __always_inline int sp_is_kernels(struct __sk_buff *skb, struct sp_flow *flow)
{
	if (!sp_is_control((__u64)SP_READ(sk_buff, skb, sk)))
		return 0;
	sp_find_subject(skb, flow);
	sp_count_excluded(flow);
	return 1;
}

/* Fills *quote (which the caller zeroes) with the packet that an ICMP error is about. */
SP_FUNCTION enum sp_readable sp_read_quote(struct __sk_buff *skb, struct sp_packet *packet, struct sp_packet *quote)
{
	__u32 start;

	if (!packet || !quote)
		return SP_UNREADABLE;
	start = packet->transport + 8;
	if (packet->is_ipv4)
		return sp_read_ipv4(skb, quote, start, 1);
	return sp_read_ipv6(skb, quote, start, 1);
}

static __always_inline int sp_is_link_local(const __u8 address[16])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

/* True for neighbour discovery and MLD as they can only come from this link: a router would have lowered the hop limit
 * (RFC 4861, 6.1, 7.1, 8.1; RFC 3810, 5.1.14, 5.2.13).
 */
static __always_inline int sp_is_from_link(const struct sp_packet *packet)
{
	if (packet->protocol != IPPROTO_ICMPV6 || packet->is_ipv4 || packet->icmp_code)
		return 0;
	switch (packet->icmp_type) {
	case SP_ROUTER_SOLICITATION:
	case SP_NEIGHBOUR_SOLICITATION:
	case SP_NEIGHBOUR_ADVERTISEMENT:
		return packet->hop_limit == 255;
	case SP_ROUTER_ADVERTISEMENT:
	case SP_NEIGHBOUR_REDIRECT:
		return packet->hop_limit == 255 && sp_is_link_local(packet->source);
	case ICMPV6_MGM_QUERY:
	case ICMPV6_MGM_REPORT:
	case ICMPV6_MGM_REDUCTION:
	case ICMPV6_MLD2_REPORT:
		return packet->hop_limit == 1 && sp_is_link_local(packet->source);
	}
	return 0;
}

/* True for destination unreachable, packet too big, time exceeded, parameter problem. Redirects and source quench, which
 * quote too, need a rule.
 */
static __always_inline int sp_is_error(const struct sp_packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->is_ipv4)
		return packet->protocol == IPPROTO_ICMP &&
		       (type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
	return packet->protocol == IPPROTO_ICMPV6 && type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

/* True if there is a live conversation of the subject of which the packet is: of that socket, or with a cookie of 0 of any
 * raw socket. A packet that comes in must be of one that the policy in force has judged; a quote carries nothing.
 */
SP_FUNCTION int sp_is_said(struct sp_packet *packet, struct sp_flow *flow, __u32 direction, __u64 cookie)
{
	struct sp_conv_key key;
	struct sp_conv *conv;
	__u64 *known, workload;

	if (!packet || !flow)
		return 0;
	workload = flow->subject.workload;
	packet->is_raw = !cookie;
	sp_conv_fill(&key, packet, direction, cookie ? cookie : workload);
	SP_JOIN(&key);
	if (!cookie) {
		known = bpf_map_lookup_elem(&sp_raw_convs, &key);
		if (!known)
			return 0;
		key.socket = *known;
	}
	conv = bpf_map_lookup_elem(&sp_convs, &key);
	if (!conv && !cookie && packet->protocol == IPPROTO_UDP) {
		key.id = 0; /* not a raw one (sp_is_not_found) */
		conv = bpf_map_lookup_elem(&sp_convs, &key);
	}
	return conv && conv->workload == workload &&
	       (direction == SP_OUTGOING || conv->generation == flow->generation) &&
	       (__s64)(sp_now() - conv->last_seen) < (__s64)sp_idle_limit(packet->protocol);
}

/* The cookie of a socket that was looked up. The verifier allows no arithmetic on such a pointer, so the address is read
 * as a number.
 */
static __always_inline __u64 sp_cookie_of(struct bpf_sock *sk)
{
	struct bpf_sock *pointer = sk;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return (__u64)SP_READ(sock, address, __sk_common.skc_cookie.counter);
}

/* True if a segment may be on its way: of a connection, and with a sequence number that is not acknowledged yet. */
static __always_inline int sp_is_in_flight(struct bpf_sock *sk, const struct sp_packet *quote)
{
	struct bpf_tcp_sock *tcp;
	__u32 sequence = bpf_ntohl(quote->sequence);

	if (sk->state == BPF_TCP_LISTEN)
		return 0;
	tcp = bpf_tcp_sock(sk);
	return tcp && (__s32)(sequence - tcp->snd_una) >= 0 && (__s32)(tcp->snd_nxt - sequence) >= 0;
}

/* What sp_find_quoted answers for TCP: the connection itself says that it lives. */
#define SP_LIVES (~0ull)

/* The cookie of the socket of this namespace that sent the quoted datagram, if it is of that workload; SP_LIVES if it is a
 * segment of a connection of that workload; else 0.
 */
SP_FUNCTION __u64 sp_find_quoted(struct __sk_buff *skb, struct sp_packet *quote, __u64 workload)
{
	struct bpf_sock_tuple tuple = {};
	struct sp_endpoint endpoint;
	struct bpf_sock *sk;
	__u64 found;
	__u32 size;

	if (!quote)
		return 0;
	size = sp_tuple(&tuple, quote->source, quote->source_port, quote->destination, quote->destination_port);
	if (quote->protocol == IPPROTO_TCP) {
		sk = bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		found = sp_is_in_flight(sk, quote) ? SP_LIVES : 0;
	} else {
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		found = sp_cookie_of(sk);
	}
	sp_endpoint_of_socket(&endpoint, sk);
	bpf_sk_release(sk);
	SP_JOIN(&endpoint);
	return endpoint.workload == workload ? found : 0;
}

/* True if the error quotes a packet of a flow that is allowed and lives, of the receiver's workload: an echo request, a TCP
 * segment, a UDP datagram, or what else a raw socket sent. The rest of the message is not looked at: who quotes a live flow
 * was on its way.
 */
static __always_inline int sp_is_about_own(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	struct sp_packet quote = {};
	__u64 cookie = 0;
	enum sp_readable readable;

	readable = sp_read_quote(skb, packet, &quote);
	SP_JOIN(&quote);
	if (readable != SP_READABLE || !sp_same_address(quote.source, packet->destination))
		return 0;
	/* no error is about an error (RFC 1122, 3.2.2; RFC 4443, 2.4) */
	if (sp_is_icmp(&quote) && (!sp_is_echo(&quote) || sp_initiator(&quote, SP_OUTGOING) != SP_OUTGOING))
		return 0;
	if (quote.protocol == IPPROTO_TCP || quote.protocol == IPPROTO_UDP)
		cookie = sp_find_quoted(skb, &quote, flow->subject.workload);
	else if (sp_is_said(&quote, flow, SP_OUTGOING, flow->cookie))
		return 1;
	return cookie == SP_LIVES || sp_is_said(&quote, flow, SP_OUTGOING, cookie);
}

/* Ingress of a raw socket: true, and counted, for what it gets without a rule: the above, discovery from the link, and the
 * reply to an echo request that another raw socket of its workload sent.
 */
SP_FUNCTION int sp_is_expected(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow)
{
	int is_error, is_reply;

	if (!packet || !flow)
		return 0;
	is_error = sp_is_error(packet);
	is_reply = sp_is_echo(packet) && sp_initiator(packet, SP_INCOMING) != SP_INCOMING;
	if (packet->is_fragment || !(is_error || is_reply || sp_is_from_link(packet)))
		return 0;
	sp_find_subject(skb, flow);
	SP_JOIN(flow);
	if (flow->subject.flags & SP_ENDPOINT_UNLABELLED)
		return 0;
	if (is_error && !sp_is_about_own(skb, packet, flow))
		return 0;
	/* one of its own is of its conversation (sp_conv_verdict) */
	if (is_reply &&
	    (sp_is_said(packet, flow, SP_INCOMING, flow->cookie) || !sp_is_said(packet, flow, SP_INCOMING, 0)))
		return 0;
	sp_count_excluded(flow);
	return 1;
}
