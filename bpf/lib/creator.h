/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Whom a socket speaks for on the cgroup datapath: the cgroup that made it, by each view of a socket that a hook may have; or
 * what the agent said instead (sp_retag).
 */
#pragma once
#include "../maps.h"
#include "identity.h"
#include "kernel.h"
#include "tables.h"

/* True and filled if the socket speaks for another workload than its creator's: rare, so asked only if there are any. */
static __always_inline int sp_endpoint_of_retag(struct sp_endpoint *endpoint, const struct sp_control *control,
						void *sk)
{
	struct sp_retag *retag;

	if (!control || !(control->flags & SP_CONTROL_RETAGGED) || !sk)
		return 0;
	retag = bpf_sk_storage_get(&sp_retag, sk, 0, 0);
	if (!retag)
		return 0;
	if (!retag->workload) {
		sp_endpoint_host(endpoint, SP_ASSURED_SOCKET);
		return 1;
	}
	if (!sp_endpoint_of_cgroup(endpoint, retag->workload))
		return 0;
	if (retag->flags & SP_RETAG_CHILD)
		sp_endpoint_is_child(endpoint);
	return 1;
}

/* The socket that a packet belongs to: whom it speaks for, that is its creator's cgroup. Returns 0. */
SP_FUNCTION int sp_endpoint_of_skb(struct __sk_buff *skb, struct sp_endpoint *endpoint)
{
	struct sp_control *control = sp_controls();

	if (!endpoint)
		return 0;
	if (sp_endpoint_of_retag(endpoint, control, skb->sk))
		return 0;
	SP_WALK(endpoint, control, bpf_skb_ancestor_cgroup_id(skb, level), bpf_skb_cgroup_id(skb));
	return 0;
}

/* A socket that was looked up (cgroup_skb programs only). */
static __always_inline void sp_endpoint_of_socket(struct sp_endpoint *endpoint, struct bpf_sock *sk)
{
	struct sp_control *control = sp_controls();

	if (sp_endpoint_of_retag(endpoint, control, sk))
		return;
	SP_WALK(endpoint, control, bpf_sk_ancestor_cgroup_id(sk, level), bpf_sk_cgroup_id(sk));
}

/* A socket by its address in the kernel's memory. One that was retagged speaks for its creator here: whether it was, only its
 * own hook can tell.
 */
static __always_inline void sp_endpoint_of_walked(struct sp_endpoint *endpoint, __u64 socket)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of(socket);

	SP_WALK(endpoint, control, sp_ancestor_id(cgroup, level), sp_cgroup_id(cgroup));
}

/* A socket by the kernel's own view of it, where the helpers are refused (sock_addr programs). Where the pointer to the
 * cgroup shares a word with other things (SP_NO_GLOBAL_FUNCTIONS is for such kernels), it is read as a number.
 */
#ifdef SP_NO_GLOBAL_FUNCTIONS
static __always_inline void sp_endpoint_of_kernel_socket(struct sp_endpoint *endpoint, struct bpf_sock *sk,
							 const struct sock *kernel)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of((__u64)kernel);

	if (sp_endpoint_of_retag(endpoint, control, sk))
		return;
	SP_WALK(endpoint, control, sp_ancestor_id(cgroup, level), sp_cgroup_id(cgroup));
}

static __always_inline __u64 sp_creator_of(const struct sock *kernel)
{
	return sp_cgroup_id(sp_cgroup_of((__u64)kernel));
}
#else
static __always_inline void sp_endpoint_of_kernel_socket(struct sp_endpoint *endpoint, struct bpf_sock *sk,
							 const struct sock *kernel)
{
	struct cgroup *cgroup = kernel->sk_cgrp_data.cgroup;
	struct sp_control *control = sp_controls();
	__u32 levels = control ? control->levels : 0;
	int i;

	if (sp_endpoint_of_retag(endpoint, control, sk))
		return;
	sp_endpoint_host(endpoint, SP_ASSURED_SOCKET);
	for (i = 0; i <= (int)SP_MAX_LEVEL; i++) {
		struct cgroup_subsys_state *parent;
		int level = cgroup->level;

		if (level <= 0)
			break;
		if (level <= (int)SP_MAX_LEVEL && (levels & (1u << (level & 31))) &&
		    sp_endpoint_of_cgroup(endpoint, cgroup->kn->id)) {
			if (i > 0)
				sp_endpoint_is_child(endpoint);
			break;
		}
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
}

static __always_inline __u64 sp_creator_of(const struct sock *kernel)
{
	return kernel->sk_cgrp_data.cgroup->kn->id;
}
#endif
