/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The prebuilt programs as they are embedded in the binary. */
#pragma once
#include <stddef.h>

/* The ELF object built from cgroup.bpf.c. */
extern const unsigned char sp_cgroup_object[];
extern const size_t sp_cgroup_object_size;
