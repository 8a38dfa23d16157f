/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What a rule of iptables knows of a packet. Outgoing: its socket. Incoming: nothing, so the socket that will get it is
 * found as the kernel finds it (find.h). Whom a socket speaks for is read from the kernel's memory.
 */
#pragma once
#include "../maps.h"
#include "account.h"
#include "find.h"
#include "identity.h"
#include "kernel.h"
#include "packet.h"
#include "tables.h"

/* The first SYN is the first thing that is seen of a connection: both sides are judged on its way out. */
#define SP_SEES_CONNECT 0

/* True if the socket is policed: made in the configured cgroup or below it. */
static __always_inline int sp_is_policed(__u64 socket)
{
	__u64 cgroup = sp_cgroup_of(socket);

	return !nf_config.level || sp_ancestor_id(cgroup, nf_config.level) == nf_config.cgroup;
}

/* Whom a socket speaks for. Returns 0. */
SP_FUNCTION int sp_endpoint_of_socket(struct sp_endpoint *endpoint, __u64 socket)
{
	struct sp_control *control = sp_controls();
	__u64 cgroup = sp_cgroup_of(socket);

	if (!endpoint)
		return 0;
	SP_WALK(endpoint, control, sp_ancestor_id(cgroup, level), sp_cgroup_id(cgroup));
	SP_JOIN(endpoint);
	return 0;
}

/* What names a socket in conversations and records. A cookie may not be made yet when its first packet comes in, so it is
 * the address, mixed with the cgroup: memory that is used again by another workload never has the same name; and with the
 * port, so that a socket of the same workload in the same memory rarely goes on with the conversation of another. Of a group
 * (SO_REUSEPORT) rules cannot tell which member receives: all that speak for the same workload have one name, so that each
 * may answer.
 */
static __always_inline __u64 sp_name_socket(__u64 socket)
{
	__u64 port = SP_READ(sock, socket, __sk_common.skc_num);
	__u64 group = (__u64)SP_READ(sock, socket, sk_reuseport_cb), owner, name;

	owner = group ? sp_speaker(socket) : sp_cgroup_id(sp_cgroup_of(socket));
	name = ((group ? group : socket) ^ owner << 40 ^ owner >> 24 ^ port << 48) * 0x9E3779B97F4A7C15ull;
	return name ^ name >> 32;
}

/* Fills flow->subject: whose packet it is. */
static __always_inline void sp_find_subject(struct __sk_buff *, struct sp_flow *flow)
{
	sp_endpoint_of_socket(&flow->subject, flow->socket);
}

/* Rules run once for each packet, whoever gets copies of it. */
static __always_inline int sp_gets_a_copy(struct __sk_buff *)
{
	return 0;
}

/* The sequence number of a connecting socket's own SYN. */
static __always_inline __u32 sp_initial_sequence(struct __sk_buff *, const struct sp_flow *flow)
{
	return SP_READ(tcp_sock, flow->socket, snd_una);
}

static __always_inline __u32 sp_socket_uid(struct __sk_buff *, const struct sp_flow *flow)
{
	return SP_READ(sock, flow->socket, sk_uid.val);
}

/* The device of a packet on its way out is that of its route (SKB_DST_PTRMASK, include/linux/skbuff.h). */
static __always_inline __u32 sp_device(struct __sk_buff *skb)
{
	__u64 route;

	if (skb->ifindex)
		return skb->ifindex;
	route = SP_READ(sk_buff, skb, _skb_refdst) & ~1ull;
	return SP_READ(dst_entry, route, dev, ifindex);
}

static __always_inline int sp_is_looped(struct __sk_buff *skb)
{
	return sp_device(skb) == SP_LOOPBACK_IFINDEX;
}

/* The walk finds sockets that are bound to a device too. */
static __always_inline int sp_is_bound(struct __sk_buff *)
{
	return 0;
}

/* A connecting TCP socket is in no table that can be walked: its egress hands over who it is, also to this namespace. */
static __always_inline int sp_sees_sender(const struct sp_packet *packet)
{
	return packet->protocol == IPPROTO_UDP;
}

/* The namespace of a packet: its socket's, else its device's. */
static __always_inline __u64 sp_namespace(struct __sk_buff *skb)
{
	__u64 socket = (__u64)SP_READ(sk_buff, skb, sk);

	if (!skb->ifindex && socket)
		return (__u64)SP_READ(sock, socket, __sk_common.skc_net.net);
	return (__u64)SP_READ(sk_buff, skb, dev, nd_net.net);
}

/* Of the row that tells the last ACK of a handshake who sent its SYN: on the loopback device nothing else tells that an
 * ACK is one (sp_completes). Addresses of the kernel's memory have the highest bit set.
 */
static __always_inline __u64 sp_listener_tag(struct __sk_buff *skb, const struct sp_flow *)
{
	return SP_TAG_LISTENER | sp_namespace(skb);
}

/* In the place of a socket: who receives is not known, because a list was too long to be walked to its end, or because the
 * kernel will choose among sockets of several workloads.
 */
#define SP_CANNOT_TELL 1ull

/* The socket that suits one end of a packet best, and in `rival` another that the kernel may choose as well. */
SP_FUNCTION __u64 sp_find_candidates(struct __sk_buff *skb, struct sp_packet *packet, int turned, __u64 *rival)
{
	struct sp_search search = {};

	if (!packet || !rival)
		return 0;
	search.net = sp_namespace(skb);
	search.device = sp_device(skb);
	search.is_tcp = packet->protocol == IPPROTO_TCP;
	search.is_ipv4 = packet->is_ipv4;
	if (turned) {
		search.local = packet->source;
		search.remote = packet->destination;
		search.local_port = bpf_ntohs(packet->source_port);
		search.remote_port = packet->destination_port;
	} else {
		search.local = packet->destination;
		search.remote = packet->source;
		search.local_port = bpf_ntohs(packet->destination_port);
		search.remote_port = packet->source_port;
	}
	sp_find(&search);
	/* What is for many receivers reaches all of them, and is judged as for one. */
	*rival = search.best.rival & (0 - sp_is_same(skb->pkt_type, PACKET_HOST));
#ifdef SP_NO_GLOBAL_FUNCTIONS
	search.cut |= *rival; /* one branch less for old verifiers */
	*rival = 0;
#endif
	return search.cut ? SP_CANNOT_TELL : search.best.socket;
}

/* The socket at one end of a packet: its destination, or with `turned` its source. 0 = none. */
static __always_inline __u64 sp_find_socket(struct __sk_buff *skb, struct sp_packet *packet, int turned)
{
	__u64 rival = 0, socket = sp_find_candidates(skb, packet, turned, &rival);

#ifndef SP_NO_GLOBAL_FUNCTIONS
	if (rival)
		socket = SP_CANNOT_TELL;
#endif
	return socket;
}

static __always_inline void sp_find_sender(struct __sk_buff *skb, struct sp_packet *packet,
					   struct sp_endpoint *endpoint)
{
	__u64 socket = sp_find_socket(skb, packet, 1);

	if (socket && socket != SP_CANNOT_TELL)
		sp_endpoint_of_socket(endpoint, socket);
}

static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet,
					     struct sp_endpoint *endpoint)
{
	__u64 socket;

	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return;
	socket = sp_find_socket(skb, packet, 0);
	if (socket && socket != SP_CANNOT_TELL)
		sp_endpoint_of_socket(endpoint, socket);
}

/* The task that sends a packet, when it is the caller that runs the rule and not a softirq in somebody else's time: its
 * cgroup is the socket's.
 */
static __always_inline void sp_record_sender_task(struct sp_record *record, struct __sk_buff *,
						  const struct sp_flow *flow)
{
	__u64 task = bpf_get_current_task(), cgroup = (__u64)SP_READ(task_struct, task, cgroups, dfl_cgrp);

	if (cgroup != sp_cgroup_of(flow->socket))
		return;
	record->pid = SP_READ(task_struct, task, tgid);
	record->tid = SP_READ(task_struct, task, pid);
	record->cgroup = sp_cgroup_id(cgroup);
	BPF_CORE_READ_STR_INTO(&record->comm, (struct task_struct *)task, comm);
}

/* The first SYN of a connection that may go on, with the process that connects; not when it is sent again. */
static __always_inline void sp_record_attempt(struct __sk_buff *skb, const struct sp_packet *packet,
					      const struct sp_flow *flow)
{
	struct sp_record *record;

	if (SP_READ(inet_connection_sock, flow->socket, icsk_retransmits))
		return;
	record = sp_record_begin(flow->subject.workload);
	if (!record)
		return;
	record->kind = SP_RECORD_ATTEMPT;
	record->uid = sp_socket_uid(skb, flow);
	sp_record_sender_task(record, skb, flow);
	sp_record_packet(record, packet, SP_OUTGOING);
	sp_record_flow(record, flow);
	sp_record_end(record, sp_wakeup_for(record->pid));
}

/* The cookie, if the kernel has made one: for our own SYN and SYN-ACK the programs had it made. */
static __always_inline __u64 sp_socket_cookie(__u64 socket)
{
	__u64 cookie = SP_READ(sock, socket, __sk_common.skc_cookie.counter);

	return cookie ? cookie : sp_name_socket(socket);
}

static __always_inline __u64 sp_connection_workload(sp_connection socket)
{
	struct sp_endpoint endpoint = {};

	sp_endpoint_of_socket(&endpoint, socket);
	return endpoint.workload;
}

static __always_inline void sp_record_socket(struct sp_record *record, sp_connection socket)
{
	record->socket = sp_socket_cookie(socket);
	record->protocol = IPPROTO_TCP;
	if (SP_READ(sock, socket, __sk_common.skc_family) == SP_AF_INET) {
		sp_map_ipv4(record->local, SP_READ(sock, socket, __sk_common.skc_rcv_saddr));
		sp_map_ipv4(record->remote, SP_READ(sock, socket, __sk_common.skc_daddr));
	} else {
		struct sock *sk = (struct sock *)socket;

		BPF_CORE_READ_INTO((struct in6_addr *)record->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)record->remote, sk, __sk_common.skc_v6_daddr);
	}
	record->local_port = SP_READ(sock, socket, __sk_common.skc_num);
	record->remote_port = bpf_ntohs(SP_READ(sock, socket, __sk_common.skc_dport));
	record->rtt = SP_READ(tcp_sock, socket, srtt_us) >> 3;
}

static __always_inline void sp_record_counts(struct sp_record *record, sp_connection socket, __u32 before)
{
	sp_record_bytes(record, before, SP_READ(tcp_sock, socket, bytes_acked),
			SP_READ(tcp_sock, socket, bytes_received));
	record->packets_sent = SP_READ(tcp_sock, socket, segs_out);
	record->packets_received = SP_READ(tcp_sock, socket, segs_in);
}

/* So that the end of a connection that never began is not told once more. */
static __always_inline void sp_note_refused(__u64 socket)
{
	struct sp_handshake *known = sp_handshake();

	if (known)
		known->refused = socket;
}

/* That it was refused was told; the reset that ends it came within the same call. */
static __always_inline int sp_was_refused(sp_connection socket, __u32 before)
{
	struct sp_handshake *known = sp_handshake();

	return before == BPF_TCP_SYN_SENT && known && known->refused == socket;
}
