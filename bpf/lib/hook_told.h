/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a rule of iptables can be told where the kernel's memory cannot be read: the source is in the packet's mark, set by
 * rules that match cgroups (-m cgroup); the destination is in a table of listeners that the agent keeps.
 */
#pragma once
#include "../maps.h"
#include "identity.h"
#include "packet.h"

/* The first SYN is the first thing that is seen of a connection: both sides are judged on its way out. */
#define SP_SEES_CONNECT 0

/* The number that a mask cuts out of a packet's mark. */
static __always_inline __u32 sp_told(struct __sk_buff *skb, __u32 mask)
{
	return mask ? (skb->mark & mask) / (mask & -mask) : 0;
}

/* The row of the packet's source; null never, but the verifier does not know it. */
static __always_inline struct sp_told_party *sp_told_source(struct __sk_buff *skb)
{
	__u32 number = sp_told(skb, told_config.source_mask);

	return bpf_map_lookup_elem(&sp_marks, &number);
}

/* The row of the socket that gets a packet: at its address, else at any. Null = the agent has not told. */
static __always_inline struct sp_told_party *sp_told_listener(struct __sk_buff *skb, const struct sp_packet *packet)
{
	struct sp_listener_key key = {};
	struct sp_told_party *party;

	key.namespace = sp_told(skb, told_config.namespace_mask);
	key.port = bpf_ntohs(packet->destination_port);
	key.protocol = packet->protocol;
	sp_copy_address(key.address, packet->destination);
	party = bpf_map_lookup_elem(&sp_listeners, &key);
	if (party)
		return party;
	if (packet->is_ipv4)
		sp_map_ipv4(key.address, 0);
	else
		__builtin_memset(key.address, 0, 16);
	return bpf_map_lookup_elem(&sp_listeners, &key);
}

/* A workload whose label has gone since is the host, as in sp_party_of_retag. */
static __always_inline void sp_party_told(struct sp_party *party, const struct sp_told_party *told)
{
	if (!told) {
		sp_party_unknown(party);
		return;
	}
	sp_party_host(party, SP_ASSURED_SOCKET);
	if (told->workload && sp_party_of_cgroup(party, told->workload) && (told->flags & SP_TOLD_CHILD))
		sp_party_is_child(party);
}

/* The entry points do it, for they know which of the two it is. */
static __always_inline void sp_find_subject(struct __sk_buff *, struct sp_flow *)
{
}

static __always_inline __u32 sp_socket_uid(struct __sk_buff *skb, const struct sp_flow *flow)
{
	return flow->cookie ? bpf_get_socket_uid(skb) : 0;
}

/* True if the packet stays in this namespace, as far as its addresses tell. */
static __always_inline int sp_is_looped_by_address(const struct sp_packet *packet)
{
	return sp_is_loopback(packet->destination) || sp_same_address(packet->source, packet->destination);
}

/* Outgoing: not known before the route is, so sp_find_receiver is asked of every packet. */
static __always_inline int sp_is_looped(struct __sk_buff *skb)
{
	return skb->ifindex == SP_LOOPBACK_IFINDEX;
}

static __always_inline int sp_is_bound(struct __sk_buff *)
{
	return 0;
}

static __always_inline int sp_sees_sender(const struct sp_packet *)
{
	return 0;
}

static __always_inline __u64 sp_listener_tag(struct __sk_buff *, const struct sp_flow *flow)
{
	return SP_TAG_LISTENER | flow->cookie;
}

static __always_inline void sp_find_sender(struct __sk_buff *, struct sp_packet *, struct sp_party *)
{
}

static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	sp_party_told(party, sp_told_listener(skb, packet));
}

static __always_inline void sp_record_attempt(struct __sk_buff *, const struct sp_packet *, const struct sp_flow *)
{
}

static __always_inline void sp_record_sender_task(struct sp_record *, struct __sk_buff *, const struct sp_flow *)
{
}
