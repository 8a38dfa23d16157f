/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The seam between the verdict and the place where it is asked: what three hooks tell, each in its own way. Whatever lies above
 * calls nothing of a hook but this (files for the cgroup hooks alone also call hook_cgroup.h).
 */
#pragma once
#include "../maps.h"
#include "packet.h"

/* SP_SEES_CONNECT: 1 where connect() was asked before there is a packet, and judged a listener of this namespace too. */

/* Fills flow->subject: whose packet it is. */
static __always_inline void sp_find_subject(struct __sk_buff *skb, struct sp_flow *flow);

/* Whose socket of this namespace sent a packet; nothing is filled if there is none. */
static __always_inline void sp_find_sender(struct __sk_buff *skb, struct sp_packet *packet,
					   struct sp_endpoint *endpoint);

/* Whether sp_find_sender can tell, for such a packet. */
static __always_inline int sp_sees_sender(const struct sp_packet *packet);

/* Whose socket of this namespace a packet goes to; nothing is filled if there is none. */
static __always_inline void sp_find_receiver(struct __sk_buff *skb, struct sp_packet *packet,
					     struct sp_endpoint *endpoint);

/* Whether a packet's socket is bound to a device, where lookups need to know it. */
static __always_inline int sp_is_bound(struct __sk_buff *skb);

/* Whether a packet stays in this namespace. */
static __always_inline int sp_is_looped(struct __sk_buff *skb);

/* Whether other sockets get the packet too, with a call of their own. Not asked in the mark view. */
static __always_inline int sp_gets_a_copy(struct __sk_buff *skb);

/* The sequence number of a connecting socket's own SYN. Not asked in the mark view. */
static __always_inline __u32 sp_initial_sequence(struct __sk_buff *skb, const struct sp_flow *flow);

/* What ties the last ACK of a handshake to its SYN. */
static __always_inline __u64 sp_listener_tag(struct __sk_buff *skb, const struct sp_flow *flow);

/* The user of the packet's own socket. */
static __always_inline __u32 sp_socket_uid(struct __sk_buff *skb, const struct sp_flow *flow);

/* Puts the process that sends into a record, where it is the caller. */
static __always_inline void sp_record_sender_task(struct sp_record *record, struct __sk_buff *skb,
						  const struct sp_flow *flow);

/* Records that a connection is tried, and may be, where connect() did not. */
static __always_inline void sp_record_attempt(struct __sk_buff *skb, const struct sp_packet *packet,
					      const struct sp_flow *flow);

/* A connection that opens or closes (lifecycle.h; not in the mark view), as the hook has it. */
#ifdef SP_NETFILTER
typedef __u64 sp_connection;
#else
typedef struct bpf_sock_ops *sp_connection;
#endif

/* The workload whose connection it is, 0 = host. */
static __always_inline __u64 sp_connection_workload(sp_connection connection);

/* Puts its socket and its two ends into a record. */
static __always_inline void sp_record_socket(struct sp_record *record, sp_connection connection);

/* Puts what it sent and received into a record; `before` is the state that it had. */
static __always_inline void sp_record_counts(struct sp_record *record, sp_connection connection, __u32 before);

/* Whether its end has been recorded as a refusal. */
static __always_inline int sp_was_refused(sp_connection connection, __u32 before);

#if defined(SP_MARK)
#include "hook_mark.h"
#elif defined(SP_NETFILTER)
#include "hook_netfilter.h"
#else
#include "hook_cgroup.h"
#endif
