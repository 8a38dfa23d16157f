/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The little of the kernel's own structures that helpers do not show, by CO-RE: where each field is, the loader learns from
 * the running kernel's BTF.
 */
#pragma once
#include <linux/bpf.h>
#include <linux/in6.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id; /* 0 = version 2 */
};
struct cgroup {
	struct cgroup_subsys_state self;
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup *ancestors[]; /* by level, since 6.1 (kernel commit 7f203bc89eb6) */
};
struct cgroup___before_6_1 {
	int level;
	__u64 ancestor_ids[];
};
/* Since 5.15 (kernel commit 8520e224f547); before, the pointer was packed into a word with the net_cls id. */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};
struct sock_cgroup_data___before_5_15 {
	__u64 val; /* the pointer; with the lowest bit set the ids of net_cls and net_prio instead */
};
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
struct net;
typedef struct {
	struct net *net;
} possible_net_t;
typedef struct {
	long long counter;
} atomic64_t;
typedef struct {
	__u32 val;
} kuid_t;
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	int skc_bound_dev_if;
	struct hlist_node skc_portaddr_node;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	struct sock *skc_listener; /* of a request socket */
	struct hlist_node skc_nulls_node;
};
struct sock_reuseport;
struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	unsigned char sk_kern_sock : 1;
	kuid_t sk_uid;
	struct sock_reuseport *sk_reuseport_cb; /* of a group */
	struct sock_cgroup_data sk_cgrp_data;
};
struct sock___before_5_15 {
	struct sock_cgroup_data___before_5_15 sk_cgrp_data;
};
struct tcp_sock {
	__u32 segs_in;
	__u32 segs_out;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 snd_una;
	__u32 srtt_us;
};
/* Before 5.19 a listener was in the list of its address and port by this node, then by skc_nulls_node. */
struct inet_connection_sock {
	__u8 icsk_retransmits;
	struct hlist_node icsk_listen_portaddr_node;
};
struct inet_listen_hashbucket {
	struct hlist_head nulls_head; /* ends with an odd pointer, or with null where it is no such list */
};
struct inet_hashinfo {
	unsigned int lhash2_mask;
	struct inet_listen_hashbucket *lhash2;
};
struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo;
};
struct udp_hslot {
	struct hlist_head head;
};
struct udp_hslot_main { /* since 6.13 */
	struct udp_hslot hslot;
};
struct udp_table {
	struct udp_hslot *hash2;
	unsigned int mask;
};
struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
	struct udp_table *udp_table;	  /* since 6.2 */
	struct hlist_head *inet_addr_lst; /* since 6.14 */
};
struct netns_ipv6 {
	struct hlist_head *inet6_addr_lst; /* since 5.18 */
};
struct netns_ipv4___pointer { /* 5.17 to 6.0 */
	struct inet_timewait_death_row *tcp_death_row;
};
struct net {
	__u32 hash_mix;
	struct netns_ipv4 ipv4;
	struct netns_ipv6 ipv6;
};
struct net___pointer {
	struct netns_ipv4___pointer ipv4;
};
struct net_device {
	int ifindex;
	possible_net_t nd_net;
};
struct in_device {
	struct net_device *dev;
};
struct in_ifaddr {
	struct hlist_node addr_lst; /* since 6.14 */
	struct in_device *ifa_dev;
	__be32 ifa_local;
};
struct in_ifaddr___before_6_14 {
	struct hlist_node hash;
};
struct inet6_dev {
	struct net_device *dev;
};
struct inet6_ifaddr {
	struct in6_addr addr;
	struct inet6_dev *idev;
	struct hlist_node addr_lst;
};
struct dst_entry {
	struct net_device *dev;
};
struct rtable {
	int rt_iif; /* of a route to this namespace: the device that has the address */
};
struct rt6_info {
	struct inet6_dev *rt6i_idev; /* likewise */
};
struct sk_buff {
	struct sock *sk;
	struct net_device *dev;
	unsigned long _skb_refdst;
};
/* The context of a sock_addr program. */
struct bpf_sock_addr_kern {
	struct sock *sk;
};
typedef struct {
	int counter;
} atomic_t;
struct css_set {
	struct cgroup *dfl_cgrp; /* of the v2 hierarchy */
};
struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};
struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct css_set *cgroups;
	struct signal_struct *signal;
};
struct linux_binprm {
	const char *interp; /* what runs: the file given, or the interpreter that its first line names */
};
struct nf_conntrack_tuple {
	int unused;
};
struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};
struct nf_conn {
	struct nf_conntrack_tuple_hash tuplehash[2]; /* by direction */
	unsigned long status;
};
struct sk_buff___tracked {
	unsigned long _nfct;
};
#pragma clang attribute pop

/* Not in headers for programs: include/linux/net.h, socket.h */
#define SP_SOCK_STREAM 1
#define SP_SOCK_RAW 3
#define SP_AF_INET 2
#define SP_AF_INET6 10

/* Reads a field of a kernel structure at an address, which is an expression of our own: not to be relocated. Opaque,
 * so that no relocation is moved out of the branch that knows it to exist.
 */
#define SP_READ(type, address, ...)                                \
	({                                                         \
		struct type *sp_object = (struct type *)(address); \
		asm volatile("" : "+r"(sp_object));                \
		BPF_CORE_READ(sp_object, __VA_ARGS__);             \
	})

/* The cgroup (v2) that made a socket, as an address. Before 5.15 the kernel forgot it when net_cls or net_prio had been
 * used: 0, and such a socket is nobody's.
 */
static __always_inline __u64 sp_cgroup_of(__u64 socket)
{
	__u64 value;

	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return (__u64)SP_READ(sock, socket, sk_cgrp_data.cgroup);
	value = SP_READ(sock___before_5_15, socket, sk_cgrp_data.val);
	return value & 1 ? 0 : value & ~3ull;
}

/* True for a socket by which the kernel itself speaks ICMP, neighbour discovery and MLD, and resets (inet_ctl_sock_create):
 * one that is raw and that no user made. Some are made with a network namespace, and have the cgroup of whoever made that.
 */
static __always_inline int sp_is_control(__u64 socket)
{
	struct sock *sk = (struct sock *)socket;

	asm volatile("" : "+r"(sk));
	return SP_READ(sock, socket, sk_type) == SP_SOCK_RAW && BPF_CORE_READ_BITFIELD_PROBED(sk, sk_kern_sock);
}

static __always_inline __u64 sp_cgroup_id(__u64 cgroup)
{
	return SP_READ(cgroup, cgroup, kn, id);
}

/* The id of a cgroup's ancestor at a level; 0 above its own. */
static __always_inline __u64 sp_ancestor_id(__u64 cgroup, __u32 level)
{
	__u64 ancestor = 0;

	if (!cgroup || (__u32)SP_READ(cgroup, cgroup, level) < level)
		return 0;
	if (bpf_core_field_exists(struct cgroup, ancestors)) {
		bpf_probe_read_kernel(
			&ancestor, sizeof(ancestor),
			(void *)(cgroup + bpf_core_field_offset(struct cgroup, ancestors) + level * sizeof(ancestor)));
		return sp_cgroup_id(ancestor);
	}
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
			      (void *)(cgroup + bpf_core_field_offset(struct cgroup___before_6_1, ancestor_ids) +
				       level * sizeof(ancestor)));
	return ancestor;
}
