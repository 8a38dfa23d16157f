/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a rule of iptables can know where the kernel's memory cannot be read: the source is in the packet's mark, set by
 * rules that match cgroups (-m cgroup); the destination is in a table of listeners that the agent keeps.
 */
#pragma once
#include "../maps.h"
#include "identity.h"
#include "packet.h"

/* The first SYN is the first thing that is seen of a connection: both sides are judged on its way out. */
#define SP_SEES_CONNECT 0

/* The number that a mask cuts out of a packet's mark. */
static __always_inline __u32 sp_mark_number(struct __sk_buff *skb, __u32 mask)
{
	return mask ? (skb->mark & mask) / (mask & -mask) : 0;
}

/* The row of the packet's source; null never, but the verifier does not know it. */
static __always_inline struct sp_mark_endpoint *sp_mark_source(struct __sk_buff *skb)
{
	__u32 number = sp_mark_number(skb, mark_config.source_mask);

	return bpf_map_lookup_elem(&sp_marks, &number);
}

/* The row of the socket that gets a packet: at its address, else at any. Null = the agent knows none. */
static __always_inline struct sp_mark_endpoint *sp_mark_listener(struct __sk_buff *skb, const struct sp_packet *packet)
{
	struct sp_listener_key key = {};
	struct sp_mark_endpoint *endpoint;

	key.namespace = sp_mark_number(skb, mark_config.namespace_mask);
	key.port = bpf_ntohs(packet->destination_port);
	key.protocol = packet->protocol;
	sp_copy_address(key.address, packet->destination);
	endpoint = bpf_map_lookup_elem(&sp_listeners, &key);
	if (endpoint)
		return endpoint;
	if (packet->is_ipv4)
		sp_map_ipv4(key.address, 0);
	else
		__builtin_memset(key.address, 0, 16);
	return bpf_map_lookup_elem(&sp_listeners, &key);
}

/* A workload whose label has gone since is the host, as in sp_endpoint_of_retag. */
static __always_inline void sp_endpoint_of_mark(struct sp_endpoint *endpoint, const struct sp_mark_endpoint *mark)
{
	if (!mark) {
		sp_endpoint_unknown(endpoint);
		return;
	}
	sp_endpoint_host(endpoint, SP_ASSURED_SOCKET);
	if (mark->workload && sp_endpoint_of_cgroup(endpoint, mark->workload) && (mark->flags & SP_MARK_CHILD))
		sp_endpoint_is_child(endpoint);
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

static __always_inline void sp_find_sender(struct __sk_buff *, struct sp_packet *, struct sp_endpoint *)
{
}

static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet,
					     struct sp_endpoint *endpoint)
{
	sp_endpoint_of_mark(endpoint, sp_mark_listener(skb, packet));
}

static __always_inline void sp_record_attempt(struct __sk_buff *, const struct sp_packet *, const struct sp_flow *)
{
}

static __always_inline void sp_record_sender_task(struct sp_record *, struct __sk_buff *, const struct sp_flow *)
{
}
