/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The little of the kernel's own structures that helpers do not show, by CO-RE; and lookups of sockets by addresses. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "packet.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
};
/* Since 5.15 (kernel commit 8520e224f547); before, the pointer was packed into a word with the net_cls id. */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct sock {
	struct sock_cgroup_data sk_cgrp_data;
};
#pragma clang attribute pop

/* 6.2; a weak symbol, and a branch that the configuration removes where it is missing. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/* include/net/tcp_states.h */
enum sp_socket_state {
	SP_STATE_ESTABLISHED = 1,
	SP_STATE_SYN_SENT = 2,
	SP_STATE_SYN_RECEIVED = 3,
	SP_STATE_FIN_WAIT2 = 5,
	SP_STATE_TIME_WAIT = 6,
	SP_STATE_CLOSE = 7,
	SP_STATE_CLOSE_WAIT = 8,
	SP_STATE_LAST_ACK = 9,
	SP_STATE_LISTEN = 10,
	SP_STATE_CLOSING = 11,
};

#define SP_SOCK_STREAM 1
#define SP_LOOPBACK_IFINDEX 1 /* of every network namespace (LOOPBACK_IFINDEX, include/net/flow.h) */

/* Fills a tuple so that a lookup finds the socket that has `local` as its own end; returns the tuple's size. */
static __always_inline __u32 sp_tuple(struct bpf_sock_tuple *tuple, const __u8 local[16], __be16 local_port,
				      const __u8 remote[16], __be16 remote_port)
{
	if (sp_is_mapped(local)) {
		tuple->ipv4.saddr = *(__be32 *)(remote + 12);
		tuple->ipv4.daddr = *(__be32 *)(local + 12);
		tuple->ipv4.sport = remote_port;
		tuple->ipv4.dport = local_port;
		return sizeof(tuple->ipv4);
	}
	sp_copy_address((__u8 *)tuple->ipv6.saddr, remote);
	sp_copy_address((__u8 *)tuple->ipv6.daddr, local);
	tuple->ipv6.sport = remote_port;
	tuple->ipv6.dport = local_port;
	return sizeof(tuple->ipv6);
}
