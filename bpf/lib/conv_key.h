/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which conversation a packet belongs to, and what policy looks at in it. */
#pragma once
#include "../maps.h"
#include "packet.h"

/* Who began, for a packet in `direction`: an ICMP echo reply belongs to the other end's request. */
static __always_inline __u32 sp_initiator(const struct sp_packet *packet, __u32 direction)
{
	__u8 type = packet->icmp_type;

	if ((packet->protocol == IPPROTO_ICMP && type == ICMP_ECHOREPLY) ||
	    (packet->protocol == IPPROTO_ICMPV6 && type == ICMPV6_ECHO_REPLY))
		return !direction;
	return direction;
}

static __always_inline void sp_conv_fill(struct sp_conv_key *key, const struct sp_packet *packet, __u32 direction,
					 __u64 cookie)
{
	int out = direction == SP_OUTGOING;

	__builtin_memset(key, 0, sizeof(*key));
	key->socket = cookie;
	key->protocol = packet->protocol;
	sp_copy_address(key->remote, out ? packet->destination : packet->source);
	if (!sp_is_icmp(packet)) {
		key->remote_port = out ? packet->destination_port : packet->source_port;
		/* else what one port was allowed would open all others */
		if (packet->is_raw)
			key->id = out ? packet->source_port : packet->destination_port;
		return;
	}
	key->initiator = sp_initiator(packet, direction);
	key->is_echo = sp_is_echo(packet);
	key->id = key->is_echo ? packet->icmp_id : bpf_htons((__u16)packet->icmp_type << 8 | packet->icmp_code);
}

static __always_inline __u64 sp_idle_limit(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 ? config.icmp_idle : config.udp_idle;
}

/* The destination of a conversation, seen from the end that began it. */
static __always_inline __u32 sp_conv_port_index(const struct sp_packet *packet, __u32 direction, __u32 initiator)
{
	__u16 port;

	if (packet->protocol == IPPROTO_ICMP)
		return sp_port_index(IPPROTO_ICMP, packet->icmp_type == ICMP_ECHOREPLY && direction != initiator
							   ? ICMP_ECHO
							   : packet->icmp_type);
	if (packet->protocol == IPPROTO_ICMPV6)
		return sp_port_index(IPPROTO_ICMPV6, packet->icmp_type == ICMPV6_ECHO_REPLY && direction != initiator
							     ? ICMPV6_ECHO_REQUEST
							     : packet->icmp_type);
	port = direction == initiator ? packet->destination_port : packet->source_port;
	return sp_port_index(packet->protocol, bpf_ntohs(port));
}
