/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whose packet: the identity of a socket, a task or an address. Nearest labelled ancestor wins; nothing labelled = host. */
#pragma once
#include "../maps.h"
#include "packet.h"
#include "tables.h"

static __always_inline void sp_endpoint_host(struct sp_endpoint *endpoint, __u32 assurance)
{
	endpoint->workload = 0;
	endpoint->identity = SP_IDENTITY_HOST;
	endpoint->flags = 0;
	endpoint->assurance = assurance;
}

static __always_inline void sp_endpoint_unknown(struct sp_endpoint *endpoint)
{
	endpoint->workload = 0;
	endpoint->identity = SP_IDENTITY_UNKNOWN;
	endpoint->flags = 0;
	endpoint->assurance = SP_ASSURED_NOT;
}

/* True and filled if the cgroup has labels of its own. */
static __always_inline int sp_endpoint_of_cgroup(struct sp_endpoint *endpoint, __u64 cgroup)
{
	struct sp_workload *row = bpf_map_lookup_elem(&sp_workload, &cgroup);

	if (!row)
		return 0;
	endpoint->workload = cgroup;
	endpoint->identity = row->identity;
	endpoint->flags = row->flags;
	endpoint->assurance = SP_ASSURED_SOCKET;
	return 1;
}

/* The endpoint turns out to be a cgroup without labels below the workload. If that rejects such children, it is nobody to
 * others; under observation nothing may change for them, so it stays who its parent is.
 */
static __always_inline void sp_endpoint_is_child(struct sp_endpoint *endpoint)
{
	if (!(endpoint->flags & SP_WORKLOAD_REJECT_CHILDREN))
		return;
	endpoint->flags |= SP_ENDPOINT_UNLABELLED;
	if (!(endpoint->flags & SP_WORKLOAD_OBSERVE))
		endpoint->identity = SP_IDENTITY_UNKNOWN;
}

/* Walks from the deepest labelled level up: others, by a mask, are not looked at. `ancestor` is an expression in `level`
 * that gives 0 above the cgroup's own, `own` one that gives the cgroup's.
 */
#define SP_WALK(endpoint, control, ancestor, own)                                                    \
	do {                                                                                         \
		__u32 sp_mask = (control) ? (control)->levels : 0;                                   \
		int level;                                                                           \
                                                                                                     \
		sp_endpoint_host(endpoint, SP_ASSURED_SOCKET);                                       \
		for (level = SP_MAX_LEVEL; level > 0; level--) {                                     \
			__u64 sp_id;                                                                 \
                                                                                                     \
			if (!(sp_mask & (1u << level)))                                              \
				continue;                                                            \
			sp_id = (ancestor);                                                          \
			if (sp_id && sp_endpoint_of_cgroup(endpoint, sp_id)) {                       \
				if (endpoint->flags & SP_WORKLOAD_REJECT_CHILDREN && sp_id != (own)) \
					sp_endpoint_is_child(endpoint);                              \
				break;                                                               \
			}                                                                            \
		}                                                                                    \
	} while (0)

/* An address: a set of external networks, the address of a workload, or the world. */
static __always_inline void sp_endpoint_of_address(struct sp_endpoint *endpoint, __u32 slot, const __u8 address[16])
{
	struct sp_network_key key = { .prefix_length = 160, .slot = slot };
	struct sp_network *row;

	sp_copy_address(key.address, address);
	row = bpf_map_lookup_elem(&sp_networks, &key);
	endpoint->workload = row ? row->workload : 0;
	endpoint->identity = row ? row->identity : SP_IDENTITY_WORLD;
	endpoint->flags = 0;
	endpoint->assurance = SP_ASSURED_ADDRESS;
}
