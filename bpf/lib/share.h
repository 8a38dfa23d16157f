/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* A share for everyone of what is finite: conversations, and room in the ring of records. The rule is that of dynamic
 * thresholds (Choudhury and Hahne, 1998): a user may hold as many as are free. One that takes all it can gets half, N of
 * them leave 1/(N+1) free, and nothing is set aside for those who need none. Who is at the limit loses its own oldest.
 *
 * The programs decide alone; the agent only removes what is idle. Kernels before 5.12 have no atomics that return a value,
 * so what is counted is counted by adds, and a number is taken by making its row, which only one can.
 */
#pragma once
#include "../maps.h"

static __always_inline __u64 sp_mix(__u64 word)
{
	word *= 0x9E3779B97F4A7C15ull;
	return word ^ word >> 32;
}

/* A user's row, made if there is none; null = it cannot be made. */
static __always_inline struct sp_share *sp_share_of(const struct sp_share_key *user)
{
	struct sp_share *share = bpf_map_lookup_elem(&sp_shares, user), *blank;
	__u32 key = 0;

	if (share)
		return share;
	blank = bpf_map_lookup_elem(&sp_blank, &key); /* there is no room for one on the stack */
	if (!blank)
		return 0;
	bpf_map_update_elem(&sp_shares, user, blank, BPF_NOEXIST);
	return bpf_map_lookup_elem(&sp_shares, user);
}

/* Called for a record while a quarter of the ring or more is full: 1 if its workload may have one more in it, else 0. What
 * a workload has there is what it wrote since the position that has been read now, or in the period before; counted from
 * when the ring began to fill. Returns 1 as well if there is no row to count on.
 */
SP_FUNCTION int sp_ring_admit(__u64 workload)
{
	__u64 read = bpf_ringbuf_query(&sp_records, BPF_RB_CONS_POS);
	__u64 written = bpf_ringbuf_query(&sp_records, BPF_RB_PROD_POS);
	struct sp_share_key user = { .workload = workload };
	struct sp_share *share = sp_share_of(&user);
	__u64 mine;

	if (!share)
		return 1;
	if ((__s64)(read - share->ring_start) >= 0) {
		share->ring_before = share->ring_now;
		share->ring_now = 0;
		share->ring_start = written;
	}
	/* each has a header of 8 bytes */
	mine = (share->ring_now + share->ring_before) * (sizeof(struct sp_record) + 8);
	if (mine > SP_RING_SIZE - (written - read))
		return 0;
	__atomic_fetch_add(&share->ring_now, 1, __ATOMIC_RELAXED);
	return 1;
}

/* True if the ring fills faster than it is read: then it is shared out, and the reader is woken. */
static __always_inline int sp_ring_is_filling(void)
{
	return bpf_ringbuf_query(&sp_records, BPF_RB_AVAIL_DATA) > SP_RING_SIZE / 4;
}
