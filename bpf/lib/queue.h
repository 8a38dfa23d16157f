/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The order in which each user's conversations began, and who makes room for the next: see share.h for the rule. */
#pragma once
#include "share.h"
#include "tables.h"

/* Rows of a lane that are looked at to make room for one conversation: some may be gone already. */
#ifdef SP_NO_GLOBAL_FUNCTIONS
#define SP_SHARE_STEPS 4
#else
#define SP_SHARE_STEPS 8
#endif

/* Below this many free ones a newcomer takes from whoever holds most. */
#define SP_SHARE_RESERVE (SP_CONVS / 16)

/* Of what sp_share_begin returns. */
#define SP_PLACE_TAKEN (1ull << 63)
#define SP_PLACE_LANE(place) ((__u8)((place) >> 32) & (SP_LANES - 1))

static __always_inline struct sp_pool *sp_pool_of(__u32 part)
{
	return bpf_map_lookup_elem(&sp_pool, &part);
}

/* How many conversations there is room for. */
static __always_inline __s64 sp_share_free(void)
{
	struct sp_pool *programs = sp_pool_of(SP_POOL_PROGRAMS), *agent = sp_pool_of(SP_POOL_AGENT);

	if (!programs || !agent)
		return 0;
	return (__s64)SP_CONVS - (__s64)(programs->held - agent->removed);
}

/* A row of sp_queue was made (1) or removed (-1). */
static __always_inline void sp_share_add(struct sp_share *share, __s64 change)
{
	struct sp_pool *programs = sp_pool_of(SP_POOL_PROGRAMS);

	__atomic_fetch_add(&share->held, change, __ATOMIC_RELAXED);
	if (programs)
		__atomic_fetch_add(&programs->held, change, __ATOMIC_RELAXED);
}

static __always_inline void sp_count_evicted(const struct sp_queue_key *oldest)
{
	struct sp_counts *counts = bpf_map_lookup_elem(&sp_counts, &oldest->workload);

	sp_stat_add(SP_STAT_EVICTED);
	if (counts)
		counts->n[oldest->direction & 1][SP_COUNT_EVICTED]++;
}

/* Removes one row of a lane, and the conversation that it stands for if that is still the same. Returns 1 if there was a
 * row.
 */
static __always_inline int sp_share_evict(struct sp_share *share, struct sp_queue_key *oldest)
{
	struct sp_conv_key *queued = bpf_map_lookup_elem(&sp_queue, oldest), key;
	struct sp_conv *conv;
	__u64 differs;

	if (!queued)
		return 0;
	key = *queued;
	conv = bpf_map_lookup_elem(&sp_convs, &key);
	differs = 1;
	if (conv)
		differs = (conv->owner ^ oldest->workload) | (conv->sequence ^ oldest->sequence) |
			  (conv->direction ^ oldest->direction) | (conv->lane ^ oldest->lane);
	if (bpf_map_delete_elem(&sp_queue, oldest))
		return 0; /* another CPU came first */
	sp_share_add(share, -1);
	if (!differs && !bpf_map_delete_elem(&sp_convs, &key))
		sp_count_evicted(oldest);
	return 1;
}

/* All ones if a difference of two numbers that wrap around is negative, else 0. */
static __always_inline __u32 sp_is_negative(__u32 difference)
{
	__u64 sign = difference >> 31;

	asm volatile("" : "+r"(sign));
	return 0 - (__u32)sign;
}

/* Makes room by removing up to `wanted` of a user's oldest, from its longest lane. Returns how many are still wanted. */
SP_FUNCTION int sp_share_make_room(struct sp_share_key *user, int wanted)
{
	struct sp_queue_key oldest = {};
	struct sp_share_key own;
	struct sp_share *share;
	struct sp_swept *swept;
	__u32 *floor, longest = 0, head = 0, lane, i;

	if (!user)
		return wanted;
	own = *user; /* before 6.4 a key must be on this function's stack */
	share = bpf_map_lookup_elem(&sp_shares, &own);
	swept = bpf_map_lookup_elem(&sp_swept, &own);
	if (!share)
		return wanted;
	oldest.workload = own.workload;
	oldest.direction = own.direction;
	floor = swept ? swept->floor : share->head;
	/* without branches, whose every combination the verifier would follow */
#pragma clang loop unroll(full)
	for (lane = 0; lane < SP_LANES; lane++) {
		__u32 first = share->head[lane], is_longer;

		first += (floor[lane] - first) & sp_is_negative(first - floor[lane]);
		is_longer = sp_is_negative(longest - (share->tail[lane] - first));
		longest ^= (longest ^ (share->tail[lane] - first)) & is_longer;
		head ^= (head ^ first) & is_longer;
		oldest.lane ^= (oldest.lane ^ lane) & is_longer;
	}
	for (i = 0; i < SP_SHARE_STEPS && wanted > 0 && i < longest; i++) {
		oldest.sequence = head + i;
		wanted -= sp_share_evict(share, &oldest);
	}
	head += i;
	lane = oldest.lane & (SP_LANES - 1);
	if ((__s32)(head - share->head[lane]) > 0)
		share->head[lane] = head;
	return wanted;
}

/* Makes room for one more conversation of flow->subject, begun in flow->direction, if its share is used up. Returns 0 if
 * there is none.
 */
SP_FUNCTION int sp_share_reserve(struct sp_flow *flow)
{
	struct sp_pool *top = sp_pool_of(SP_POOL_TOP);
	struct sp_share_key user = {};
	struct sp_share *share;
	struct sp_swept *swept;
	__s64 free, held;
	int wanted, left;

	if (!flow || !top)
		return 0;
	user.workload = flow->subject.workload;
	user.direction = flow->direction & 1;
	share = sp_share_of(&user);
	if (!share)
		return 0;
	swept = bpf_map_lookup_elem(&sp_swept, &user);
	held = share->held - (swept ? swept->removed : 0);
	free = sp_share_free();
	if (held >= (__s64)top->held || (top->top.workload == user.workload && top->top.direction == user.direction)) {
		top->held = held;
		top->top = user;
	}
	/* above the limit two go for each that comes, until the limit, which sinks with the number of users, is met */
	wanted = held < free ? 0 : held < free + 64 ? 1 : 2;
	if (free < SP_SHARE_RESERVE && held < (__s64)top->held) {
		user = top->top;
		wanted = 2;
	}
	if (!wanted)
		return 1;
	left = sp_share_make_room(&user, wanted);
	if (user.workload != flow->subject.workload || user.direction != flow->direction)
		top->held = left ? 0 : top->held - wanted; /* 0: the hint was wrong */
	if (!left)
		return 1;
	return free > 64;
}

/* The lane of a conversation: one socket of a workload does not push out those of another, nor one caller those of another
 * as long as there are lanes.
 */
static __always_inline __u8 sp_share_lane(const struct sp_flow *flow, const struct sp_conv_key *key)
{
	const __u64 *remote = (const __u64 *)key->remote;
	__u64 from = flow->direction == SP_OUTGOING ? key->socket : remote[0] ^ remote[1];

	return sp_mix(from) >> 8 & (SP_LANES - 1);
}

/* Takes the next number of the conversation's lane by making its row. Returns it with SP_PLACE_TAKEN, or 0. */
SP_FUNCTION __u64 sp_share_take(struct sp_flow *flow, struct sp_conv_key *key)
{
	struct sp_share_key user = {};
	struct sp_queue_key row = {};
	struct sp_conv_key own; /* before 6.4 a value too must be on this function's stack */
	struct sp_share *share;
	__u32 lane, i;

	if (!flow || !key)
		return 0;
	own = *key;
	user.workload = row.workload = flow->subject.workload;
	user.direction = row.direction = flow->direction & 1;
	row.lane = lane = sp_share_lane(flow, &own);
	share = bpf_map_lookup_elem(&sp_shares, &user);
	if (!share)
		return 0;
	row.sequence = share->tail[lane];
	for (i = 0; i < SP_SHARE_STEPS; i++) {
		__s32 behind;

		if (!bpf_map_update_elem(&sp_queue, &row, &own, BPF_NOEXIST)) {
			if ((__s32)(row.sequence + 1 - share->tail[lane]) > 0)
				share->tail[lane] = row.sequence + 1;
			sp_share_add(share, 1);
			return SP_PLACE_TAKEN | (__u64)lane << 32 | row.sequence;
		}
		/* another CPU has it, and will say so in a moment */
		row.sequence++;
		behind = share->tail[lane] - row.sequence;
		if (behind > 0)
			row.sequence += behind;
	}
	share->tail[lane] = row.sequence;
	return 0;
}

/* A place for one more conversation. Returns 0 if there is none. */
static __always_inline __u64 sp_share_begin(struct sp_flow *flow, struct sp_conv_key *key)
{
	return sp_share_reserve(flow) ? sp_share_take(flow, key) : 0;
}

/* Gives a place back. Returns 0. */
SP_FUNCTION int sp_share_end(struct sp_queue_key *place)
{
	struct sp_share_key user = {};
	struct sp_queue_key row;
	struct sp_share *share;

	if (!place)
		return 0;
	row = *place;
	if (bpf_map_delete_elem(&sp_queue, &row))
		return 0;
	user.workload = row.workload;
	user.direction = row.direction;
	share = bpf_map_lookup_elem(&sp_shares, &user);
	if (share)
		sp_share_add(share, -1);
	return 0;
}

static __always_inline void sp_conv_place(const struct sp_conv *conv, struct sp_queue_key *place)
{
	place->workload = conv->owner;
	place->sequence = conv->sequence;
	place->direction = conv->direction;
	place->lane = conv->lane;
}

/* Ends a conversation, and gives its place back. Returns 0. */
SP_FUNCTION int sp_conv_end(struct sp_conv_key *key)
{
	struct sp_queue_key place = {};
	struct sp_conv_key own;
	struct sp_conv *conv;

	if (!key)
		return 0;
	own = *key; /* before 6.4 a map's key must be on this function's stack */
	conv = bpf_map_lookup_elem(&sp_convs, &own);
	if (!conv)
		return 0;
	sp_conv_place(conv, &place);
	bpf_map_delete_elem(&sp_convs, &own);
	sp_share_end(&place);
	return 0;
}
