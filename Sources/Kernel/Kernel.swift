// Skeleton; replaced as Kernel is built.
