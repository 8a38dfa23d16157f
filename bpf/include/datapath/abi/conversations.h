/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the programs keep of conversations: hand-offs between network namespaces, and state of everything but TCP. */
#pragma once
#include <linux/types.h>
#include "verdicts.h"

/* ---- sp_handoffs: LRU hash ------------------------------------------------------------------------------------------
 * What an egress hook tells the ingress hook of another network namespace of this host. For a TCP SYN, `tag` is the
 * packet's hash: 32 random bits of the sending socket that survive veth and bridges and cannot be set by a sender, so
 * equal addresses, ports and sequence numbers in two namespaces stay two senders. Once the listener has seen the SYN,
 * a second row with SP_TAG_LISTENER | cookie tells the ACK that completes the handshake (whose hash differs). For other
 * protocols the tag is 0 and the row belongs to one workload at a time: each packet that leaves adds a credit, the
 * receiver's ingress hook takes it. A packet that finds no credit did not pass its sender's egress hook.
 */
#define SP_TAG_LISTENER (1ull << 63)

struct sp_handoff_key {
	__u8 source[16];
	__u8 destination[16];
	__be16 source_port;
	__be16 destination_port;
	__u32 sequence; /* TCP: that of the SYN, network order as a number; else 0 */
	__u64 tag;
	__u8 protocol;
	__u8 pad[7];
};
_Static_assert(sizeof(struct sp_handoff_key) == 56, "sp_handoff_key");

/* Flags of struct sp_handoff. Retired: SP_HANDOFF_AMBIGUOUS 1u. */
#define SP_HANDOFF_CLASH \
	2u /* two sockets sent a SYN with one sequence number and one hash: the receiver must not choose */

struct sp_handoff {
	__u64 workload; /* cgroup id, 0 = host */
	__u64 time;	/* ns, coarse, of its last packet */
	__u64 socket;	/* cookie of the sender's; 0 = unknown */
	__u64 claim; /* the workload that the destination's address belongs to and the sender was allowed to reach; 0 = none */
	__u64 rolled; /* ns, coarse, when lost credits were last written off */
	__u32 identity;
	__u32 generation; /* by which the sender was resolved */
	__u32 sent;	  /* credits: segments that left; wraps */
	__u32 taken;	  /* likewise, that arrived or were written off */
	__u32 before;	  /* `sent` when it was last rolled */
	__u32 flags; /* SP_SENDER_…; of a socket that connects to its own namespace (simultaneous_open.h): SP_ENDPOINT_UNLABELLED */
	__u64 wire; /* TCP: digest of addresses and ports as they left; another one at the receiver means NAT; 0 = not told */
	__be16 asked_port; /* the destination's that the sender's socket asked for; NAT may have made it another; 0 = not told */
	__u16 pad[3];
};
_Static_assert(sizeof(struct sp_handoff) == 80, "sp_handoff");

/* ---- sp_confirmed: LRU hash, cookie of a connecting TCP socket → the SYN that its receiver judged --------------------- */

struct sp_confirmed {
	__u32 sequence; /* of the SYN, host order */
	__u32 pad;
};
_Static_assert(sizeof(struct sp_confirmed) == 8, "sp_confirmed");

/* ---- sp_convs: hash, conversations of everything but TCP ----------------------------------------------------------- */

struct sp_conv_key {
	__u64 socket; /* cookie: state belongs to one socket, whatever its own address and whatever the namespace */
	__u8 remote[16];
	__be16 remote_port;
	__be16 id; /* ICMP echo: the identifier; other ICMP: type and code; raw sockets: the own port; else 0 */
	__u8 protocol;
	enum sp_direction initiator; /* ICMP only: who asked, so that an id used the other way is another talk */
	__u8 is_echo;		     /* ICMP only: id is an identifier */
	__u8 pad;
};
_Static_assert(sizeof(struct sp_conv_key) == 32, "sp_conv_key");

/* sp_conv.handed: which packets of a conversation between namespaces add and need credits (sp_handoffs). */
#define SP_CONV_TELLS 1u /* those that this end sends leave the namespace: each adds a credit */
#define SP_CONV_WANTS 2u /* those that come in need a credit of `sender` */
#define SP_CONV_ASKS 4u	 /* not known yet: the first that comes in decides */

struct sp_conv {
	__u64 opened;	  /* ns, CLOCK_MONOTONIC */
	__u64 last_seen;  /* ns, CLOCK_MONOTONIC (coarse) */
	__u64 packets[2]; /* by direction of the packet, enum sp_direction */
	__u64 bytes[2];	  /* IP bytes, likewise */
	__u64 workload;	  /* of the socket: cgroup id of its labelled ancestor, 0 = host */
	__u64 peer_workload;
	__u64 sender;	  /* SP_CONV_WANTS: the workload whose credits carry incoming packets */
	__u32 peer;	  /* identity number */
	__u32 generation; /* that last judged it */
	__u32 rule;
	__u32 uid;
	__u8 local[16]; /* of the first packet */
	__be16 local_port;
	enum sp_direction direction; /* who began */
	enum sp_assurance assurance;
	enum sp_decided_by decided_by;
	__u8 find_peer; /* 1 = judged by who the peer was before the generation: the next incoming packet tells who it is */
	__u8 handed; /* SP_CONV_… */
	__u8 lane;   /* its row in sp_queue, with `owner`, `direction` and `sequence` */
	__u64 owner; /* of the share that it counts for: `workload` when it began */
	__u32 sequence;
	__u32 pad2;
};
_Static_assert(sizeof(struct sp_conv) == 128, "sp_conv");
