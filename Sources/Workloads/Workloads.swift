// Skeleton; replaced as Workloads is built.
