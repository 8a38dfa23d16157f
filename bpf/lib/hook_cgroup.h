/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the hooks of a cgroup know of a packet: its socket is given, others are found by the kernel's own lookups. */
#pragma once
#include "../maps.h"
#include "account.h"
#include "find.h"
#include "identity.h"
#include "kernel.h"
#include "packet.h"
#include "tables.h"

/* connect() was asked before there is a packet, and judged the side of a listener in this namespace too. */
#define SP_SEES_CONNECT 1

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

/* True and filled if the socket speaks for another workload than its creator's: rare, so asked only if there are any. */
static __always_inline int sp_party_of_retag(struct sp_party *party, const struct sp_control *control, void *sk)
{
	struct sp_retag *retag;

	if (!control || !(control->flags & SP_CONTROL_RETAGGED) || !sk)
		return 0;
	retag = bpf_sk_storage_get(&sp_retag, sk, 0, 0);
	if (!retag)
		return 0;
	if (!retag->workload) {
		sp_party_host(party, SP_ASSURED_SOCKET);
		return 1;
	}
	if (!sp_party_of_cgroup(party, retag->workload))
		return 0;
	if (retag->flags & SP_RETAG_CHILD)
		sp_party_is_child(party);
	return 1;
}

/* The socket that a packet belongs to: whom it speaks for, that is its creator's cgroup. Returns 0. */
SP_FUNCTION int sp_party_of_skb(struct __sk_buff *skb, struct sp_party *party)
{
	struct sp_control *control = sp_controls();

	if (!party)
		return 0;
	if (sp_party_of_retag(party, control, skb->sk))
		return 0;
	SP_WALK(party, control, bpf_skb_ancestor_cgroup_id(skb, level), bpf_skb_cgroup_id(skb));
	return 0;
}

/* A socket that was looked up (cgroup_skb programs only). */
static __always_inline void sp_party_of_socket(struct sp_party *party, struct bpf_sock *sk)
{
	struct sp_control *control = sp_controls();

	if (sp_party_of_retag(party, control, sk))
		return;
	SP_WALK(party, control, bpf_sk_ancestor_cgroup_id(sk, level), bpf_sk_cgroup_id(sk));
}

/* Fills flow->subject: whose packet it is. */
static __always_inline void sp_find_subject(struct __sk_buff *skb, struct sp_flow *flow)
{
	sp_party_of_skb(skb, &flow->subject);
}

/* True for a raw socket: the packet goes to others beside it, and this hook runs for each. */
static __always_inline int sp_gets_a_copy(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return !sk || sk->type == SP_SOCK_RAW;
}

/* The sequence number of a connecting socket's own SYN. */
static __always_inline __u32 sp_initial_sequence(struct __sk_buff *skb, const struct sp_flow *)
{
	struct bpf_sock *sk = skb->sk;
	struct bpf_tcp_sock *tcp = sk ? bpf_tcp_sock(sk) : 0;

	return tcp ? tcp->snd_una : 0;
}

static __always_inline __u32 sp_socket_uid(struct __sk_buff *skb, const struct sp_flow *)
{
	return bpf_get_socket_uid(skb);
}

/* Of the row that tells the last ACK of a handshake who sent its SYN. */
static __always_inline __u64 sp_listener_tag(struct __sk_buff *, const struct sp_flow *flow)
{
	return SP_TAG_LISTENER | flow->cookie;
}

/* True on the way over the loopback device: both ends are in this namespace. */
static __always_inline int sp_is_looped(struct __sk_buff *skb)
{
	return skb->ifindex == SP_LOOPBACK_IFINDEX;
}

/* Egress: true if the packet's socket is bound to a device. Lookups find it on that device only, and a packet that stays
 * here arrives by another.
 */
static __always_inline int sp_is_bound(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	return sk && sk->bound_dev_if;
}

/* True if the receiver of such a packet finds its sender's socket, when that is in this namespace. */
static __always_inline int sp_sees_sender(const struct sp_packet *packet)
{
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

/* The sender's own socket, when it is in this namespace: found by the tuple turned round. For TCP it must be the one
 * that sent this very packet: connecting, and waiting for the acknowledgement of this sequence number, so that a frame
 * written to a packet socket under its addresses is not taken for its own. Returns 0.
 */
SP_FUNCTION int sp_find_sender_socket(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!packet || !party)
		return 0;
	size = sp_tuple(&tuple, packet->source, packet->source_port, packet->destination, packet->destination_port);

	if (packet->protocol == IPPROTO_TCP) {
		sk = bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		if (sk->state != BPF_TCP_LISTEN) {
			struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

			if (tcp && tcp->snd_una == bpf_ntohl(packet->sequence))
				sp_party_of_socket(party, sk);
		}
		bpf_sk_release(sk);
		return 0;
	}
	sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	sp_party_of_socket(party, sk);
	bpf_sk_release(sk);
	return 0;
}

static __always_inline void sp_find_sender(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	sp_find_sender_socket(skb, packet, party);
}

/* The device by which a packet that stays here arrives, as lookups of the kernel see it: the one that has the address
 * (inet_iif, ip6_rcv_core). SKB_DST_PTRMASK, include/linux/skbuff.h.
 */
static __always_inline __u32 sp_arrives_by(struct __sk_buff *skb, const struct sp_packet *packet)
{
	__u64 route = SP_READ(sk_buff, skb, _skb_refdst) & ~1ull;
	__u32 device;

	if (packet->is_ipv4)
		device = SP_READ(rtable, route, rt_iif);
	else
		device = SP_READ(rt6_info, route, rt6i_idev, dev, ifindex);
	return device ? device : skb->ifindex;
}

/* A socket by its address in the kernel's memory. One that was retagged speaks for its creator here: whether it was, only its
 * own hook can tell.
 */
static __always_inline void sp_party_of_walked(struct sp_party *party, __u64 socket)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of(socket);

	SP_WALK(party, control, sp_ancestor_id(cgroup, level), sp_cgroup_id(cgroup));
}

/* The receiver's socket where helpers cannot find it: they look for sockets of the loopback device alone, and of those of no
 * device. What would be a guess stays unknown. Returns 0.
 */
SP_FUNCTION int sp_find_walked(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	struct sp_search search = {};

	if (!packet || !party)
		return 0;
	search.net = (__u64)SP_READ(sk_buff, skb, dev, nd_net.net);
	search.device = sp_arrives_by(skb, packet);
	search.is_tcp = packet->protocol == IPPROTO_TCP;
	search.is_ipv4 = packet->is_ipv4;
	search.local = packet->destination;
	search.remote = packet->source;
	search.local_port = bpf_ntohs(packet->destination_port);
	search.remote_port = packet->source_port;
	sp_find(&search);
	if (search.best.rival || search.cut)
		party->flags |= SP_PARTY_UNTOLD;
	else if (search.best.socket)
		sp_party_of_walked(party, search.best.socket);
	SP_JOIN(party);
	return 0;
}

/* The receiver's socket by the kernel's own lookups, for a packet that arrives by the loopback device. Returns 0. */
SP_FUNCTION int sp_find_looked_up(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	struct bpf_sock_tuple tuple = {};
	__u8 any[16] __attribute__((aligned(8))) = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!packet || !party)
		return 0;
	size = sp_tuple(&tuple, packet->destination, packet->destination_port, packet->source, packet->source_port);
	if (packet->protocol == IPPROTO_TCP) {
		sk = bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk) {
			/* TIME_WAIT hides the listener from a lookup, and takes a SYN to it (RFC 6191) */
			size = sp_tuple(&tuple, packet->destination, packet->destination_port, any, 0);
			sk = bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		}
	} else {
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	sp_party_of_socket(party, sk);
	bpf_sk_release(sk);
	return 0;
}

/* The socket of this namespace that the packet goes to. */
static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet, struct sp_party *party)
{
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return;
	if (sp_arrives_by(skb, packet) == SP_LOOPBACK_IFINDEX)
		sp_find_looked_up(skb, packet, party);
	else
		sp_find_walked(skb, packet, party);
}

/* connect() told it, with the process. */
static __always_inline void sp_record_attempt(struct __sk_buff *, const struct sp_packet *, const struct sp_flow *)
{
}

/* The task that sends a packet, when it is the caller that runs the egress hook and not a softirq in somebody else's
 * time: its cgroup is the socket's.
 */
static __always_inline void sp_record_sender_task(struct sp_record *record, struct __sk_buff *skb,
						  const struct sp_flow *)
{
	__u64 pid, cgroup;

	if (!(config.features & SP_FEATURE_SKB_TASK))
		return;
	cgroup = bpf_get_current_cgroup_id();
	if (cgroup != bpf_skb_cgroup_id(skb))
		return;
	pid = bpf_get_current_pid_tgid();
	record->pid = pid >> 32;
	record->tid = pid;
	record->cgroup = cgroup;
	bpf_get_current_comm(record->comm, sizeof(record->comm));
}

/* A socket by the kernel's own view of it, where the helpers are refused (sock_addr programs). Where the pointer to the
 * cgroup shares a word with other things (SP_STATIC is for such kernels), it is read as a number.
 */
#ifdef SP_STATIC
static __always_inline void sp_party_of_kernel_socket(struct sp_party *party, struct bpf_sock *sk,
						      const struct sock *kernel)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of((__u64)kernel);

	if (sp_party_of_retag(party, control, sk))
		return;
	SP_WALK(party, control, sp_ancestor_id(cgroup, level), sp_cgroup_id(cgroup));
}

static __always_inline __u64 sp_creator_of(const struct sock *kernel)
{
	return sp_cgroup_id(sp_cgroup_of((__u64)kernel));
}
#else
static __always_inline void sp_party_of_kernel_socket(struct sp_party *party, struct bpf_sock *sk,
						      const struct sock *kernel)
{
	struct cgroup *cgroup = kernel->sk_cgrp_data.cgroup;
	struct sp_control *control = sp_controls();
	__u32 levels = control ? control->levels : 0;
	int i;

	if (sp_party_of_retag(party, control, sk))
		return;
	sp_party_host(party, SP_ASSURED_SOCKET);
	for (i = 0; i <= (int)SP_MAX_LEVEL; i++) {
		struct cgroup_subsys_state *parent;
		int level = cgroup->level;

		if (level <= 0)
			break;
		if (level <= (int)SP_MAX_LEVEL && (levels & (1u << (level & 31))) &&
		    sp_party_of_cgroup(party, cgroup->kn->id)) {
			if (i > 0)
				sp_party_is_child(party);
			break;
		}
		parent = cgroup->self.parent;
		if (!parent)
			break;
		cgroup = parent->cgroup;
	}
}

static __always_inline __u64 sp_creator_of(const struct sock *kernel)
{
	return kernel->sk_cgrp_data.cgroup->kn->id;
}
#endif

/* Whose connection it is: its socket's; 0 if the kernel does not tell. Retagged sockets count for their creator here. */
static __always_inline __u64 sp_connection_workload(sp_connection connection)
{
	struct bpf_sock *sk = connection->sk;
	struct sp_party party = {};
	const struct sock *kernel;

	if (!sk)
		return 0;
	kernel = (const struct sock *)bpf_skc_to_tcp_sock(sk);
	if (kernel)
		sp_party_of_kernel_socket(&party, sk, kernel);
	return party.workload;
}

static __always_inline void sp_record_socket(struct sp_record *record, sp_connection connection)
{
	record->socket = bpf_get_socket_cookie(connection);
	record->protocol = IPPROTO_TCP;
	if (connection->family == SP_AF_INET) {
		sp_map_ipv4(record->local, connection->local_ip4);
		sp_map_ipv4(record->remote, connection->remote_ip4);
	} else {
		__u32 *local = (__u32 *)record->local, *remote = (__u32 *)record->remote;

		local[0] = connection->local_ip6[0];
		local[1] = connection->local_ip6[1];
		local[2] = connection->local_ip6[2];
		local[3] = connection->local_ip6[3];
		remote[0] = connection->remote_ip6[0];
		remote[1] = connection->remote_ip6[1];
		remote[2] = connection->remote_ip6[2];
		remote[3] = connection->remote_ip6[3];
	}
	record->local_port = connection->local_port;
	record->remote_port = bpf_ntohl(connection->remote_port);
	record->rtt = connection->srtt_us >> 3;
}

static __always_inline void sp_record_counts(struct sp_record *record, sp_connection connection, __u32 before)
{
	sp_record_bytes(record, before, connection->bytes_acked, connection->bytes_received);
	record->packets_sent = connection->segs_out;
	record->packets_received = connection->segs_in;
}

/* Not told apart here: one whose SYN was refused is recorded as one that failed. */
static __always_inline int sp_was_refused(sp_connection, __u32)
{
	return 0;
}
