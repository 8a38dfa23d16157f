/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the hooks of a cgroup know of a packet: its socket is given, others are found by the kernel's own lookups. */
#pragma once
#include "../maps.h"
#include "account.h"
#include "creator.h"
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

/* Fills flow->subject: whose packet it is. */
static __always_inline void sp_find_subject(struct __sk_buff *skb, struct sp_flow *flow)
{
	sp_endpoint_of_skb(skb, &flow->subject);
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
SP_FUNCTION int sp_find_sender_socket(struct __sk_buff *skb, struct sp_packet *packet, struct sp_endpoint *endpoint)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!packet || !endpoint)
		return 0;
	size = sp_tuple(&tuple, packet->source, packet->source_port, packet->destination, packet->destination_port);

	if (packet->protocol == IPPROTO_TCP) {
		sk = bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk)
			return 0;
		if (sk->state != BPF_TCP_LISTEN) {
			struct bpf_tcp_sock *tcp = bpf_tcp_sock(sk);

			if (tcp && tcp->snd_una == bpf_ntohl(packet->sequence))
				sp_endpoint_of_socket(endpoint, sk);
		}
		bpf_sk_release(sk);
		return 0;
	}
	sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	sp_endpoint_of_socket(endpoint, sk);
	bpf_sk_release(sk);
	return 0;
}

static __always_inline void sp_find_sender(struct __sk_buff *skb, struct sp_packet *packet,
					   struct sp_endpoint *endpoint)
{
	sp_find_sender_socket(skb, packet, endpoint);
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

/* The receiver's socket where helpers cannot find it: they look for sockets of the loopback device alone, and of those of no
 * device. What would be a guess stays unknown. Returns 0.
 */
SP_FUNCTION int sp_find_walked(struct __sk_buff *skb, struct sp_packet *packet, struct sp_endpoint *endpoint)
{
	struct sp_search search = {};

	if (!packet || !endpoint)
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
		endpoint->flags |= SP_ENDPOINT_AMBIGUOUS;
	else if (search.best.socket)
		sp_endpoint_of_walked(endpoint, search.best.socket);
	SP_JOIN(endpoint);
	return 0;
}

/* The receiver's socket by the kernel's own lookups, for a packet that arrives by the loopback device. Returns 0. */
SP_FUNCTION int sp_find_looked_up(struct __sk_buff *skb, struct sp_packet *packet, struct sp_endpoint *endpoint)
{
	struct bpf_sock_tuple tuple = {};
	__u8 any[16] __attribute__((aligned(8))) = {};
	struct bpf_sock *sk;
	__u32 size;

	if (!packet || !endpoint)
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
	sp_endpoint_of_socket(endpoint, sk);
	bpf_sk_release(sk);
	return 0;
}

/* The socket of this namespace that the packet goes to. */
static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet,
					     struct sp_endpoint *endpoint)
{
	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return;
	if (sp_arrives_by(skb, packet) == SP_LOOPBACK_IFINDEX)
		sp_find_looked_up(skb, packet, endpoint);
	else
		sp_find_walked(skb, packet, endpoint);
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

/* Whose connection it is: its socket's; 0 if the kernel does not tell. Retagged sockets count for their creator here. */
static __always_inline __u64 sp_connection_workload(sp_connection connection)
{
	struct bpf_sock *sk = connection->sk;
	struct sp_endpoint endpoint = {};
	const struct sock *kernel;

	if (!sk)
		return 0;
	kernel = (const struct sock *)bpf_skc_to_tcp_sock(sk);
	if (kernel)
		sp_endpoint_of_kernel_socket(&endpoint, sk, kernel);
	return endpoint.workload;
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
