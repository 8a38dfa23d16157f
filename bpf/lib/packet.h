/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reads a packet's headers: addresses, protocol, ports. A packet that cannot be read is said to be so, never guessed. */
#pragma once
#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "datapath/abi.h"
#include "verifier.h"

/* linux/icmp.h, which needs the headers of a C library. */
#define ICMP_ECHOREPLY 0
#define ICMP_DEST_UNREACH 3
#define ICMP_ECHO 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

/* include/net/ndisc.h of the kernel */
#define SP_ROUTER_SOLICITATION 133
#define SP_ROUTER_ADVERTISEMENT 134
#define SP_NEIGHBOUR_SOLICITATION 135
#define SP_NEIGHBOUR_ADVERTISEMENT 136
#define SP_NEIGHBOUR_REDIRECT 137

#define SP_TCP_SYN 0x02
#define SP_TCP_RST 0x04
#define SP_TCP_ACK 0x10

#define SP_LOOPBACK_IFINDEX 1 /* of every network namespace (LOOPBACK_IFINDEX, include/net/flow.h) */

/* Extension headers are followed this far; a longer chain is refused as invalid (attack 20). */
#define SP_MAX_EXTENSIONS 8

enum sp_readable {
	SP_READABLE = 0,
	SP_UNREADABLE, /* truncated, an unknown IP version, too many extension headers */
	SP_FRAGMENT,   /* a fragment that does not hold the transport header */
};

struct sp_packet {
	__u8 source[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u32 sequence; /* TCP, network order as a number */
	__u32 length;	/* IP bytes */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__be16 icmp_id;
	__u8 is_ipv4;
	__u8 hop_limit;
	__u16 transport;	/* where the transport header begins */
	__u8 is_fragment;	/* the first one, which holds the transport header */
	__u8 is_raw : 1;	/* set by the entry points: a raw socket's, which may write any port of its own */
	__u8 is_translated : 1; /* egress: NAT changes it, and this is what its socket knows of it (nat.h) */
} __attribute__((aligned(8)));

/* ::ffff:0:0/96 in front of an IPv4 address. */
static __always_inline void sp_map_ipv4(__u8 out[16], __be32 address)
{
	__u32 *words = (__u32 *)out;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = address;
}

static __always_inline void sp_copy_address(__u8 out[16], const void *from)
{
	__builtin_memcpy(out, from, 16);
}

/* True if the address is ::ffff:0:0/96. */
static __always_inline int sp_is_mapped(const __u8 address[16])
{
	const __u32 *words = (const __u32 *)address;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

static __always_inline int sp_same_address(const __u8 a[16], const __u8 b[16])
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

/* True for 127.0.0.0/8 and ::1. */
static __always_inline int sp_is_loopback(const __u8 address[16])
{
	const __u32 *words = (const __u32 *)address;

	if (sp_is_mapped(address))
		return address[12] == 127;
	return words[0] == 0 && words[1] == 0 && words[2] == 0 && words[3] == bpf_htonl(1);
}

/* True for 224.0.0.0/4, 255.255.255.255 and ff00::/8. */
static __always_inline int sp_is_multicast(const __u8 address[16])
{
	if (sp_is_mapped(address))
		return address[12] >= 224;
	return address[0] == 0xff;
}

static __always_inline int sp_is_icmp(const struct sp_packet *packet)
{
	return packet->protocol == IPPROTO_ICMP || packet->protocol == IPPROTO_ICMPV6;
}

/* True for an echo request or reply. */
static __always_inline int sp_is_echo(const struct sp_packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->protocol == IPPROTO_ICMP)
		return type == ICMP_ECHO || type == ICMP_ECHOREPLY;
	return packet->protocol == IPPROTO_ICMPV6 && (type == ICMPV6_ECHO_REQUEST || type == ICMPV6_ECHO_REPLY);
}

/* True for an IPv4 header of 20 bytes at `data`, of a packet that is whole. */
static __always_inline int sp_is_plain_ipv4(const void *data, __u8 protocol)
{
	return *(__u8 *)data == 0x45 && *(__u8 *)(data + 9) == protocol && !(*(__be16 *)(data + 6) & bpf_htons(0x3fff));
}

/* True for an IPv6 header at `data` that is followed by that of the transport. */
static __always_inline int sp_is_plain_ipv6(const void *data, __u8 protocol)
{
	return (*(__u8 *)data >> 4) == 6 && *(__u8 *)(data + 6) == protocol;
}

/* `is_quote`: of a packet that an ICMP error quotes. There are at least 8 bytes of its transport (RFC 792), and perhaps no
 * more.
 */
static __always_inline enum sp_readable sp_read_transport(struct __sk_buff *skb, struct sp_packet *packet, __u32 offset,
							  int is_quote)
{
	__u8 header[14] __attribute__((aligned(8))) = {};

	packet->transport = offset;
	switch (packet->protocol) {
	case IPPROTO_TCP:
		if (bpf_skb_load_bytes(skb, offset, header, is_quote ? 8 : 14))
			return SP_UNREADABLE;
		packet->source_port = *(__be16 *)header;
		packet->destination_port = *(__be16 *)(header + 2);
		packet->sequence = *(__u32 *)(header + 4);
		packet->tcp_flags = header[13];
		return SP_READABLE;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		if (bpf_skb_load_bytes(skb, offset, header, 4))
			return SP_UNREADABLE;
		packet->source_port = *(__be16 *)header;
		packet->destination_port = *(__be16 *)(header + 2);
		return SP_READABLE;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (bpf_skb_load_bytes(skb, offset, header, 8))
			return SP_UNREADABLE;
		packet->icmp_type = header[0];
		packet->icmp_code = header[1];
		packet->icmp_id = *(__be16 *)(header + 4);
		return SP_READABLE;
	}
	return SP_READABLE;
}

static __always_inline enum sp_readable sp_read_ipv4(struct __sk_buff *skb, struct sp_packet *packet, __u32 start,
						     int is_quote)
{
	__u8 header[20] __attribute__((aligned(8)));
	__u32 length;

	if (bpf_skb_load_bytes(skb, start, header, 20))
		return SP_UNREADABLE;
	length = (header[0] & 0x0f) * 4;
	if ((header[0] >> 4) != 4 || length < 20)
		return SP_UNREADABLE;
	packet->is_ipv4 = 1;
	packet->protocol = header[9];
	packet->hop_limit = header[8];
	packet->length = skb->len;
	sp_map_ipv4(packet->source, *(__be32 *)(header + 12));
	sp_map_ipv4(packet->destination, *(__be32 *)(header + 16));
	if (*(__be16 *)(header + 6) & bpf_htons(0x1fff))
		return SP_FRAGMENT;
	packet->is_fragment = (header[6] & 0x20) != 0;
	return sp_read_transport(skb, packet, start + length, is_quote);
}

static __always_inline enum sp_readable sp_read_ipv6(struct __sk_buff *skb, struct sp_packet *packet, __u32 start,
						     int is_quote)
{
	__u8 header[40] __attribute__((aligned(8))), extension[4] __attribute__((aligned(8)));
	__u32 offset = start + 40;
	__u8 next;
	int i;

	if (bpf_skb_load_bytes(skb, start, header, 40))
		return SP_UNREADABLE;
	if ((header[0] >> 4) != 6)
		return SP_UNREADABLE;
	packet->is_ipv4 = 0;
	packet->hop_limit = header[7];
	packet->length = skb->len;
	sp_copy_address(packet->source, header + 8);
	sp_copy_address(packet->destination, header + 24);
	next = header[6];
	for (i = 0; i <= SP_MAX_EXTENSIONS; i++) {
		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_MH:
			if (bpf_skb_load_bytes(skb, offset, extension, 2))
				return SP_UNREADABLE;
			offset += (extension[1] + 1) * 8;
			break;
		case IPPROTO_AH: /* length in 4-byte units less two (RFC 4302) */
			if (bpf_skb_load_bytes(skb, offset, extension, 2))
				return SP_UNREADABLE;
			offset += (extension[1] + 2) * 4;
			break;
		case IPPROTO_FRAGMENT:
			if (bpf_skb_load_bytes(skb, offset, extension, 4))
				return SP_UNREADABLE;
			if (*(__be16 *)(extension + 2) & bpf_htons(0xfff8)) {
				packet->protocol = extension[0];
				return SP_FRAGMENT;
			}
			packet->is_fragment = 1;
			offset += 8;
			break;
		default:
			packet->protocol = next;
			return sp_read_transport(skb, packet, offset, is_quote);
		}
		next = extension[0];
	}
	return SP_UNREADABLE;
}

/* Fills *packet (which the caller zeroes). A function of its own, verified once: what a
 * caller must not assume, it cannot (global functions since 5.6, their pointers since 5.12).
 */
SP_FUNCTION enum sp_readable sp_read(struct __sk_buff *skb, struct sp_packet *packet)
{
	if (!packet)
		return SP_UNREADABLE;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return sp_read_ipv4(skb, packet, 0, 0);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return sp_read_ipv6(skb, packet, 0, 0);
	return SP_UNREADABLE;
}

/* The index of a destination in the port table. */
static __always_inline __u32 sp_port_index(__u8 protocol, __u16 port)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return SP_PORT_TCP + port;
	case IPPROTO_UDP:
		return SP_PORT_UDP + port;
	case IPPROTO_SCTP:
		return SP_PORT_SCTP + port;
	case IPPROTO_ICMP:
		return SP_PORT_ICMP + (port & 0xff);
	case IPPROTO_ICMPV6:
		return SP_PORT_ICMP6 + (port & 0xff);
	}
	return SP_PORT_OTHER + protocol;
}
