/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Conversations of everything but TCP: replies of an allowed one pass, nothing else rides on that, and a change of
 * policy is felt by the next packet.
 */
#pragma once
#include "account.h"
#include "identity.h"
#include "sender.h"

/* Who began, for a packet in `direction`: an ICMP echo reply belongs to the other end's request. */
static __always_inline __u32 sp_initiator(const struct sp_packet *packet, __u32 direction)
{
	__u8 type = packet->icmp_type;

	if ((packet->protocol == SP_ICMP && type == 0) || (packet->protocol == SP_ICMP6 && type == 129))
		return !direction;
	return direction;
}

static __always_inline int sp_is_icmp(const struct sp_packet *packet)
{
	return packet->protocol == SP_ICMP || packet->protocol == SP_ICMP6;
}

static __always_inline int sp_is_echo(const struct sp_packet *packet)
{
	__u8 type = packet->icmp_type;

	return packet->protocol == SP_ICMP ? type == 8 || type == 0 : type == 128 || type == 129;
}

static __always_inline void sp_talk_fill(struct sp_talk_key *key, const struct sp_packet *packet, __u32 direction,
					 __u64 cookie)
{
	int out = direction == SP_OUTGOING;

	__builtin_memset(key, 0, sizeof(*key));
	key->socket = cookie;
	key->protocol = packet->protocol;
	sp_copy_address(key->remote, out ? packet->destination : packet->source);
	if (!sp_is_icmp(packet)) {
		key->remote_port = out ? packet->destination_port : packet->source_port;
		return;
	}
	key->initiator = sp_initiator(packet, direction);
	key->is_echo = sp_is_echo(packet);
	key->id = key->is_echo ? packet->icmp_id : bpf_htons((__u16)packet->icmp_type << 8 | packet->icmp_code);
}

static __always_inline __u64 sp_idle_limit(__u8 protocol)
{
	return protocol == SP_ICMP || protocol == SP_ICMP6 ? config.icmp_idle : config.udp_idle;
}

/* The destination of a conversation, seen from the end that began it. */
static __always_inline __u32 sp_talk_port_index(const struct sp_packet *packet, __u32 direction, __u32 initiator)
{
	__u16 port;

	if (packet->protocol == SP_ICMP)
		return sp_port_index(SP_ICMP, packet->icmp_type == 0 && direction != initiator ? 8 : packet->icmp_type);
	if (packet->protocol == SP_ICMP6)
		return sp_port_index(SP_ICMP6,
				     packet->icmp_type == 129 && direction != initiator ? 128 : packet->icmp_type);
	port = direction == initiator ? packet->destination_port : packet->source_port;
	return sp_port_index(packet->protocol, bpf_ntohs(port));
}

/* The other end of a conversation as it was when it was last known, with the labels of now. */
static __always_inline void sp_talk_peer(const struct sp_talk *talk, struct sp_party *peer)
{
	sp_party_unknown(peer);
	peer->identity = talk->peer;
	peer->assurance = talk->assurance;
	if (talk->peer_workload && !sp_party_of_cgroup(peer, talk->peer_workload))
		sp_party_unknown(peer); /* the label is gone: judged as nobody until it speaks again */
	peer->flags |= SP_PARTY_STALE;
}

/* Fills flow->peer with the other end of a conversation as it is now: an address by its networks, a socket by whom it
 * speaks for since labels have changed; if the packet does not tell, as it was.
 */
static __always_inline void sp_talk_find_peer(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					      const struct sp_talk *talk, __u32 direction)
{
	if (talk->assurance == SP_ASSURED_ADDRESS) {
		sp_party_of_address(&flow->peer, SP_SLOT(flow->generation),
				    direction == SP_OUTGOING ? packet->destination : packet->source);
		return;
	}
	sp_party_unknown(&flow->peer);
	if (direction == SP_INCOMING)
		sp_find_caller(skb, packet, flow);
	else if (sp_is_looped(skb))
		sp_find_destination(skb, packet, flow);
	if (flow->peer.assurance < SP_ASSURED_SOCKET)
		sp_talk_peer(talk, &flow->peer);
}

static __always_inline void sp_talk_touch(struct sp_talk *talk, __u32 length, __u32 direction, __u64 now)
{
	direction &= 1;
	talk->last_seen = now;
	__atomic_fetch_add(&talk->packets[direction], 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&talk->bytes[direction], length, __ATOMIC_RELAXED);
}

/* True if a packet in `direction` needs no verdict of its own. */
static __always_inline int sp_talk_is_judged(const struct sp_talk *talk, __u32 direction, __u32 generation)
{
	return talk->generation == generation && !(talk->find_peer && direction == SP_INCOMING);
}

/* A live conversation under a newer generation, with subject and peer as they are now: returns 1 if it still may go on,
 * else tells, and returns 0.
 */
SP_FUNCTION int sp_talk_still_allowed(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
				      struct sp_talk *talk, __u32 direction)
{
	if (!packet || !talk || !flow)
		return 0;
	flow->direction = talk->direction & 1;
	flow->port_index = sp_talk_port_index(packet, direction, flow->direction);
	SP_JOIN(flow);
	sp_judge(flow);
	sp_count(flow);
	if (flow->action == SP_ALLOW) {
		talk->generation = flow->generation;
		talk->find_peer = (flow->peer.flags & SP_PARTY_STALE) != 0;
		talk->rule = flow->rule;
		talk->workload = flow->subject.workload;
		talk->peer_workload = sp_party_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
		talk->peer = flow->peer.identity;
		return 1;
	}
	sp_count_revoked(flow);
	sp_record_packet_verdict(skb, packet, flow, direction, SP_RECORD_REVOKED);
	return 0;
}

/* Keeps an allowed conversation. Returns 0. */
SP_FUNCTION int sp_talk_begin(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
			      struct sp_talk_key *key)
{
	struct sp_talk_key own; /* before 6.4 a map's key must be on this function's stack */
	struct sp_talk talk = {};
	int out;

	if (!packet || !flow || !key)
		return 0;
	own = *key;
	out = flow->direction == SP_OUTGOING;
	sp_copy_address(talk.local, out ? packet->source : packet->destination);
	if (!sp_is_icmp(packet))
		talk.local_port = out ? packet->source_port : packet->destination_port;
	talk.opened = bpf_ktime_get_ns();
	talk.last_seen = sp_now();
	talk.handoff_time = sp_must_tell(skb, packet) ? talk.last_seen : SP_NEVER_TELL;
	talk.workload = flow->subject.workload;
	talk.peer_workload = sp_party_is_nobody(&flow->peer) ? 0 : flow->peer.workload;
	talk.peer = flow->peer.identity;
	talk.generation = flow->generation;
	talk.rule = flow->rule;
	talk.uid = sp_socket_uid(skb, flow);
	talk.direction = flow->direction;
	talk.assurance = flow->peer.assurance;
	talk.decided_by = flow->decided_by;
	talk.packets[flow->direction & 1] = 1;
	talk.bytes[flow->direction & 1] = packet->length;
	if (bpf_map_update_elem(&sp_talks, &own, &talk, BPF_ANY))
		sp_stat_add(SP_STAT_CONVERSATIONS_FULL);
	return 0;
}

/* True if the sender of a long conversation must be told again. */
static __always_inline int sp_must_refresh(const struct sp_talk *talk, __u64 now)
{
	return talk->handoff_time != SP_NEVER_TELL && (__s64)(now - talk->handoff_time) > (__s64)SP_SENDER_REFRESH;
}

/* The usual UDP packet of a live conversation, by direct access and one lookup: true if it may pass. Whatever is unusual
 * (options, fragments, extension headers, another generation, silence for too long) takes the long way.
 */
static __always_inline int sp_talk_fast(struct __sk_buff *skb, __u32 direction)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct sp_talk_key key;
	struct sp_talk *talk;
	__u64 now;

	if (direction == SP_OUTGOING && sp_is_translated(skb))
		return 0;
	if (skb->protocol == bpf_htons(SP_ETH_IPV4)) {
		if (data + 28 > end || !sp_is_plain_ipv4(data, SP_UDP))
			return 0;
		sp_map_ipv4(key.remote, *(__be32 *)(data + (direction == SP_OUTGOING ? 16 : 12)));
		key.remote_port = *(__be16 *)(data + (direction == SP_OUTGOING ? 22 : 20));
	} else {
		if (data + 48 > end || !sp_is_plain_ipv6(data, SP_UDP))
			return 0;
		sp_copy_address(key.remote, data + (direction == SP_OUTGOING ? 24 : 8));
		key.remote_port = *(__be16 *)(data + (direction == SP_OUTGOING ? 42 : 40));
	}
	key.socket = bpf_get_socket_cookie(skb);
	*(__u16 *)&key.id = 0;
	*(__u32 *)&key.protocol = 0;
	key.protocol = SP_UDP;
	talk = bpf_map_lookup_elem(&sp_talks, &key);
	if (!talk || !sp_talk_is_judged(talk, direction, sp_generation()))
		return 0;
	now = sp_now();
	if ((__s64)(now - talk->last_seen) >= (__s64)config.udp_idle)
		return 0;
	if (direction == SP_OUTGOING && sp_must_refresh(talk, now))
		return 0;
	sp_talk_touch(talk, skb->len, direction, now);
	return 1;
}

/* A packet of anything but a TCP stream. Returns 1 to pass, 0 to drop. */
static __always_inline int sp_talk_verdict(struct __sk_buff *skb, struct sp_packet *packet, struct sp_flow *flow,
					   __u32 direction)
{
	__u64 now = sp_now();
	struct sp_talk_key key;
	struct sp_talk *talk;

	sp_talk_fill(&key, packet, direction, flow->cookie);
	SP_JOIN(&key);
	talk = bpf_map_lookup_elem(&sp_talks, &key);
	if (talk && (__s64)(now - talk->last_seen) < (__s64)sp_idle_limit(packet->protocol)) {
		int must_tell = sp_must_refresh(talk, now);

		if (!sp_talk_is_judged(talk, direction, flow->generation)) {
			sp_find_subject(skb, flow);
			sp_talk_find_peer(skb, packet, flow, talk, direction);
			SP_JOIN(flow);
			if (!sp_talk_still_allowed(skb, packet, flow, talk, direction)) {
				bpf_map_delete_elem(&sp_talks, &key);
				return 0;
			}
			/* the receiver wants to know who it is now */
			must_tell = talk->handoff_time != SP_NEVER_TELL;
		}
		if (direction == SP_OUTGOING && must_tell) {
			talk->handoff_time = now;
			sp_find_subject(skb, flow);
			sp_sender_tell(skb, packet, &flow->subject, flow->generation);
		}
		sp_talk_touch(talk, packet->length, direction, now);
		return 1;
	}

	flow->port_index = sp_talk_port_index(packet, direction, direction);
	SP_JOIN(flow);
	sp_find_subject(skb, flow);
	if (direction == SP_OUTGOING) {
		if (packet->is_translated && !sp_ask_translated(skb, packet, flow))
			return 0;
		SP_JOIN(packet);
		SP_JOIN(flow);
		sp_find_destination(skb, packet, flow);
	} else {
		sp_find_caller(skb, packet, flow);
	}
	sp_judge(flow);
	sp_count(flow);
	sp_record_packet_verdict(skb, packet, flow, direction, 0);
	if (flow->action != SP_ALLOW || !sp_other_side(skb, packet, flow))
		return 0;
	if (direction == SP_OUTGOING && sp_must_tell(skb, packet)) {
		sp_sender_tell(skb, packet, &flow->subject, flow->generation);
		if (packet->is_translated)
			sp_asked_note(skb, packet, flow->subject.workload);
	}
	/* a reply that nobody asked for was judged by itself; it must not open the way for a request */
	if (sp_initiator(packet, direction) == direction)
		sp_talk_begin(skb, packet, flow, &key);
	return 1;
}
