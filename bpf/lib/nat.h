/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Packets whose addresses or ports NAT has changed in the sender's own namespace (nat OUTPUT, POSTROUTING): the socket has
 * asked for one destination and another one receives. Both are in the packet's conntrack entry. On the way out the verdict
 * is about what the socket knows, so that its answers, which NAT turns back before any hook sees them, belong to it.
 */
#pragma once
#include "find.h"
#include "kernel.h"
#include "packet.h"

#ifdef SP_MARK

static __always_inline int sp_is_translated(struct __sk_buff *)
{
	return 0;
}

static __always_inline void sp_own_view(struct __sk_buff *, struct sp_packet *)
{
}

static __always_inline void sp_view(struct __sk_buff *, struct sp_packet *, __u32)
{
}

#else

/* struct nf_conntrack_tuple and nf_conntrack_tuple_hash, the same in every kernel since 2.6 */
struct sp_tuple_of_conntrack {
	__u64 source[2];
	__be16 source_port;
	__u16 family;
	__u64 destination[2];
	__be16 destination_port;
	__u8 protocol;
	__u8 direction;
} __attribute__((packed, aligned(4)));
#define SP_TUPLE_AT 16	 /* behind the list's node */
#define SP_TUPLE_SIZE 56 /* of both */

/* Where a kernel without a description of struct nf_conn has them (conntrack as a module, before 5.11): since 4.19 behind a
 * reference count, a lock, the timeout and the zone. Nothing depends on it: what is read must fit the packet.
 */
#define SP_TUPLES_AT 16

#define SP_TRACKED_STATE 7ull /* lowest bits of _nfct: enum ip_conntrack_info */
#define SP_TRACKED_RELATED 1
#define SP_TRACKED_REPLY 3
#define SP_TRACKED_RELATED_REPLY 4
#define SP_TRACKED_NAT 0x30 /* IPS_SRC_NAT | IPS_DST_NAT */

/* 1 for a protocol whose ports NAT may change, else 0. */
static __always_inline __u64 sp_has_ports(__u8 protocol)
{
	return sp_is_same(protocol, IPPROTO_TCP) | sp_is_same(protocol, IPPROTO_UDP) |
	       sp_is_same(protocol, IPPROTO_SCTP);
}

/* The packet's conntrack entry as an address, with its state in the lowest bits; 0 = none. */
static __always_inline __u64 sp_tracked(struct __sk_buff *skb)
{
	if (!bpf_core_field_exists(struct sk_buff___tracked, _nfct))
		return 0;
	return SP_READ(sk_buff___tracked, skb, _nfct);
}

static __always_inline __u32 sp_tuples_at(void)
{
	if (bpf_core_field_exists(struct nf_conn, tuplehash))
		return bpf_core_field_offset(struct nf_conn, tuplehash);
	return SP_TUPLES_AT;
}

/* True if conntrack says that NAT changes packets of this connection. */
static __always_inline int sp_tracked_is_nat(__u64 tracked)
{
	__u64 status = 0;

	if (!(tracked & ~SP_TRACKED_STATE))
		return 0;
	bpf_probe_read_kernel(&status, sizeof(status),
			      (void *)((tracked & ~SP_TRACKED_STATE) + sp_tuples_at() + 2 * SP_TUPLE_SIZE));
	return (status & SP_TRACKED_NAT) != 0;
}

/* Egress: true if NAT changes packets of this connection. */
static __always_inline int sp_is_translated(struct __sk_buff *skb)
{
	return sp_tracked_is_nat(sp_tracked(skb));
}

/* `a` where the mask is 0, else `b`. */
static __always_inline __u64 sp_select(__u64 a, __u64 b, __u64 mask)
{
	return a ^ ((a ^ b) & mask);
}

/* Puts an address of a tuple into a packet, in 16-byte form. */
static __always_inline void sp_nat_address(__u8 out[16], const __u64 address[2], __u64 is_ipv4, __u64 mask)
{
	__u64 *words = (__u64 *)out;

	words[0] = sp_select(words[0], address[0] & ~is_ipv4, mask);
	words[1] = sp_select(words[1], sp_select(address[1], address[0] << 32 | bpf_htonl(0xffff), is_ipv4), mask);
}

/* Puts the addresses and ports of one view into a packet: `wire` as they leave, else as the socket knows them. Only if it is
 * translated; without a branch, for the verifier follows each as often as this is called. Returns 0.
 */
SP_FUNCTION int sp_view(struct __sk_buff *skb, struct sp_packet *packet, __u32 wire)
{
	struct sp_tuple_of_conntrack tuple = {};
	__u64 source[2], destination[2], tracked, reply, mask, swap, is_ipv4, has_ports;

	if (!packet)
		return 0;
	tracked = sp_tracked(skb);
	mask = 0 - (__u64)(packet->is_translated & 1);
	is_ipv4 = 0 - (__u64)(packet->is_ipv4 & 1);
	/* the other direction's tuple is what the other end sends: turned round it is what leaves here */
	swap = 0 - (__u64)(wire & 1);
	reply = ((tracked & SP_TRACKED_STATE) + 8 - SP_TRACKED_REPLY) >> 3 ^ (wire & 1);
	has_ports = mask & (0 - sp_has_ports(packet->protocol));
	asm volatile("" : "+r"(mask), "+r"(is_ipv4), "+r"(swap), "+r"(has_ports));
	bpf_probe_read_kernel(
		&tuple, sizeof(tuple),
		(void *)((tracked & ~SP_TRACKED_STATE) + sp_tuples_at() + reply * SP_TUPLE_SIZE + SP_TUPLE_AT));
	source[0] = sp_select(tuple.source[0], tuple.destination[0], swap);
	source[1] = sp_select(tuple.source[1], tuple.destination[1], swap);
	destination[0] = sp_select(tuple.destination[0], tuple.source[0], swap);
	destination[1] = sp_select(tuple.destination[1], tuple.source[1], swap);
	sp_nat_address(packet->source, source, is_ipv4, mask);
	sp_nat_address(packet->destination, destination, is_ipv4, mask);
	packet->source_port =
		sp_select(packet->source_port, sp_select(tuple.source_port, tuple.destination_port, swap), has_ports);
	packet->destination_port = sp_select(packet->destination_port,
					     sp_select(tuple.destination_port, tuple.source_port, swap), has_ports);
	return 0;
}

/* Egress: makes of a packet that NAT has changed what its socket knows of it, and says so in it. What does not fit what is
 * on the wire is left as it is. Returns 0.
 */
SP_FUNCTION int sp_own_view(struct __sk_buff *skb, struct sp_packet *packet)
{
	struct sp_packet known;
	__u64 state;

	if (!packet || !sp_is_translated(skb))
		return 0;
	state = sp_tracked(skb) & SP_TRACKED_STATE;
	if (state == SP_TRACKED_RELATED || state >= SP_TRACKED_RELATED_REPLY)
		return 0;
	known = *packet;
	packet->is_translated = 1;
	sp_view(skb, packet, 1);
	/* the source is changed last, behind a rule of OUTPUT */
	if (sp_same_address(packet->destination, known.destination) &&
	    packet->destination_port == known.destination_port)
		sp_view(skb, packet, 0);
	else
		*packet = known;
	return 0;
}

#endif
