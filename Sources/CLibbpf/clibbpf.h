// What Swift may see of libbpf and of the kernel's BPF interface: includes only.
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
