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

_Alignas(8) const unsigned char sp_netfilter_told_object[] = {
#embed "netfilter-told.bpf.o"
};
const size_t sp_netfilter_told_object_size = sizeof(sp_netfilter_told_object);

_Alignas(8) const unsigned char sp_cgroup_static_object[] = {
#embed "cgroup-static.bpf.o"
};
const size_t sp_cgroup_static_object_size = sizeof(sp_cgroup_static_object);

_Alignas(8) const unsigned char sp_netfilter_static_object[] = {
#embed "netfilter-static.bpf.o"
};
const size_t sp_netfilter_static_object_size = sizeof(sp_netfilter_static_object);

_Alignas(8) const unsigned char sp_workload_object[] = {
#embed "workload.bpf.o"
};
const size_t sp_workload_object_size = sizeof(sp_workload_object);
