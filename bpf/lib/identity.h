/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whose packet: the identity of a socket, a task or an address. Nearest labelled ancestor wins; nothing labelled = host. */
#pragma once
#include "../maps.h"
#include "packet.h"
#include "socket.h"

static __always_inline void sp_party_host(struct sp_party *party, __u32 assurance)
{
	party->workload = 0;
	party->identity = SP_IDENTITY_HOST;
	party->flags = 0;
	party->assurance = assurance;
}

static __always_inline void sp_party_unknown(struct sp_party *party)
{
	party->workload = 0;
	party->identity = SP_IDENTITY_UNKNOWN;
	party->flags = 0;
	party->assurance = SP_ASSURED_NOT;
}

/* True and filled if the cgroup has labels of its own. */
static __always_inline int sp_party_of_cgroup(struct sp_party *party, __u64 cgroup)
{
	struct sp_workload *row = bpf_map_lookup_elem(&sp_workload, &cgroup);

	if (!row)
		return 0;
	party->workload = cgroup;
	party->identity = row->identity;
	party->flags = row->flags;
	party->assurance = SP_ASSURED_SOCKET;
	return 1;
}

/* Levels at which labelled cgroups exist, as a mask: others are not walked. */
static __always_inline __u32 sp_levels(void)
{
	__u32 key = 0;
	struct sp_control *control = bpf_map_lookup_elem(&sp_control, &key);

	return control ? control->levels : 0;
}

/* Walks from the deepest labelled level up; `ancestor` is an expression in `level` that gives 0 above the cgroup's own. */
#define SP_WALK(party, ancestor)                                       \
	do {                                                           \
		__u32 sp_mask = sp_levels();                           \
		int level;                                             \
                                                                       \
		sp_party_host(party, SP_ASSURED_SOCKET);               \
		for (level = SP_MAX_LEVEL; level > 0; level--) {       \
			__u64 sp_id;                                   \
                                                                       \
			if (!(sp_mask & (1u << level)))                \
				continue;                              \
			sp_id = (ancestor);                            \
			if (sp_id && sp_party_of_cgroup(party, sp_id)) \
				break;                                 \
		}                                                      \
	} while (0)

/* The socket that a packet belongs to: that of its creator's cgroup. Returns 0. */
__noinline int sp_party_of_skb(struct __sk_buff *skb, struct sp_party *party)
{
	if (!party)
		return 0;
	SP_WALK(party, bpf_skb_ancestor_cgroup_id(skb, level));
	return 0;
}

/* A socket that was looked up (cgroup_skb programs only). */
static __always_inline void sp_party_of_socket(struct sp_party *party, struct bpf_sock *sk)
{
	SP_WALK(party, bpf_sk_ancestor_cgroup_id(sk, level));
}

/* The calling task. Returns 0. */
__noinline int sp_party_of_task(struct sp_party *party)
{
	if (!party)
		return 0;
	SP_WALK(party, bpf_get_current_ancestor_cgroup_id(level));
	return 0;
}

/* A kernel socket, by its BTF pointer: where the helpers above are refused (sock_addr and sock_ops programs). */
static __always_inline void sp_party_of_kernel_socket(struct sp_party *party, const struct sock *sk)
{
	struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
	__u32 levels = sp_levels();
	int i;

	sp_party_host(party, SP_ASSURED_SOCKET);
	for (i = 0; i <= (int)SP_MAX_LEVEL; i++) {
		struct cgroup_subsys_state *parent;
		int level = cgroup->level;

		if (level <= 0)
			break;
		if (level <= (int)SP_MAX_LEVEL && (levels & (1u << (level & 31))) &&
		    sp_party_of_cgroup(party, cgroup->kn->id))
			break;
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
}

/* An address: a set of external networks, the address of a workload, or the world. */
static __always_inline void sp_party_of_address(struct sp_party *party, __u32 slot, const __u8 address[16])
{
	struct sp_network_key key = { .prefix_length = 160, .slot = slot };
	struct sp_network *row;

	sp_copy_address(key.address, address);
	row = bpf_map_lookup_elem(&sp_networks, &key);
	party->workload = row ? row->workload : 0;
	party->identity = row ? row->identity : SP_IDENTITY_WORLD;
	party->flags = 0;
	party->assurance = SP_ASSURED_ADDRESS;
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
