/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The prebuilt programs as they are embedded in the binary. */
#pragma once
#include <stddef.h>

/* The ELF object built from cgroup.bpf.c. */
extern const unsigned char sp_cgroup_object[];
extern const size_t sp_cgroup_object_size;

/* The same as a pointer: an array without a size is not visible to Swift. */
static inline const unsigned char *sp_cgroup_object_start(void)
{
	return sp_cgroup_object;
}

/* The ELF object built from netfilter.bpf.c. */
extern const unsigned char sp_netfilter_object[];
extern const size_t sp_netfilter_object_size;

static inline const unsigned char *sp_netfilter_object_start(void)
{
	return sp_netfilter_object;
}

/* The ELF object built from netfilter-mark.bpf.c. */
extern const unsigned char sp_netfilter_mark_object[];
extern const size_t sp_netfilter_mark_object_size;

static inline const unsigned char *sp_netfilter_mark_object_start(void)
{
	return sp_netfilter_mark_object;
}

/* The ELF object built from cgroup-legacy.bpf.c: the same for kernels before 5.15. */
extern const unsigned char sp_cgroup_legacy_object[];
extern const size_t sp_cgroup_legacy_object_size;

static inline const unsigned char *sp_cgroup_legacy_object_start(void)
{
	return sp_cgroup_legacy_object;
}

/* The ELF object built from netfilter-legacy.bpf.c: the same as netfilter.bpf.c for kernels before 5.17. */
extern const unsigned char sp_netfilter_legacy_object[];
extern const size_t sp_netfilter_legacy_object_size;

static inline const unsigned char *sp_netfilter_legacy_object_start(void)
{
	return sp_netfilter_legacy_object;
}

/* The ELF object built from workload.bpf.c. */
extern const unsigned char sp_workload_object[];
extern const size_t sp_workload_object_size;

static inline const unsigned char *sp_workload_object_start(void)
{
	return sp_workload_object;
}
