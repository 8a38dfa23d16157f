/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whose packet: the identity of a socket, a task or an address. Nearest labelled ancestor wins; nothing labelled = host. */
#pragma once
#include "../maps.h"
#include "packet.h"
#include "tables.h"

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

/* The party turns out to be a cgroup without labels below the workload. If that rejects such children, it is nobody to
 * others; under observation nothing may change for them, so it stays who its parent is.
 */
static __always_inline void sp_party_is_child(struct sp_party *party)
{
	if (!(party->flags & SP_WORKLOAD_REJECT_CHILDREN))
		return;
	party->flags |= SP_PARTY_UNLABELLED;
	if (!(party->flags & SP_WORKLOAD_OBSERVE))
		party->identity = SP_IDENTITY_UNKNOWN;
}

/* Walks from the deepest labelled level up: others, by a mask, are not looked at. `ancestor` is an expression in `level`
 * that gives 0 above the cgroup's own, `own` one that gives the cgroup's.
 */
#define SP_WALK(party, control, ancestor, own)                                                    \
	do {                                                                                      \
		__u32 sp_mask = (control) ? (control)->levels : 0;                                \
		int level;                                                                        \
                                                                                                  \
		sp_party_host(party, SP_ASSURED_SOCKET);                                          \
		for (level = SP_MAX_LEVEL; level > 0; level--) {                                  \
			__u64 sp_id;                                                              \
                                                                                                  \
			if (!(sp_mask & (1u << level)))                                           \
				continue;                                                         \
			sp_id = (ancestor);                                                       \
			if (sp_id && sp_party_of_cgroup(party, sp_id)) {                          \
				if (party->flags & SP_WORKLOAD_REJECT_CHILDREN && sp_id != (own)) \
					sp_party_is_child(party);                                 \
				break;                                                            \
			}                                                                         \
		}                                                                                 \
	} while (0)

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
