/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Where the caller waits: connect(), sendto() and bind() are judged and recorded with the process that asks. The packet
 * hooks judge the socket's creator; here it is the task, so that a passed socket must satisfy both.
 */
#pragma once
#include "account.h"
#include "hook.h"
#include "identity.h"
#include "local.h"
#include "policy.h"
#include "tables.h"

/* 6.2; a weak symbol, and a branch that the configuration removes where it is missing. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/* The calling task. Returns 0. */
SP_FUNCTION int sp_endpoint_of_task(struct sp_endpoint *endpoint)
{
	struct sp_control *control = sp_controls();

	if (!endpoint)
		return 0;
	SP_WALK(endpoint, control, bpf_get_current_ancestor_cgroup_id(level), bpf_get_current_cgroup_id());
	return 0;
}

static __always_inline __u64 sp_workload_of_task(void)
{
	struct sp_endpoint endpoint = {};

	sp_endpoint_of_task(&endpoint);
	return endpoint.workload;
}

/* The unspecified address means the loopback one (ip_route_connect, tcp_v6_connect). */
static __always_inline void sp_normalize(__u8 remote[16])
{
	__u32 *words = (__u32 *)remote;

	if (words[0] || words[1] || words[3])
		return;
	if (words[2] == bpf_htonl(0xffff))
		words[3] = bpf_htonl(0x7f000001);
	else if (!words[2])
		words[3] = bpf_htonl(1);
}

/* The kernel's own view of a socket that was looked up; null where the kernel is too old to give it. */
static __always_inline const struct sock *sp_kernel_socket(struct bpf_sock *sk, int is_tcp)
{
	if (is_tcp)
		return (const struct sock *)bpf_skc_to_tcp_sock(sk);
	if (config.features & SP_FEATURE_SOCKET_CAST)
		return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));
	return 0;
}

/* What a hook is asked: a destination, in 16-byte form. */
struct sp_destination {
	__u8 remote[16];
	__u32 is_tcp;
	__u32 locality; /* enum sp_locality */
};

static __always_inline void sp_destination_ipv6(struct bpf_sock_addr *ctx, struct sp_destination *destination)
{
	__u32 *words = (__u32 *)destination->remote;

	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
}

/* Finds out whether what is asked for is an address of the asking socket's namespace. */
static __always_inline void sp_ask_locality(struct bpf_sock_addr *ctx, struct sp_destination *destination)
{
	__u64 socket = (__u64)SP_READ(bpf_sock_addr_kern, ctx, sk);
	struct sp_locals locals = { .net = (__u64)SP_READ(sock, socket, __sk_common.skc_net.net) };

	sp_copy_address(locals.address, destination->remote);
	destination->locality = sp_locality(&locals);
	SP_JOIN(destination);
}

/* Fills flow->peer: the endpoint at an address as a caller in this namespace reaches it. A socket of this namespace counts only
 * if the address is the namespace's own: one that listens on any address is found under every address. Returns 0 if the
 * packet hook alone can tell.
 */
SP_FUNCTION int sp_find_remote(struct bpf_sock_addr *ctx, struct sp_destination *destination, struct sp_flow *flow)
{
	struct bpf_sock_tuple tuple = {};
	const struct sock *kernel_socket;
	__u8 any[16] __attribute__((aligned(8))) = {};
	struct bpf_sock *sk = 0;
	__u32 size;

	if (!destination || !flow)
		return 0;
	if (destination->locality != SP_LOCAL_NO) {
		size = sp_tuple(&tuple, destination->remote, (__be16)ctx->user_port, any, 0);
		if (destination->is_tcp)
			sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		else
			sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sk && destination->locality == SP_LOCAL_YES) {
			sp_endpoint_unknown(&flow->peer);
			return !destination->is_tcp; /* nobody listens there: the kernel says so (see sp_tcp_out) */
		}
	}
	if (sk) {
		kernel_socket = sp_kernel_socket(sk, destination->is_tcp);
		if (kernel_socket && destination->locality == SP_LOCAL_YES)
			sp_endpoint_of_kernel_socket(&flow->peer, sk, kernel_socket);
		bpf_sk_release(sk);
		return kernel_socket && destination->locality == SP_LOCAL_YES;
	}
	sp_endpoint_of_address(&flow->peer, SP_SLOT(flow->generation), destination->remote);
	return 1;
}

/* Records the verdict with the process that asks. `flow->direction` says whose side it is. Returns 0. */
SP_FUNCTION int sp_record_call(struct bpf_sock_addr *ctx, struct sp_destination *destination, struct sp_flow *flow)
{
	struct sp_record *record;
	__u16 port;

	if (!destination || !flow)
		return 0;
	if (flow->action == SP_REJECT && sp_is_repeated(flow, destination->remote)) {
		sp_stat_add(SP_STAT_RECORDS_SUPPRESSED);
		return 0;
	}
	record = sp_record_begin(flow->subject.workload);
	if (!record)
		return 0;
	port = bpf_ntohs((__be16)ctx->user_port);
	record->kind = flow->action == SP_REJECT ? SP_RECORD_REFUSED : SP_RECORD_ATTEMPT;
	record->protocol = destination->is_tcp ? IPPROTO_TCP : IPPROTO_UDP;
	sp_record_flow(record, flow);
	if (flow->direction == SP_OUTGOING) {
		sp_copy_address(record->remote, destination->remote);
		record->remote_port = port;
	} else {
		sp_copy_address(record->local, destination->remote);
		record->local_port = port;
		record->flags |= SP_RECORD_PEER_SIDE;
	}
	sp_record_task(record);
	sp_record_end(record, sp_wakeup_for(record->pid));
	return 0;
}

/* Judges one endpoint's side, then, when the other end is here, the other's: a refusal by either is an errno now instead of
 * a SYN that nobody answers. `flow` comes with its subject.
 */
SP_FUNCTION enum sp_verdict sp_ask(struct bpf_sock_addr *ctx, struct sp_destination *destination, struct sp_flow *flow)
{
	struct sp_handshake *note;
	struct sp_flow other = {};

	if (!destination || !flow)
		return SP_REFUSE;
	/* an unlabelled child is refused wherever it goes */
	if (!sp_find_remote(ctx, destination, flow) && !(flow->subject.flags & SP_ENDPOINT_UNLABELLED))
		return SP_PASS_ON;
	sp_judge(flow);
	if (flow->action != SP_ALLOW) {
		sp_count(flow);
		sp_record_call(ctx, destination, flow);
		return SP_REFUSE;
	}
	if (flow->peer.assurance != SP_ASSURED_SOCKET)
		return SP_PASS_ON;
	other.generation = flow->generation;
	other.direction = SP_INCOMING;
	other.cookie = flow->cookie;
	other.port_index = flow->port_index;
	other.subject = flow->peer;
	other.peer = flow->subject;
	sp_judge(&other);
	if (other.action == SP_ALLOW) {
		note = sp_handshake();
		if (destination->is_tcp && note) {
			note->outgoing = *flow;
			note->incoming = other;
			sp_copy_address(note->server, destination->remote);
			note->server_port = (__be16)ctx->user_port;
			note->stage = SP_STAGE_ASKED;
		}
		return SP_PASS_ON;
	}
	sp_count(&other);
	sp_record_call(ctx, destination, &other);
	return SP_REFUSE;
}

static __always_inline void sp_flow_of_call(struct bpf_sock_addr *ctx, const struct sp_destination *destination,
					    struct sp_flow *flow)
{
	flow->generation = sp_generation();
	flow->direction = SP_OUTGOING;
	flow->cookie = bpf_get_socket_cookie(ctx);
	flow->port_index =
		sp_port_index(destination->is_tcp ? IPPROTO_TCP : IPPROTO_UDP, bpf_ntohs((__be16)ctx->user_port));
}

/* The socket's creator when it is of another cgroup than the calling task (a socket that was passed, or kept over a
 * move): null when they are the same, or when this kernel cannot tell.
 */
static __always_inline const struct sock *sp_foreign_socket(struct bpf_sock_addr *ctx, int is_tcp)
{
	struct bpf_sock *sk = ctx->sk;
	const struct sock *mine;

	if (!sk)
		return 0;
	mine = sp_kernel_socket(sk, is_tcp);
	if (!mine || sp_creator_of(mine) == bpf_get_current_cgroup_id())
		return 0;
	return mine;
}

/* TCP: the task that connects, and the socket's creator if that is another, must both be allowed. The creator comes last:
 * what the packet hooks find noted is what they would judge.
 */
static __always_inline enum sp_verdict sp_connect_tcp(struct bpf_sock_addr *ctx, struct sp_destination *destination)
{
	const struct sock *foreign = sp_foreign_socket(ctx, ctx->protocol == IPPROTO_TCP);
	struct sp_flow flow = {};

	sp_ask_locality(ctx, destination);
	sp_flow_of_call(ctx, destination, &flow);
	sp_endpoint_of_task(&flow.subject);
	flow.action = SP_ALLOW; /* should the packet hook alone be able to tell */
	if (sp_ask(ctx, destination, &flow) == SP_REFUSE)
		return SP_REFUSE;
	if (foreign && ctx->sk) {
		sp_endpoint_of_kernel_socket(&flow.subject, ctx->sk, foreign);
		if (sp_ask(ctx, destination, &flow) == SP_REFUSE)
			return SP_REFUSE;
	}
	sp_record_call(ctx, destination, &flow);
	return SP_PASS_ON;
}

/* UDP. No packet leaves at connect(), and libraries connect only to learn a route (getaddrinfo, ping): the packet hook
 * judges the creator and refuses with an errno too. It cannot see the task, so a task of another cgroup is judged here.
 */
static __always_inline enum sp_verdict sp_ask_udp(struct bpf_sock_addr *ctx, struct sp_destination *destination,
						  int connects)
{
	int can_tell = config.features & SP_FEATURE_SOCKET_CAST;
	const struct sock *foreign = can_tell ? sp_foreign_socket(ctx, 0) : 0;
	struct sp_flow flow = {};

	if (can_tell && !foreign && !connects)
		return SP_PASS_ON;
	sp_flow_of_call(ctx, destination, &flow);
	sp_endpoint_of_task(&flow.subject);
	if (foreign) {
		sp_ask_locality(ctx, destination);
		if (sp_ask(ctx, destination, &flow) == SP_REFUSE)
			return SP_REFUSE;
	}
	if (connects) {
		flow.action = SP_ALLOW;
		flow.decided_by = SP_BY_NOTHING;
		sp_record_call(ctx, destination, &flow);
	}
	return SP_PASS_ON;
}

static __always_inline enum sp_verdict sp_connect(struct bpf_sock_addr *ctx, struct sp_destination *destination)
{
	__u32 protocol = ctx->protocol;

	destination->is_tcp = ctx->type == SP_SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
	sp_normalize(destination->remote);
	if (destination->is_tcp)
		return sp_connect_tcp(ctx, destination);
	if (protocol == IPPROTO_UDP)
		return sp_ask_udp(ctx, destination, 1);
	return SP_PASS_ON; /* raw, ping and others: the packet hook refuses with an errno too */
}

static __always_inline enum sp_verdict sp_sendmsg(struct bpf_sock_addr *ctx, struct sp_destination *destination)
{
	sp_normalize(destination->remote);
	return sp_ask_udp(ctx, destination, 0);
}

/* Tells which process serves a port: packets arrive where there is no process to name. */
static __always_inline void sp_bound(struct bpf_sock *sk, const __u8 local[16])
{
	struct sp_record *record;

	if (!sk->src_port ||
	    (sk->protocol != IPPROTO_TCP && sk->protocol != IPPROTO_UDP && sk->protocol != IPPROTO_SCTP))
		return;
	record = sp_record_begin(sp_workload_of_task());
	if (!record)
		return;
	record->kind = SP_RECORD_BIND;
	record->direction = SP_INCOMING;
	record->action = SP_ALLOW;
	record->protocol = sk->protocol;
	record->socket = bpf_get_socket_cookie(sk);
	sp_copy_address(record->local, local);
	record->local_port = sk->src_port;
	sp_record_task(record);
	sp_record_end(record, sp_wakeup_for(record->pid));
}
