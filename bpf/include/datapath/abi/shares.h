/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Who holds how many conversations, and of the ring of records. */
#pragma once
#include <linux/types.h>
#include "verdicts.h"

/* ---- Shares of sp_convs ---------------------------------------------------------------------------------------------
 * A user is a workload and who begins (its own, or others with it). Its conversations stand in sp_queue in the order in
 * which they began, in lanes (by socket, or by the other end's address), and it holds as many as sp_share.held minus
 * sp_swept.removed. It may hold as many as are free: whoever holds more loses the oldest of its longest lane.
 */
#define SP_CONVS 262144u /* conversations of the host */
#define SP_LANES 8u

struct sp_share_key {
	__u64 workload;	 /* cgroup id, 0 = host */
	__u32 direction; /* who began: enum sp_direction */
	__u32 pad;
};
_Static_assert(sizeof(struct sp_share_key) == 16, "sp_share_key");

/* sp_shares: hash. Written by programs alone: `held` and `ring_now` by atomic adds, the others without, so a race may leave
 * them a little behind; nothing depends on more.
 */
struct sp_share {
	__u64 held;	      /* rows of sp_queue: made minus removed by programs */
	__u64 ring_start;     /* position in sp_records where the present period began */
	__u64 ring_now;	      /* records written in it; counted only while the ring fills */
	__u64 ring_before;    /* and in the period before */
	__u32 head[SP_LANES]; /* the oldest sequence number that may be there */
	__u32 tail[SP_LANES]; /* the next to be given */
};
_Static_assert(sizeof(struct sp_share) == 96, "sp_share");

/* sp_swept: hash by sp_share_key. Written by the agent alone. */
struct sp_swept {
	__u64 removed;	       /* rows of sp_queue that the agent removed */
	__u32 floor[SP_LANES]; /* nothing older is in a lane */
};
_Static_assert(sizeof(struct sp_swept) == 40, "sp_swept");

/* sp_queue: hash, sp_queue_key → sp_conv_key of the conversation. */
struct sp_queue_key {
	__u64 workload;
	__u32 sequence;
	enum sp_direction direction;
	__u8 lane;
	__u8 pad[2];
};
_Static_assert(sizeof(struct sp_queue_key) == 16, "sp_queue_key");

/* sp_pool: array of SP_POOL_COUNT. */
#define SP_POOL_PROGRAMS 0u /* written by programs: `held` */
#define SP_POOL_AGENT 1u    /* written by the agent: `removed` */
#define SP_POOL_TOP 2u	    /* written by both, a hint: who holds most */
#define SP_POOL_COUNT 3u

struct sp_pool {
	__u64 held;
	__u64 removed;
	struct sp_share_key top;
};
_Static_assert(sizeof(struct sp_pool) == 32, "sp_pool");
