/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Programs with the right names that let everything pass: the benchmark must not time them as if they enforced. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char sp_license[] SEC("license") = "Dual BSD/GPL";

#define SP_OPEN(section, name, context) \
	SEC(section) int name(struct context *ctx __attribute__((unused))) \
	{ \
		return 1; \
	}

SP_OPEN("cgroup_skb/egress", sp_egress, __sk_buff)
SP_OPEN("cgroup_skb/ingress", sp_ingress, __sk_buff)
SP_OPEN("cgroup/connect4", sp_connect4, bpf_sock_addr)
SP_OPEN("cgroup/connect6", sp_connect6, bpf_sock_addr)
SP_OPEN("cgroup/sendmsg4", sp_sendmsg4, bpf_sock_addr)
SP_OPEN("cgroup/sendmsg6", sp_sendmsg6, bpf_sock_addr)
SP_OPEN("cgroup/post_bind4", sp_post_bind4, bpf_sock)
SP_OPEN("cgroup/post_bind6", sp_post_bind6, bpf_sock)
SP_OPEN("sockops", sp_sock_ops, bpf_sock_ops)
