/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* By which row of sp_handoffs a packet finds who sent it. */
#pragma once
#include "../maps.h"
#include "packet.h"

static __always_inline void sp_handoff_fill(struct sp_handoff_key *key, const struct sp_packet *packet)
{
	__builtin_memset(key, 0, sizeof(*key));
	sp_copy_address(key->source, packet->source);
	sp_copy_address(key->destination, packet->destination);
	key->protocol = packet->protocol;
	if (packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6) {
		key->source_port = packet->icmp_id;
		key->destination_port = packet->icmp_type;
	} else {
		key->source_port = packet->source_port;
		key->destination_port = packet->destination_port;
	}
}

/* Of a SYN: its sequence number and its hash survive NAT in whatever namespace, addresses and ports do not. A raw socket's has
 * no hash, and a number that its writer chose: it is known by its addresses too.
 */
static __always_inline void sp_handoff_fill_syn(struct __sk_buff *skb, struct sp_handoff_key *key,
						const struct sp_packet *packet)
{
	if (!skb->hash)
		sp_handoff_fill(key, packet);
	else
		__builtin_memset(key, 0, sizeof(*key));
	key->protocol = IPPROTO_TCP;
	key->sequence = packet->sequence;
	key->tag = skb->hash;
}

/* Addresses and ports in one word, to be compared. */
static __always_inline __u64 sp_digest(const struct sp_packet *packet)
{
	const __u64 *source = (const __u64 *)packet->source, *destination = (const __u64 *)packet->destination;
	__u64 mixed = ((__u64)packet->source_port << 16 | packet->destination_port) + 1;

	mixed = (mixed ^ source[0]) * 0x9E3779B97F4A7C15ull;
	mixed = (mixed ^ mixed >> 32 ^ source[1]) * 0x9E3779B97F4A7C15ull;
	mixed = (mixed ^ mixed >> 32 ^ destination[0]) * 0x9E3779B97F4A7C15ull;
	mixed = (mixed ^ mixed >> 32 ^ destination[1]) * 0x9E3779B97F4A7C15ull;
	return mixed ^ mixed >> 32;
}
