/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whether an address is one of a network namespace's own, before there is a route that says so: looked up in the kernel's
 * table of interface addresses. Reads only, bounded. What the table cannot answer is unknown, not "no".
 */
#pragma once
#include "find.h"
#include "identity.h"
#include "kernel.h"

/* Addresses looked at in one hash bucket. Before 5.18 (IPv6) and 6.14 (IPv4) one table holds those of all namespaces. */
#ifdef SP_STATIC
#define SP_LOCAL_LIMIT 16
#else
#define SP_LOCAL_LIMIT 64
#endif

enum sp_locality {
	SP_LOCAL_UNKNOWN = 0, /* no such table here, or a bucket too long */
	SP_LOCAL_NO,	      /* no address of an interface. A route of type local may still lead here (AnyIP) */
	SP_LOCAL_YES,
};

struct sp_locals {
	__u64 net;    /* namespace, its address */
	__u32 scope;  /* device that must have it, 0 = any */
	__u32 device; /* found: the device that has it */
	__u32 cut;    /* a bucket was longer than SP_LOCAL_LIMIT */
	__u32 pad;
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u64 wanted[2];  /* what is looked for in a bucket; IPv4 as a number */
};

/* Before the tables were each namespace's own. */
extern const void inet_addr_lst __ksym __weak;
extern const void inet6_addr_lst __ksym __weak;

/* hash_32(value, 8) of include/linux/hash.h: IN4_ADDR_HSIZE_SHIFT, IN6_ADDR_HSIZE_SHIFT. */
static __always_inline __u32 sp_hash_8(__u32 value)
{
	return value * 0x61C88647u >> 24;
}

/* The first node of a bucket; 0 = none. */
static __always_inline __u64 sp_local_bucket(__u64 table, __u32 hash)
{
	return (__u64)SP_READ(hlist_head, table + sp_hash_8(hash) * sizeof(struct hlist_head), first);
}

/* True if an entry with what is wanted, on this device, counts. */
static __always_inline int sp_local_is_here(struct sp_locals *locals, __u64 device)
{
	__u32 index = SP_READ(net_device, device, ifindex);

	if ((__u64)SP_READ(net_device, device, nd_net.net) != locals->net || (locals->scope && locals->scope != index))
		return 0;
	locals->device = index;
	return 1;
}

/* Looks for IPv4 locals->wanted[0] in a bucket. */
SP_FUNCTION int sp_local_in4(struct sp_locals *locals, __u64 node)
{
	__u32 offset, i;

	if (!locals)
		return 0;
	if (bpf_core_field_exists(struct in_ifaddr, addr_lst))
		offset = bpf_core_field_offset(struct in_ifaddr, addr_lst);
	else
		offset = bpf_core_field_offset(struct in_ifaddr___before_6_14, hash);
	for (i = 0; i < SP_LOCAL_LIMIT; i++) {
		if (!node)
			return 0;
		if (SP_READ(in_ifaddr, node - offset, ifa_local) == (__u32)locals->wanted[0] &&
		    sp_local_is_here(locals, (__u64)SP_READ(in_ifaddr, node - offset, ifa_dev, dev)))
			return 1;
		node = (__u64)SP_READ(hlist_node, node, next);
	}
	locals->cut = 1;
	return 0;
}

/* Looks for IPv6 locals->wanted in a bucket. */
SP_FUNCTION int sp_local_in6(struct sp_locals *locals, __u64 node)
{
	__u32 offset = bpf_core_field_offset(struct inet6_ifaddr, addr_lst), i;
	__u64 own[2];

	if (!locals)
		return 0;
	for (i = 0; i < SP_LOCAL_LIMIT; i++) {
		if (!node)
			return 0;
		bpf_probe_read_kernel(own, sizeof(own),
				      (void *)(node - offset + bpf_core_field_offset(struct inet6_ifaddr, addr)));
		if (own[0] == locals->wanted[0] && own[1] == locals->wanted[1] &&
		    sp_local_is_here(locals, (__u64)SP_READ(inet6_ifaddr, node - offset, idev, dev)))
			return 1;
		node = (__u64)SP_READ(hlist_node, node, next);
	}
	locals->cut = 1;
	return 0;
}

/* True if IPv4 `address` is in the table (inet_addr_hash, net/ipv4/devinet.c). */
static __always_inline int sp_local_has4(struct sp_locals *locals, __be32 address)
{
	__u64 table = (__u64)&inet_addr_lst;
	__u32 hash = address;

	locals->wanted[0] = address;
	if (bpf_core_field_exists(struct netns_ipv4, inet_addr_lst))
		table = (__u64)SP_READ(net, locals->net, ipv4.inet_addr_lst);
	else
		hash ^= SP_READ(net, locals->net, hash_mix);
	return table && sp_local_in4(locals, sp_local_bucket(table, hash));
}

/* True if IPv6 locals->wanted is in the table. inet6_addr_hash (net/ipv6/addrconf.c) has had three forms, and stable kernels
 * of one version have different ones: all are tried. The address is compared, so a wrong bucket finds nothing.
 */
SP_FUNCTION int sp_local_has6(struct sp_locals *locals)
{
	__u64 table = (__u64)&inet6_addr_lst;
	__u32 words[4], mix, seed;

	if (!locals)
		return 0;
	__builtin_memcpy(words, locals->wanted, sizeof(words));
	mix = SP_READ(net, locals->net, hash_mix);
	seed = mix + 0xdeadbeef + (3 << 2);
	if (bpf_core_field_exists(struct netns_ipv6, inet6_addr_lst))
		table = (__u64)SP_READ(net, locals->net, ipv6.inet6_addr_lst);
	if (!table)
		return 0;
	return sp_local_in6(locals, sp_local_bucket(table, sp_jhash_4(words, mix))) ||
	       sp_local_in6(locals, sp_local_bucket(table, words[0] ^ words[1] ^ words[2] ^ words[3] ^ mix)) ||
	       sp_local_in6(locals, sp_local_bucket(table, sp_jhash_final((words[0] ^ words[1]) + seed, words[2] + seed,
									  words[3] + seed)));
}

/* Whether an address belongs to a namespace, an enum sp_locality. "No" is believed only of a table in which the loopback
 * address is found in the same way: a kernel that hashes in another way, or has no such symbol, answers unknown.
 */
SP_FUNCTION int sp_locality(struct sp_locals *locals)
{
	int found;

	if (!locals)
		return SP_LOCAL_UNKNOWN;
	if (sp_is_loopback(locals->address)) {
		locals->device = SP_LOOPBACK_IFINDEX;
		return SP_LOCAL_YES;
	}
	if (sp_is_multicast(locals->address))
		return SP_LOCAL_NO;
	if (!locals->net)
		return SP_LOCAL_UNKNOWN;
	if (sp_is_mapped(locals->address)) {
		if (sp_local_has4(locals, *(__be32 *)(locals->address + 12)))
			return SP_LOCAL_YES;
		locals->scope = 0;
		found = sp_local_has4(locals, bpf_htonl(0x7f000001));
	} else {
		__builtin_memcpy(locals->wanted, locals->address, 16);
		if (sp_local_has6(locals))
			return SP_LOCAL_YES;
		locals->scope = 0;
		locals->wanted[0] = 0;
		locals->wanted[1] = 1ull << 56; /* ::1 */
		found = sp_local_has6(locals);
	}
	return found && !locals->cut ? SP_LOCAL_NO : SP_LOCAL_UNKNOWN;
}
