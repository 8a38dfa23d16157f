/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Every map and every constant that the loader writes: what it holds, who writes it, who reads it, and why it has its size.
 * An object has those that its programs use: SP_EVENTS (workload.bpf.c), SP_NETFILTER, SP_MARK.
 */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "datapath/abi.h"
#include "lib/flow.h"

#ifdef SP_EVENTS

/* Written by the loader between open and load. */
const volatile struct sp_event_config config SEC(".rodata.config") = {};

/* What happened. Programs write, the agent reads. The loader sets the size; 4 MiB is 16,000 records: some ten milliseconds
 * of a storm on many CPUs, hundreds of one on a few.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} sp_events SEC(".maps");

/* How much of it. Programs write, the agent reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_event_stats);
} sp_event_stats SEC(".maps");

#else

/* Written by the loader between open and load; the verifier deletes the branches that it rules out. */
const volatile struct sp_config config SEC(".rodata.config") = {
	.abi_version = SP_ABI_VERSION,
	.features = SP_FEATURE_COARSE_CLOCK | SP_FEATURE_SOCKET_CAST | SP_FEATURE_SKB_TASK,
	.udp_idle = 120ull * 1000000000,
	.icmp_idle = 30ull * 1000000000,
};

/* The generation in force. Agent writes, every program reads once per packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sp_active SEC(".maps");

/* What is not policy and changes: agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_control);
} sp_control SEC(".maps");

/* Labelled cgroups. Agent writes, programs read. One row a workload: 65,536 is eight times what a host runs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct sp_workload);
} sp_workload SEC(".maps");

/* Sockets that speak for another workload than their creator's. Agent writes by socket descriptor, programs read. A socket
 * that is accepted inherits its listener's.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct sp_retag);
} sp_retag SEC(".maps");

/* Equivalence classes of identities, two slots. Agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SP_IDENTITY_CAPACITY);
	__type(key, __u32);
	__type(value, struct sp_classes);
} sp_classes SEC(".maps");

/* Equivalence classes of ports, two slots. Agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SP_PORT_ROWS);
	__type(key, __u32);
	__type(value, struct sp_port_row);
} sp_ports SEC(".maps");

/* The compiled policy, two slots told apart by the key. Agent writes, programs read. Not preallocated: rows cost memory
 * only when they exist, programs never insert. The loader sets the size.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct sp_cell_key);
	__type(value, struct sp_cell);
} sp_policy SEC(".maps");

/* External networks and the addresses of workloads, two slots. Agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct sp_network_key);
	__type(value, struct sp_network);
} sp_networks SEC(".maps");

/* Senders of this host, for receivers in another namespace. Programs write and read. LRU: an entry is needed for the time
 * that a packet takes to cross a veth; one that is evicted makes the sender unknown, and its next packet writes it again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct sp_handoff_key);
	__type(value, struct sp_handoff);
} sp_handoffs SEC(".maps");

/* Handshakes with an address of a workload that the receiver's ingress hook has judged: the SYN-ACK of another receiver is
 * refused (claim.h). Programs write and read. LRU: an entry is needed for a round trip; without it the handshake fails.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct sp_confirmed);
} sp_confirmed SEC(".maps");

/* Conversations of everything but TCP. Programs write and read, the agent sweeps. Shared out by lib/share.h, so that a
 * flood ends conversations of its own only. Not preallocated: idle hosts pay for what they use (208 bytes each, and 112 for
 * its place in sp_queue). Never full: the room beyond SP_CONVS is for counts that are behind.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SP_CONVS + 4096);
	__type(key, struct sp_conv_key);
	__type(value, struct sp_conv);
} sp_convs SEC(".maps");

#ifndef SP_NETFILTER
/* Which socket of a workload began a conversation, when it cannot be looked up because it is raw: a key of sp_convs with the
 * workload's cgroup id in the place of the socket, and the own port → cookie. Programs write and read, so that errors and
 * echo replies reach another raw socket of the workload (mtr has one to send and one to receive). LRU: one that is evicted
 * makes them need a rule.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct sp_conv_key);
	__type(value, __u64);
} sp_raw_convs SEC(".maps");
#endif

/* In which order each user's conversations began. Programs write, the agent removes rows of those it sweeps. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SP_CONVS + 4096);
	__type(key, struct sp_queue_key);
	__type(value, struct sp_conv_key);
} sp_queue SEC(".maps");

/* How many conversations each user holds, and how many records it has in the ring. Programs make and write rows, the agent
 * removes those of workloads that are gone. Two for each row of sp_workload, the host, and as many that are gone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct sp_share_key);
	__type(value, struct sp_share);
} sp_shares SEC(".maps");

/* A row of sp_shares as it begins. Nobody writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_share);
} sp_blank SEC(".maps");

/* What the agent removed of each user's. Agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 262144);
	__type(key, struct sp_share_key);
	__type(value, struct sp_swept);
} sp_swept SEC(".maps");

/* How many there are of all users. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SP_POOL_COUNT);
	__type(key, __u32);
	__type(value, struct sp_pool);
} sp_pool SEC(".maps");

/* Counters of each workload. The agent makes the rows, programs count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct sp_counts);
} sp_counts SEC(".maps");

/* Counters of the datapath itself. Programs count. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_stats);
} sp_stats SEC(".maps");

/* Records of flows. Programs write, the agent reads. 4 MiB hold 23,000 records: a second of heavy load. When a quarter is
 * full, each workload may have as much in it as is free (lib/share.h).
 */
#define SP_RING_SIZE (4u * 1024 * 1024)
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SP_RING_SIZE);
} sp_records SEC(".maps");

/* How far a handshake on this CPU has been judged: connect() → SYN out → SYN in → ACK in → established. On loopback all of
 * it runs on one CPU within one system call; each step that recognizes its flow need not judge it again. One that does
 * not (another flow came between, another CPU, another generation) judges for itself.
 */
enum sp_stage {
	SP_STAGE_NONE = 0,
	SP_STAGE_ASKED,	   /* connect() judged both sides */
	SP_STAGE_SENT,	   /* its SYN left */
	SP_STAGE_ACCEPTED, /* its SYN or its last ACK passed at the listener */
};

struct sp_handshake {
	struct sp_flow outgoing; /* ASKED on: as judged at connect() */
	struct sp_flow incoming; /* the listener's side */
	__u8 client[16];	 /* SENT on */
	__u8 server[16];
	__be16 client_port;
	__be16 server_port;
	__u32 sequence; /* of the SYN, host order */
	__u32 stage;	/* enum sp_stage */
	__u32 uid;	/* of the listener */
	__u64 refused;	/* netfilter: the socket whose SYN was refused last */
};

/* One a CPU. Programs write and read. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sp_handshake);
} sp_handshakes SEC(".maps");

/* Processes whose attempts have woken the reader: it looks at each process once, in time. Direct-mapped by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} sp_woken SEC(".maps");

/* When a refusal was last recorded, direct-mapped by who, whom and which port: a refused flood costs one record a second. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64[2]);
} sp_suppress SEC(".maps");

#ifdef SP_NETFILTER
/* Written by the loader between open and load. */
const volatile struct sp_nf_config nf_config SEC(".rodata.netfilter") = {};
#endif

#ifdef SP_MARK
/* Written by the loader between open and load. */
const volatile struct sp_mark_config mark_config SEC(".rodata.mark") = {};

/* Source workloads by the number in the mark. Agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SP_MARKS);
	__type(key, __u32);
	__type(value, struct sp_mark_endpoint);
} sp_marks SEC(".maps");

/* Who receives at a port. Agent writes, programs read. 65,536: all ports of one protocol at one address. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct sp_listener_key);
	__type(value, struct sp_mark_endpoint);
} sp_listeners SEC(".maps");
#endif

#endif
