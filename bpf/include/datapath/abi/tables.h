/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the agent writes and every program reads: configuration, workloads, policy, networks. */
#pragma once
#include <linux/types.h>
#include "limits.h"
#include "verdicts.h"

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

/* Flags of struct sp_control. */
#define SP_CONTROL_RETAGGED 1u /* sockets may be in sp_retag; set before the first one is */

struct sp_control {
	__u32 levels; /* bit n: a labelled cgroup may exist at level n; set before the row is written */
	__u32 flags;  /* SP_CONTROL_… */
};
_Static_assert(sizeof(struct sp_control) == 8, "sp_control");

/* ---- sp_workload: cgroup id (__u64) → identity ------------------------------------------------------------------ */

/* Flags of struct sp_workload. */
#define SP_WORKLOAD_OBSERVE 1u	       /* verdicts on this workload are reported and not applied */
#define SP_WORKLOAD_REJECT_CHILDREN 2u /* cgroups below it that have no labels of their own are not it: refused */

struct sp_workload {
	__u32 identity; /* number */
	__u32 flags;	/* SP_WORKLOAD_… */
};
_Static_assert(sizeof(struct sp_workload) == 8, "sp_workload");

/* ---- sp_retag: socket storage, inherited by accepted sockets ---------------------------------------------------- */

/* Flags of struct sp_retag. */
#define SP_RETAG_CHILD 1u /* its holder is below the workload, in a cgroup without labels of its own */

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
	__u32 subject[2];	    /* by direction; 0 = no rule set applies: the default */
	__u32 peer;		    /* 0 = no narrow peer matches */
	__u8 probes[2];		    /* by direction, SP_PROBE_… */
	enum sp_action fallback[2]; /* by direction: the default action */
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
	enum sp_direction direction;
	__u8 slot;
};
_Static_assert(sizeof(struct sp_cell_key) == 12, "sp_cell_key");

struct sp_cell {
	__u32 rule;	       /* number of the winning rule, 0 = none */
	__u32 observed_rule;   /* number of the observed rule that would win, 0 = none */
	enum sp_action action; /* SP_NONE = the default applies */
	enum sp_action observed_action;
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
