/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What of UDP needs no verdict, by direct access to the packet. */
#pragma once
#include "conv.h"

/* Credits of the usual packet of a live conversation between namespaces. False if it must take the long way. */
static __always_inline int sp_conv_fast_credit(struct __sk_buff *skb, struct sp_handoff_key *key, struct sp_conv *conv,
					       __u32 direction, __u64 now)
{
	__u32 count = sp_credit_count(skb);
	struct sp_handoff *row;

	*(__u32 *)&key->sequence = 0;
	key->tag = 0;
	*(__u64 *)&key->protocol = 0;
	key->protocol = IPPROTO_UDP;
	if (direction == SP_INCOMING && !(conv->handed & SP_CONV_WANTS))
		return !(conv->handed & SP_CONV_ASKS);
	row = bpf_map_lookup_elem(&sp_handoffs, key);
	if (!row)
		return 0;
	if (direction == SP_INCOMING) {
		if (row->workload != conv->sender || !sp_credit_is_young(row, now))
			return 0;
		if (skb->pkt_type != PACKET_HOST)
			return 1; /* of a group's members each gets it */
		if (sp_credit_left(row) < (__s32)count)
			return 0;
		__atomic_fetch_add(&row->taken, count, __ATOMIC_RELAXED);
		return 1;
	}
	if (row->workload != conv->workload || row->generation != conv->generation ||
	    (__s64)(now - row->rolled) >= (__s64)SP_CREDIT_LIFE)
		return 0;
	sp_credit_give(row, count, now);
	return 1;
}

/* The usual UDP packet of a live conversation, by direct access and one lookup, or two between namespaces: true if it may
 * pass. Whatever is unusual (options, fragments, extension headers, another generation, silence for too long, another sender)
 * takes the long way.
 */
static __always_inline int sp_conv_fast(struct __sk_buff *skb, __u32 direction)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct sp_handoff_key tuple;
	struct sp_conv_key key;
	struct sp_conv *conv;
	__u64 now;

	if (direction == SP_OUTGOING && sp_is_translated(skb))
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (data + 28 > end || !sp_is_plain_ipv4(data, IPPROTO_UDP))
			return 0;
		sp_map_ipv4(tuple.source, *(__be32 *)(data + 12));
		sp_map_ipv4(tuple.destination, *(__be32 *)(data + 16));
		tuple.source_port = *(__be16 *)(data + 20);
		tuple.destination_port = *(__be16 *)(data + 22);
	} else {
		if (data + 48 > end || !sp_is_plain_ipv6(data, IPPROTO_UDP))
			return 0;
		sp_copy_address(tuple.source, data + 8);
		sp_copy_address(tuple.destination, data + 24);
		tuple.source_port = *(__be16 *)(data + 40);
		tuple.destination_port = *(__be16 *)(data + 42);
	}
	sp_copy_address(key.remote, direction == SP_OUTGOING ? tuple.destination : tuple.source);
	key.remote_port = direction == SP_OUTGOING ? tuple.destination_port : tuple.source_port;
	key.socket = bpf_get_socket_cookie(skb);
	*(__u16 *)&key.id = 0;
	*(__u32 *)&key.protocol = 0;
	key.protocol = IPPROTO_UDP;
	conv = bpf_map_lookup_elem(&sp_convs, &key);
	if (!conv || !sp_conv_is_judged(conv, direction, sp_generation()))
		return 0;
	now = sp_now();
	if ((__s64)(now - conv->last_seen) >= (__s64)config.udp_idle)
		return 0;
	if (conv->handed && !sp_conv_fast_credit(skb, &tuple, conv, direction, now))
		return 0;
	sp_conv_touch(conv, skb->len, direction, now);
	return 1;
}
