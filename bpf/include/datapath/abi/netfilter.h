/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What crosses on the netfilter datapath alone. */
#pragma once
#include <linux/types.h>

/* What netfilter.bpf.c polices, read-only after load: sockets whose cgroup is this one or below it. */
struct sp_nf_config {
	__u64 cgroup; /* id */
	__u32 level;  /* depth of that cgroup below the hierarchy's root, which has 0 */
	__u32 pad;
};
_Static_assert(sizeof(struct sp_nf_config) == 16, "sp_nf_config");

/* What rules tell netfilter-mark.bpf.c in a packet's mark, read-only after load. A mask of 0 tells always 0. */
struct sp_mark_config {
	__u32 source_mask;    /* outgoing: the number of the source workload, index of sp_marks */
	__u32 namespace_mask; /* both directions: the number of the network namespace, see sp_listener_key */
};
_Static_assert(sizeof(struct sp_mark_config) == 8, "sp_mark_config");

/* ---- sp_marks: array of netfilter-mark.bpf.c, number in the mark → workload ------------------------------------------ */

#define SP_MARKS 65536u /* 0 = no workload: the host */

/* ---- sp_listeners: hash of netfilter-mark.bpf.c, who receives at a port ---------------------------------------------- */

/* TCP: listening sockets; UDP: every bound socket. A socket that takes both families at any address has a row for each. */
struct sp_listener_key {
	__u32 namespace; /* number that the rules of that network namespace put into the mark */
	__u16 port;	 /* host order */
	__u8 protocol;
	__u8 pad;
	__u8 address[16]; /* IPv4 as ::ffff:a.b.c.d; any IPv4 address is ::ffff:0.0.0.0 */
};
_Static_assert(sizeof(struct sp_listener_key) == 24, "sp_listener_key");

/* Flags of struct sp_mark_endpoint. */
#define SP_MARK_CHILD 1u   /* it is below the workload, in a cgroup without labels of its own */
#define SP_MARK_OUTSIDE 2u /* not below the policed cgroup: always passes */

/* Values of sp_marks and sp_listeners. */
struct sp_mark_endpoint {
	__u64 workload; /* cgroup id, 0 = host */
	__u32 flags;	/* SP_MARK_… */
	__u32 pad;
};
_Static_assert(sizeof(struct sp_mark_endpoint) == 16, "sp_mark_endpoint");
