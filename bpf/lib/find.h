/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Which socket a packet goes to, found in the kernel's own hash tables as the kernel itself will look: for programs that
 * have no lookup helper. Reads only, bounded; what does not fit the bound is said to be so.
 */
#pragma once
#include "kernel.h"
#include "packet.h"
#include "tables.h"

/* Sockets looked at in one hash bucket. Where the verifier walks through each of them, few; else as many as a server has
 * that opens one for each CPU of a large host.
 */
#if defined(SP_NO_GLOBAL_FUNCTIONS) && !defined(SP_NETFILTER)
#define SP_FIND_LIMIT 4 /* only what the helpers do not find is looked for (hook_cgroup.h) */
#elif defined(SP_NO_GLOBAL_FUNCTIONS)
#define SP_FIND_LIMIT 12
#else
#define SP_FIND_LIMIT 4096
#endif

#ifdef SP_NETFILTER
/* Whom a socket speaks for, as a number that differs for an unlabelled child that is refused. Old verifiers have no patience
 * for it: there each cgroup speaks for itself.
 */
#ifdef SP_NO_GLOBAL_FUNCTIONS
static __always_inline __u64 sp_speaker(__u64 socket)
{
	return sp_cgroup_id(sp_cgroup_of(socket));
}
#else
SP_FUNCTION __u64 sp_speaker(__u64 socket)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of(socket), id;
	__u32 mask = control ? control->levels : 0;
	struct sp_workload *row;
	int level;

	for (level = SP_MAX_LEVEL; level > 0; level--) {
		if (!(mask & (1u << level)))
			continue;
		id = sp_ancestor_id(cgroup, level);
		row = id ? bpf_map_lookup_elem(&sp_workload, &id) : 0;
		if (!row)
			continue;
		if ((row->flags & SP_WORKLOAD_REJECT_CHILDREN) && id != sp_cgroup_id(cgroup))
			return id ^ 1ull << 63;
		return id;
	}
	return 0;
}
#endif
#endif

struct sp_best {
	__u64 score; /* 0 = none yet */
	__u64 socket;
	__u64 cgroup;
	/* One that suits as well, which the kernel may choose as it likes, but speaks for another: SO_REUSEPORT. Old verifiers
	 * have no patience for more than cgroups: there two of them are two workloads.
	 */
	__u64 rival;
	__u64 alike; /* the last cgroup that was found to speak for the same workload */
};

struct sp_search {
	__u64 net;	    /* namespace, its address */
	const __u8 *local;  /* address where the packet goes */
	const __u8 *remote; /* where it comes from */
	__u32 device;	    /* by which it arrives */
	__u16 local_port;   /* host order */
	__be16 remote_port;
	__u16 is_tcp;
	__u16 is_ipv4;
	struct sp_best best;
	__u64 node; /* next of the list */
	__u64 cut;  /* the list was longer than SP_FIND_LIMIT */
};

/* Bob Jenkins' hash as the kernel has it (include/linux/jhash.h). */
#define SP_ROTATE(word, by) ((word) << (by) | (word) >> (32 - (by)))

static __always_inline __u32 sp_jhash_final(__u32 a, __u32 b, __u32 c)
{
	c ^= b;
	c -= SP_ROTATE(b, 14);
	a ^= c;
	a -= SP_ROTATE(c, 11);
	b ^= a;
	b -= SP_ROTATE(a, 25);
	c ^= b;
	c -= SP_ROTATE(b, 16);
	a ^= c;
	a -= SP_ROTATE(c, 4);
	b ^= a;
	b -= SP_ROTATE(a, 14);
	c ^= b;
	c -= SP_ROTATE(b, 24);
	return c;
}

static __always_inline __u32 sp_jhash_1(__u32 word, __u32 seed)
{
	seed += 0xdeadbeef + (1 << 2);
	return sp_jhash_final(word + seed, seed, seed);
}

static __always_inline __u32 sp_jhash_4(const __u32 *words, __u32 seed)
{
	__u32 a, b, c;

	a = b = c = 0xdeadbeef + (4 << 2) + seed;
	a += words[0];
	b += words[1];
	c += words[2];
	a -= c;
	a ^= SP_ROTATE(c, 4);
	c += b;
	b -= a;
	b ^= SP_ROTATE(a, 6);
	a += c;
	c -= b;
	c ^= SP_ROTATE(b, 8);
	b += a;
	a -= c;
	a ^= SP_ROTATE(c, 16);
	c += b;
	b -= a;
	b ^= SP_ROTATE(a, 19);
	a += c;
	c -= b;
	c ^= SP_ROTATE(b, 4);
	b += a;
	return sp_jhash_final(a + words[3], b, c);
}

/* ipv4_portaddr_hash, ipv6_portaddr_hash (include/net/ip.h, ipv6.h) of the local end, or of the unspecified address. */
static __always_inline __u32 sp_find_hash(const struct sp_search *search, int any)
{
	__u32 seed = SP_READ(net, search->net, hash_mix);
	const __u32 *words = (const __u32 *)search->local;

	if (any)
		return sp_jhash_1(0, seed) ^ search->local_port;
	if (search->is_ipv4)
		return sp_jhash_1(words[3], seed) ^ search->local_port;
	return sp_jhash_4(words, seed) ^ search->local_port;
}

/* Listeners by address and port. Where it hangs has changed twice. */
static __always_inline __u64 sp_find_listeners(const struct sp_search *search, __u32 hash)
{
	struct inet_hashinfo *table;

	if (bpf_core_field_exists(struct netns_ipv4___pointer, tcp_death_row))
		table = SP_READ(net___pointer, search->net, ipv4.tcp_death_row, hashinfo);
	else
		table = SP_READ(net, search->net, ipv4.tcp_death_row.hashinfo);
	hash &= BPF_CORE_READ(table, lhash2_mask);
	return (__u64)BPF_CORE_READ(table, lhash2) + hash * bpf_core_type_size(struct inet_listen_hashbucket) +
	       bpf_core_field_offset(struct inet_listen_hashbucket, nulls_head);
}

/* Before 6.2 one for all namespaces. */
extern const void udp_table __ksym __weak;

/* UDP sockets by address and port. */
static __always_inline __u64 sp_find_datagrams(const struct sp_search *search, __u32 hash)
{
	struct udp_table *table = (struct udp_table *)&udp_table;
	__u32 size = bpf_core_type_exists(struct udp_hslot_main) ? bpf_core_type_size(struct udp_hslot_main)
								 : bpf_core_type_size(struct udp_hslot);

	if (bpf_core_field_exists(struct netns_ipv4, udp_table))
		table = SP_READ(net, search->net, ipv4.udp_table);
	hash &= BPF_CORE_READ(table, mask);
	return (__u64)BPF_CORE_READ(table, hash2) + hash * size;
}

/* How far the list's nodes are from the beginning of their sockets. */
static __always_inline __u64 sp_find_offset(int is_tcp)
{
	if (!is_tcp)
		return bpf_core_field_offset(struct sock, __sk_common.skc_portaddr_node);
	if (bpf_core_field_exists(struct inet_connection_sock, icsk_listen_portaddr_node))
		return bpf_core_field_offset(struct inet_connection_sock, icsk_listen_portaddr_node);
	return bpf_core_field_offset(struct sock, __sk_common.skc_nulls_node);
}

/* 1 if the two are the same, else 0, without a branch: the verifier follows every path of every branch in the walk below
 * as many times as the walk has steps.
 */
static __always_inline __u64 sp_is_zero(__u64 difference)
{
	difference |= difference >> 32;
	difference = (__u32)difference;
	asm volatile("" : "+r"(difference));
	return (difference - 1) >> 63;
}

static __always_inline __u64 sp_is_same(__u64 a, __u64 b)
{
	return sp_is_zero(a ^ b);
}

/* 1 if the packet's destination is the socket's own address, or with `any` if the socket has none. */
static __always_inline __u64 sp_find_is_local(const struct sp_search *search, struct sock *sk, int any)
{
	const __u64 *local = (const __u64 *)search->local;
	__u64 own[2];

	if (search->is_ipv4) {
		__u64 only6 = BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_ipv6only);

		return sp_is_same(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr), any ? 0 : local[1] >> 32) &
		       sp_is_zero(only6);
	}
	BPF_CORE_READ_INTO((struct in6_addr *)own, sk, __sk_common.skc_v6_rcv_saddr);
	return sp_is_same(own[0], any ? 0 : local[0]) & sp_is_same(own[1], any ? 0 : local[1]) &
	       sp_is_same(BPF_CORE_READ(sk, __sk_common.skc_family), SP_AF_INET6);
}

/* Of a datagram socket: 0 if it is connected to somebody else, else 4 and how much of the other end it names. */
static __always_inline __u64 sp_find_is_remote(const struct sp_search *search, struct sock *sk)
{
	__u64 port = BPF_CORE_READ(sk, __sk_common.skc_dport), no_port = sp_is_zero(port), no_address, address;
	const __u64 *remote = (const __u64 *)search->remote;
	__u64 other[2];

	if (search->is_ipv4) {
		__u64 word = BPF_CORE_READ(sk, __sk_common.skc_daddr);

		no_address = sp_is_zero(word);
		address = sp_is_same(word, remote[1] >> 32);
	} else {
		BPF_CORE_READ_INTO((struct in6_addr *)other, sk, __sk_common.skc_v6_daddr);
		no_address = sp_is_zero(other[0]) & sp_is_zero(other[1]);
		address = sp_is_same(other[0], remote[0]) & sp_is_same(other[1], remote[1]);
	}
	port = sp_is_same(port, search->remote_port);
	return (no_port | port) * (no_address | address) * (4 + (1 - no_port) + (1 - no_address));
}

/* How well a socket suits: compute_score of net/ipv4/udp.c, inet_hashtables.c and their IPv6 twins, in one scale; 0 = not
 * at all. One that is bound to another device is the last resort and not excluded: a packet that stays here arrives by
 * whatever device its sender is bound to.
 */
static __always_inline __u64 sp_find_score(const struct sp_search *search, struct sock *sk, int any)
{
	__u64 device = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if), same, score, suits;

	suits = sp_find_is_local(search, sk, any) &
		sp_is_same((__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net), search->net);
	score = any ? 0 : 64;
	if (search->is_tcp) {
		score += 16;
	} else {
		same = sp_find_is_remote(search, sk);
		suits &= 1 - sp_is_zero(same);
		score += same * 4;
	}
	if (search->is_ipv4)
		score += sp_is_same(BPF_CORE_READ(sk, __sk_common.skc_family), SP_AF_INET);
	same = sp_is_same(device, search->device);
	return suits * (score + (same | sp_is_zero(device)) * 128 + same * 4);
}

/* Looks at one socket and goes on to the next; 1 = there is none. */
static __always_inline int sp_find_look(struct sp_search *search, __u64 offset, int any)
{
	__u64 socket = search->node - offset, score, better, cgroup, differs;
	struct sp_best *best = &search->best;

	if (!search->node || search->node & 1)
		return 1;
	if (SP_READ(sock, socket, __sk_common.skc_num) == search->local_port) {
		score = sp_find_score(search, (struct sock *)socket, any);
		cgroup = sp_cgroup_of(socket);
		differs = sp_is_same(score, best->score) & (1 - sp_is_zero(score)) &
			  (1 - sp_is_same(cgroup, best->cgroup)) & (1 - sp_is_same(cgroup, best->alike));
#if defined(SP_NETFILTER) && !defined(SP_NO_GLOBAL_FUNCTIONS)
		if (differs && sp_speaker(socket) == sp_speaker(best->socket)) {
			best->alike = cgroup;
			differs = 0;
		}
#endif
		best->rival |= socket & (0 - differs);
		better = best->score - score;
		asm volatile("" : "+r"(better));
		better = 0 - (better >> 63);
		best->score ^= (best->score ^ score) & better;
		best->socket ^= (best->socket ^ socket) & better;
		best->cgroup ^= (best->cgroup ^ cgroup) & better;
		best->rival &= ~better;
		best->alike &= ~better;
		SP_JOIN(&search->best);
	}
	search->node = (__u64)SP_READ(hlist_node, search->node, next);
	return 0;
}

static int sp_find_exact(__u32 step, struct sp_search *search)
{
	(void)step;
	return sp_find_look(search, sp_find_offset(search->is_tcp), 0);
}

static int sp_find_any(__u32 step, struct sp_search *search)
{
	(void)step;
	return sp_find_look(search, sp_find_offset(search->is_tcp), 1);
}

/* Walks one bucket. */
static __always_inline void sp_find_in(struct sp_search *search, int any)
{
#ifdef SP_NO_GLOBAL_FUNCTIONS
	__u64 offset = sp_find_offset(search->is_tcp);
	int i;

	for (i = 0; i < SP_FIND_LIMIT; i++)
		if (sp_find_look(search, offset, any))
			return;
	search->cut = 1;
#else
	if (any)
		bpf_loop(SP_FIND_LIMIT, sp_find_any, search, 0);
	else
		bpf_loop(SP_FIND_LIMIT, sp_find_exact, search, 0);
	search->cut |= search->node && !(search->node & 1);
#endif
}

/* Fills search->best; its socket is 0 if there is none. The exact address first, then any: as the kernel does. */
static __always_inline void sp_find(struct sp_search *search)
{
	__u64 bucket;
	__u32 hash;
	int any;

	SP_JOIN(&search->best);
	for (any = 0; any < 2; any++) {
		hash = sp_find_hash(search, any);
		bucket = search->is_tcp ? sp_find_listeners(search, hash) : sp_find_datagrams(search, hash);
		search->node = (__u64)SP_READ(hlist_node, bucket, next);
		sp_find_in(search, any);
		if (search->best.score >= 128)
			return;
	}
}
