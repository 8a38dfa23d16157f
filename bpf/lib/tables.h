/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The maps of one row, as values: generation, time, control, the handshake of this CPU, counters of the datapath. */
#pragma once
#include "../maps.h"

/* The generation in force. */
static __always_inline __u32 sp_generation(void)
{
	__u32 key = 0, *generation = bpf_map_lookup_elem(&sp_active, &key);

	return generation ? *(volatile __u32 *)generation : 0;
}

/* Monotonic time for idle times, in ns: the coarse clock costs a load, the exact one 36 ns in a virtual machine. */
static __always_inline __u64 sp_now(void)
{
	if (config.features & SP_FEATURE_COARSE_CLOCK)
		return bpf_ktime_get_coarse_ns();
	return bpf_ktime_get_ns();
}

/* What is not policy; null never, but the verifier does not know it. */
static __always_inline struct sp_control *sp_controls(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&sp_control, &key);
}

static __always_inline struct sp_handshake *sp_handshake(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&sp_handshakes, &key);
}

static __always_inline void sp_stat_add(__u32 which)
{
	__u32 key = 0;
	struct sp_stats *stats = bpf_map_lookup_elem(&sp_stats, &key);

	if (stats && which < SP_STAT_COUNT)
		stats->n[which]++;
}
