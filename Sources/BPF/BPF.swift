// Skeleton; replaced as BPF is built.
