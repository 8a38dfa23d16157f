/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The prebuilt programs as they are embedded in the binary. */
#pragma once
#include <linux/types.h>
#include <stddef.h>
#include "abi/closed.h"

/* Every ELF object, by the name of its source. */
#define SP_OBJECTS(OBJECT)                                               \
	OBJECT(cgroup)                                                   \
	OBJECT(cgroup_legacy) /* cgroup for kernels before 5.15 */       \
	OBJECT(netfilter)                                                \
	OBJECT(netfilter_legacy) /* netfilter for kernels before 5.17 */ \
	OBJECT(netfilter_mark)                                           \
	OBJECT(workload)

#define SP_OBJECT_CASE(name) sp_object_##name,
enum SP_CLOSED sp_object : __u8 { SP_OBJECTS(SP_OBJECT_CASE) };
#undef SP_OBJECT_CASE

struct sp_bytes {
	const unsigned char *start; /* aligned to 8 bytes, because ELF readers want it; never freed */
	size_t size;
};

struct sp_bytes sp_object_bytes(enum sp_object object);
