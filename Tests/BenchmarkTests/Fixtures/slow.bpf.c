/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The main datapath with fifty lookups in front of every packet: the slowdown that the benchmark must find.
 * Every packet of a full socket passes bpf_sk_fullsock() in sp_fast().
 */
#include "maps.h"

static __always_inline struct bpf_sock *sp_slow_fullsock(struct bpf_sock *sk)
{
	for (__u64 turn = 0; turn < 50; turn++) {
		__u64 key = turn;

		bpf_map_lookup_elem(&sp_workload, &key);
	}
	return bpf_sk_fullsock(sk);
}

#define bpf_sk_fullsock sp_slow_fullsock
#include "cgroup.bpf.c"
