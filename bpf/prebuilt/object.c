/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Embeds the prebuilt objects; 8-byte alignment because ELF readers want it. */
#include "datapath/object.h"

_Alignas(8) const unsigned char sp_cgroup_object[] = {
#embed "cgroup.bpf.o"
};
const size_t sp_cgroup_object_size = sizeof(sp_cgroup_object);

_Alignas(8) const unsigned char sp_netfilter_object[] = {
#embed "netfilter.bpf.o"
};
const size_t sp_netfilter_object_size = sizeof(sp_netfilter_object);

_Alignas(8) const unsigned char sp_netfilter_mark_object[] = {
#embed "netfilter-mark.bpf.o"
};
const size_t sp_netfilter_mark_object_size = sizeof(sp_netfilter_mark_object);

_Alignas(8) const unsigned char sp_cgroup_legacy_object[] = {
#embed "cgroup-legacy.bpf.o"
};
const size_t sp_cgroup_legacy_object_size = sizeof(sp_cgroup_legacy_object);

_Alignas(8) const unsigned char sp_netfilter_legacy_object[] = {
#embed "netfilter-legacy.bpf.o"
};
const size_t sp_netfilter_legacy_object_size = sizeof(sp_netfilter_legacy_object);

_Alignas(8) const unsigned char sp_workload_object[] = {
#embed "workload.bpf.o"
};
const size_t sp_workload_object_size = sizeof(sp_workload_object);
