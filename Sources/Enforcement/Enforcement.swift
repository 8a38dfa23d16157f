// Skeleton; replaced as Enforcement is built.
