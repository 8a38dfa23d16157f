/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* When TCP connections open and close, with the kernel's counts: sock_ops tells it, or the tracepoint inet_sock_set_state.
 * `connection` is what that hook has of it.
 */
#pragma once
#include "account.h"
#include "hook.h"
#include "tables.h"

/* Of a connection that was accepted just now: what the listener's side of its handshake was judged by. */
static __always_inline void sp_record_accepted(struct sp_record *record)
{
	struct sp_handshake *known = sp_handshake();
	__u64 cookie = record->socket;

	if (!known || known->stage != SP_STAGE_ACCEPTED || bpf_ntohs(known->server_port) != record->local_port ||
	    bpf_ntohs(known->client_port) != record->remote_port || !sp_same_address(known->server, record->local) ||
	    !sp_same_address(known->client, record->remote))
		return;
	sp_record_flow(record, &known->incoming);
	record->socket = cookie;
	record->listener = known->incoming.cookie;
	record->uid = known->uid;
	known->stage = SP_STAGE_NONE;
}

static __always_inline void sp_tcp_opened(sp_connection connection, __u32 direction)
{
	struct sp_record *record = sp_record_begin(sp_connection_workload(connection));

	if (!record)
		return;
	record->kind = SP_RECORD_OPEN;
	record->direction = direction;
	record->action = SP_ALLOW;
	sp_record_socket(record, connection);
	if (direction == SP_INCOMING)
		sp_record_accepted(record);
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}

static __always_inline void sp_tcp_closed(sp_connection connection, __u32 before)
{
	struct sp_record *record;

	if (sp_was_refused(connection, before))
		return;
	record = sp_record_begin(sp_connection_workload(connection));
	if (!record)
		return;
	record->kind = SP_RECORD_CLOSE;
	sp_record_socket(record, connection);
	sp_record_counts(record, connection, before);
	sp_record_end(record, BPF_RB_NO_WAKEUP);
}
