/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whether an address is one of a network namespace's own, before there is a route that says so: looked up in the kernel's
 * table of interface addresses. Reads only, bounded. What the table cannot answer is unknown, not "no".
 */
#pragma once
#include "find.h"
#include "kernel.h"
#include "packet.h"

/* Addresses looked at in one hash bucket of 256. Before 5.18 (IPv6) and 6.14 (IPv4) one table holds those of all namespaces. */
#ifdef SP_NO_GLOBAL_FUNCTIONS
#define SP_LOCAL_LIMIT 8
#else
#define SP_LOCAL_LIMIT 16
#endif

enum sp_locality {
	SP_LOCAL_UNKNOWN = 0, /* no such table here, or a bucket too long */
	SP_LOCAL_NO,	      /* no address of an interface. A route of type local may still lead here (AnyIP) */
	SP_LOCAL_YES,
};

struct sp_locals {
	__u64 net;	  /* namespace, its address */
	__u64 scope;	  /* device that must have it, 0 = any */
	__u64 device;	  /* found: the device that has it, else 0 */
	__u64 cut;	  /* a bucket was longer than SP_LOCAL_LIMIT */
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
};

/* Before the tables were each namespace's own. */
extern const void inet_addr_lst __ksym __weak;
extern const void inet6_addr_lst __ksym __weak;

/* The first node of a bucket; 0 = none. hash_32(value, 8) of include/linux/hash.h: IN4_ADDR_HSIZE_SHIFT, IN6_ADDR_HSIZE_SHIFT. */
static __always_inline __u64 sp_local_bucket(__u64 table, __u32 value)
{
	value *= 0x61C88647u;
	return (__u64)SP_READ(hlist_head, table + (value >> 24) * sizeof(struct hlist_head), first);
}

/* Notes the device of an entry if it is the one that is looked for. Without a branch, as sp_find_look. */
static __always_inline void sp_local_note(struct sp_locals *locals, __u64 is_wanted, __u64 device)
{
	__u64 index = SP_READ(net_device, device, ifindex);

	is_wanted &= sp_is_same((__u64)SP_READ(net_device, device, nd_net.net), locals->net) &
		     (sp_is_zero(locals->scope) | sp_is_same(locals->scope, index));
	locals->device |= index * (is_wanted & sp_is_zero(locals->device));
}

static __always_inline void sp_local_in4(struct sp_locals *locals, __u64 node, __u64 address)
{
	__u32 offset, i;

	if (bpf_core_field_exists(struct in_ifaddr, addr_lst))
		offset = bpf_core_field_offset(struct in_ifaddr, addr_lst);
	else
		offset = bpf_core_field_offset(struct in_ifaddr___before_6_14, hash);
	for (i = 0; i < SP_LOCAL_LIMIT && node; i++) {
		__u64 entry = node - offset;

		sp_local_note(locals, sp_is_same(SP_READ(in_ifaddr, entry, ifa_local), address),
			      (__u64)SP_READ(in_ifaddr, entry, ifa_dev, dev));
		node = (__u64)SP_READ(hlist_node, node, next);
	}
	locals->cut |= node;
}

static __always_inline void sp_local_in6(struct sp_locals *locals, __u64 node, const __u64 address[2])
{
	__u32 i;

	for (i = 0; i < SP_LOCAL_LIMIT && node; i++) {
		__u64 entry = node - bpf_core_field_offset(struct inet6_ifaddr, addr_lst), own[2];

		bpf_probe_read_kernel(own, sizeof(own),
				      (void *)(entry + bpf_core_field_offset(struct inet6_ifaddr, addr)));
		sp_local_note(locals, sp_is_same(own[0], address[0]) & sp_is_same(own[1], address[1]),
			      (__u64)SP_READ(inet6_ifaddr, entry, idev, dev));
		node = (__u64)SP_READ(hlist_node, node, next);
	}
	locals->cut |= node;
}

/* inet_addr_hash (net/ipv4/devinet.c) has had three forms, and stable kernels of one version have different ones: all are
 * tried. The address is compared, so a wrong bucket finds nothing.
 */
static __always_inline void sp_local_find4(struct sp_locals *locals, __be32 address)
{
	__u32 mix = SP_READ(net, locals->net, hash_mix), hash, form;
	__u64 table = (__u64)&inet_addr_lst;

	if (bpf_core_field_exists(struct netns_ipv4, inet_addr_lst))
		table = (__u64)SP_READ(net, locals->net, ipv4.inet_addr_lst);
	if (!table)
		return;
#pragma clang loop unroll(disable)
	for (form = 0; form < 3; form++) {
		if (form == 0)
			hash = address;
		else if (form == 1)
			hash = address ^ mix;
		else
			hash = sp_jhash_1(address, mix);
		sp_local_in4(locals, sp_local_bucket(table, hash), address);
	}
}

/* Likewise inet6_addr_hash (net/ipv6/addrconf.c). */
static __always_inline void sp_local_find6(struct sp_locals *locals, const __u64 address[2])
{
	__u32 mix = SP_READ(net, locals->net, hash_mix), seed = mix + 0xdeadbeef + (3 << 2), hash, form;
	const __u32 *words = (const __u32 *)address;
	__u64 table = (__u64)&inet6_addr_lst;

	if (bpf_core_field_exists(struct netns_ipv6, inet6_addr_lst))
		table = (__u64)SP_READ(net, locals->net, ipv6.inet6_addr_lst);
	if (!table)
		return;
#pragma clang loop unroll(disable)
	for (form = 0; form < 3; form++) {
		if (form == 0)
			hash = sp_jhash_4(words, mix);
		else if (form == 1)
			hash = words[0] ^ words[1] ^ words[2] ^ words[3] ^ mix;
		else
			hash = sp_jhash_final((words[0] ^ words[1]) + seed, words[2] + seed, words[3] + seed);
		sp_local_in6(locals, sp_local_bucket(table, hash), address);
	}
}

/* Whether an address belongs to a namespace. "No" is believed only of a table in which the loopback
 * address is found in the same way: a kernel that hashes in another way, or has no such symbol, answers unknown.
 */
SP_FUNCTION enum sp_locality sp_locality(struct sp_locals *locals)
{
	__u64 wanted[2], found, is_ipv4, i;

	if (!locals)
		return SP_LOCAL_UNKNOWN;
	if (sp_is_loopback(locals->address)) {
		locals->device = SP_LOOPBACK_IFINDEX;
		return SP_LOCAL_YES;
	}
	if (sp_is_multicast(locals->address))
		return SP_LOCAL_NO;
	is_ipv4 = sp_is_mapped(locals->address);
	__builtin_memcpy(wanted, locals->address, sizeof(wanted));
#pragma clang loop unroll(disable)
	for (i = 0; i < 2; i++) {
		locals->device = 0;
		if (is_ipv4)
			sp_local_find4(locals, wanted[1] >> 32);
		else
			sp_local_find6(locals, wanted);
		SP_JOIN(locals);
		found = locals->device;
		if (found)
			break;
		locals->scope = 0;
		wanted[0] = 0;
		wanted[1] = is_ipv4 ? (__u64)bpf_htonl(0x7f000001) << 32 : 1ull << 56;
	}
	if (found && !i)
		return SP_LOCAL_YES;
	locals->device = 0;
	return found && !locals->cut ? SP_LOCAL_NO : SP_LOCAL_UNKNOWN;
}
