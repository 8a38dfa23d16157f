/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every byte that crosses between the kernel programs and Swift, and nothing else.
 *
 * Rules: fixed-width types only; the type states the byte order (__u16/__u32 host order, __be16/__be32 network order);
 * padding is explicit, so that a hash key never hashes garbage; every struct has its size asserted. A change of meaning
 * or layout raises SP_ABI_VERSION. Enumerations are append-only: a retired number stays, as a comment.
 */
#pragma once
#include <linux/types.h>

#define SP_ABI_VERSION 4u

/* ---- Limits ---------------------------------------------------------------------------------------------------- */

/* Dense identity numbers: 0 unknown, 1 host, 2 world, 16… allotted to label sets, 131072… sets of external networks. */
#define SP_IDENTITY_UNKNOWN 0u
#define SP_IDENTITY_HOST 1u
#define SP_IDENTITY_WORLD 2u
#define SP_IDENTITY_CAPACITY 147456u

/* Port classes of one slot, as a flat array of __u16: where each protocol's part begins. */
#define SP_PORT_TCP 0u
#define SP_PORT_UDP 65536u
#define SP_PORT_SCTP 131072u
#define SP_PORT_ICMP 196608u  /* + type */
#define SP_PORT_ICMP6 196864u /* + type */
#define SP_PORT_OTHER 197120u /* + protocol number */
#define SP_PORT_COUNT 197376u
#define SP_PORTS_PER_ROW 64u
#define SP_PORT_ROWS 3084u /* SP_PORT_COUNT / SP_PORTS_PER_ROW */

/* cgroups are looked at from level 1 (child of the hierarchy's root) to this level; deeper ones inherit. */
#define SP_MAX_LEVEL 16u

/* ---- Enumerations ---------------------------------------------------------------------------------------------- */

enum sp_direction { SP_OUTGOING = 0, SP_INCOMING = 1 };

enum sp_action { SP_NONE = 0, SP_ALLOW = 1, SP_REJECT = 2 };

/* What decided a verdict. */
enum sp_decided_by {
	SP_BY_NOTHING = 0,
	SP_BY_RULE = 1,
	SP_BY_DEFAULT = 2, /* no rule matched */
	SP_BY_LOCAL = 3,   /* both ends are the same workload */
	/* Counted, not recorded: what the kernel's own sockets send; and at raw sockets, errors that quote a live flow of the
	 * receiver and discovery from the link.
	 */
	SP_BY_EXCLUDED = 4,
	SP_BY_INVALID = 5, /* the packet's headers cannot be read, or it is a fragment without its transport header */
	SP_BY_ERROR = 6,   /* a table that must be there is not: refused */
	/* The subject is a cgroup without labels below a workload with SP_WORKLOAD_REJECT_CHILDREN: refused whatever policy
	 * says. The record's workload is the one above it.
	 */
	SP_BY_UNLABELLED = 7,
	/* Outgoing: packets of another workload with the same addresses and ports are on the way, or their source address
	 * is that workload's. The receiver could not tell the two apart.
	 */
	SP_BY_SENDER = 8,
	/* Incoming: who receives cannot be told. Sockets of several workloads may, or too many had to be looked at. */
	SP_BY_AMBIGUOUS = 9,
};

/* How the other end's identity is known. */
enum sp_assurance {
	SP_ASSURED_NOT = 0,	/* unknown */
	SP_ASSURED_ADDRESS = 1, /* from its address alone */
	SP_ASSURED_SOCKET = 2,	/* its socket was found in this network namespace */
	SP_ASSURED_HANDOFF = 3, /* its own egress hook on this host told us, for this very packet or conversation */
};

enum sp_record_kind {
	SP_RECORD_ATTEMPT =
		1, /* connect() passed; the process is known. UDP: not judged yet, decided_by is SP_BY_NOTHING */
	SP_RECORD_REFUSED = 2,
	SP_RECORD_OPEN = 3,  /* a TCP connection is established, or the first packet of a conversation passed */
	SP_RECORD_CLOSE = 4, /* a TCP connection ended, with its counts */
	SP_RECORD_BIND = 5,  /* a process bound a socket to a port */
};

/* Flags of struct sp_record. */
#define SP_RECORD_LOG 1u       /* the rule asks for it */
#define SP_RECORD_REVOKED 2u   /* it had been allowed before */
#define SP_RECORD_PEER_SIDE 4u /* refused at connect() for the incoming side of the other workload */
#define SP_RECORD_FAILED 8u    /* close of a connection that never was established */

/* Flags of struct sp_workload. */
#define SP_WORKLOAD_OBSERVE 1u	       /* verdicts on this workload are reported and not applied */
#define SP_WORKLOAD_REJECT_CHILDREN 2u /* cgroups below it that have no labels of their own are not it: refused */

/* Flags of struct sp_control. */
#define SP_CONTROL_RETAGGED 1u /* sockets may be in sp_retag; set before the first one is */

/* Flags of struct sp_retag. */
#define SP_RETAG_CHILD 1u /* its holder is below the workload, in a cgroup without labels of its own */

/* Flags of struct sp_handoff. Retired: SP_HANDOFF_AMBIGUOUS 1u. */
#define SP_HANDOFF_CLASH \
	2u /* two sockets sent a SYN with one sequence number and one hash: the receiver must not choose */

/* Per-workload counters: n[direction][decided_by << 1 | refused], and these. */
#define SP_COUNT_EVICTED 28u	  /* conversations that ended early: the workload's share was used up */
#define SP_COUNT_RECORDS_LOST 29u /* records that did not fit the ring or its share of it; under SP_OUTGOING */
#define SP_COUNT_OBSERVED 30u	  /* an observed rule or workload would have changed the outcome */
#define SP_COUNT_REVOKED 31u	  /* conversations ended because policy no longer allows them */
#define SP_COUNTS 32u

/* Counters of the datapath itself (struct sp_stats). */
enum sp_stat {
	SP_STAT_RECORDS = 0,		/* records written */
	SP_STAT_RECORDS_LOST = 1,	/* the ring was full */
	SP_STAT_RECORDS_SUPPRESSED = 2, /* same refusal again within a second */
	SP_STAT_CONVERSATIONS_FULL = 3, /* judged as new because no state could be kept */
	SP_STAT_SENDERS_FAILED = 4,	/* the sender could not be told to the receiver */
	SP_STAT_SENDERS_AMBIGUOUS = 5,	/* refused on the way out: the tuple is another sender's (SP_BY_SENDER) */
	SP_STAT_TABLE_MISSING = 6,
	SP_STAT_EVICTED = 7, /* conversations that ended early, so that others find room */
	SP_STAT_COUNT = 16,
};

/* ---- Configuration, read-only after load ------------------------------------------------------------------------ */

/* Kernel features, found by trying (bits of sp_config.features). */
#define SP_FEATURE_COARSE_CLOCK 1u /* bpf_ktime_get_coarse_ns, 5.11 */
#define SP_FEATURE_SOCKET_CAST 2u  /* bpf_rdonly_cast, 6.2 */
#define SP_FEATURE_SKB_TASK 4u	   /* bpf_get_current_{pid_tgid,comm,cgroup_id} in cgroup_skb programs, 6.12 */

struct sp_config {
	__u32 abi_version; /* SP_ABI_VERSION; the loader replaces another */
	__u32 features;	   /* SP_FEATURE_… */
	__u64 udp_idle;	   /* ns after which a UDP or other conversation is over */
	__u64 icmp_idle;   /* ns, likewise for ICMP */
};
_Static_assert(sizeof(struct sp_config) == 24, "sp_config");

/* ---- sp_active: array of one __u32 ------------------------------------------------------------------------------ */

/* The generation: raised by every change of policy (by an odd number) or of labels (by an even number). Its lowest bit
 * is the slot whose tables are in force. A program reads it once per packet, so no packet sees half of two.
 */
#define SP_SLOT(generation) ((generation)&1u)

/* ---- sp_control: array of one ----------------------------------------------------------------------------------- */

struct sp_control {
	__u32 levels; /* bit n: a labelled cgroup may exist at level n; set before the row is written */
	__u32 flags;  /* SP_CONTROL_… */
};
_Static_assert(sizeof(struct sp_control) == 8, "sp_control");

/* ---- sp_workload: cgroup id (__u64) → identity ------------------------------------------------------------------ */

struct sp_workload {
	__u32 identity; /* number */
	__u32 flags;	/* SP_WORKLOAD_… */
};
_Static_assert(sizeof(struct sp_workload) == 8, "sp_workload");

/* ---- sp_retag: socket storage, inherited by accepted sockets ---------------------------------------------------- */

/* Whom a socket speaks for since its holder has moved; without it, or when that workload has no row any more, it speaks
 * for the cgroup that made it.
 */
struct sp_retag {
	__u64 workload; /* cgroup id, 0 = host */
	__u32 flags;	/* SP_RETAG_… */
	__u32 pad;
};
_Static_assert(sizeof(struct sp_retag) == 16, "sp_retag");

/* ---- sp_classes: array, index = slot × SP_IDENTITY_CAPACITY + identity ------------------------------------------- */

/* Which cells exist for a subject class; the others are not looked up. p = peer class, t = port class. */
#define SP_PROBE_PEER_PORT 1u /* (p, t) */
#define SP_PROBE_PEER 2u      /* (p, any) */
#define SP_PROBE_PORT 4u      /* (any, t) */
#define SP_PROBE_ANY 8u	      /* (any, any) */

struct sp_classes {
	__u32 subject[2]; /* by direction; 0 = no rule set applies: the default */
	__u32 peer;	  /* 0 = no narrow peer matches */
	__u8 probes[2];	  /* by direction, SP_PROBE_… */
	__u8 fallback[2]; /* by direction: the default action, enum sp_action */
};
_Static_assert(sizeof(struct sp_classes) == 16, "sp_classes");

/* ---- sp_ports: array, index = slot × SP_PORT_ROWS + port index / SP_PORTS_PER_ROW --------------------------------- */

struct sp_port_row {
	__u16 classes[SP_PORTS_PER_ROW];
};
_Static_assert(sizeof(struct sp_port_row) == 128, "sp_port_row");

/* ---- sp_policy: hash ------------------------------------------------------------------------------------------- */

/* peer 0 and port_class 0 mean "any". Looked up most specific first; the first hit decides:
 *   (p, t)   (p, 0)   (0, t)   (0, 0)   else the default.
 */
struct sp_cell_key {
	__u32 subject;
	__u32 peer;
	__u16 port_class;
	__u8 direction; /* enum sp_direction */
	__u8 slot;
};
_Static_assert(sizeof(struct sp_cell_key) == 12, "sp_cell_key");

struct sp_cell {
	__u32 rule;	     /* number of the winning rule, 0 = none */
	__u32 observed_rule; /* number of the observed rule that would win, 0 = none */
	__u8 action;	     /* enum sp_action; SP_NONE = the default applies */
	__u8 observed_action;
	__u8 log; /* 1 = the winning rule asks for a log */
	__u8 pad;
};
_Static_assert(sizeof(struct sp_cell) == 12, "sp_cell");

/* ---- sp_networks: LPM trie -------------------------------------------------------------------------------------- */

struct sp_network_key {
	__u32 prefix_length; /* bits: 32 for the slot, then those of the address */
	__u32 slot;	     /* host order; compared as four bytes */
	__u8 address[16];    /* network order; IPv4 as ::ffff:a.b.c.d, so that /8 is /104 */
};
_Static_assert(sizeof(struct sp_network_key) == 24, "sp_network_key");

struct sp_network {
	__u32 identity; /* number */
	__u32 pad;
	__u64 workload; /* cgroup id when the address is that of a workload of this host, else 0 */
};
_Static_assert(sizeof(struct sp_network) == 16, "sp_network");

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
	__u32 flags; /* SP_HANDOFF_…; of a socket that connects to its own namespace (simultaneous_open.h): SP_ENDPOINT_UNLABELLED */
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
	__u8 initiator; /* ICMP only: enum sp_direction of who asked, so that an id used the other way is another conversation */
	__u8 is_echo; /* ICMP only: id is an identifier */
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
	__u8 direction; /* who began: enum sp_direction */
	__u8 assurance;
	__u8 decided_by;
	__u8 find_peer; /* 1 = judged by who the peer was before the generation: the next incoming packet tells who it is */
	__u8 handed; /* SP_CONV_… */
	__u8 lane;   /* its row in sp_queue, with `owner`, `direction` and `sequence` */
	__u64 owner; /* of the share that it counts for: `workload` when it began */
	__u32 sequence;
	__u32 pad2;
};
_Static_assert(sizeof(struct sp_conv) == 128, "sp_conv");

/* ---- sp_counts: per-CPU hash, cgroup id of a workload (0 = host) → counters ----------------------------------------- */

struct sp_counts {
	__u64 n[2][SP_COUNTS];
};
_Static_assert(sizeof(struct sp_counts) == 512, "sp_counts");

/* ---- sp_stats: per-CPU array of one --------------------------------------------------------------------------------- */

struct sp_stats {
	__u64 n[SP_STAT_COUNT];
};
_Static_assert(sizeof(struct sp_stats) == 128, "sp_stats");

/* ---- sp_records: ring buffer ------------------------------------------------------------------------------------------ */

struct sp_record {
	__u64 time;	     /* ns, CLOCK_MONOTONIC */
	__u64 socket;	     /* cookie of the socket the record is about */
	__u64 listener;	     /* OPEN of an accepted connection: cookie of the listening socket */
	__u64 workload;	     /* subject: cgroup id of its labelled ancestor, 0 = host */
	__u64 peer_workload; /* when known, else 0 */
	__u64 cgroup;	     /* ATTEMPT, BIND: cgroup id of the task */
	__u64 bytes_sent;    /* CLOSE: acknowledged payload bytes */
	__u64 bytes_received;
	__u32 packets_sent; /* CLOSE: segments */
	__u32 packets_received;
	__u32 rtt;     /* OPEN, CLOSE: smoothed round-trip time in µs */
	__u32 subject; /* identity numbers */
	__u32 peer;
	__u32 rule;
	__u32 observed_rule;
	__u32 generation;
	__u32 pid; /* thread group; 0 = not known here */
	__u32 uid;
	__u32 tid;
	__u16 local_port;  /* host order; ICMP: identifier or type */
	__u16 remote_port; /* host order; ICMP: type */
	__u8 local[16];
	__u8 remote[16];
	__u8 kind;	/* enum sp_record_kind */
	__u8 direction; /* enum sp_direction */
	__u8 protocol;
	__u8 action; /* what was done, enum sp_action */
	__u8 observed_action;
	__u8 decided_by;
	__u8 assurance;
	__u8 flags; /* SP_RECORD_… */
	char comm[16];
};
_Static_assert(sizeof(struct sp_record) == 168, "sp_record");

/* ---- Parts with a header of their own ------------------------------------------------------------------------------- */

#include "events.h"
#include "netfilter.h"
#include "shares.h"
